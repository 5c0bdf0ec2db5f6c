"""Compares what the worker reads out of feed files with what feedparser does, and explains each difference."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import feedparser

from worker import urls
from worker.errors import SourceError
from worker.models import Page
from worker.sources.entries import Entry, clean_title
from worker.sources.feed.parser import read_feed

_HEADER = re.compile(rb"Header:\s*([\w-]+):\s*([^\r\n]*)")
_ADDRESS = "http://127.0.0.1:8097/feed"
_NOW = datetime(2026, 11, 20, tzinfo=UTC)


def agreement(folder: Path) -> Iterator[str]:
    """Yield a line for each collection of feeds, the differences by their explanation, and the slowest file."""
    if not folder.exists():
        yield f"skipped: {folder} is not here"
        return
    totals: dict[str, Counter[str]] = {}
    explained: Counter[str] = Counter()
    slowest = (0.0, Path())
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and "robots" not in path.parts):
        outcome, spent = _compared(file)
        slowest = max(slowest, (spent, file))
        same = outcome in {"same", "no feed to both"}
        totals.setdefault(file.relative_to(folder).parts[0], Counter())["agree" if same else "differ"] += 1
        if not same:
            explained[outcome] += 1
    for name, counts in totals.items():
        yield f"{name}: {counts['agree']:,} of {counts.total():,} files agree ({counts['agree'] / counts.total():.1%})"
    for why, count in explained.most_common():
        yield f"differ, {count}: {why}"
    yield f"slowest: {slowest[0]:.2f} s of CPU, {slowest[1].relative_to(folder)}"


def _compared(file: Path) -> tuple[str, float]:
    body = file.read_bytes()
    said = {name.decode().lower(): value.decode("latin-1").strip() for name, value in _HEADER.findall(body[:2000])}
    address = said.get("content-location", _ADDRESS)
    headers = {
        "content-location": address,
        **({"content-type": said["content-type"]} if "content-type" in said else {}),
    }
    theirs = feedparser.parse(io.BytesIO(body), response_headers=headers)
    started = time.process_time()
    ours = _ours(body, address if address.startswith("http") else _ADDRESS, said)
    spent = time.process_time() - started
    return _difference(body, ours, theirs), spent


def _ours(body: bytes, address: str, said: Mapping[str, str]) -> tuple[Entry, ...] | None:
    page = Page(
        url=address,
        final_url=address,
        status=200,
        body=body,
        fetched_at=_NOW,
        content_type=said.get("content-type"),
    )
    try:
        return read_feed(page).entries
    except SourceError:
        return None


def _difference(body: bytes, ours: tuple[Entry, ...] | None, theirs: feedparser.FeedParserDict) -> str:
    entries = theirs.get("entries", [])
    if not ours and not entries:
        return "same" if ours is not None else "no feed to both"
    if body.lstrip()[:1] in {b"{", b"["}:
        return "JSON, which feedparser does not read"
    if ours is None or len(ours) != len(entries):
        return f"another number of entries ({len(ours or ())} against {len(entries)})"
    return next((why for one, other in zip(ours, entries, strict=True) if (why := _entry(one, other))), "same")


def _entry(one: Entry, other: feedparser.FeedParserDict) -> str:
    link = other.get("feedburner_origlink") or other.get("link") or ""
    if one.link != link:
        return (
            "no link, or one to the front page: the entry's own id is an address and taken" if _vain(link) else "link"
        )
    if (one.external_id or "") != (other.get("id") or ""):
        return "id"
    if clean_title(one.title) != clean_title(other.get("title")):
        return "title: a whole document stands in it" if "<html" in (one.title or "").lower() else "title"
    if one.published_at != _date(other):
        return "date that feedparser cannot read" if _date(other) is None else "date"
    return ""


def _vain(link: str) -> bool:
    try:
        return not link or urls.is_home(link)
    except SourceError:
        return True


def _date(entry: feedparser.FeedParserDict) -> datetime | None:
    for name in ("published", "updated", "created"):
        parsed = entry.get(f"{name}_parsed") if name in entry else None
        if parsed:
            year, month, day, hour, minute, second = parsed[:6]
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return None
