"""One polite, safe, bounded visit to one URL: guard, standing, turn, exchange. Follows nothing, decides no page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import httpx
from lxml import etree, html

from worker.charset import decode
from worker.errors import FetchError
from worker.fetch.circuit_breaker import CircuitBreakers
from worker.fetch.http.connections import LIBRARY_ERRORS, Connections, Header, RawResponse, to_fetch_error
from worker.fetch.http.content_encoding import ACCEPT_ENCODING, BodyDecoder, size_error
from worker.fetch.http.ssrf import Network, check_url, resolve_location, url_host
from worker.fetch.rate_limit import HostRateLimiter, HostSlot, SlotMissed
from worker.models import Page, Request
from worker.ports import HostRegistry, RunInThread
from worker.urls import refresh_target

# What was decided at each step of one fetch, for `--dry-run` and `doctor`.


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decision: what about (`robots`, `turn`, `address`, `status`…), what was decided, and for which URL."""

    what: str
    detail: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTrace:
    """A fetch with everything that was decided on the way; either `page` or `error` is set."""

    steps: tuple[Step, ...]
    page: Page | None = None
    error: FetchError | None = None


StepObserver = Callable[[Step], None]
"""Called with every step as it is decided."""


def ignore_step(_step: Step) -> None:
    """Watch nothing."""


def page_steps(page: Page) -> tuple[Step, ...]:
    """Return what can be told of a page after it came: headers that mattered, charset, size, time."""
    headers = "; ".join(f"{name}: {value}" for name, value in page.headers.items())
    steps = [Step(what="headers", detail=headers, url=page.final_url)]
    if page.body:
        decoded = decode(page.body, page.content_type)
        detail = f"{decoded.charset}, chosen by {decoded.chosen_by}"
        steps.append(Step(what="charset", detail=detail, url=page.final_url))
    steps.append(Step(what="size", detail=f"{len(page.body):,} bytes", url=page.final_url))
    steps.append(Step(what="time", detail=f"{page.elapsed.total_seconds():.3f} s on the network", url=page.final_url))
    return tuple(steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What one URL answered; `body` is empty where it was not wanted."""

    status: int
    headers: httpx.Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What to ask one URL for. `wants` sees the head and says whether the body is read; it may raise FetchError."""

    url: httpx.URL
    accept: str
    wants: Callable[[int, httpx.Headers], bool]
    max_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: timedelta = timedelta(0)
    cut: bool = False


class PausableDeadline:
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


class RequestRunner:
    """Makes visits."""

    def __init__(
        self,
        *,
        wire: Connections,
        turns: HostRateLimiter,
        standings: CircuitBreakers,
        networks: tuple[Network, ...],
        user_agent: str,
    ) -> None:
        self._wire = wire
        self._turns = turns
        self._standings = standings
        self._networks = networks
        self._user_agent = user_agent

    async def visit(self, errand: HttpRequest, budget: PausableDeadline, observe: StepObserver) -> HttpResponse:
        """Return the reply, whatever its status; raises FetchBlocked and FetchError."""
        check_url(errand.url, self._networks)
        missed: SlotMissed | None = None
        while True:
            try:
                return await self._in_turn(errand, budget, observe, missed)
            except SlotMissed as again:
                missed = again

    async def _in_turn(
        self, errand: HttpRequest, budget: PausableDeadline, observe: StepObserver, missed: SlotMissed | None
    ) -> HttpResponse:
        host = url_host(errand.url)
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

    async def _exchange(
        self, errand: HttpRequest, turn: HostSlot, budget: PausableDeadline, observe: StepObserver
    ) -> HttpResponse:
        try:
            async with budget.running():
                return await self._talk(errand, _PacedSend(turn, budget), observe)
        except LIBRARY_ERRORS as exc:
            raise to_fetch_error(exc, host=url_host(errand.url)) from exc

    async def _talk(self, errand: HttpRequest, pace: _PacedSend, observe: StepObserver) -> HttpResponse:
        headers = self._request_headers(errand)
        async with self._wire.send(errand.url, headers, before=pace.ready, after=pace.sent) as answer:
            observe(Step(what="address", detail=answer.peer, url=str(errand.url)))
            observe(Step(what="status", detail=str(answer.status), url=str(errand.url)))
            body = await _read(answer, errand) if errand.wants(answer.status, answer.headers) else b""
            return HttpResponse(status=answer.status, headers=answer.headers, body=body)

    def _request_headers(self, errand: HttpRequest) -> list[Header]:
        headers = {
            "Host": errand.url.netloc.decode("ascii"),
            "User-Agent": self._user_agent,
            "Accept": errand.accept,
            "Accept-Encoding": ACCEPT_ENCODING,
        }
        return [
            (name.encode("ascii"), value.encode("ascii")) for name, value in (headers | dict(errand.headers)).items()
        ]


class _PacedSend:
    """A request that goes out in its turn; the wait for it is no part of the budget."""

    def __init__(self, turn: HostSlot, budget: PausableDeadline) -> None:
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


async def _read(answer: RawResponse, errand: HttpRequest) -> bytes:
    announced = answer.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:15]) > errand.max_bytes and not errand.cut:
        raise size_error(errand.max_bytes)
    body = BodyDecoder(answer.headers.get("content-encoding", ""), max_bytes=errand.max_bytes, cut=errand.cut)
    async for chunk in answer.chunks():
        body.feed(chunk)
        if body.full:
            break
    return body.finish()


