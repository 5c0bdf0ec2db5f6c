"""What the pages are drawn with: the templates of this package, and the plots of the overview.

Every value in a page is escaped: markup by the templates, control characters by `finalize`. An address is a link only
if it is one of the web.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from worker.charset.characters import one_line, shortened
from worker.config.types import format_age, format_countdown, format_duration, format_rounded
from worker.logs import escape as visible
from worker.models import Alarm, Health, State, StoreStats
from worker.models.base import dataclass, format_utc
from worker.models.records import LOST, AlignedPassage, source_warnings

# The plots of the overview: how candidates ended, in hours, days and weeks.

KINDS: Final[Mapping[str, frozenset[str]]] = {
    "stored": frozenset({"stored", "revised"}),
    "copies": frozenset({"duplicate"}),
    "rejected": frozenset({"rejected", "blocked", LOST}),
    "failed": frozenset({"failed"}),
}
"""What the plots show, and the states that count for it; the order is that of the stack, from below."""
_KIND_OF: Final = {state: kind for kind, states in KINDS.items() for state in states}
_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
SPANS: Final = (("hour", _HOUR, 48, "%d %b %H:00"), ("day", _DAY, 30, "%d %b"), ("week", _WEEK, 12, "%d %b"))
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


def plots(hours: Mapping[tuple[datetime, str], int], *, now: datetime) -> tuple[Plot, ...]:
    """Return the plots of all spans."""
    return tuple(plot(span, hours, now=now) for span, *_ in SPANS)


def plot(span: str, hours: Mapping[tuple[datetime, str], int], *, now: datetime) -> Plot:
    """Return the plot of an `hour`, a `day` or a `week` a bar, from numbers by hour and state."""
    length, count, form = next((length, count, form) for name, length, count, form in SPANS if name == span)
    last = _MONDAY + (now - _MONDAY) // length * length
    first = last - length * (count - 1)
    columns: dict[datetime, Counter[str]] = {first + length * place: Counter() for place in range(count)}
    for (hour, state), number in hours.items():
        # The numbers of twelve weeks are some thousands: those of other times cost a comparison.
        if hour >= first and (kind := _KIND_OF.get(state)) and (place := (hour - first) // length) < count:
            columns[first + length * place][kind] += number
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


# What needs a person, and what the overview says of the worker.


def warned(figures: StoreStats | None, *, now: datetime) -> dict[str, tuple[Alarm, ...]]:
    """Return the problems of each source."""
    sources = figures.sources if figures else ()
    return {each.name: tuple(source_warnings(each, now=now)) for each in sources}


def daemon_alarms(daemon: str | None, figures: StoreStats | None, *, now: datetime) -> tuple[Alarm, ...]:
    """Return an alarm if no daemon is running on a store (`daemon` is empty), or if that is not known (None)."""
    if daemon is None:
        hidden = "A connection pooler hides it, or its lock file cannot be read."
        return (Alarm(what="whether a daemon is running is not known", since=now, detail=hidden),)
    if daemon:
        return ()
    polls = [each.state.polled_at for each in figures.sources if each.state.polled_at] if figures else []
    last = f"The last poll was at {format_utc(max(polls))}. " if polls else ""
    detail = f"{last}Start `corpus-worker run`, or poll the sources once with `corpus-worker ingest`."
    return (Alarm(what="no daemon is running", since=max(polls, default=now), detail=detail),)


def beginning_of(alarm: Alarm, *, now: datetime) -> str:
    """Return when an alarm began, for its id in a feed: to the day if nobody knows, else it were new at every visit."""
    return f"{alarm.since:%Y%m%d}" if alarm.since >= now else f"{alarm.since:%Y%m%dT%H%M%SZ}"


def summary(health: Health, alarms: Sequence[Alarm], *, daemon: str | None, needs_look: bool) -> str:
    """Return the state in one sentence. `daemon` is the one beside this server, None where this is the daemon.

    `alarms` are those of the worker; `needs_look` is whether anything else needs a person.
    """
    if not health.ok:
        return f"Something is wrong: {health.reason}"
    if alarms:
        return f"{'; '.join(each.what for each in alarms).capitalize()}: see below."
    if daemon:
        return f"The store answers, and a daemon is running: {daemon}{'; see below what needs a person' * needs_look}."
    return "The store and the daemon are well; see below what needs a person." if needs_look else "Everything is well."


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of the worker and its store, in one sentence in `summary`; `warnings` are the problems of each source.

    `alarms` are those of the worker. `lost` counts the pages that errors of the worker have cost in the last week.
    `daemon` is the daemon on the store: empty if none is running, null if unknown or if it serves this page itself.
    """

    summary: str
    health: Health
    daemon: str | None
    alarms: tuple[Alarm, ...]
    figures: StoreStats | None
    plots: tuple[Plot, ...]
    warnings: Mapping[str, tuple[Alarm, ...]]
    lost: int


