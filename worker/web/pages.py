"""The pages for people: overview, search and articles, rendered from the templates of this package.

Every value in a page is escaped: markup by the templates, control characters by `finalize`. An address is a link only
if it is one of the web.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import urlencode

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from worker.config.types import format_age, format_countdown, format_duration, format_rounded
from worker.errors import StoreError
from worker.logs import escape as visible
from worker.models import ActivityCounts, Health, SearchResult, State, StoreStats
from worker.models.records import source_warnings
from worker.ports import Clock

log = structlog.get_logger()

# The plots of the overview: how candidates ended, in hours, days and weeks.

KINDS: Final[Mapping[str, frozenset[str]]] = {
    "stored": frozenset({"stored", "revised"}),
    "copies": frozenset({"duplicate"}),
    "rejected": frozenset({"rejected", "blocked"}),
    "failed": frozenset({"failed"}),
}
"""What the plots show, and the states that count for it; the order is that of the stack, from below."""
_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
_PLOTS: Final = (("hour", _HOUR, 48, "%d %b %H:00"), ("day", _DAY, 30, "%d %b"), ("week", _WEEK, 12, "%d %b"))
_MONDAY: Final = datetime.fromisoformat("1970-01-05T00:00:00+00:00")
_WIDTH, _HEIGHT, _GAP = 600.0, 120.0, 0.2  # of a plot, in units of its own; a fifth of a bar's width lies between two


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a bar: its kind, and its place in the plot."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A span of time in a plot: its label, its numbers by kind, and the parts to draw."""

    label: str
    counts: Mapping[str, int]
    x: float
    width: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """The numbers of equal spans of time up to now, as stacked bars."""

    span: str
    bars: tuple[Bar, ...]
    top: int
    totals: Mapping[str, int]


