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
    wants_body: Callable[[int, httpx.Headers], bool]
    max_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: timedelta = timedelta(0)
    truncate: bool = False


class PausableDeadline:
    """The time one whole fetch may take on the network; waiting for a turn costs nothing."""

    def __init__(self, deadline: timedelta) -> None:
        self._deadline = deadline
        self._remaining_s = deadline.total_seconds()
        self._limit: asyncio.Timeout | None = None
        self._paused_s = 0.0
        self.elapsed = timedelta(0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the time run; raises FetchError (`timeout`) when it is used up."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._remaining_s) as limit:
                self._limit = limit
                yield
        except TimeoutError as exc:
            if not limit.expired():
                raise
            message = f"not done within the deadline of {self._deadline.total_seconds():g} s"
            raise FetchError(message, reason="timeout", retry=True) from exc
        finally:
            self._limit = None
            passed = loop.time() - started - self._paused_s
            self._paused_s = 0.0
            self._remaining_s = max(0.0, self._remaining_s - passed)
            self.elapsed += timedelta(seconds=passed)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
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
            paused_s = loop.time() - stopped
            self._paused_s += paused_s
            limit.reschedule(end + paused_s)


class RequestRunner:
    """Makes visits."""

    def __init__(
        self,
        *,
        connections: Connections,
        limiter: HostRateLimiter,
        breakers: CircuitBreakers,
        networks: tuple[Network, ...],
        user_agent: str,
    ) -> None:
        self._connections = connections
        self._limiter = limiter
        self._breakers = breakers
        self._networks = networks
        self._user_agent = user_agent

    async def run(self, request: HttpRequest, deadline: PausableDeadline, observe: StepObserver) -> HttpResponse:
        """Return the reply, whatever its status; raises FetchBlocked and FetchError."""
        check_url(request.url, self._networks)
        missed: SlotMissed | None = None
        while True:
            try:
                return await self._run_once(request, deadline, observe, missed)
            except SlotMissed as again:
                missed = again

    async def _run_once(
        self, request: HttpRequest, deadline: PausableDeadline, observe: StepObserver, missed: SlotMissed | None
    ) -> HttpResponse:
        host = url_host(request.url)
        await self._breakers.raise_if_paused(host)
        async with self._limiter.acquire(host, delay=request.delay, missed=missed) as slot:
            # Whoever stood in front may have been told to go away meanwhile.
            await self._breakers.raise_if_paused(host)
            observe(Step(what="turn", detail=f"after {slot.waited.total_seconds():.2f} s", url=str(request.url)))
            try:
                response = await self._exchange(request, slot, deadline, observe)
            except FetchError as error:
                await self._breakers.record_failure(host, error)
                raise
            await self._breakers.record_response(host, response.status, response.headers)
            return response

    async def _exchange(
        self, request: HttpRequest, slot: HostSlot, deadline: PausableDeadline, observe: StepObserver
    ) -> HttpResponse:
        try:
            async with deadline.running():
                return await self._send(request, _PacedSend(slot, deadline), observe)
        except LIBRARY_ERRORS as exc:
            raise to_fetch_error(exc, host=url_host(request.url)) from exc

    async def _send(self, request: HttpRequest, paced: _PacedSend, observe: StepObserver) -> HttpResponse:
        headers = self._request_headers(request)
        async with self._connections.send(
            request.url, headers, before_send=paced.wait_before_send, after_send=paced.after_send
        ) as raw:
            observe(Step(what="address", detail=raw.peer, url=str(request.url)))
            observe(Step(what="status", detail=str(raw.status), url=str(request.url)))
            body = await _read(raw, request) if request.wants_body(raw.status, raw.headers) else b""
            return HttpResponse(status=raw.status, headers=raw.headers, body=body)

    def _request_headers(self, request: HttpRequest) -> list[Header]:
        headers = {
            "Host": request.url.netloc.decode("ascii"),
            "User-Agent": self._user_agent,
            "Accept": request.accept,
            "Accept-Encoding": ACCEPT_ENCODING,
        }
        return [
            (name.encode("ascii"), value.encode("ascii")) for name, value in (headers | dict(request.headers)).items()
        ]


class _PacedSend:
    """A request that goes out in its turn; the wait for it is no part of the budget."""

    def __init__(self, slot: HostSlot, deadline: PausableDeadline) -> None:
        self._slot = slot
        self._deadline = deadline

    async def wait_before_send(self) -> None:
        """Wait for the turn."""
        async with self._deadline.paused():
            await self._slot.wait_before_send()

    async def after_send(self) -> None:
        """Make up for a request that left late."""
        async with self._deadline.paused():
            await self._slot.after_send()


async def _read(raw: RawResponse, request: HttpRequest) -> bytes:
    announced = raw.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:15]) > request.max_bytes and not request.truncate:
        raise size_error(request.max_bytes)
    body = BodyDecoder(raw.headers.get("content-encoding", ""), max_bytes=request.max_bytes, truncate=request.truncate)
    async for chunk in raw.chunks():
        body.feed(chunk)
        if body.full:
            break
    return body.finish()


