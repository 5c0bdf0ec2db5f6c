"""The feeds: RSS 2.0, Atom 1.0 and JSON Feed 1.1 of a list of entries."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from html import escape
from typing import Final

from tests.newsroom.replies import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a feed."""

    url: str
    title: str
    summary: str
    author: str
    published: datetime
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a feed says about itself."""

    title: str
    home: str
    url: str


def rss(heading: Heading, entries: Sequence[Entry]) -> Reply:
    """Return the entries as RSS 2.0, which has no field for a later change."""
    items = "".join(
        f"<item>\n<title>{escape(entry.title)}</title>\n<link>{escape(entry.url)}</link>\n"
        f'<description><![CDATA[<a href="{entry.url}"><img src="{entry.url}.jpg"></a>{entry.summary}]]></description>\n'
        f'<dc:creator>{escape(entry.author)}</dc:creator>\n<guid isPermaLink="true">{escape(entry.url)}</guid>\n'
        f"<pubDate>{format_datetime(entry.published)}</pubDate>\n</item>\n"
        for entry in entries
    )
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/">\n'
        f"<channel>\n<title>{escape(heading.title)}</title>\n<link>{escape(heading.home)}</link>\n"
        f"<description>{escape(heading.title)}</description>\n<language>vi</language>\n{items}</channel>\n</rss>\n"
    )
    return Reply(body=text.encode(), content_type="application/rss+xml; charset=utf-8")


def atom(heading: Heading, entries: Sequence[Entry]) -> Reply:
    """Return the entries as Atom 1.0 (RFC 4287)."""
    items = "".join(
        f"<entry>\n<title>{escape(entry.title)}</title>\n<id>{escape(entry.url)}</id>\n"
        f'<link rel="alternate" href="{escape(entry.url)}"/>\n<author><name>{escape(entry.author)}</name></author>\n'
        f"<published>{entry.published.isoformat()}</published>\n<updated>{entry.modified.isoformat()}</updated>\n"
        f"<summary>{escape(entry.summary)}</summary>\n</entry>\n"
        for entry in entries
    )
    newest = max((entry.modified.isoformat() for entry in entries), default="2026-03-01T00:00:00+07:00")
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="vi">\n'
        f"<title>{escape(heading.title)}</title>\n<id>{escape(heading.home)}</id>\n<updated>{newest}</updated>\n"
        f'<link rel="self" href="{escape(heading.url)}"/>\n<link href="{escape(heading.home)}"/>\n{items}</feed>\n'
    )
    return Reply(body=text.encode(), content_type="application/atom+xml; charset=utf-8")


def json_feed(heading: Heading, entries: Sequence[Entry]) -> Reply:
    """Return the entries as JSON Feed 1.1."""
    items = [
        {
            "id": entry.url,
            "url": entry.url,
            "title": entry.title,
            "summary": entry.summary,
            "date_published": entry.published.isoformat(),
            "date_modified": entry.modified.isoformat(),
            "authors": [{"name": entry.author}],
        }
        for entry in entries
    ]
    described = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": heading.title,
        "home_page_url": heading.home,
        "feed_url": heading.url,
        "language": "vi",
        "items": items,
    }
    body = json.dumps(described, ensure_ascii=False, indent=1).encode()
    return Reply(body=body, content_type="application/feed+json; charset=utf-8")


FEEDS: Final[dict[str, Callable[[Heading, Sequence[Entry]], Reply]]] = {"rss": rss, "atom": atom, "json": json_feed}
