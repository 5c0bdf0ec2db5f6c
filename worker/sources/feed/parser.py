"""Read feeds: RSS 0.9x to 2.0, RDF, Atom 0.3 and 1.0, CDF, JSON Feed 1.x.

`parse_feed` returns the candidates of a fetched feed, `read_feed` its entries as written. XML feeds are decoded
(`worker.sources.markup`), cut down if large or risky (`sanitise`) and parsed by feedparser; JSON feeds are read here.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from time import struct_time

import feedparser

from worker import urls
from worker.charset import read_json
from worker.dates.parsing import correct_date, date_text, read_date, source_zone
from worker.errors import SourceError
from worker.models import Discovery, Page, Source
from worker.models.base import dataclass
from worker.sources.content import ContentKind, gunzip, sniff_content
from worker.sources.entries import Entry, build_discovery, clean_title, link_policy
from worker.sources.feed.full_text import TextBudget, full_text
from worker.sources.feed.sanitise import MAX_ENTRIES, sanitise_feed
from worker.sources.markup import to_utf8

# JSON Feed 1.0 and 1.1 (jsonfeed.org).


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFeed:
    """The content of a JSON feed; see `Feed` for the fields."""

    entries: tuple[Entry, ...]
    rest: bytes
    title: str | None
    site: str
    older: str | None


def read_json_feed(body: bytes, *, url: str, zone: tzinfo) -> JsonFeed:
    """Read a JSON feed; missing members and members of a wrong type are ignored.

    Raises SourceError if the body is no JSON or no object with a list of `items`.
    """
    document = _load_json(body, url)
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(items, list):
        raise SourceError(f"{url}: this is JSON, but no JSON Feed (it has no list of items); check the address")
    budget = TextBudget()
    return JsonFeed(
        entries=tuple(_entry(item, zone, budget) for item in items[:MAX_ENTRIES] if isinstance(item, dict)),
        rest=json.dumps({**document, "items": items[MAX_ENTRIES:]}).encode() if len(items) > MAX_ENTRIES else b"",
        older=_text(document, "next_url"),
        title=_text(document, "title"),
        site=_text(document, "home_page_url") or "",
    )


def _load_json(body: bytes, url: str) -> object:
    try:
        return read_json(body)
    except (ValueError, RecursionError) as exc:
        raise SourceError(f"{url}: this looks like JSON but cannot be read ({exc}); check the address") from exc


def _entry(item: dict[str, object], zone: tzinfo, budget: TextBudget) -> Entry:
    identity = _text(item, "id")
    link = _text(item, "url") or _text(item, "external_url")
    if not link and identity and identity.startswith(("http://", "https://")):
        link = identity
    return Entry(
        link=link or "",
        title=_text(item, "title"),
        published_at=read_date(date_text(item.get("date_published")), zone=zone),
        modified_at=read_date(date_text(item.get("date_modified")), zone=zone),
        external_id=identity,
        fallback=_json_full_text(item, budget),
    )


def _json_full_text(item: dict[str, object], budget: TextBudget) -> str | None:
    """Return the text of an item if it is complete and fits into the budget; HTML is preferred to plain text."""
    markup, plain = item.get("content_html"), item.get("content_text")
    if isinstance(markup, str) and markup and budget.reserve(len(markup)):
        return full_text(markup)
    return full_text(plain, marked_up=False) if isinstance(plain, str) and budget.reserve(len(plain)) else None


def _text(members: dict[str, object], name: str) -> str | None:
    """Return a member that is a string or an integer (ids often are) as a string."""
    value = members.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


# XML feeds.

_MAX_BYTES = 100 * 1024 * 1024  # inflated bytes; four times a feed of 100,000 entries (26 MB, docs/discovery.md)
_MAX_PARTS = 3  # content elements of an entry that are tried; each costs a look at a text that may be large
_NOT_A_FEED = {
    ContentKind.EMPTY: "the answer is empty",
    ContentKind.HTML: 'this is an HTML page, not a feed; give the address of the feed, or set kind = "listing"',
    ContentKind.SITEMAP: 'this is a sitemap, not a feed; set kind = "sitemap"',
    ContentKind.OPML: "this is a list of feeds (OPML), not a feed; import it instead",
    ContentKind.BINARY: "this is binary data, not a feed; check the address",
    ContentKind.URLS: 'this is a list of URLs, not a feed; set kind = "urls"',
    ContentKind.WARC: 'this is a WARC file, not a feed; set kind = "warc"',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The content of a feed: its entries in document order, its title, and notes for people.

    `site`: the URL that the feed gives as its home page. `older`: the URL of the previous part of a paged or archived
    feed (RFC 5005, sections 3 and 4). `rest`: a feed of the unread entries, if there were more than `MAX_ENTRIES`.
    """

    entries: tuple[Entry, ...]
    title: str | None = None
    site: str = ""
    older: str = ""
    rest: bytes = b""
    notes: tuple[str, ...] = ()


