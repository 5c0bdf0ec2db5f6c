"""The daemon (`corpus-worker run`): polls due sources, ingests, detects stalls, and stops cleanly on a signal."""

from worker.runs.daemon.daemon import Daemon

__all__ = ["Daemon"]
