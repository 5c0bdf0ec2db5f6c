"""Reads JSON Feed 1.0 and 1.1 (jsonfeed.org)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import tzinfo

from worker.charset import read_json
from worker.errors import SourceError
from worker.sources.dates import as_written, read_date
from worker.sources.entries import Entry
from worker.sources.fulltext import full_text
from worker.sources.trimming import MAX_ENTRIES, Room


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFeed:
    """A JSON feed as read; `older` is where the part before this one is, `rest` the feed of the entries not read."""

    entries: tuple[Entry, ...]
    rest: bytes
    title: str | None
    site: str
    older: str | None


def read_json_feed(body: bytes, *, url: str, zone: tzinfo) -> JsonFeed:
    """Read a JSON feed, tolerant of missing and mistyped members; raises SourceError where the JSON is no feed."""
    document = _loaded(body, url)
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(items, list):
        raise SourceError(f"{url}: this is JSON, but no JSON Feed (it has no list of items); check the address")
    room = Room()
    return JsonFeed(
        entries=tuple(_entry(item, zone, room) for item in items[:MAX_ENTRIES] if isinstance(item, dict)),
        rest=json.dumps({**document, "items": items[MAX_ENTRIES:]}).encode() if len(items) > MAX_ENTRIES else b"",
        older=_text(document, "next_url"),
        title=_text(document, "title"),
        site=_text(document, "home_page_url") or "",
    )


def _loaded(body: bytes, url: str) -> object:
    try:
        loaded = read_json(body)
    except (ValueError, RecursionError) as exc:
        raise SourceError(f"{url}: this looks like JSON but cannot be read ({exc}); check the address") from exc
    return loaded


def _entry(item: dict[str, object], zone: tzinfo, room: Room) -> Entry:
    identity = _text(item, "id")
    link = _text(item, "url") or _text(item, "external_url")
    if not link and identity and identity.startswith(("http://", "https://")):
        link = identity
    return Entry(
        link=link or "",
        title=_text(item, "title"),
        published_at=read_date(as_written(item.get("date_published")), zone=zone),
        modified_at=read_date(as_written(item.get("date_modified")), zone=zone),
        external_id=identity,
        fallback=_full_text(item, room),
    )


def _full_text(item: dict[str, object], room: Room) -> str | None:
    markup, plain = item.get("content_html"), item.get("content_text")
    if isinstance(markup, str) and markup and room.take(len(markup)):
        return full_text(markup)
    return full_text(plain, marked_up=False) if isinstance(plain, str) and room.take(len(plain)) else None


def _text(members: dict[str, object], name: str) -> str | None:
    value = members.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
