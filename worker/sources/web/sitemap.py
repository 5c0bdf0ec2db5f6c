"""Read sitemaps (sitemaps.org): indexes, URL sets, news sitemaps, text sitemaps and feeds, gzipped or not.

`parse_sitemap` is for a regular poll: it returns the recent articles and the child sitemaps to read next.
`iter_sitemap` takes any time window and yields portions, so that a sitemap of any size needs little memory; `backfill`
uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import chain, islice
from typing import cast

from lxml import etree

from worker import urls
from worker.charset import decode_plain
from worker.dates.parsing import plausible_date, read_date, source_zone
from worker.dates.periods import TimeWindow, lies_within, period_in_name, recent_window
from worker.errors import SourceError
from worker.models import Discovery, Page, Source
from worker.models.base import dataclass
from worker.sources.content import ContentKind, gunzip, iter_gunzipped, sniff_content
from worker.sources.entries import Entry, EntryFilter, LinkPolicy, build_discovery, link_policy
from worker.sources.feed.parser import parse_feed
from worker.sources.markup import refuse_hostile_markup, repair_xml

# Streaming of the entries of a sitemap.

_MAX_TEXT = 8192  # characters of a date or title; bounds what a hostile sitemap keeps in memory
_NOT_DAMAGE = "NS_"  # prefix of libxml2's namespace errors, which lose nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class SitemapEntry:
    """One `<url>` or `<sitemap>` element as written: URL, `lastmod`, and the fields of Google's news extension."""

    url: str
    leads_to_sitemap: bool
    lastmod: str | None = None
    published: str | None = None
    title: str | None = None


@dataclass(slots=True)
class SitemapProblems:
    """What could not be read of a sitemap although it was repaired.

    `broken` is the first error of the parser, `without_address` the number of entries without a URL.
    """

    broken: str = ""
    without_address: int = 0

    def notes(self) -> tuple[str, ...]:
        """Return one sentence for each kind of problem."""
        broken = f"the sitemap is not well-formed; what could be read was read ({self.broken})"
        count = f"{self.without_address:,} left out: an entry of the sitemap without an address"
        return (*((broken,) if self.broken else ()), *((count,) if self.without_address else ()))


