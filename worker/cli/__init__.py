"""The command line: commands and exit codes, nothing else. Heavy imports stand inside the commands."""

from worker.cli.main import main

__all__ = ["main"]
