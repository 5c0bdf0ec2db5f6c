"""Per-host rate limiting: the delay between two requests, connections per host, and connections in all.

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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.ports import Clock, HostRegistry, RunInThread

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