def iter_entries(
    pieces: Iterable[bytes], *, url: str, problems: SitemapProblems, content_type: str | None = None
) -> Iterator[SitemapEntry]:
    """Yield the entries of a sitemap given as pieces of bytes; damage that cannot be repaired is noted in `problems`.

    Entities declared by the document are not resolved. Raises SourceError for hostile markup.
    """
    parser = etree.XMLPullParser(
        ("end",), recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    for piece in repair_xml(pieces, content_type=content_type):
        try:
            refuse_hostile_markup(piece)
        except SourceError as exc:
            raise SourceError(f"{url}: {exc}") from exc
        try:
            parser.feed(piece)
        except etree.XMLSyntaxError as exc:
            problems.broken = _in_words(exc.lineno, str(exc.msg))
            return
        yield from _ended(parser, problems)
    with suppress(etree.XMLSyntaxError):
        parser.close()
    problems.broken = _first_error(parser)


def _first_error(parser: etree.XMLPullParser) -> str:
    for error in parser.feed_error_log:
        if error.level >= etree.ErrorLevels.ERROR and not error.type_name.startswith(_NOT_DAMAGE):
            return _in_words(error.line, error.message)
    return ""


def _in_words(line: int | None, message: str) -> str:
    return f"line {line}: {' '.join(message.split())[:200]}"


def _ended(parser: etree.XMLPullParser, problems: SitemapProblems) -> Iterator[SitemapEntry]:
    """Yield the entries whose end tag the parser has read since the last call, and free their memory."""
    for _, ended in parser.read_events():
        element = cast("etree._Element", ended)  # noqa: SLF001 - lxml gives its element no other name
        name = _local(element)
        if name in {"url", "sitemap"}:
            entry = _entry_of(element, leads_to_sitemap=name == "sitemap")
            _free_memory(element)
            if entry.url:
                yield entry
            else:
                problems.without_address += 1


def _entry_of(element: etree._Element, *, leads_to_sitemap: bool) -> SitemapEntry:
    """Return the entry in a `<url>` or `<sitemap>` element."""
    fields = {_local(child): _text(child) for child in element if _local(child) not in {"news", "loc"}}
    # Some sites write the URL without `<loc>`. It is not shortened: part of a URL is another URL.
    address = next((child.text for child in element if _local(child) == "loc"), element.text)
    news = next((child for child in element if _local(child) == "news"), None)
    news_fields = {} if news is None else {_local(child): _text(child) for child in news}
    return SitemapEntry(
        url=(address or "").strip(),
        leads_to_sitemap=leads_to_sitemap,
        lastmod=fields.get("lastmod") or None,
        published=news_fields.get("publication_date") or None,
        title=news_fields.get("title") or None,
    )


def _free_memory(element: etree._Element) -> None:
    """Remove an element's content and its earlier siblings from the tree."""
    element.clear()
    parent = element.getparent()
    while parent is not None and (earlier := element.getprevious()) is not None:
        parent.remove(earlier)


def _text(element: etree._Element) -> str:
    return (element.text or "")[:_MAX_TEXT].strip()


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


# Selection of the entries in a time window.

# Inflated bytes: four times the 50 MB that sitemaps.org allows. Chosen, not measured.
MAX_BYTES = 200 * 1024 * 1024
_SAMPLE = 200  # entries looked at for a repeated `lastmod`
_PORTION = 500  # articles yielded at a time; portions save about 15 MB of memory on a sitemap of 150,000 URLs
# How many entries with the same `lastmod` show that it is the time of the file: in an index, and in a URL set.
_SAME_CLOCK = {True: 3, False: 10}
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _OutsideCount:
    """The number of entries outside the time window."""

    count: int = 0

    def note(self) -> tuple[str, ...]:
        """Return a sentence with the count, unless it is zero."""
        return (f"{self.count:,} left out: dated outside the requested period",) if self.count else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _SitemapQuery:
    """The time window, the predicate `is_inside` for an entry's URL and dates, and the current time."""

    window: TimeWindow
    is_inside: Callable[..., bool]
    now: datetime


def parse_sitemap(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return the recent articles of a sitemap (see `recent_window`) and the sitemaps to read next."""
    return read_sitemap(page, source, window=recent_window(source, now=now), now=now)


def read_sitemap(
    page: Page, source: Source, *, window: TimeWindow, now: datetime, changed_later: bool = False
) -> Discovery:
    """Return the articles of a sitemap in a time window, and the further sitemaps to read, the newest first.

    Entries without a plausible date count as inside; `worker.dates.periods.lies_within` has the rules and explains
    `changed_later`. Raises SourceError if the page is no sitemap.
    """
    parts = list(iter_sitemap(page, source, window=window, now=now, changed_later=changed_later))
    return replace(parts[-1], candidates=tuple(each for part in parts for each in part.candidates))


def iter_sitemap(
    page: Page, source: Source, *, window: TimeWindow, now: datetime, changed_later: bool = False
) -> Iterator[Discovery]:
    """Yield the result of `read_sitemap` in portions of at most 500 articles; the last one has everything else."""
    kind = sniff_content(page.body)
    if kind is ContentKind.FEED:
        yield parse_feed(page, source, now=now)
        return
    policy = link_policy(source, page)
    if kind in {ContentKind.URLS, ContentKind.TEXT}:
        lines = decode_plain(gunzip(page.body, limit=MAX_BYTES)).split()
        entries = (Entry(link=line) for line in lines if line.startswith("http"))
        yield build_discovery(entries, page=page, source=source, policy=policy, now=now)
        return
    if kind not in {ContentKind.SITEMAP, ContentKind.XML}:
        raise SourceError(f"{page.url}: this is {kind.value}, not a sitemap; check the address and the source's kind")
    is_inside = partial(lies_within, window, period=period_in_name(page.final_url), changed_later=changed_later)
    yield from _xml(page, source, policy=policy, query=_SitemapQuery(window=window, is_inside=is_inside, now=now))


def _xml(page: Page, source: Source, *, policy: LinkPolicy, query: _SitemapQuery) -> Iterator[Discovery]:
    """Yield the content of an XML sitemap: portions of articles, or one discovery with the child sitemaps."""
    problems = SitemapProblems()
    pieces = iter_gunzipped(page.body, limit=MAX_BYTES)
    found = iter_entries(pieces, url=page.url, problems=problems, content_type=page.content_type)
    first = next(found, None)
    if first is None:
        yield Discovery(notes=("the sitemap is empty", *problems.notes()), skipped=problems.without_address)
        return
    found = _without_false_lastmod(chain((first,), found))
    outside = _OutsideCount()
    if first.leads_to_sitemap:
        index = _index(found, page, policy=policy, query=query, outside=outside)
        skipped = index.skipped + problems.without_address
        yield replace(index, notes=(*index.notes, *problems.notes()), skipped=skipped)
        return
    entry_filter = EntryFilter(page=page, source=source, policy=policy, now=query.now)
    candidates = entry_filter.iter_candidates(_entries(found, query, zone=source_zone(source), outside=outside))
    while portion := tuple(islice(candidates, _PORTION)):
        yield Discovery(candidates=portion)
    yield Discovery(
        skipped=entry_filter.skipped.total() + problems.without_address,
        offsite=entry_filter.offsite,
        offsite_examples=tuple(entry_filter.offsite_examples),
        out_of_range=outside.count,
        notes=(*entry_filter.notes(), *outside.note(), *problems.notes()),
    )


def _without_false_lastmod(found: Iterator[SitemapEntry]) -> Iterator[SitemapEntry]:
    """Drop `lastmod` if all first entries share one: then it is the time at which the file was generated."""
    sample = list(islice(found, _SAMPLE))
    alike = len({entry.lastmod for entry in sample}) == 1
    if not alike or len(sample) < _SAME_CLOCK[sample[0].leads_to_sitemap]:
        return chain(sample, found)
    return (replace(entry, lastmod=None) for entry in chain(sample, found))


def _entries(
    found: Iterable[SitemapEntry], query: _SitemapQuery, *, zone: tzinfo, outside: _OutsideCount
) -> Iterator[Entry]:
    for entry in found:
        published = plausible_date(read_date(entry.published, zone=zone), now=query.now)
        modified = plausible_date(read_date(entry.lastmod, zone=zone), now=query.now)
        if entry.leads_to_sitemap or not query.is_inside(url=entry.url, published=published, modified=modified):
            outside.count += 1
            continue
        yield Entry(link=entry.url, title=entry.title, published_at=published, modified_at=modified)


def _index(
    found: Iterable[SitemapEntry], page: Page, *, policy: LinkPolicy, query: _SitemapQuery, outside: _OutsideCount
) -> Discovery:
    """Return the child sitemaps that may have entries in the window, the newest first."""
    children: list[tuple[datetime, str]] = []
    offsite = 0
    for entry in found:
        try:
            url = urls.resolve(entry.url, base=page.final_url)
        except SourceError:
            offsite += 1
            continue
        modified, period = plausible_date(read_date(entry.lastmod, zone=UTC), now=query.now), period_in_name(url)
        if not policy.allows(url):
            offsite += 1
        elif _may_contain(query.window, modified, period):
            children.append((modified or (period and period.end) or _NEVER, url))
        else:
            outside.count += 1
    # Undated ones first: the sitemap of the latest news often has no `lastmod`.
    children.sort(key=lambda child: (child[0] is not _NEVER, -child[0].timestamp() if child[0] is not _NEVER else 0.0))
    offsite_note = (f"{offsite:,} left out: sitemaps of other sites, or no addresses",) if offsite else ()
    return Discovery(
        follow=tuple(dict.fromkeys(url for _, url in children)), skipped=offsite, notes=(*offsite_note, *outside.note())
    )


def _may_contain(window: TimeWindow, modified: datetime | None, period: TimeWindow | None) -> bool:
    """Return whether a child sitemap may have entries in a time window, by its `lastmod` and the period in its name."""
    if modified and window.start and modified < window.start:
        return False
    return period is None or window.overlaps(period)
