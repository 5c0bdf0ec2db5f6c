"""Whose turn it is: one connection a host, its delay between visits, and a limit on all connections together.

The order matters. A fetch first takes its place at the host and waits for the host's turn there; only then does it
take one of the shared places. So a slow host holds up nobody else, and the shared places go round in the order asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.errors import FetchBlocked, FetchError
from worker.fetch.http.semantics import status_error
from worker.ports import Clock, HostHealth, HostRegistry, RunInThread

SLACK = 20
"""Turns are a twentieth of the pause further apart than the pause: half of it for a visit that begins after its turn
has come, half for what a busy machine then takes to get the request out."""
MIN_SLACK = timedelta(milliseconds=50)
MAX_HOLD_S = 5.0
"""How long a connection and a shared place are held in silence for a turn that is still to come."""
MAX_TRIES = 5


@dataclass(slots=True)
class _KeyedEntry:
    seats: asyncio.Semaphore
    users: int = 0


class KeyedSemaphore:
    """At most so many at a time for each key; forgets keys that nobody uses."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._places: dict[str, _KeyedEntry] = {}

    @asynccontextmanager
    async def enter(self, key: str) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        place = self._places.setdefault(key, _KeyedEntry(asyncio.Semaphore(self._each)))
        place.users += 1
        try:
            async with place.seats:
                yield
        finally:
            place.users -= 1
            if not place.users:
                del self._places[key]


class SlotMissed(Exception):
    """The turn was missed and the next one is too far off to wait for it with an open connection: take it anew."""

    def __init__(self, turn: HostSlot, *, lead_s: float) -> None:
        self.turn = turn
        self.lead_s = lead_s


class HostSlot:
    """A turn at one host: when the next request may go out, by the clock the workers share and by this process's own.

    Whoever asks in time is a pause before the one who has the turn after it, on whatever worker.
    """

    def __init__(self, host: str, pause: timedelta, *, hosts: HostRegistry, offload: RunInThread, clock: Clock) -> None:
        self._host = host
        self._pause_s = pause.total_seconds()
        self._slack = max(pause / SLACK, MIN_SLACK)
        self._apart = pause + self._slack
        self._hosts, self._offload, self._clock = hosts, offload, clock
        self._starts: datetime | None = None
        self._used: datetime | None = None
        self._begins_s = self._held_from_s = clock.monotonic()
        self.waited = timedelta(0)

    @property
    def left_s(self) -> float:
        """How many seconds it is off."""
        return self._begins_s - self._clock.monotonic()

    async def reach(self, *, lead_s: float = 0.0) -> None:
        """Wait until it has come, but for so many seconds."""
        while (left_s := self.left_s - lead_s) > 0:
            await self._clock.sleep(timedelta(seconds=left_s) + timedelta.resolution)

    async def secure(self) -> None:
        """Have a turn that was not missed: this one, or where it has passed or is used up, another.

        The store is given the time it takes: after a turn that it told too late it is asked for a later one.
        """
        took_s = 0.0
        for _ in range(MAX_TRIES):
            if not self._pause_s or (self._starts and -self.left_s <= self._slack.total_seconds() / 2):
                return
            asked_s, now = self._clock.monotonic(), self._clock.now()
            after = now + timedelta(seconds=took_s)
            self._starts = await self._offload(
                self._hosts.reserve, self._host, now=after, delay=self._apart, instead_of=self._starts
            )
            self._begins_s = asked_s + (self._starts - now).total_seconds()
            took_s = self._clock.monotonic() - asked_s

    def hold(self, *, since_s: float) -> HostSlot:
        """Note since when the shared place is held, and how long it was waited for."""
        self._held_from_s = self._clock.monotonic()
        self.waited = timedelta(seconds=self._held_from_s - since_s)
        return self

    async def ready(self) -> None:
        """Return when the request may go out, nearly always at once; raises TurnMissed where that is too far off."""
        lead_s = self._clock.monotonic() - self._held_from_s
        await self.secure()
        if self.left_s > MAX_HOLD_S:
            raise SlotMissed(self, lead_s=min(lead_s, MAX_HOLD_S))
        await self.reach()
        # Used up: what is asked after it, on a new connection, needs another.
        self._used, self._starts = self._starts, None

    async def sent(self) -> None:
        """Let the turns to come be later by what a request left too late, stopped on its last way out."""
        late_s = -self.left_s - self._slack.total_seconds()
        if self._used and late_s > 0:
            late = timedelta(seconds=late_s)
            await self._offload(self._hosts.reserve, self._host, now=self._used, delay=late)


