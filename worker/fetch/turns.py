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

from worker.ports import Clock, HostBook, Offload

MANY_HOSTS = 4_096
LATE = 10  # a visit is late from a tenth of the pause on


@dataclass(slots=True)
class _Place:
    seats: asyncio.Semaphore
    users: int = 0


class Places:
    """At most so many at a time for each key; forgets keys that nobody uses."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._places: dict[str, _Place] = {}

    @asynccontextmanager
    async def enter(self, key: str) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        place = self._places.setdefault(key, _Place(asyncio.Semaphore(self._each)))
        place.users += 1
        try:
            async with place.seats:
                yield
        finally:
            place.users -= 1
            if not place.users:
                del self._places[key]


class Turns:
    """Hands out turns at hosts, shared through the host book with every worker on the store."""

    def __init__(
        self, *, per_host: int, in_all: int, delay: timedelta, clock: Clock, hosts: HostBook, offload: Offload
    ) -> None:
        self._per_host = Places(per_host)
        self._in_all = asyncio.Semaphore(in_all)
        self._delay = delay
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._earliest: dict[str, datetime] = {}

    @asynccontextmanager
    async def take(self, host: str, *, delay: timedelta) -> AsyncIterator[timedelta]:
        """Wait for the host's next turn, then hold a connection's place; yields how long the wait was."""
        asked = self._clock.monotonic()
        async with self._per_host.enter(host):
            pause = max(delay, self._delay)
            turn = await self._wait(host, pause) if pause > timedelta(0) else None
            async with self._in_all:
                if turn is not None:
                    await self._start(host, turn, pause)
                yield timedelta(seconds=self._clock.monotonic() - asked)

    async def _wait(self, host: str, pause: timedelta) -> datetime:
        now = self._clock.now()
        earliest = max(now, self._earliest.get(host, now))
        turn = await self._offload(self._hosts.reserve, host, now=earliest, delay=pause)
        while (left := turn - self._clock.now()) > timedelta(0):
            await self._clock.sleep(left)
        return turn

    async def _start(self, host: str, turn: datetime, pause: timedelta) -> None:
        # Waiting for a shared place may have made this visit late: the next one counts from now, not from the turn,
        # in this process exactly, and for other workers by giving up the turn after it.
        now = self._clock.now()
        self._earliest[host] = now + pause
        if now - turn > pause / LATE:
            await self._offload(self._hosts.reserve, host, now=now, delay=pause)
        if len(self._earliest) > MANY_HOSTS:
            self._earliest = {name: moment for name, moment in self._earliest.items() if moment > now}
