"""Looks over everything a run needs, changes nothing, and says what to do: the work of `doctor`."""

from worker.checkup.finding import Finding, Level
from worker.checkup.rounds import check_up

__all__ = ["Finding", "Level", "check_up"]