# Tells where a page leads that holds nothing but the way to another: followed as a redirect is, by the same rules.


_LARGEST: Final = 64 * 1024
# Characters of text, blanks left out: what is longer is read, whatever it leads to.
_LONGEST_NOTICE: Final = 800
_UNSEEN: Final = ("script", "style", "noscript", "template", "title", "svg")


def refresh_redirect(url: httpx.URL, reply: HttpResponse) -> httpx.URL | None:
    """Return the address that a page sends its reader on to within seconds, None where it is a page to be read.

    Only a page without an article of its own leads on: one whose visible text is no more than a notice. Raises
    FetchError where the address cannot be fetched.
    """
    header = reply.headers.get("refresh", "")
    folded = reply.body.lower() if len(reply.body) <= _LARGEST else b""
    if not (header or b"refresh" in folded) or b"articlebody" in folded:
        return None
    tree = _tree(reply.body[:_LARGEST])
    targets = filter(None, map(refresh_target, (header, *(_metas(tree) if tree is not None else ()))))
    target = next(targets, None)
    if target is None or (tree is not None and _visible(tree) > _LONGEST_NOTICE) or len(reply.body) > _LARGEST:
        return None
    led = resolve_location(url, target)
    return None if led.copy_with(fragment=None) == url.copy_with(fragment=None) else led


def _tree(body: bytes) -> html.HtmlElement | None:
    # What is looked for is written in ASCII, in every charset that pages are sent in; the rest is only counted.
    try:
        return html.document_fromstring(body.decode("utf-8", "replace").replace("\0", " ")) if body.strip() else None
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None


def _metas(tree: html.HtmlElement) -> Iterator[str]:
    for meta in tree.iter("meta"):
        if (meta.get("http-equiv") or "").strip().lower() == "refresh":
            yield meta.get("content") or ""


def _visible(tree: html.HtmlElement) -> int:
    for element in list(tree.iter(*_UNSEEN)):
        element.drop_tree()
    return sum(len("".join(text.split())) for text in tree.itertext() if isinstance(text, str))


# Permanent redirects (RFC 9110, sections 15.4.2 and 15.4.9): the next fetch starts where the last one was sent.


class PermanentRedirects:
    """Where URLs have moved for good, remembered with the hosts."""

    def __init__(self, *, hosts: HostRegistry, offload: RunInThread) -> None:
        self._hosts = hosts
        self._offload = offload

    async def start_of(self, request: Request) -> str:
        """Return the URL to begin with."""
        return await self._offload(self._hosts.moved, request.url) or request.url

    async def arrived(self, page: Page, *, start: str) -> None:
        """Remember where a page that came has moved."""
        if page.permanent_url and page.permanent_url != start:
            await self._offload(self._hosts.keep_moved, page.url, page.permanent_url)

    async def lost(self, request: Request, *, start: str) -> None:
        """Forget a move that led to nothing: the next try begins where the first did."""
        if start != request.url:
            await self._offload(self._hosts.keep_moved, request.url, None)
