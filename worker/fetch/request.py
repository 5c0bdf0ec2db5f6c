"""Send one request to one URL: politely, safely, and within time and size limits.

`RequestRunner.run` checks the URL (SSRF), the circuit breaker and the rate limit, sends the request, and reads the body
if the caller wants it. It follows no redirects and accepts any status; `client.HttpFetcher` does both. The other parts
belong to one fetch as well: what its requests share (`FetchContext`), its trace (`Step`, `FetchTrace`), its deadline
(`PausableDeadline`), redirects written in a page (`refresh_redirect`), and permanent redirects known from earlier
fetches (`PermanentRedirects`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import field, replace
from datetime import timedelta
from typing import Final

import httpx
from lxml import etree, html

from worker.charset import decode
from worker.errors import FetchError
from worker.fetch.http.connections import LIBRARY_ERRORS, Connections, Header, RawResponse, to_fetch_error
from worker.fetch.http.content_encoding import ACCEPT_ENCODING, BodyDecoder, size_error
from worker.fetch.http.ssrf import Network, check_url, resolve_location, url_host, url_origin
from worker.fetch.identity import NO_ACCESS, RequestSigner, SourceAccess
from worker.fetch.politeness import CircuitBreakers, HostRateLimiter, HostSlot, SlotMissed
from worker.models import Page, Request
from worker.models.base import dataclass
from worker.ports import Clock, HostRegistry, RunInThread
from worker.urls import refresh_target, same_site


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decision of a fetch, shown by `--dry-run`: its subject (`robots`, `turn`, `status`…), the result, the URL."""

    what: str
    detail: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTrace:
    """The steps and the result of one fetch; either `page` or `error` is set."""

    steps: tuple[Step, ...]
    page: Page | None = None
    error: FetchError | None = None


StepObserver = Callable[[Step], None]
"""A callback for each step of a fetch, called at once."""


def ignore_step(_step: Step) -> None:
    """Ignore a step: the observer of a fetch that nobody observes."""


def page_steps(page: Page) -> tuple[Step, ...]:
    """Return the steps known only once the page is there: kept headers, charset, size, time on the network."""
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
    """The response of one URL, whatever its status; `body` is decompressed, and empty if it was not wanted."""

    status: int
    headers: httpx.Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One GET request.

    `wants_body` is called with status and headers and returns whether the body is read; it may raise FetchError.
    `max_bytes` limits the decompressed body: a larger one is an error, or with `truncate` cut off there. `delay` is the
    crawl delay of robots.txt, which counts where it is longer than the configured one.
    """

    url: httpx.URL
    accept: str
    wants_body: Callable[[int, httpx.Headers], bool]
    max_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: timedelta = timedelta(0)
    truncate: bool = False


class PausableDeadline:
    """The time limit of a whole fetch, redirects included; it does not run while the fetch waits for its slot."""

    def __init__(self, deadline: timedelta) -> None:
        self._deadline = deadline
        self._remaining_s = deadline.total_seconds()
        self._limit: asyncio.Timeout | None = None
        self._paused_s = 0.0
        self.elapsed = timedelta(0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the clock inside this block; raises FetchError (`timeout`) when no time is left."""
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
        """Stop the clock inside this block, which lies within `running`; without a running clock, do nothing."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What all requests of one fetch share, those for robots.txt and the targets of redirects included."""

    deadline: PausableDeadline
    observe: StepObserver = ignore_step
    access: SourceAccess = NO_ACCESS


