"""The status page for people: plain HTML, everything from outside escaped, no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import Final

from worker.logs import escape as visible
from worker.models import Figures, Health, SourceFigures, State
from worker.quantities import format_duration, short_span, time_since, time_until
from worker.troubles import troubles

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
"""What a browser may do with the page (Content Security Policy): show it in its own style, and nothing else."""

_REFRESH_S: Final = 15


def status_page(health: Health, figures: Figures | None, *, now: datetime) -> str:
    """Return the whole page."""
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
    mood = '<span class="ok">well</span>' if health.ok else f'<span class="bad">{_text(health.reason)}</span>'
    return f'<p>{mood} · <a href="/healthz">healthz</a> · <a href="/metrics">metrics</a></p>'


def _counts(figures: Figures) -> str:
    found = ("found", sum(figures.counts.values()))
    named = [(state.value, figures.counts.get(state, 0)) for state in State]
    rest = [("due now", figures.due), ("in hand", figures.in_hand)]
    names, values = zip(found, *named, *rest, strict=True)
    articles, seeds, texts = figures.articles, figures.seeds, figures.texts
    corpus = (
        f"{texts:,} texts = {articles:,} articles + {seeds:,} seeds - {articles + seeds - texts:,} not exported "
        "(copies and earlier versions)"
    )
    told = "Every address found is in one of the eight states; due now and in hand are parts of pending."
    table = _table(names, [[str(value) for value in values]], numbers=range(len(names)))
    return f"<p>{_text(corpus)}</p>{table}<p>{told}</p>"


def _recent(figures: Figures) -> str:
    if not figures.recent:
        return ""
    ends = sorted({end for counts in figures.recent.values() for end in counts})
    rows = [
        [f"last {format_duration(span)}", *(str(counts.get(end, 0)) for end in ends)]
        for span, counts in sorted(figures.recent.items())
    ]
    told = "What happened in that time; what was decided twice counts twice."
    return f"{_table(['', *ends], rows, numbers=range(1, len(ends) + 1))}<p>{told}</p>"


def _sources(figures: Figures, *, now: datetime) -> str:
    heads = ("source", "last poll", "next", "every", "found", "stored", "of", "newest text", "trouble")
    rows = [_source(each, now=now) for each in figures.sources]
    told = "found: entries of the last poll; stored, of: of the addresses it was the first to name."
    others = sum(figures.counts.values()) - sum(source.known for source in figures.sources)
    rest = f" {others:,} more were brought by targets, or by sources no longer configured." if others > 0 else ""
    return f"{_table(heads, rows, numbers=range(4, 7), bad=8)}<p>{told}{rest}</p>"


def _source(source: SourceFigures, *, now: datetime) -> Sequence[str]:
    state = source.state
    return (
        source.name,
        time_since(state.polled_at, now=now),
        "paused" if source.paused else time_until(state.due_at, now=now),
        short_span(state.interval) if state.interval else "",
        str(state.found),
        str(source.counts.get(State.STORED, 0)),
        str(source.known),
        time_since(source.newest_at, now=now),
        "; ".join(troubles(source, now=now, moment=_moment)),
    )


def _latest(figures: Figures, *, now: datetime) -> str:
    rows = [(str(each.id), time_since(each.at, now=now), each.source, each.title, each.url) for each in figures.latest]
    return _table(("id", "fetched", "source", "title", "address"), rows, numbers=[0]) if rows else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int], bad: int = -1) -> str:
    kinds = {**dict.fromkeys(numbers, ' class="n"'), bad: ' class="bad"'}
    head = "".join(f"<th{kinds.get(place, '')}>{_text(name)}</th>" for place, name in enumerate(heads))
    lines = (
        "".join(f"<td{kinds.get(place, '')}>{_text(value)}</td>" for place, value in enumerate(row)) for row in rows
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"
    )


def _text(value: str) -> str:
    """Return text from anywhere as HTML may hold it."""
    return escape(visible(value))


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")
