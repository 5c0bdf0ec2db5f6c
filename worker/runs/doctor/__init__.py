"""The checks of `doctor`: everything a run needs, without changing anything, and what to do about problems."""

from worker.runs.doctor.findings import Finding, Level
from worker.runs.doctor.run import CheckedSource, check_sources, run_checks, try_notifications

__all__ = ["CheckedSource", "Finding", "Level", "check_sources", "run_checks", "try_notifications"]