class RequestRunner:
    """Sends single requests through the circuit breaker and the rate limiter; `signer` signs each of them."""

    def __init__(
        self,
        *,
        connections: Connections,
        limiter: HostRateLimiter,
        breakers: CircuitBreakers,
        networks: tuple[Network, ...],
        user_agent: str,
        clock: Clock,
        signer: RequestSigner | None = None,
    ) -> None:
        self._clock = clock
        self._signer = signer
        self._connections = connections
        self._limiter = limiter
        self._breakers = breakers
        self._networks = networks
        self._user_agent = user_agent

    async def run(self, request: HttpRequest, context: FetchContext) -> HttpResponse:
        """Return the response, whatever its status; raises FetchBlocked or FetchError where there is none."""
        check_url(request.url, self._networks)
        missed: SlotMissed | None = None
        while True:
            try:
                return await self._run_once(request, context, missed)
            except SlotMissed as again:
                missed = again

    async def _run_once(self, request: HttpRequest, context: FetchContext, missed: SlotMissed | None) -> HttpResponse:
        """Wait for a slot and send the request; raises SlotMissed if its slot passed before it could be sent."""
        host = url_host(request.url)
        await self._breakers.raise_if_paused(host)
        async with self._limiter.acquire(host, delay=request.delay, missed=missed) as slot:
            # The request ahead of this one may have opened the circuit meanwhile.
            await self._breakers.raise_if_paused(host)
            context.observe(
                Step(what="turn", detail=f"after {slot.waited.total_seconds():.2f} s", url=str(request.url))
            )
            try:
                response = await self._exchange(request, slot, context)
            except FetchError as error:
                await self._breakers.record_failure(host, error)
                raise
            await self._breakers.record_response(host, response.status, response.headers)
            return response

    async def _exchange(self, request: HttpRequest, slot: HostSlot, context: FetchContext) -> HttpResponse:
        try:
            async with context.deadline.running():
                return await self._send(request, _PacedSend(slot, context.deadline), context)
        except LIBRARY_ERRORS as exc:
            raise to_fetch_error(exc, host=url_host(request.url)) from exc

    async def _send(self, request: HttpRequest, paced: _PacedSend, context: FetchContext) -> HttpResponse:
        async with self._connections.send(
            request.url,
            lambda: self._request_headers(request, context.access),
            before_send=paced.wait_before_send,
            after_send=paced.after_send,
            proxy=context.access.proxy,
        ) as raw:
            _observe_identity(request.url, context)
            context.observe(Step(what="address", detail=raw.peer, url=str(request.url)))
            context.observe(Step(what="status", detail=str(raw.status), url=str(request.url)))
            body = await _read(raw, request) if request.wants_body(raw.status, raw.headers) else b""
            return HttpResponse(status=raw.status, headers=raw.headers, body=body)

    def _request_headers(self, request: HttpRequest, access: SourceAccess) -> list[Header]:
        """Return the headers of a request; those of the source replace our own, but cookies are sent together."""
        now = self._clock.now()
        headers = {
            "Host": request.url.netloc.decode("ascii"),
            "User-Agent": self._user_agent,
            "Accept": request.accept,
            "Accept-Encoding": ACCEPT_ENCODING,
            **request.headers,
        }
        private = access.headers_for(request.url, now=now) if access.origins else {}
        if "cookie" in private and "Cookie" in headers:
            private["cookie"] += f"; {headers['Cookie']}"
        sent = {name: value for name, value in headers.items() if name.lower() not in private}
        sent |= {name.title(): value for name, value in private.items()}
        if self._signer is not None:
            sent |= self._signer.headers(request.url, now=now)
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()]


def _observe_identity(url: httpx.URL, context: FetchContext) -> None:
    """Report which headers of its source a request carried, never their values, and through which proxy it went."""
    access = context.access
    if access.origins:
        names = sorted((*access.headers, *(("cookies",) if access.cookies else ())))
        sent = f"{', '.join(names)}" if url_origin(url) in access.origins else "nothing: the source names another host"
        context.observe(Step(what="sent", detail=sent, url=str(url)))
    if access.proxy is not None:
        context.observe(Step(what="proxy", detail=str(access.proxy.at), url=str(url)))


class _PacedSend:
    """The hooks around sending: wait for the slot, with the deadline stopped meanwhile."""

    def __init__(self, slot: HostSlot, deadline: PausableDeadline) -> None:
        self._slot = slot
        self._deadline = deadline

    async def wait_before_send(self) -> None:
        """Wait for the slot."""
        async with self._deadline.paused():
            await self._slot.wait_before_send()

    async def after_send(self) -> None:
        """Delay the following slots if the request left late."""
        async with self._deadline.paused():
            await self._slot.after_send()


