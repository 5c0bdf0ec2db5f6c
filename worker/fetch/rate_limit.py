"""Whose turn it is: one connection a host, its delay between visits, and a limit on all connections together.

The order matters. A fetch first takes its place at the host and waits for the host's turn there; only then does it
take one of the shared places. So a slow host holds up nobody else, and the shared places go round in the order asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.ports import Clock, HostRegistry, RunInThread

SLACK_DIVISOR = 20
"""Turns are a twentieth of the pause further apart than the pause: half of it for a visit that begins after its turn
has come, half for what a busy machine then takes to get the request out."""
MIN_SLACK = timedelta(milliseconds=50)
MAX_IDLE_WAIT_S = 5.0
"""How long a connection and a shared place are held in silence for a turn that is still to come."""
MAX_RESERVATIONS = 5


@dataclass(slots=True)
class _KeyedEntry:
    semaphore: asyncio.Semaphore
    users: int = 0


class KeyedSemaphore:
    """At most so many at a time for each key; forgets keys that nobody uses."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[str, _KeyedEntry] = {}

    @asynccontextmanager
    async def acquire(self, key: str) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
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
    """The turn was missed and the next one is too far off to wait for it with an open connection: take it anew."""

    def __init__(self, slot: HostSlot, *, setup_s: float) -> None:
        self.slot = slot
        self.setup_s = setup_s


class HostSlot:
    """A turn at one host: when the next request may go out, by the clock the workers share and by this process's own.

    Whoever asks in time is a pause before the one who has the turn after it, on whatever worker.
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
        """How many seconds it is off."""
        return self._start_s - self._clock.monotonic()

    async def wait_until_due(self, *, setup_s: float = 0.0) -> None:
        """Wait until it has come, but for so many seconds."""
        while (remaining_s := self.remaining_s - setup_s) > 0:
            await self._clock.sleep(timedelta(seconds=remaining_s) + timedelta.resolution)

    async def ensure_reserved(self) -> None:
        """Have a turn that was not missed: this one, or where it has passed or is used up, another.

        The store is given the time it takes: after a turn that it told too late it is asked for a later one.
        """
        store_delay_s = 0.0
        for _ in range(MAX_RESERVATIONS):
            if not self._pause_s or (self._starts_at and -self.remaining_s <= self._slack.total_seconds() / 2):
                return
            asked_s, now = self._clock.monotonic(), self._clock.now()
            not_before = now + timedelta(seconds=store_delay_s)
            self._starts_at = await self._offload(
                self._hosts.reserve, self._host, now=not_before, delay=self._interval, instead_of=self._starts_at
            )
            self._start_s = asked_s + (self._starts_at - now).total_seconds()
            store_delay_s = self._clock.monotonic() - asked_s

    def mark_acquired(self, *, since_s: float) -> HostSlot:
        """Note since when the shared place is held, and how long it was waited for."""
        self._acquired_s = self._clock.monotonic()
        self.waited = timedelta(seconds=self._acquired_s - since_s)
        return self

    async def wait_before_send(self) -> None:
        """Return when the request may go out, nearly always at once; raises TurnMissed where that is too far off."""
        setup_s = self._clock.monotonic() - self._acquired_s
        await self.ensure_reserved()
        if self.remaining_s > MAX_IDLE_WAIT_S:
            raise SlotMissed(self, setup_s=min(setup_s, MAX_IDLE_WAIT_S))
        await self.wait_until_due()
        # Used up: what is asked after it, on a new connection, needs another.
        self._used_at, self._starts_at = self._starts_at, None

    async def after_send(self) -> None:
        """Let the turns to come be later by what a request left too late, stopped on its last way out."""
        late_s = -self.remaining_s - self._slack.total_seconds()
        if self._used_at and late_s > 0:
            late = timedelta(seconds=late_s)
            await self._offload(self._hosts.reserve, self._host, now=self._used_at, delay=late)


class HostRateLimiter:
    """Hands out turns at hosts, shared through the host book with every worker on the store."""

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
        """Wait for the host's next turn, then hold a connection's place.

        `missed` is what came of an earlier try: its turn is waited for, but for the time the connection took then.
        """
        asked_s = self._clock.monotonic()
        async with self._per_host.acquire(host):
            slot = missed.slot if missed else self._slot(host, max(delay, self._delay))
            while True:
                await slot.ensure_reserved()
                await slot.wait_until_due(setup_s=missed.setup_s if missed else 0.0)
                async with self._total:
                    await slot.ensure_reserved()
                    if slot.remaining_s <= MAX_IDLE_WAIT_S:
                        yield slot.mark_acquired(since_s=asked_s)
                        return

    def _slot(self, host: str, pause: timedelta) -> HostSlot:
        return HostSlot(host, pause, hosts=self._hosts, offload=self._offload, clock=self._clock)