# Tells where a page leads that holds nothing but the way to another: followed as a redirect is, by the same rules.


_MAX_NOTICE_BYTES: Final = 64 * 1024
# Characters of text, blanks left out: what is longer is read, whatever it leads to.
_MAX_NOTICE_CHARACTERS: Final = 800
_INVISIBLE: Final = ("script", "style", "noscript", "template", "title", "svg")


def refresh_redirect(url: httpx.URL, response: HttpResponse) -> httpx.URL | None:
    """Return the address that a page sends its reader on to within seconds, None where it is a page to be read.

    Only a page without an article of its own leads on: one whose visible text is no more than a notice. Raises
    FetchError where the address cannot be fetched.
    """
    header = response.headers.get("refresh", "")
    folded = response.body.lower() if len(response.body) <= _MAX_NOTICE_BYTES else b""
    if not (header or b"refresh" in folded) or b"articlebody" in folded:
        return None
    tree = _tree(response.body[:_MAX_NOTICE_BYTES])
    targets = filter(None, map(refresh_target, (header, *(_meta_refreshes(tree) if tree is not None else ()))))
    target = next(targets, None)
    if (
        target is None
        or (tree is not None and _visible_length(tree) > _MAX_NOTICE_CHARACTERS)
        or len(response.body) > _MAX_NOTICE_BYTES
    ):
        return None
    target_url = resolve_location(url, target)
    return None if target_url.copy_with(fragment=None) == url.copy_with(fragment=None) else target_url


def _tree(body: bytes) -> html.HtmlElement | None:
    # What is looked for is written in ASCII, in every charset that pages are sent in; the rest is only counted.
    try:
        return html.document_fromstring(body.decode("utf-8", "replace").replace("\0", " ")) if body.strip() else None
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None


def _meta_refreshes(tree: html.HtmlElement) -> Iterator[str]:
    for meta in tree.iter("meta"):
        if (meta.get("http-equiv") or "").strip().lower() == "refresh":
            yield meta.get("content") or ""


def _visible_length(tree: html.HtmlElement) -> int:
    for element in list(tree.iter(*_INVISIBLE)):
        element.drop_tree()
    return sum(len("".join(text.split())) for text in tree.itertext() if isinstance(text, str))


# Permanent redirects (RFC 9110, sections 15.4.2 and 15.4.9): the next fetch starts where the last one was sent.


class PermanentRedirects:
    """Where URLs have moved for good, remembered with the hosts."""

    def __init__(self, *, hosts: HostRegistry, offload: RunInThread) -> None:
        self._hosts = hosts
        self._offload = offload

    async def starting_url(self, request: Request) -> str:
        """Return the URL to begin with."""
        return await self._offload(self._hosts.redirect_of, request.url) or request.url

    async def remember(self, page: Page, *, start: str) -> None:
        """Remember where a page that came has moved."""
        if page.permanent_url and page.permanent_url != start:
            await self._offload(self._hosts.save_redirect, page.url, page.permanent_url)

    async def forget(self, request: Request, *, start: str) -> None:
        """Forget a move that led to nothing: the next try begins where the first did."""
        if start != request.url:
            await self._offload(self._hosts.save_redirect, request.url, None)