def parse_feed(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return the candidates in a feed; raises SourceError if the page is no feed.

    Entries that link to other sites are dropped and counted, unless the feed names that site as its home page or the
    source's option `other_sites` is `follow`; of such an entry only the URL is used. Of a feed with very many entries
    the newest are read, and `rest` is a page with the others.
    """
    feed = read_feed(page, zone=source_zone(source))
    notes = feed.notes if feed.entries else (*feed.notes, "the feed has no entries")
    found = build_discovery(
        feed.entries,
        page=page,
        source=source,
        policy=link_policy(source, page, claimed=feed.site),
        now=now,
        notes=notes,
        title=feed.title,
    )
    return replace(found, rest=replace(page, body=feed.rest)) if feed.rest else found


def read_feed(page: Page, *, zone: tzinfo = UTC) -> Feed:
    """Read a feed in any format, as far as it is undamaged. Raises SourceError if the page is no feed.

    Dates without a time zone are in `zone`.
    """
    body = gunzip(page.body, limit=_MAX_BYTES)
    kind = sniff_content(body)
    if kind in _NOT_A_FEED:
        raise SourceError(f"{page.url}: {_NOT_A_FEED[kind]}")
    if kind is ContentKind.JSON:
        document = read_json_feed(body, url=page.url, zone=zone)
        return Feed(
            entries=document.entries,
            title=document.title,
            site=document.site,
            older=_absolute(document.older, page.final_url),
            rest=document.rest,
        )
    return _read_xml(body, page, zone)


def _read_xml(body: bytes, page: Page, zone: tzinfo) -> Feed:
    """Read an XML feed with feedparser after decoding and sanitising it."""
    cut = sanitise_feed(to_utf8(body, page.content_type))
    parsed = _parsed(cut.body, page)
    if not parsed.get("entries") and not parsed.get("version"):
        raise SourceError(
            f"{page.url}: this is neither RSS, Atom nor JSON Feed; check the address and the source's kind"
        )
    notes = [*_cut_short(cut.entries)]
    if parsed.bozo and isinstance(parsed.get("bozo_exception"), Exception) and not _harmless(parsed):
        notes.append(f"the feed is not well-formed; what could be read was read ({_cause(parsed)})")
    return Feed(
        entries=tuple(_entries(parsed, page, zone)),
        title=clean_title(parsed.feed.get("title")),
        site=_absolute(parsed.feed.get("link"), page.final_url),
        older=_older(parsed, page.final_url),
        rest=cut.rest,
        notes=tuple(notes),
    )


def _cut_short(entries: int) -> tuple[str, ...]:
    read = f"the feed has {entries:,} entries; the newest {MAX_ENTRIES:,} were read"
    return (read,) if entries > MAX_ENTRIES else ()


def _parsed(body: bytes, page: Page) -> feedparser.FeedParserDict:
    headers = {"content-location": page.final_url}
    try:
        # Never pass bytes or a string: feedparser would open one that looks like a path or a URL.
        return feedparser.parse(
            io.BytesIO(body), response_headers=headers, sanitize_html=False, resolve_relative_uris=False
        )
    except Exception as exc:
        raise SourceError(f"{page.url}: the feed cannot be read ({type(exc).__name__}); check it in a browser") from exc


def _harmless(parsed: feedparser.FeedParserDict) -> bool:
    """Return whether feedparser only reports a wrong encoding or content type, which loses nothing."""
    return isinstance(parsed.bozo_exception, feedparser.CharacterEncodingOverride | feedparser.NonXMLContentType)


def _cause(parsed: feedparser.FeedParserDict) -> str:
    return " ".join(str(parsed.bozo_exception).split())[:200]


def _entries(parsed: feedparser.FeedParserDict, page: Page, zone: tzinfo) -> Iterator[Entry]:
    """Yield the entries of a parsed feed with their dates, links and full texts."""
    budget = TextBudget()
    for item in parsed.entries[:MAX_ENTRIES]:
        published = _date(item, "published", zone)
        updated = _date(item, "updated", zone)
        yield Entry(
            link=_link(item, page),
            title=item.get("title"),
            published_at=published or updated or _date(item, "created", zone),
            modified_at=updated,
            external_id=item.get("id") or None,
            base=page.final_url,
            fallback=_full_text(item, budget),
        )


def _link(item: feedparser.FeedParserDict, page: Page) -> str:
    """Return the URL of an entry's page: the original of a FeedBurner link, the link, or an id that is a URL."""
    link: str = item.get("feedburner_origlink") or item.get("link") or ""
    if link and not _is_front(link, page):
        return link
    identity: str = item.get("id") or ""
    return identity if identity.startswith(("http://", "https://")) else link


def _is_front(link: str, page: Page) -> bool:
    try:
        return urls.is_home(urls.resolve(link, base=page.final_url))
    except SourceError:
        return True


def _date(item: feedparser.FeedParserDict, name: str, zone: tzinfo) -> datetime | None:
    """Return one of an entry's dates; feedparser's result is corrected by our own reading, see `correct_date`."""
    if name not in item:
        # Without `updated`, a feedparser dictionary returns `published` for it.
        return None
    written, parsed = item.get(name), item.get(f"{name}_parsed")
    if not isinstance(written, str):
        return None
    if not isinstance(parsed, struct_time):
        return read_date(written, zone=zone)
    try:
        found = datetime(*parsed[:6], tzinfo=UTC)
    except ValueError:
        return None
    return correct_date(found, written, zone=zone)


def _older(parsed: feedparser.FeedParserDict, base: str) -> str:
    links = {str(link.get("rel")): link.get("href") for link in parsed.feed.get("links", ())}
    return _absolute(links.get("prev-archive") or links.get("next"), base)


def _full_text(item: feedparser.FeedParserDict, budget: TextBudget) -> str | None:
    """Return the text of an entry if the feed contains it in full and it fits into the budget."""
    for part in item.get("content", ())[:_MAX_PARTS]:
        value, kind = part.get("value"), str(part.get("type") or "")
        if isinstance(value, str) and value and budget.reserve(len(value)):
            return full_text(value, marked_up=kind != "text/plain")
    return None


def _absolute(link: str | None, base: str) -> str:
    try:
        return urls.resolve(link or "", base=base) if link else ""
    except SourceError:
        return ""