async def _read(raw: RawResponse, request: HttpRequest) -> bytes:
    """Return the decoded body; raises FetchError (`size`) at once if its announced length exceeds the limit."""
    announced = raw.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:15]) > request.max_bytes and not request.truncate:
        raise size_error(request.max_bytes)
    body = BodyDecoder(raw.headers.get("content-encoding", ""), max_bytes=request.max_bytes, truncate=request.truncate)
    async for chunk in raw.chunks():
        body.feed(chunk)
        if body.full:
            break
    return body.finish()


# Redirects written in a page: a `Refresh` header or `<meta http-equiv="refresh">` in a page without an article.

# Larger pages are not parsed here: a redirect notice takes a few kilobytes, and every page would pay for the parse. One
# tag of nothing but attributes takes libxml2 0.08 s at this size, and 0.3 s at twice as much.
_MAX_NOTICE_BYTES: Final = 32 * 1024
# Characters of visible text without blanks; a page with more is read, wherever it redirects. Chosen, not measured:
# notices have a sentence or two, and even short news items are longer.
_MAX_NOTICE_CHARACTERS: Final = 800
_INVISIBLE: Final = ("script", "style", "noscript", "template", "title", "svg")


def refresh_redirect(url: httpx.URL, response: HttpResponse) -> httpx.URL | None:
    """Return the target of a page that only redirects (HTML, "refresh"); None for any other page.

    A page counts as a redirect if its visible text is no longer than a notice, it has no JSON-LD `articleBody`, and
    the target is another URL that browsers load within 30 seconds. Raises FetchError (`redirects`) if that is no URL.
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
    """Parse a page; None if it is empty or cannot be parsed."""
    # The meta element is ASCII in every charset of the web, and other text is only counted: no charset detection.
    try:
        return html.document_fromstring(body.decode("utf-8", "replace").replace("\0", " ")) if body.strip() else None
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None


def _meta_refreshes(tree: html.HtmlElement) -> Iterator[str]:
    for meta in tree.iter("meta"):
        if (meta.get("http-equiv") or "").strip().lower() == "refresh":
            yield meta.get("content") or ""


def _visible_length(tree: html.HtmlElement) -> int:
    """Return the number of visible characters without blanks; removes invisible elements from the tree."""
    for element in list(tree.iter(*_INVISIBLE)):
        element.drop_tree()
    return sum(len("".join(text.split())) for text in tree.itertext() if isinstance(text, str))


class PermanentRedirects:
    """Permanent redirects of earlier fetches (RFC 9110, 15.4.2 and 15.4.9), kept in the host store.

    The next fetch of a redirected URL starts at its target, unless that is on another site (`starting_url`).
    """

    def __init__(self, *, hosts: HostRegistry, offload: RunInThread) -> None:
        self._hosts = hosts
        self._offload = offload

    async def known(self, request: Request) -> str | None:
        """Return the known target of the request's URL, None if there is none."""
        return await self._offload(self._hosts.redirect_of, request.url)

    async def remember(self, page: Page, *, known: str | None) -> Page:
        """Save the permanent redirect of a fetched page, or that it has none any more; say in the page if it is new."""
        if page.permanent_url != known:
            await self._offload(self._hosts.save_redirect, page.url, page.permanent_url)
        return replace(page, moved_before=known is not None and page.permanent_url == known)

    async def forget(self, request: Request, *, start: str) -> None:
        """Delete the redirect that a failed fetch started with: the next attempt starts at the original URL."""
        if start != request.url:
            await self._offload(self._hosts.save_redirect, request.url, None)


def starting_url(url: str, known: str | None) -> str:
    """Return the URL to fetch first: the known target of a permanent redirect within the site, else the URL itself.

    Whoever once redirected a site's address to another site would else have it for good: the site is asked each time.
    """
    return known if known is not None and same_site(url, known) else url