def plot(span: str, hours: Mapping[tuple[datetime, str], int], *, now: datetime) -> Plot:
    """Return the plot of an `hour`, a `day` or a `week` a bar, from numbers by hour and state."""
    length, count, form = next((length, count, form) for name, length, count, form in _PLOTS if name == span)
    last = _MONDAY + (now - _MONDAY) // length * length
    starts = [last - length * back for back in reversed(range(count))]
    columns: dict[datetime, Counter[str]] = {start: Counter() for start in starts}
    for (hour, state), number in hours.items():
        column = columns.get(_MONDAY + (hour - _MONDAY) // length * length)
        kind = next((kind for kind, states in KINDS.items() if state in states), None)
        if column is not None and kind is not None:
            column[kind] += number
    top = max(1, *(column.total() for column in columns.values()))
    width = _WIDTH / count
    bars = tuple(
        Bar(
            label=start.strftime(form),
            counts={kind: column[kind] for kind in KINDS},
            x=round(place * width + width * _GAP / 2, 1),
            width=round(width * (1 - _GAP), 1),
            pieces=tuple(_pieces(column, top)),
        )
        for place, (start, column) in enumerate(columns.items())
    )
    totals = sum(columns.values(), Counter[str]())
    return Plot(span=span, bars=bars, top=top, totals={kind: totals[kind] for kind in KINDS})


def _pieces(column: Mapping[str, int], top: int) -> Sequence[Piece]:
    """Return the parts of a bar, from the ground up."""
    pieces, ground = [], _HEIGHT
    for kind in KINDS:
        if column[kind]:
            height = column[kind] / top * _HEIGHT
            ground -= height
            pieces.append(Piece(kind=kind, y=round(ground, 1), height=round(height, 1)))
    return pieces


# The templates.


def environment() -> Environment:
    """Return the templates with their filters. A name that is missing is an error."""
    made = Environment(
        loader=PackageLoader("worker.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "age": format_age, "countdown": format_countdown, "duration": format_duration, "rounded": format_rounded,
        "moment": _moment, "web_address": _web_address, "number": "{:,}".format, "one_line": _one_line,
    }  # fmt: skip
    return made


def _shown(value: object) -> object:
    """Return text with control characters made visible; None is shown as nothing."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


def _web_address(url: str) -> str:
    """Return a URL that may be a link: one of the web; empty for all others, such as `javascript:`."""
    return url if url.lower().startswith(("http://", "https://")) else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


# The pages.

PAGE_SIZE: Final = 20  # results on a page: a screen or two
_MAX_OFFSET: Final = 980  # the last page of results
_PATIENCE: Final = timedelta(seconds=20)  # chosen: as long as a person waits for a page
_ACTIVITY_AGE: Final = timedelta(seconds=30)  # for how long the plots are kept: they change little in that time


class ShownCorpus(Protocol):
    """What the pages read of an open store; every method may raise StoreError."""

    async def activity(self, *, after: int) -> ActivityCounts:
        """Return the outcomes of the last weeks by hour, those after an event only."""

    async def search(self, query: str, *, limit: int, offset: int) -> SearchResult:
        """Return the texts that meet a query."""

    async def article(self, article_id: int) -> object | None:
        """Return what the template of an article shows, None if there is no such article."""


class Pages:
    """The request handlers of the pages."""

    def __init__(
        self,
        *,
        health: Callable[[], Health],
        figures: Callable[[], Awaitable[StoreStats | None]],
        corpus: Callable[[], ShownCorpus | None],
        clock: Clock,
    ) -> None:
        self._health, self._figures, self._corpus, self._clock = health, figures, corpus, clock
        self._templates = environment()
        self._activity: tuple[ShownCorpus, ActivityCounts, float] | None = None

    async def overview(self, request: Request) -> Response:  # noqa: ARG002 - the page is the same for all
        """Return the overview: health, numbers, plots, what needs a person, newest articles, sources."""
        now, figures = self._clock.now(), await self._figures()
        hours = await self._hours()
        warnings = {
            source.name: source_warnings(source, now=now, moment=_moment)
            for source in (figures.sources if figures else ())
        }
        return self._page(
            "overview.html",
            figures=figures,
            plots=[plot(span, hours, now=now) for span, *_ in _PLOTS] if hours else [],
            kinds=list(KINDS),
            states=list(State),
            warnings=warnings,
        )

    async def search(self, request: Request) -> Response:
        """Return the form of the search, with the results of its query if there is one."""
        query = request.query_params.get("q", "").strip()
        offset = _number(request.query_params.get("offset", ""), most=_MAX_OFFSET)
        result = None
        if query:
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                result = await self._open_corpus().search(query, limit=PAGE_SIZE, offset=offset)
        older = urlencode({"q": query, "offset": offset + PAGE_SIZE}) if result and result.more else ""
        newer = urlencode({"q": query, "offset": max(0, offset - PAGE_SIZE)}) if offset else ""
        if offset + PAGE_SIZE > _MAX_OFFSET:
            older = ""
        return self._page("search.html", query=query, result=result, offset=offset, older=older, newer=newer)

    async def article(self, request: Request) -> Response:
        """Return the page of an article."""
        article_id: int = request.path_params["article_id"]
        async with asyncio.timeout(_PATIENCE.total_seconds()):
            shown = await self._open_corpus().article(article_id) if article_id < _MAX_ID else None
        if shown is None:
            raise HTTPException(404, f"there is no article {article_id}")
        return self._page("article.html", shown=shown)

    async def failed(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        """Return the page for a request that cannot be served, with what to do."""
        status = error.status_code if isinstance(error, HTTPException) else 503
        detail = error.detail if isinstance(error, HTTPException) else str(error)
        headers = error.headers if isinstance(error, HTTPException) else None
        detail = detail or "the store did not answer in time: try again in a moment"
        return self._page("error.html", status=status, detail=detail, headers=headers)

    def _page(
        self, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: object
    ) -> Response:
        page = self._templates.get_template(template)
        query = values.pop("query", "")
        body = page.render(health=self._health(), now=self._clock.now(), status=status, query=query, **values)
        return HTMLResponse(body, status_code=status, headers=headers)

    def _open_corpus(self) -> ShownCorpus:
        corpus = self._corpus()
        if corpus is None:
            raise HTTPException(503, "the store is not open: the daemon is starting or stopping")
        return corpus

    async def _hours(self) -> Mapping[tuple[datetime, str], int]:
        """Return the outcomes by hour, as far as the store answers; only what is new since the last query is read."""
        corpus = self._corpus()
        if corpus is None:
            return {}
        known = self._activity if self._activity and self._activity[0] is corpus else None
        if known and self._clock.monotonic() - known[2] < _ACTIVITY_AGE.total_seconds():
            return known[1].hours
        before = known[1] if known else ActivityCounts(hours={}, last_event=0)
        try:
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                new = await corpus.activity(after=before.last_event)
        except (StoreError, TimeoutError) as exc:
            log.warning("web.store_silent", error=str(exc) or "no answer in time")
            return before.hours
        hours = Counter(before.hours)
        hours.update(new.hours)
        self._activity = corpus, ActivityCounts(hours=hours, last_event=new.last_event), self._clock.monotonic()
        return hours


_MAX_ID: Final = 1 << 63  # ids have 64 bits in both databases


def _number(written: str, *, most: int) -> int:
    """Return a number from 0 to `most`; 0 for anything else."""
    return min(int(written), most) if written.isascii() and written.isdigit() and len(written) < 10 else 0
