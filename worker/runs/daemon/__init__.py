"""The daemon: polls what is due, works it off, cannot hang quietly, and stops cleanly at a signal."""

from worker.runs.daemon.daemon import Daemon

__all__ = ["Daemon"]
