"""Looks over everything a run needs, changes nothing, and says what to do: the work of `doctor`."""

from worker.checkup.finding import Finding, Level
from worker.checkup.rounds import CheckedSource, check_sources, check_up

__all__ = ["CheckedSource", "Finding", "Level", "check_sources", "check_up"]
