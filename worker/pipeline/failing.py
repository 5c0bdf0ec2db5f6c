"""What comes after a try that failed: another one later, or the end; pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from worker.errors import ExtractorDown, FetchError
from worker.models import Claim, Outcome, State
from worker.schedule import retry_at

TOO_LATE: Final = "deadline"
"""The reason of a try that was broken off because it took too long."""


def too_late(*, after: timedelta) -> FetchError:
    """Return the error of a try that was broken off."""
    return FetchError(f"given up after {after.total_seconds():.0f} seconds", reason=TOO_LATE, retry=True)


def after_failure(claim: Claim, error: Exception, *, now: datetime, chance: float) -> Outcome:
    """Return the outcome of a try that ended in an error: pending where there is a next one.

    No page is given up for the fault of its host, or of this machine (`ExtractorDown`); a bug is tried again.
    """
    if isinstance(error, FetchError):
        wish, blameless, last = error.retry_at, error.hosts_fault, not error.retry
    else:
        wish, blameless, last = None, isinstance(error, ExtractorDown), False
    at = retry_at(now=now, attempts=claim.attempts, chance=chance, wish=wish, hosts_fault=blameless)
    if isinstance(error, (FetchError, ExtractorDown)):
        reason, detail = error.reason, str(error)
    else:
        reason, detail = "internal", repr(error)
    state = State.FAILED if last or at is None else State.PENDING
    return Outcome(state=state, reason=reason, detail=detail, retry_at=None if last else at)
