"""When a host that keeps failing is left alone, and for how long: a circuit breaker of pure functions.

A closed host loses nothing: what waits for it stays pending. When the time is over one fetch tries, and its outcome
opens the host or closes it for longer, up to a limit: no host is given up for good.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from worker.errors import FetchBlocked, FetchError
from worker.ports import HostStanding

FAILURES_BEFORE_CLOSING = 5
FIRST_REST = timedelta(minutes=1)
LONGEST_REST = timedelta(hours=1)
LONGEST_ASKED_REST = timedelta(hours=6)

_HOST_AT_FAULT = frozenset({"dns", "connect", "timeout", "tls", "reset", "protocol"})


def is_hosts_fault(error: FetchError) -> bool:
    """Tell whether an error speaks of the whole host, not of one page."""
    if isinstance(error, FetchBlocked):
        return False
    overloaded = error.status is not None and (error.status >= 500 or error.status == 429)
    return error.reason in _HOST_AT_FAULT or overloaded


def after_failure(standing: HostStanding, *, now: datetime, retry_at: datetime | None = None) -> HostStanding:
    """Return a host's standing after one more failure; `retry_at` is what the host itself asked for."""
    failures = standing.failures + 1
    closed_until = now + rest(failures) if failures >= FAILURES_BEFORE_CLOSING else None
    if retry_at is not None:
        asked = min(retry_at, now + LONGEST_ASKED_REST)
        closed_until = max(asked, closed_until or asked)
    return HostStanding(host=standing.host, failures=failures, closed_until=closed_until)


def after_success(standing: HostStanding) -> HostStanding:
    """Return a host's standing after an answer."""
    return HostStanding(host=standing.host)


def rest(failures: int) -> timedelta:
    """Return how long a host with so many failures in a row is left alone."""
    doublings = min(max(failures - FAILURES_BEFORE_CLOSING, 0), 16)
    return min(FIRST_REST * (1 << doublings), LONGEST_REST)


def check_open(standing: HostStanding, *, now: datetime) -> None:
    """Raise FetchError (`host-closed`) while the host is left alone."""
    if standing.closed_until is None or standing.closed_until <= now:
        return
    raise FetchError(
        f"{standing.host} is left alone until {standing.closed_until:%Y-%m-%d %H:%M:%S} UTC "
        f"after {standing.failures} failed fetches in a row",
        reason="host-closed",
        retry=True,
        retry_at=standing.closed_until,
    )