# The templates.

# Whatever a text, its history or its source is like, a page stays below 150 kB; its twin as data has all of it.

_MAX_TEXT: Final = 50_000  # bytes of the markup of a text; chosen: some 8,000 words of Vietnamese
_MAX_SHARED: Final = 400  # characters of a passage that both have; its beginning and end say what it is
_MAX_PASSAGE: Final = 4_000  # characters of a passage that one has, as `parts.html` shows it
_MAX_URL, _MAX_PIECE = 200, 30  # characters of a shown URL, and of a part of it that stays on one line
_URL_PIECE: Final = re.compile(rf"[^/?&=._-]{{1,{_MAX_PIECE}}}[/?&=._-]*|[/?&=._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownText:
    """The paragraphs of a text that a page shows, and whether there are more of them."""

    lines: tuple[str, ...]
    is_cut: bool


def paragraphs(text: str) -> ShownText:
    """Return the paragraphs of a text, up to a size; blank ones are left out."""
    lines, left = [], _MAX_TEXT
    for line in filter(str.strip, text.split("\n")):
        size = len(escape(visible(line[:_MAX_TEXT])).encode(errors="replace")) + len("<p></p>\n")
        if size > left or len(line) > _MAX_TEXT:
            lines.append(line[: min(len(line), _MAX_TEXT) * left // size])
            return ShownText(lines=tuple(lines), is_cut=True)
        lines.append(line)
        left -= size
    return ShownText(lines=tuple(lines), is_cut=False)


def within(texts: Iterable[str], size: int) -> Iterator[str]:
    """Yield texts up to a number of characters; the last of them may be cut."""
    for text in texts:
        if size <= 0:
            return
        yield text[:size]
        size -= len(text)


def bounded(passages: Iterable[AlignedPassage], size: int) -> Iterator[AlignedPassage]:
    """Yield passages up to a number of characters; what both texts have is shortened in the middle."""
    for each in passages:
        shown = each
        if each.shared:
            shown = replace(each, text=shortened(each.text, _MAX_SHARED), other=shortened(each.other, _MAX_SHARED))
        size -= min(len(shown.text), _MAX_PASSAGE) + min(len(shown.other), _MAX_PASSAGE)
        if size < 0:
            return
        yield shown


def breakable(url: str) -> Markup:
    """Return a URL that goes to the next line after a sign of punctuation; a very long one without its end."""
    pieces = _URL_PIECE.findall(visible(url[:_MAX_URL]) + "…" * (len(url) > _MAX_URL))
    return Markup("<wbr>").join(map(escape, pieces))


_MAX_TITLE: Final = 300  # letters; chosen: longer than any headline, and a page of hundred titles stays below 150 kB


def load_templates() -> None:
    """Compile all templates, which takes as long as several visits."""
    for name in environment().list_templates():
        environment().get_template(name)


@cache
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
        "moment": format_utc, "web_address": web_address, "number": "{:,}".format, "one_line": one_line,
        "counted": counted, "titled": titled, "with_code": with_code, "breakable": breakable,
        "paragraphs": paragraphs, "within": within, "compared": bounded, "sized": sized,
    }  # fmt: skip
    made.globals |= {"kinds": tuple(KINDS), "states": tuple(State)}
    return made


def _shown(value: object) -> object:
    """Return text with control characters made visible; None is shown as nothing."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def sized(count: int) -> str:
    """Return a number of bytes with three digits or so: `6.0 GB`."""
    unit, power = next((each for each in (("GB", 10**9), ("MB", 10**6)) if count >= each[1]), ("kB", 10**3))
    return f"{count / power:,.1f} {unit}"


def titled(text: str | None) -> str:
    """Return a title as it is shown: on one line, at most some lines of it, and `no title` for an empty one."""
    flat = one_line(text or "")
    if len(flat) > _MAX_TITLE:
        flat = f"{flat[:_MAX_TITLE].rpartition(' ')[0] or flat[:_MAX_TITLE]} …"
    return flat or "no title"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with the noun in its form: `1 text`, `2 texts`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def with_code(text: str) -> Markup:
    """Return a text with what is between backticks as code; nothing else in it is markup."""
    pieces = visible(text).split("`")
    if len(pieces) % 2 == 0:  # one of them has no partner
        pieces[-2:] = ["`".join(pieces[-2:])]
    code, plain = Markup("<code>{}</code>"), Markup("{}")
    return Markup("").join((code if place % 2 else plain).format(each) for place, each in enumerate(pieces))


def web_address(url: str) -> str:
    """Return a URL that may be a link: one of the web; empty for all others, such as `javascript:`."""
    return url if url.lower().startswith(("http://", "https://")) else ""
