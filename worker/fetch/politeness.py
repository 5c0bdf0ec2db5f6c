"""Politeness towards hosts: a rate limiter (delay, connections) and a circuit breaker for hosts that keep failing.

A *slot* is the time from which one request may be sent to a host. Slots are reserved in the host store, so the delay
holds across all workers on one store. `HostRateLimiter.acquire` waits for a slot and then holds a connection permit:

    async with limiter.acquire(host, delay=robots.crawl_delay) as slot:
        ...connect...
        await slot.wait_before_send()  # directly before the request goes out
        await slot.after_send()        # directly after

The order matters. A fetch first takes the host's permit and waits for the slot, and only then takes one of the permits
that all hosts share, so a slow host never blocks the others. docs/fetch.md ("Rate limiting") has the measurements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from worker.errors import FetchBlocked, FetchError
from worker.fetch.http.semantics import status_error
from worker.models.base import dataclass
from worker.ports import Clock, HostHealth, HostRegistry, RunInThread

SLACK_DIVISOR = 20
"""Slots are a twentieth of the delay further apart than the delay. One half of this slack is for a request that starts
after its slot began, the other half for the time that a busy machine takes to send it (`make bench-polite`)."""
MIN_SLACK = timedelta(milliseconds=50)
"""The slack for short delays. With it and a delay of 0.5 s the shortest gap measured was 0.520 s (docs/fetch.md)."""
MAX_IDLE_WAIT_S = 5.0
"""How long an open connection and a shared permit are held for a slot that is still to come. Some servers close a
connection that stays silent for longer, and the permit is missing elsewhere (chosen, not measured)."""
MAX_RESERVATIONS = 5
"""How often a slot that came too late is replaced. Only a store that takes longer than the slack each time gets there;
the request is then sent anyway, or it would never be sent."""


@dataclass(slots=True)
class _KeyedEntry:
    semaphore: asyncio.Semaphore
    users: int = 0


class KeyedSemaphore:
    """A semaphore for each key, with the same limit; keys that nobody holds or waits for are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[str, _KeyedEntry] = {}

    @asynccontextmanager
    async def acquire(self, key: str) -> AsyncIterator[None]:
        """Wait for a permit of this key and hold it."""
        entry = self._entries.setdefault(key, _KeyedEntry(asyncio.Semaphore(self._limit)))
        entry.users += 1
        try:
            async with entry.semaphore:
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]


class SlotMissed(Exception):
    """The slot has passed and the next one is too far away to keep the connection open until then.

    The caller passes it to `HostRateLimiter.acquire`, which waits for `slot`. `setup_s` is how many seconds the
    connection took to set up: the next attempt starts that much earlier.
    """

    def __init__(self, slot: HostSlot, *, setup_s: float) -> None:
        self.slot = slot
        self.setup_s = setup_s


