"""The web application: pages for people, `/healthz` for supervisors, `/metrics` for Prometheus.

`build_web_app` makes it from a `StatusSource` and the pages. A browser may load nothing but the application's own
files, and runs no script of a page.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Final, Generic, TypeVar

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.config.schema import WebSettings
from worker.errors import StoreError
from worker.logs import log
from worker.models import Alarm, Health, StoreStats
from worker.ports import Clock
from worker.web.access import STATIC, Access, FormGuard, RequireVisitor
from worker.web.metrics import Metrics
from worker.web.routes import EXPECTED, Action, FeedPage, Routes, WebPage

# Protection against DNS rebinding: a web page in a user's browser could let its own host name resolve to this
# machine and so read the status pages. Requests with an unknown Host header are refused; a plain IP address or
# `localhost` cannot be rebound and always passes.


_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@]+)(?::[0-9]{1,5})?")
_REFUSAL: Final = "nothing is served under this name; use the IP address, or add the name to [web] hosts\n"


class TrustedHosts:
    """ASGI middleware that refuses requests whose Host header is not an address, `localhost` or one of `names`.

    Others get status 421, Misdirected Request (RFC 9110, section 7.4).
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or refuse it."""
        known = is_trusted_host(Headers(scope=scope).getlist("host"), names=self._names)
        answer = self._app if known else PlainTextResponse(_REFUSAL, status_code=421)
        await answer(scope, receive, send)


def is_trusted_host(hosts: list[str], *, names: Collection[str]) -> bool:
    """Return whether there is exactly one Host header, with an address, `localhost`, or one of `names` (lower case)."""
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if match is None:
        return False
    host = match[1].lower().rstrip(".")
    return host == "localhost" or host in names or _is_address(host.strip("[]"))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# Every answer carries the same rules for the browser.

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""The Content Security Policy: a browser may load files of this application alone, and no script or style in a page."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with "no-referrer", browsers send `Origin: null` with a form
    "X-Content-Type-Options": "nosniff",
}


class SecureHeaders:
    """ASGI middleware that adds these rules to every answer; files of the application and feeds may be cached."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                caching = headers.get("Cache-Control", _HEADERS["Cache-Control"])
                headers.update(_HEADERS)
                # `no-cache`: kept, and requested again with its ETag.
                headers["Cache-Control"] = "no-cache" if scope["path"].startswith(STATIC) else caching
            await send(message)

        await self._app(scope, receive, send_with_headers)


# The application and its routes.

_FILES: Final = Path(__file__).with_name("static")
T = TypeVar("T")
STATS_MAX_AGE: Final = timedelta(seconds=1)
"""For how long statistics of the store are kept at least: it is queried no more often, however many requests come."""
REST_FACTOR: Final = 50
"""An answer is kept for at least 50 times the duration of its query, so that it costs the store 2% at most."""
STORE_TIMEOUT: Final = timedelta(seconds=5)
"""How long a request waits for the store: half of Prometheus' default scrape timeout of ten seconds."""
NOTICED: Final = timedelta(milliseconds=50)
"""How long a request waits for a newer answer than the one that is kept: a page within 100 ms comes at once for its
reader (Nielsen, "Usability Engineering", 1993), and making it takes the other half."""
SILENT_AFTER: Final = timedelta(seconds=30)
"""After so long a store counts as silent. Chosen: to count ten million addresses takes a tenth of it."""


