"""The web application of the daemon: `/` (status page), `/healthz` (for supervisors), `/metrics` (for Prometheus).

`build_web_app` makes it from a `StatusSource`. Statistics of the store are cached, so that many requests cost the
store no more than few. Pages are static HTML under a strict Content Security Policy, without scripts.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.config.types import format_age, format_countdown, format_duration, format_rounded
from worker.errors import StoreError
from worker.logs import escape as visible
from worker.models import Health, SourceStats, State, StoreStats
from worker.models.records import source_warnings
from worker.ports import Clock
from worker.web.metrics import Metrics

# The status page: plain HTML, all foreign text escaped, no scripts, no external resources.


# One string, inside the page: its hash in the policy below is what allows the browser to apply it.
_STYLE: Final = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.25rem .6rem;text-align:left;border-bottom:1px solid #ddd;"
    "overflow-wrap:anywhere}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".bad{color:#a40000;font-weight:600}.ok{color:#1a6b1a;font-weight:600}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}th,td{border-color:#444}"
    ".bad{color:#ff8a80}.ok{color:#8bd48b}}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content Security Policy: a browser may apply the page's own style, and load or run nothing."""

_REFRESH_S: Final = 15  # a little longer than STATS_MAX_AGE, so that each refresh can show new numbers


def status_page(health: Health, figures: StoreStats | None, *, now: datetime) -> str:
    """Return the status page as HTML; `figures` is None if the store is not open or did not answer."""
    body = [f"<h1>Corpus Worker</h1>{_health(health)}"]
    if figures is not None:
        body += [_counts(figures), _recent(figures), _sources(figures, now=now), _latest(figures, now=now)]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{_REFRESH_S}"><meta name="viewport" content="width=device-width">'
        f"<title>Corpus Worker</title><style>{_STYLE}</style></head><body>"
    )
    return f"{head}{''.join(body)}<p>{_text(_moment(now))}</p></body></html>\n"


def _health(health: Health) -> str:
    """Return the health line: `well` or the reason, and links to the other two pages."""
    label = '<span class="ok">well</span>' if health.ok else f'<span class="bad">{_text(health.reason)}</span>'
    return f'<p>{label} · <a href="/healthz">healthz</a> · <a href="/metrics">metrics</a></p>'


def _counts(figures: StoreStats) -> str:
    """Return the size of the corpus and the table of candidates by state."""
    found = ("found", sum(figures.counts.values()))
    named = [(state.value, figures.counts.get(state, 0)) for state in State]
    rest = [("due now", figures.due), ("in hand", figures.in_hand)]
    names, values = zip(found, *named, *rest, strict=True)
    articles, seeds, texts = figures.articles, figures.seeds, figures.texts
    corpus = (
        f"{texts:,} texts = {articles:,} articles + {seeds:,} seeds - {articles + seeds - texts:,} not exported "
        "(copies and earlier versions)"
    )
    legend = "Every address found is in one of the eight states; due now and in hand are parts of pending."
    table = _table(names, [[str(value) for value in values]], numbers=range(len(names)))
    return f"<p>{_text(corpus)}</p>{table}<p>{legend}</p>"


def _recent(figures: StoreStats) -> str:
    """Return the table of outcomes within the last hour and day, empty without any."""
    if not figures.recent:
        return ""
    ends = sorted({end for counts in figures.recent.values() for end in counts})
    rows = [
        [f"last {format_duration(span)}", *(str(counts.get(end, 0)) for end in ends)]
        for span, counts in sorted(figures.recent.items())
    ]
    legend = "What happened in that time; an address decided twice counts twice."
    return f"{_table(['', *ends], rows, numbers=range(1, len(ends) + 1))}<p>{legend}</p>"


def _sources(figures: StoreStats, *, now: datetime) -> str:
    """Return the table of sources with its legend."""
    heads = ("source", "last poll", "next", "every", "found", "stored", "of", "newest text", "trouble")
    rows = [_source(each, now=now) for each in figures.sources]
    legend = "found: entries of the last poll; stored, of: of the addresses this source named first."
    others = sum(figures.counts.values()) - sum(source.known for source in figures.sources)
    rest = f" {others:,} more came from targets, or from sources no longer configured." if others > 0 else ""
    return f"{_table(heads, rows, numbers=range(4, 7), bad=8)}<p>{legend}{rest}</p>"


