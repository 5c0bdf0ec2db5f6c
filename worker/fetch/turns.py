"""Whose turn it is: one connection a host, its delay between visits, and a limit on all connections together.

The order matters. A fetch first takes its place at the host and waits for the host's turn there; only then does it
take one of the shared places. So a slow host holds up nobody else, and the shared places go round in the order asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from worker.ports import Clock, HostBook, Offload

SLACK = 20
"""Turns are a twentieth of the pause further apart than the pause: half of it for a visit that begins after its turn
has come, half for what a busy machine then takes to get the request out."""
LEAST_SLACK = timedelta(milliseconds=50)
TRIES = 3


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


@dataclass(slots=True, kw_only=True)
class Turn:
    """A turn at a host with a connection's place: waited for so long, to be used at once."""

    waited: timedelta
    ready: Callable[[], Awaitable[None]]
    """Awaited right before the request goes out; returns when it may, which is nearly always at once."""


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

    @asynccontextmanager
    async def take(self, host: str, *, delay: timedelta) -> AsyncIterator[Turn]:
        """Wait for the host's next turn, then hold a connection's place."""
        asked = self._clock.monotonic()
        async with self._per_host.enter(host):
            pause = max(delay, self._delay)
            starts = await self._next(host, pause) if pause > timedelta(0) else None
            async with self._in_all:
                waited = timedelta(seconds=self._clock.monotonic() - asked)
                yield Turn(waited=waited, ready=partial(self._ready, host, pause, starts))

    async def _next(self, host: str, pause: timedelta, *, missed: datetime | None = None) -> datetime:
        apart = pause + _slack(pause)
        starts = await self._offload(self._hosts.reserve, host, now=self._clock.now(), delay=apart, instead_of=missed)
        while (left := starts - self._clock.now()) > timedelta(0):
            await self._clock.sleep(left)
        return starts

    async def _ready(self, host: str, pause: timedelta, starts: datetime | None) -> None:
        """Return at once where the turn is still good, and wait for another where it was missed.

        It is missed where waiting for a shared place or for the connection took longer than the slack. Whoever has
        the turn after a visit that begins in time begins a pause later, on whatever worker. Where the store alone
        takes longer than that to give out a turn, the visit goes ahead after a few tries.
        """
        for _ in range(TRIES):
            if starts is None or self._clock.now() - starts <= _slack(pause) / 2:
                return
            starts = await self._next(host, pause, missed=starts)


def _slack(pause: timedelta) -> timedelta:
    return max(pause / SLACK, LEAST_SLACK)
