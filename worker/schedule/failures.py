"""When to come back after a failure, to a source or to a page. Pure; chance is passed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from worker.errors import FetchBlocked, FetchError, WorkerError
from worker.schedule.rhythm import Rhythm

FIRST_RETRY: Final = timedelta(minutes=5)
LONGEST_RETRY: Final = timedelta(hours=12)
MOST_ATTEMPTS: Final = 8
LONGEST_WISH: Final = timedelta(hours=24)
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
_SOON: Final = Backoff(first=5 * _MINUTE, longest=2 * _HOUR)
_BACKOFFS: Final[Mapping[str, Backoff]] = MappingProxyType(
    {
        "timeout": _SOON,
        "connect": _SOON,
        "reset": _SOON,
        "truncated": _SOON,
        "host-closed": _SOON,
        "robots-silent": _SOON,
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
_OTHERWISE: Final = Backoff(first=15 * _MINUTE, longest=12 * _HOUR)


def fault_of(error: WorkerError) -> str:
    """Return the class of error a source failed with, in one word: what its backoff goes by."""
    if isinstance(error, FetchBlocked):
        return _BLOCKED
    if not isinstance(error, FetchError):
        return _UNREADABLE
    if error.status is None or error.reason not in {"http", "gone"}:
        return error.reason
    return "http-5xx" if error.status >= 500 else f"http-{error.status}"


def next_poll_after_failure(
    rhythm: Rhythm, *, now: datetime, failures: int, fault: str, chance: float, wish: datetime | None = None
) -> datetime:
    """Return when a source that failed `failures` times in a row is tried again: later each time, never given up.

    How fast the wait grows, and how far, goes by the class of error (`fault_of`), but no source is left alone for
    longer than the longest interval; a server's own wish (`Retry-After`) wins where it is later, up to a day.
    """
    wait = min(rhythm.max_every, _BACKOFFS.get(fault, _OTHERWISE).wait(failures))
    delay = wait * (1 + rhythm.jitter * (2 * chance - 1))
    return _honouring(now + delay, now=now, wish=wish)


def retry_at(
    *, now: datetime, attempts: int, chance: float, wish: datetime | None = None, hosts_fault: bool = False
) -> datetime | None:
    """Return when a page that failed `attempts` times is tried again, or None when that was the last try.

    The delay doubles from five minutes up to twelve hours, with ±20% of chance; a server's own wish
    (`Retry-After`) wins where it is later, up to a day. What is the fault of the host and not of the page is tried
    for as long as it takes: a paper that was down for a week has lost nothing.
    """
    if attempts >= MOST_ATTEMPTS and not hosts_fault:
        return None
    delay = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 16))
    return _honouring(now + delay * (0.8 + 0.4 * chance), now=now, wish=wish)


def _honouring(planned: datetime, *, now: datetime, wish: datetime | None) -> datetime:
    return planned if wish is None else max(planned, min(wish, now + LONGEST_WISH))