def _source(source: SourceStats, *, now: datetime) -> Sequence[str]:
    """Return the cells of one source."""
    state = source.state
    return (
        source.name,
        format_age(state.polled_at, now=now),
        "paused" if source.paused else format_countdown(state.due_at, now=now),
        format_rounded(state.interval) if state.interval else "",
        str(state.found),
        str(source.counts.get(State.STORED, 0)),
        str(source.known),
        format_age(source.newest_at, now=now),
        "; ".join(source_warnings(source, now=now, moment=_moment)),
    )


def _latest(figures: StoreStats, *, now: datetime) -> str:
    """Return the table of the newest articles."""
    rows = [(str(each.id), format_age(each.at, now=now), each.source, each.title, each.url) for each in figures.latest]
    return _table(("id", "fetched", "source", "title", "address"), rows, numbers=[0]) if rows else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int], bad: int = -1) -> str:
    """Return an HTML table; `numbers` are the columns aligned to the right, `bad` is the column shown in red."""
    kinds = {**dict.fromkeys(numbers, ' class="n"'), bad: ' class="bad"'}
    head = "".join(f"<th{kinds.get(place, '')}>{_text(name)}</th>" for place, name in enumerate(heads))
    lines = (
        "".join(f"<td{kinds.get(place, '')}>{_text(value)}</td>" for place, value in enumerate(row)) for row in rows
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"
    )


def _text(value: str) -> str:
    """Return text from outside as HTML: control characters made visible, markup escaped."""
    return escape(visible(value))


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


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


# The application and its routes.

log = structlog.get_logger()

STATS_MAX_AGE: Final = timedelta(seconds=10)
"""For how long statistics of the store are cached: the store is queried no more often, however many requests come."""
STATS_REST_FACTOR: Final = 50
"""Statistics are cached for at least 50 times the duration of their query, so they cost the store 2% at most."""
STORE_TIMEOUT: Final = timedelta(seconds=5)
"""How long a request waits for the store: half of Prometheus' default scrape timeout of ten seconds."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSource:
    """Where the pages get their data from.

    `health` is called for every request and must not block. `figures` queries the store; it returns None while no
    store is open, and may raise StoreError.
    """

    health: Callable[[], Health]
    figures: Callable[[], Awaitable[StoreStats | None]]
    metrics: Metrics
    clock: Clock


def build_web_app(source: StatusSource, *, names: Collection[str] = ()) -> Starlette:
    """Return the application; `names` are the accepted host names besides IP addresses and localhost."""
    pages = _Pages(source)
    return Starlette(
        routes=[
            Route("/", pages.status, methods=["GET"]),
            Route("/healthz", pages.healthz, methods=["GET"]),
            Route("/metrics", pages.metrics, methods=["GET"]),
        ],
        middleware=[Middleware(TrustedHosts, names=names)],
    )


class _Pages:
    """The request handlers, with cached statistics of the store."""

    def __init__(self, source: StatusSource) -> None:
        self._source = source
        self._stats_lock = asyncio.Lock()
        self._figures: StoreStats | None = None
        self._next_query_at = float("-inf")

    async def status(self, request: Request) -> Response:  # noqa: ARG002 - the page is the same for all
        """Return the status page."""
        page = status_page(self._source.health(), await self._recent(), now=self._source.clock.now())
        return HTMLResponse(page, headers=_HEADERS)

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002
        """Return 200 if the daemon makes progress, else 503 with the reason; the store is not queried."""
        health = self._source.health()
        return JSONResponse(asdict(health), status_code=200 if health.ok else 503, headers=_HEADERS)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics of this process and of the store."""
        body, content_type = await asyncio.to_thread(
            self._source.metrics.render,
            accept=request.headers.get("accept", ""),
            health=self._source.health(),
            figures=await self._recent(),
        )
        return Response(body, headers={**_HEADERS, "Content-Type": content_type})

    async def _recent(self) -> StoreStats | None:
        """Return cached or new statistics; None if no store is open or it does not answer in time."""
        async with self._stats_lock:
            started = self._source.clock.monotonic()
            if started >= self._next_query_at:
                self._figures = await self._query_store()
                now = self._source.clock.monotonic()
                self._next_query_at = now + max(STATS_MAX_AGE.total_seconds(), STATS_REST_FACTOR * (now - started))
            return self._figures

    async def _query_store(self) -> StoreStats | None:
        """Return the statistics of the store; None, with a warning in the log, if it fails or takes too long."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT.total_seconds()):
                return await self._source.figures()
        except (StoreError, TimeoutError) as exc:
            log.warning("web.store_silent", error=str(exc) or "no answer in time")
            return None
