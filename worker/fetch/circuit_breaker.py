"""Circuit breaker: pause a host that keeps failing.

After `FAILURE_THRESHOLD` host failures in a row (DNS, connection, TLS, timeouts, 5xx, 429) the host is paused for a
minute, and for twice as long after each further failure, up to an hour. When the pause is over, one fetch tries the
host: its result ends the pause or renews it. A paused host loses nothing, its candidates stay pending; no host is given
up for good. The upper half of this module is pure functions; `CircuitBreakers` applies them to the host store, with a
short-lived cache so that not every page costs a query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from worker.errors import FetchBlocked, FetchError
from worker.fetch.http.semantics import status_error
from worker.ports import Clock, HostHealth, HostRegistry, RunInThread

# Chosen, not measured: five failures in a row are rarely chance, and a restart of a server takes about a minute. An
# hour at most keeps a recovered host from waiting much longer than its outage lasted.
FAILURE_THRESHOLD = 5
FIRST_PAUSE = timedelta(minutes=1)
MAX_PAUSE = timedelta(hours=1)
# The longest `Retry-After` that pauses a whole host: one page's header should not stop a site for the day.
MAX_REQUESTED_PAUSE = timedelta(hours=6)

# The reasons of FetchError that mean that the host is at fault, not the page.
_HOST_FAILURES = frozenset({"dns", "connect", "timeout", "tls", "reset", "protocol"})


def is_host_failure(error: FetchError) -> bool:
    """Return whether an error is a failure of the whole host, not of one page."""
    if isinstance(error, FetchBlocked):
        return False
    overloaded = error.status is not None and (error.status >= 500 or error.status == 429)
    return error.reason in _HOST_FAILURES or overloaded


def health_after_failure(health: HostHealth, *, now: datetime, retry_at: datetime | None = None) -> HostHealth:
    """Return a host's health after one more failure.

    `retry_at` is the time that the host named in `Retry-After`; the longer of both pauses counts.
    """
    failures = health.failures + 1
    closed_until = now + pause_after(failures) if failures >= FAILURE_THRESHOLD else None
    if retry_at is not None:
        requested = min(retry_at, now + MAX_REQUESTED_PAUSE)
        closed_until = max(requested, closed_until or requested)
    return HostHealth(host=health.host, failures=failures, closed_until=closed_until)


def health_after_success(health: HostHealth) -> HostHealth:
    """Return a host's health after a response: no failures, no pause."""
    return HostHealth(host=health.host)


def pause_after(failures: int) -> timedelta:
    """Return how long a host is paused after so many failures in a row (exponential backoff)."""
    # The cap on the exponent keeps the product within the range of timedelta.
    doublings = min(max(failures - FAILURE_THRESHOLD, 0), 16)
    return min(FIRST_PAUSE * (1 << doublings), MAX_PAUSE)


def raise_if_paused(health: HostHealth, *, now: datetime) -> None:
    """Raise FetchError (`host-closed`, with `retry_at`) while the host is paused."""
    if health.closed_until is None or health.closed_until <= now:
        return
    raise FetchError(
        f"{health.host} is paused until {health.closed_until:%Y-%m-%d %H:%M:%S} UTC "
        f"after {health.failures} failed fetches in a row",
        reason="host-closed",
        retry=True,
        retry_at=health.closed_until,
    )


# How long the health of a host is used without reading the store again. Another worker's finding arrives that much
# later, which costs a host that fails a request or two (chosen, not measured).
CACHE_TTL_S = 5.0
# Bounds the memory of the cache at about a megabyte; beyond it the cache is emptied and fills again.
MAX_CACHED_HOSTS = 4_096


class CircuitBreakers:
    """The circuit breakers of all hosts, kept in the host store and shared by all workers on it."""

    def __init__(self, *, clock: Clock, hosts: HostRegistry, offload: RunInThread) -> None:
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._cache: dict[str, tuple[float, HostHealth]] = {}

    async def raise_if_paused(self, host: str) -> None:
        """Raise FetchError (`host-closed`) while the host is paused."""
        raise_if_paused(await self._health(host), now=self._clock.now())

    async def record_failure(self, host: str, error: FetchError) -> None:
        """Count a failure of the host; errors of a single page are ignored."""
        if is_host_failure(error):
            now, retry_at = self._clock.now(), error.retry_at
            await self._change(host, lambda health: health_after_failure(health, now=now, retry_at=retry_at))

    async def record_response(self, host: str, status: int, headers: Mapping[str, str]) -> None:
        """Reset the failures of a host that responded; a 5xx or 429 counts as a failure instead."""
        error = status_error(status, headers, host=host, now=self._clock.now())
        if error is not None and is_host_failure(error):
            await self.record_failure(host, error)
        elif (await self._health(host)).failures:
            await self._change(host, health_after_success)

    async def _change(self, host: str, change: Callable[[HostHealth], HostHealth]) -> None:
        """Apply a change to the stored health, not to the cached one: another worker may have changed it."""
        health = await self._offload(self._hosts.health_of, host)
        await self._offload(self._hosts.save_health, self._store(change(health)))

    async def _health(self, host: str) -> HostHealth:
        """Return a host's health, from the cache if it is recent."""
        cached = self._cache.get(host)
        if cached is not None and self._clock.monotonic() - cached[0] < CACHE_TTL_S:
            return cached[1]
        return self._store(await self._offload(self._hosts.health_of, host))

    def _store(self, health: HostHealth) -> HostHealth:
        if len(self._cache) >= MAX_CACHED_HOSTS:
            self._cache.clear()
        self._cache[health.host] = (self._clock.monotonic(), health)
        return health
