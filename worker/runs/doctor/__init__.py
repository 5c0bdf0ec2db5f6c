"""Looks over everything a run needs, changes nothing, and says what to do: the work of `doctor`."""

from worker.runs.doctor.findings import Finding, Level
from worker.runs.doctor.run import CheckedSource, check_sources, run_checks

__all__ = ["CheckedSource", "Finding", "Level", "check_sources", "run_checks"]
