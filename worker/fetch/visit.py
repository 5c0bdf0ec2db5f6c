"""One polite, safe, bounded visit to one URL: guard, standing, turn, exchange. Follows nothing, decides no page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from worker.errors import FetchError
from worker.fetch.addresses import Network
from worker.fetch.codings import ACCEPT_ENCODING, Body, too_large
from worker.fetch.faults import TRANSLATED, translate
from worker.fetch.guard import check_url, host_of
from worker.fetch.standings import Standings
from worker.fetch.trace import Observer, Step
from worker.fetch.turns import Turn, TurnMissed, Turns
from worker.fetch.wire import Answer, Header, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one URL answered; `body` is empty where it was not wanted."""

    status: int
    headers: httpx.Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What to ask one URL for. `wants` sees the head and says whether the body is read; it may raise FetchError."""

    url: httpx.URL
    accept: str
    wants: Callable[[int, httpx.Headers], bool]
    max_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: timedelta = timedelta(0)
    cut: bool = False


class Budget:
    """The time one whole fetch may take on the network; waiting for a turn costs nothing."""

    def __init__(self, deadline: timedelta) -> None:
        self._deadline = deadline
        self._left_s = deadline.total_seconds()
        self._limit: asyncio.Timeout | None = None
        self._stood_s = 0.0
        self.spent = timedelta(0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the time run; raises FetchError (`timeout`) when it is used up."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._left_s) as limit:
                self._limit = limit
                yield
        except TimeoutError as exc:
            if not limit.expired():
                raise
            message = f"not done within the deadline of {self._deadline.total_seconds():g} s"
            raise FetchError(message, reason="timeout", retry=True) from exc
        finally:
            self._limit = None
            passed = loop.time() - started - self._stood_s
            self._stood_s = 0.0
            self._left_s = max(0.0, self._left_s - passed)
            self.spent += timedelta(seconds=passed)

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[None]:
        """Stop the time for a while, in the middle of its running."""
        loop, limit = asyncio.get_running_loop(), self._limit
        end = limit.when() if limit else None
        if limit is None or end is None:
            yield
            return
        stopped = loop.time()
        limit.reschedule(None)
        try:
            yield
        finally:
            stood_s = loop.time() - stopped
            self._stood_s += stood_s
            limit.reschedule(end + stood_s)


class Visitor:
    """Makes visits."""

    def __init__(
        self, *, wire: Wire, turns: Turns, standings: Standings, networks: tuple[Network, ...], user_agent: str
    ) -> None:
        self._wire = wire
        self._turns = turns
        self._standings = standings
        self._networks = networks
        self._user_agent = user_agent

    async def visit(self, errand: Errand, budget: Budget, observe: Observer) -> Reply:
        """Return the reply, whatever its status; raises FetchBlocked and FetchError."""
        check_url(errand.url, self._networks)
        missed: TurnMissed | None = None
        while True:
            try:
                return await self._in_turn(errand, budget, observe, missed)
            except TurnMissed as again:
                missed = again

    async def _in_turn(self, errand: Errand, budget: Budget, observe: Observer, missed: TurnMissed | None) -> Reply:
        host = host_of(errand.url)
        await self._standings.check(host)
        async with self._turns.take(host, delay=errand.delay, missed=missed) as turn:
            # Whoever stood in front may have been told to go away meanwhile.
            await self._standings.check(host)
            observe(Step(what="turn", detail=f"after {turn.waited.total_seconds():.2f} s", url=str(errand.url)))
            try:
                reply = await self._exchange(errand, turn, budget, observe)
            except FetchError as error:
                await self._standings.failed(host, error)
                raise
            await self._standings.answered(host, reply.status, reply.headers)
            return reply

    async def _exchange(self, errand: Errand, turn: Turn, budget: Budget, observe: Observer) -> Reply:
        try:
            async with budget.running():
                return await self._talk(errand, _InTurn(turn, budget), observe)
        except TRANSLATED as exc:
            raise translate(exc, host=host_of(errand.url)) from exc

    async def _talk(self, errand: Errand, pace: _InTurn, observe: Observer) -> Reply:
        headers = self._request_headers(errand)
        async with self._wire.send(errand.url, headers, before=pace.ready, after=pace.sent) as answer:
            observe(Step(what="address", detail=answer.peer, url=str(errand.url)))
            observe(Step(what="status", detail=str(answer.status), url=str(errand.url)))
            body = await _read(answer, errand) if errand.wants(answer.status, answer.headers) else b""
            return Reply(status=answer.status, headers=answer.headers, body=body)

    def _request_headers(self, errand: Errand) -> list[Header]:
        headers = {
            "Host": errand.url.netloc.decode("ascii"),
            "User-Agent": self._user_agent,
            "Accept": errand.accept,
            "Accept-Encoding": ACCEPT_ENCODING,
        }
        return [
            (name.encode("ascii"), value.encode("ascii")) for name, value in (headers | dict(errand.headers)).items()
        ]


class _InTurn:
    """A request that goes out in its turn; the wait for it is no part of the budget."""

    def __init__(self, turn: Turn, budget: Budget) -> None:
        self._turn = turn
        self._budget = budget

    async def ready(self) -> None:
        """Wait for the turn."""
        async with self._budget.standing_still():
            await self._turn.ready()

    async def sent(self) -> None:
        """Make up for a request that left late."""
        async with self._budget.standing_still():
            await self._turn.sent()


async def _read(answer: Answer, errand: Errand) -> bytes:
    announced = answer.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:15]) > errand.max_bytes and not errand.cut:
        raise too_large(errand.max_bytes)
    body = Body(answer.headers.get("content-encoding", ""), max_bytes=errand.max_bytes, cut=errand.cut)
    async for chunk in answer.chunks():
        body.feed(chunk)
        if body.full:
            break
    return body.finish()