class HostRateLimiter:
    """Hands out turns at hosts, shared through the host book with every worker on the store."""

    def __init__(
        self, *, per_host: int, in_all: int, delay: timedelta, clock: Clock, hosts: HostRegistry, offload: RunInThread
    ) -> None:
        self._per_host = KeyedSemaphore(per_host)
        self._in_all = asyncio.Semaphore(in_all)
        self._delay = delay
        self._clock = clock
        self._hosts = hosts
        self._offload = offload

    @asynccontextmanager
    async def take(self, host: str, *, delay: timedelta, missed: SlotMissed | None = None) -> AsyncIterator[HostSlot]:
        """Wait for the host's next turn, then hold a connection's place.

        `missed` is what came of an earlier try: its turn is waited for, but for the time the connection took then.
        """
        asked_s = self._clock.monotonic()
        async with self._per_host.enter(host):
            turn = missed.turn if missed else self._turn(host, max(delay, self._delay))
            while True:
                await turn.secure()
                await turn.reach(lead_s=missed.lead_s if missed else 0.0)
                async with self._in_all:
                    await turn.secure()
                    if turn.left_s <= MAX_HOLD_S:
                        yield turn.hold(since_s=asked_s)
                        return

    def _turn(self, host: str, pause: timedelta) -> HostSlot:
        return HostSlot(host, pause, hosts=self._hosts, offload=self._offload, clock=self._clock)


# Ask and tell the host book how hosts are answering, without asking it about every page.


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


def health_after_failure(standing: HostHealth, *, now: datetime, retry_at: datetime | None = None) -> HostHealth:
    """Return a host's standing after one more failure; `retry_at` is what the host itself asked for."""
    failures = standing.failures + 1
    closed_until = now + pause_after(failures) if failures >= FAILURE_THRESHOLD else None
    if retry_at is not None:
        asked = min(retry_at, now + MAX_REQUESTED_PAUSE)
        closed_until = max(asked, closed_until or asked)
    return HostHealth(host=standing.host, failures=failures, closed_until=closed_until)


def health_after_success(standing: HostHealth) -> HostHealth:
    """Return a host's standing after an answer."""
    return HostHealth(host=standing.host)


def pause_after(failures: int) -> timedelta:
    """Return how long a host with so many failures in a row is left alone."""
    doublings = min(max(failures - FAILURE_THRESHOLD, 0), 16)
    return min(FIRST_PAUSE * (1 << doublings), MAX_PAUSE)


def refuse_while_paused(standing: HostHealth, *, now: datetime) -> None:
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


FRESH_S = 5.0
MAX_HOSTS = 4_096


class CircuitBreakers:
    """The standings of hosts, known for a few seconds before the book is asked again."""

    def __init__(self, *, clock: Clock, hosts: HostRegistry, offload: RunInThread) -> None:
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._known: dict[str, tuple[float, HostHealth]] = {}

    async def check(self, host: str) -> None:
        """Raise FetchError (`host-closed`) while the host is left alone."""
        refuse_while_paused(await self._standing(host), now=self._clock.now())

    async def failed(self, host: str, error: FetchError) -> None:
        """Count a failure that is the host's fault."""
        if is_host_failure(error):
            now, asked = self._clock.now(), error.retry_at
            await self._change(host, lambda standing: health_after_failure(standing, now=now, retry_at=asked))

    async def answered(self, host: str, status: int, headers: Mapping[str, str]) -> None:
        """Forget the failures of a host that answers, unless its answer is that it cannot."""
        error = status_error(status, headers, host=host, now=self._clock.now())
        if error is not None and is_host_failure(error):
            await self.failed(host, error)
        elif (await self._standing(host)).failures:
            await self._change(host, health_after_success)

    async def _change(self, host: str, change: Callable[[HostHealth], HostHealth]) -> None:
        standing = await self._offload(self._hosts.standing, host)
        await self._offload(self._hosts.note, self._remember(change(standing)))

    async def _standing(self, host: str) -> HostHealth:
        known = self._known.get(host)
        if known is not None and self._clock.monotonic() - known[0] < FRESH_S:
            return known[1]
        return self._remember(await self._offload(self._hosts.standing, host))

    def _remember(self, standing: HostHealth) -> HostHealth:
        if len(self._known) >= MAX_HOSTS:
            self._known.clear()
        self._known[standing.host] = (self._clock.monotonic(), standing)
        return standing