class HostSlot:
    """The time from which one request may be sent to a host.

    It is known twice: as the wall-clock time that the workers share through the store, and on this process's monotonic
    clock, by which it is waited for. A request that is sent within its slot keeps the delay to the request of the next
    slot, on whichever worker that is.
    """

    def __init__(self, host: str, pause: timedelta, *, hosts: HostRegistry, offload: RunInThread, clock: Clock) -> None:
        self._host = host
        self._pause_s = pause.total_seconds()
        self._slack = max(pause / SLACK_DIVISOR, MIN_SLACK)
        self._interval = pause + self._slack
        self._hosts, self._offload, self._clock = hosts, offload, clock
        self._starts_at: datetime | None = None
        self._used_at: datetime | None = None
        self._start_s = self._acquired_s = clock.monotonic()
        self.waited = timedelta(0)

    @property
    def remaining_s(self) -> float:
        """Seconds until the slot begins; negative once it has begun."""
        return self._start_s - self._clock.monotonic()

    async def wait_until_due(self, *, setup_s: float = 0.0) -> None:
        """Wait until `setup_s` seconds before the slot begins."""
        while (remaining_s := self.remaining_s - setup_s) > 0:
            await self._clock.sleep(timedelta(seconds=remaining_s) + timedelta.resolution)

    async def ensure_reserved(self) -> None:
        """Keep the slot if it can still be used, else reserve another.

        A slow store may return a slot that has passed by then. The next reservation therefore starts at the time the
        store took for the last one.
        """
        store_delay_s = 0.0
        for _ in range(MAX_RESERVATIONS):
            if not self._pause_s or (self._starts_at and -self.remaining_s <= self._slack.total_seconds() / 2):
                return
            started_s, now = self._clock.monotonic(), self._clock.now()
            not_before = now + timedelta(seconds=store_delay_s)
            self._starts_at = await self._offload(
                self._hosts.reserve, self._host, now=not_before, delay=self._interval, instead_of=self._starts_at
            )
            self._start_s = started_s + (self._starts_at - now).total_seconds()
            store_delay_s = self._clock.monotonic() - started_s

    def mark_acquired(self, *, since_s: float) -> HostSlot:
        """Record that the shared permit is held from now on; `since_s` is when the wait for it began (monotonic)."""
        self._acquired_s = self._clock.monotonic()
        self.waited = timedelta(seconds=self._acquired_s - since_s)
        return self

    async def wait_before_send(self) -> None:
        """Wait until the request may be sent, nearly always no time at all.

        Raises SlotMissed where that time is too far away to keep the connection open.
        """
        setup_s = self._clock.monotonic() - self._acquired_s
        await self.ensure_reserved()
        if self.remaining_s > MAX_IDLE_WAIT_S:
            raise SlotMissed(self, setup_s=min(setup_s, MAX_IDLE_WAIT_S))
        await self.wait_until_due()
        # A slot is good for one request: a retry on a new connection must reserve its own.
        self._used_at, self._starts_at = self._starts_at, None

    async def after_send(self) -> None:
        """Delay the slots that follow by the time that the request left too late (the process was suspended, say)."""
        late_s = -self.remaining_s - self._slack.total_seconds()
        if self._used_at and late_s > 0:
            late = timedelta(seconds=late_s)
            await self._offload(self._hosts.reserve, self._host, now=self._used_at, delay=late)


class HostRateLimiter:
    """Limits requests to each host in time, and connections per host and in all (`total`)."""

    def __init__(
        self, *, per_host: int, total: int, delay: timedelta, clock: Clock, hosts: HostRegistry, offload: RunInThread
    ) -> None:
        self._per_host = KeyedSemaphore(per_host)
        self._total = asyncio.Semaphore(total)
        self._delay = delay
        self._clock = clock
        self._hosts = hosts
        self._offload = offload

    @asynccontextmanager
    async def acquire(
        self, host: str, *, delay: timedelta, missed: SlotMissed | None = None
    ) -> AsyncIterator[HostSlot]:
        """Wait for the host's next slot, then hold a permit for one connection.

        The delay between requests is the longer of `delay` and the limiter's own. `missed` comes from an earlier
        attempt: its slot is waited for, less the time that the connection took to set up.
        """
        started_s = self._clock.monotonic()
        async with self._per_host.acquire(host):
            slot = missed.slot if missed else self._slot(host, max(delay, self._delay))
            while True:
                await slot.ensure_reserved()
                await slot.wait_until_due(setup_s=missed.setup_s if missed else 0.0)
                async with self._total:
                    await slot.ensure_reserved()
                    if slot.remaining_s <= MAX_IDLE_WAIT_S:
                        yield slot.mark_acquired(since_s=started_s)
                        return

    def _slot(self, host: str, pause: timedelta) -> HostSlot:
        return HostSlot(host, pause, hosts=self._hosts, offload=self._offload, clock=self._clock)


# Circuit breaker: pause a host that keeps failing.
#
# After `FAILURE_THRESHOLD` host failures in a row (DNS, connection, TLS, timeouts, 5xx, 429) the host is paused for a
# minute, and for twice as long after each further failure, up to an hour. When the pause is over, one fetch tries the
# host: its result ends the pause or renews it. A paused host loses nothing, its candidates stay pending; no host is
# given up for good. `CircuitBreakers` applies the pure functions below to the host store, with a short-lived cache, so
# that not every page costs a query.


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
