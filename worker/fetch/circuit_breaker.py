"""Ask and tell the host book how hosts are answering, without asking it about every page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from worker.errors import FetchBlocked, FetchError
from worker.fetch.http.semantics import status_error
from worker.ports import Clock, HostHealth, HostRegistry, RunInThread

# When a host that keeps failing is left alone, and for how long: a circuit breaker of pure functions.
#
# A closed host loses nothing: what waits for it stays pending. When the time is over one fetch tries, and its outcome
# opens the host or closes it for longer, up to a limit: no host is given up for good.


FAILURE_THRESHOLD = 5
FIRST_PAUSE = timedelta(minutes=1)
MAX_PAUSE = timedelta(hours=1)
MAX_REQUESTED_PAUSE = timedelta(hours=6)

_HOST_FAILURES = frozenset({"dns", "connect", "timeout", "tls", "reset", "protocol"})


def is_host_failure(error: FetchError) -> bool:
    """Tell whether an error speaks of the whole host, not of one page."""
    if isinstance(error, FetchBlocked):
        return False
    overloaded = error.status is not None and (error.status >= 500 or error.status == 429)
    return error.reason in _HOST_FAILURES or overloaded


def health_after_failure(health: HostHealth, *, now: datetime, retry_at: datetime | None = None) -> HostHealth:
    """Return a host's standing after one more failure; `retry_at` is what the host itself asked for."""
    failures = health.failures + 1
    closed_until = now + pause_after(failures) if failures >= FAILURE_THRESHOLD else None
    if retry_at is not None:
        asked = min(retry_at, now + MAX_REQUESTED_PAUSE)
        closed_until = max(asked, closed_until or asked)
    return HostHealth(host=health.host, failures=failures, closed_until=closed_until)


def health_after_success(health: HostHealth) -> HostHealth:
    """Return a host's standing after an answer."""
    return HostHealth(host=health.host)


def pause_after(failures: int) -> timedelta:
    """Return how long a host with so many failures in a row is left alone."""
    doublings = min(max(failures - FAILURE_THRESHOLD, 0), 16)
    return min(FIRST_PAUSE * (1 << doublings), MAX_PAUSE)


def raise_if_paused(health: HostHealth, *, now: datetime) -> None:
    """Raise FetchError (`host-closed`) while the host is left alone."""
    if health.closed_until is None or health.closed_until <= now:
        return
    raise FetchError(
        f"{health.host} is left alone until {health.closed_until:%Y-%m-%d %H:%M:%S} UTC "
        f"after {health.failures} failed fetches in a row",
        reason="host-closed",
        retry=True,
        retry_at=health.closed_until,
    )


CACHE_TTL_S = 5.0
MAX_CACHED_HOSTS = 4_096


class CircuitBreakers:
    """The standings of hosts, known for a few seconds before the book is asked again."""

    def __init__(self, *, clock: Clock, hosts: HostRegistry, offload: RunInThread) -> None:
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._cache: dict[str, tuple[float, HostHealth]] = {}

    async def raise_if_paused(self, host: str) -> None:
        """Raise FetchError (`host-closed`) while the host is left alone."""
        raise_if_paused(await self._health(host), now=self._clock.now())

    async def record_failure(self, host: str, error: FetchError) -> None:
        """Count a failure that is the host's fault."""
        if is_host_failure(error):
            now, asked = self._clock.now(), error.retry_at
            await self._change(host, lambda health: health_after_failure(health, now=now, retry_at=asked))

    async def record_response(self, host: str, status: int, headers: Mapping[str, str]) -> None:
        """Forget the failures of a host that answers, unless its answer is that it cannot."""
        error = status_error(status, headers, host=host, now=self._clock.now())
        if error is not None and is_host_failure(error):
            await self.record_failure(host, error)
        elif (await self._health(host)).failures:
            await self._change(host, health_after_success)

    async def _change(self, host: str, change: Callable[[HostHealth], HostHealth]) -> None:
        health = await self._offload(self._hosts.health_of, host)
        await self._offload(self._hosts.save_health, self._store(change(health)))

    async def _health(self, host: str) -> HostHealth:
        cached = self._cache.get(host)
        if cached is not None and self._clock.monotonic() - cached[0] < CACHE_TTL_S:
            return cached[1]
        return self._store(await self._offload(self._hosts.health_of, host))

    def _store(self, health: HostHealth) -> HostHealth:
        if len(self._cache) >= MAX_CACHED_HOSTS:
            self._cache.clear()
        self._cache[health.host] = (self._clock.monotonic(), health)
        return health
