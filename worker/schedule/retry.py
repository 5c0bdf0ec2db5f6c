"""When to come back after a failure, to a source or to a page. Pure; chance is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from worker.errors import FetchBlocked, FetchError, WorkerError
from worker.models import Claim, Outcome, State
from worker.schedule.poll_interval import IntervalPolicy

FIRST_RETRY_DELAY: Final = timedelta(minutes=5)
MAX_RETRY_DELAY: Final = timedelta(hours=12)
MAX_ATTEMPTS: Final = 8
MAX_RETRY_AFTER: Final = timedelta(hours=24)
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_BLOCKED: Final = "blocked"
_UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a source that fails is left alone: at first, and at the longest; the wait doubles from try to try."""

    first: timedelta
    longest: timedelta

    def wait(self, failures: int) -> timedelta:
        """Return the wait after so many failures in a row."""
        doublings = min(failures - 1, 16)
        return min(self.longest, self.first * (1 << doublings))


# A host that is down comes back by itself: what its feed shows meanwhile must not roll over unseen.
_SHORT_BACKOFF: Final = Backoff(first=5 * _MINUTE, longest=2 * _HOUR)
_BACKOFFS: Final[Mapping[str, Backoff]] = MappingProxyType(
    {
        "timeout": _SHORT_BACKOFF,
        "connect": _SHORT_BACKOFF,
        "reset": _SHORT_BACKOFF,
        "truncated": _SHORT_BACKOFF,
        "host-closed": _SHORT_BACKOFF,
        "robots-silent": _SHORT_BACKOFF,
        "http-5xx": Backoff(first=5 * _MINUTE, longest=4 * _HOUR),
        "dns": Backoff(first=10 * _MINUTE, longest=6 * _HOUR),
        "tls": Backoff(first=30 * _MINUTE, longest=6 * _HOUR),
        "http-429": Backoff(first=30 * _MINUTE, longest=12 * _HOUR),
        _UNREADABLE: Backoff(first=15 * _MINUTE, longest=6 * _HOUR),
        "http-404": Backoff(first=_HOUR, longest=12 * _HOUR),
        "http-410": Backoff(first=6 * _HOUR, longest=12 * _HOUR),
        _BLOCKED: Backoff(first=6 * _HOUR, longest=12 * _HOUR),
    }
)
_DEFAULT_BACKOFF: Final = Backoff(first=15 * _MINUTE, longest=12 * _HOUR)


def fault_class(error: WorkerError) -> str:
    """Return the class of error a source failed with, in one word: what its backoff goes by."""
    if isinstance(error, FetchBlocked):
        return _BLOCKED
    if not isinstance(error, FetchError):
        return _UNREADABLE
    if error.status is None or error.reason not in {"http", "gone"}:
        return error.reason
    return "http-5xx" if error.status >= 500 else f"http-{error.status}"


def next_poll_after_failure(
    rhythm: IntervalPolicy, *, now: datetime, failures: int, fault: str, chance: float, wish: datetime | None = None
) -> datetime:
    """Return when a source that failed `failures` times in a row is tried again: later each time, never given up.

    How fast the wait grows, and how far, goes by the class of error (`fault_of`), but no source is left alone for
    longer than the longest interval; a server's own wish (`Retry-After`) wins where it is later, up to a day.
    """
    wait = min(rhythm.max_every, _BACKOFFS.get(fault, _DEFAULT_BACKOFF).wait(failures))
    delay = wait * (1 + rhythm.jitter * (2 * chance - 1))
    return _honour_retry_after(now + delay, now=now, wish=wish)


def retry_at(
    *, now: datetime, attempts: int, chance: float, wish: datetime | None = None, is_host_fault: bool = False
) -> datetime | None:
    """Return when a page that failed `attempts` times is tried again, or None when that was the last try.

    The delay doubles from five minutes up to twelve hours, with ±20% of chance; a server's own wish
    (`Retry-After`) wins where it is later, up to a day. What is the fault of the host and not of the page is tried
    for as long as it takes: a paper that was down for a week has lost nothing.
    """
    if attempts >= MAX_ATTEMPTS and not is_host_fault:
        return None
    delay = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2 ** min(attempts - 1, 16))
    return _honour_retry_after(now + delay * (0.8 + 0.4 * chance), now=now, wish=wish)


def _honour_retry_after(planned: datetime, *, now: datetime, wish: datetime | None) -> datetime:
    return planned if wish is None else max(planned, min(wish, now + MAX_RETRY_AFTER))


# When an article is looked at again after it was taken in, and what a look that failed means. Pure.


FIRST_PAUSE: Final = timedelta(hours=1)
LONGEST_PAUSE: Final = timedelta(days=30)
OLDEST_NEWS: Final = timedelta(days=2)
"""How old an article may be when it is found, for its age to count from its publication."""

_FAILED_STATES: Final = frozenset({State.FAILED, State.REJECTED, State.BLOCKED})


def next_recheck(ages: Sequence[timedelta], claim: Claim, *, now: datetime) -> datetime | None:
    """Return when an article is looked at next, being of one of these ages; None where there is no such time ahead."""
    found = claim.discovered_at or now
    published = claim.published_at
    born = published if published and timedelta(0) <= found - published <= OLDEST_NEWS else found
    return min((born + age for age in ages if born + age > now), default=None)


def recheck_pause(looks: int) -> timedelta:
    """Return how long a page is left alone after so many looks in a row that showed nothing new."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(looks - 1, 16))) if looks else timedelta(0)


def keep_former_outcome(claim: Claim, outcome: Outcome) -> Outcome:
    """Return the outcome that stands: of a page that has its article, and was looked at again in vain, the former one.

    A look for its age alone is not tried again where it fails: the next age comes.
    """
    former = claim.previous_outcome
    given_up = outcome.state is State.PENDING and claim.is_scheduled_recheck
    if former is None or not (given_up or outcome.state in _FAILED_STATES):
        return outcome
    why = ": ".join(part for part in (outcome.reason, outcome.detail) if part)
    return replace(
        former, detail=f"looked at again in vain: {why}", article=claim.known_article, is_failed_recheck=True
    )