class Kept(Generic[T]):
    """An answer of the store that is kept for a time, and is then replaced by a newer one beside the requests.

    The first request waits for its query, and so does the first one after `forget`. Later ones wait for a newer answer
    no longer than NOTICED, so that they take as long in a store of ten million texts as in a small one.
    """

    def __init__(self, query: Callable[[], Awaitable[T]], *, clock: Clock, max_age: timedelta) -> None:
        self._query, self._clock, self._max_age = query, clock, max_age
        self._answer: T | None = None
        self._running: asyncio.Task[T] | None = None
        self._began = 0.0
        self._next_query_at = float("-inf")

    async def get(self, *, patient: bool = False) -> T:
        """Return the answer; raises what the query raises, and TimeoutError if there is no answer in time.

        A `patient` request waits for a newer answer as the first one does, if the one that is kept is old.
        """
        now = self._clock.monotonic()
        if self._running is None and now >= self._next_query_at:
            self._running, self._began = asyncio.ensure_future(self._query()), now
            self._running.add_done_callback(self._keep)
        if (query := self._running) is not None:
            spent = now - self._began
            is_hurried = self._answer is not None and not patient
            patience = NOTICED if is_hurried else STORE_TIMEOUT - timedelta(seconds=spent)
            done, _ = await asyncio.wait([query], timeout=max(0.0, patience.total_seconds()))
            if done and not query.cancelled():
                return query.result()
            if self._answer is None or spent >= SILENT_AFTER.total_seconds():
                raise TimeoutError
        return self._answer  # type: ignore[return-value]

    def forget(self) -> None:
        """Have the next request wait for a new answer: something was changed."""
        self._answer = self._running = None
        self._next_query_at = float("-inf")

    def _keep(self, query: asyncio.Task[T]) -> None:
        """Keep the answer of a query that has ended, unless it was begun before a change."""
        failed = query.cancelled() or query.exception() is not None
        if query is not self._running:
            return
        self._running, now = None, self._clock.monotonic()
        if not failed:
            self._answer = query.result()
            rest = REST_FACTOR * (now - self._began)
            self._next_query_at = now + max(self._max_age.total_seconds(), rest)


class StatusSource:
    """Where health, metrics and the overview get their figures from.

    `health` is called for every request and must not block. `figures` queries the store; it returns None while no
    store is open, and may raise StoreError. `recent` returns them kept, so that many requests cost no more than few.
    `alarms` returns what a daemon knows that needs a person; it is None for a server that is no daemon.
    """

    def __init__(
        self,
        *,
        health: Callable[[], Health],
        figures: Callable[[], Awaitable[StoreStats | None]],
        metrics: Metrics,
        clock: Clock,
        alarms: Callable[[], tuple[Alarm, ...]] | None = None,
    ) -> None:
        self.health, self.metrics, self.clock, self.alarms = health, metrics, clock, alarms
        self._query = figures
        self._figures = Kept(self._query_store, clock=clock, max_age=STATS_MAX_AGE)

    async def recent(self, *, patient: bool = False) -> StoreStats | None:
        """Return kept or new statistics; None if no store is open or it does not answer in time.

        A `patient` request waits for new ones.
        """
        try:
            return await self._figures.get(patient=patient)
        except TimeoutError:
            log.warning("web.store_silent", error="no answer in time")
            return None

    def forget_recent(self) -> None:
        """Query the store again for the next request: something was changed."""
        self._figures.forget()

    async def _query_store(self) -> StoreStats | None:
        """Return the statistics of the store; None, with a warning in the log, if it fails."""
        try:
            return await self._query()
        except (StoreError, TimeoutError) as exc:
            log.warning("web.store_silent", error=str(exc) or "no answer in time")
            return None

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002
        """Return 200 if the daemon makes progress, else 503 with the reason; the store is not queried."""
        health = self.health()
        return JSONResponse(asdict(health), status_code=200 if health.ok else 503)

    async def metrics_page(self, request: Request) -> Response:
        """Return the metrics of this process and of the store."""
        body, content_type = await asyncio.to_thread(
            self.metrics.render,
            accept=request.headers.get("accept", ""),
            health=self.health(),
            figures=await self.recent(patient=True),  # nobody waits in front of them, and they should be right
        )
        return Response(body, headers={"Content-Type": content_type})


WebApp = ASGIApp
"""What `serve_pages` serves."""


def build_web_app(
    source: StatusSource,
    *,
    web: WebSettings,
    pages: Sequence[WebPage] = (),
    actions: Sequence[Action] = (),
    feeds: Sequence[FeedPage] = (),
    is_public: bool = False,
) -> Starlette:
    """Return the application; with `is_public` other machines can reach it."""
    access = Access(web, clock=source.clock, is_public=is_public)
    guard = FormGuard(is_read_only=web.read_only)
    routes = Routes(pages, actions, feeds, access=access, guard=guard, health=source.health, clock=source.clock)
    return Starlette(
        routes=[
            Route("/healthz", source.healthz, methods=["GET"]),
            Route("/metrics", source.metrics_page, methods=["GET"]),
            *routes.routes(),
            Mount(STATIC.rstrip("/"), StaticFiles(directory=_FILES)),
        ],
        middleware=[
            Middleware(SecureHeaders),
            Middleware(TrustedHosts, names=web.hosts),
            Middleware(RequireVisitor, access=access),
        ],
        exception_handlers=dict.fromkeys(EXPECTED, routes.failed),
    )
