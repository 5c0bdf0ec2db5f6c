"""Reads sitemaps (sitemaps.org): indexes, sets of URLs, news sitemaps, plain text and feeds, gzipped or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
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
from worker.sources.content import ContentKind, gunzip, iter_gunzipped, sniff_content
from worker.sources.entries import Entry, EntryFilter, LinkPolicy, build_discovery, link_policy
from worker.sources.feed.parser import parse_feed
from worker.sources.markup import refuse_hostile_markup, repair_xml

# Streams the places a sitemap names, in memory that does not grow with it.


_MAX_TEXT = 8192
_NOT_DAMAGE = "NS_"


@dataclass(frozen=True, slots=True, kw_only=True)
class SitemapEntry:
    """One `<url>` or `<sitemap>` as written: where it is, when it is said to have changed, and its news fields."""

    url: str
    leads_to_sitemap: bool
    lastmod: str | None = None
    published: str | None = None
    title: str | None = None


@dataclass(slots=True)
class SitemapProblems:
    """What of a sitemap could not be read, although it was mended."""

    broken: str = ""
    without_address: int = 0

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for people about each kind of damage there is."""
        broken = f"the sitemap is not well-formed; what could be read was read ({self.broken})"
        count = f"{self.without_address:,} left out: an entry of the sitemap without an address"
        return (*((broken,) if self.broken else ()), *((count,) if self.without_address else ()))


def iter_entries(
    pieces: Iterable[bytes], *, url: str, damage: SitemapProblems, content_type: str | None = None
) -> Iterator[SitemapEntry]:
    """Yield the places of a sitemap given in pieces; what cannot be mended is noted in `damage`.

    Entities that the document declares have no effect. Raises SourceError for hostile markup.
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
            damage.broken = _in_words(exc.lineno, str(exc.msg))
            return
        yield from _ended(parser, damage)
    with suppress(etree.XMLSyntaxError):
        parser.close()
    damage.broken = _first_error(parser)


def _first_error(parser: etree.XMLPullParser) -> str:
    for error in parser.feed_error_log:
        if error.level >= etree.ErrorLevels.ERROR and not error.type_name.startswith(_NOT_DAMAGE):
            return _in_words(error.line, error.message)
    return ""


def _in_words(line: int | None, message: str) -> str:
    return f"line {line}: {' '.join(message.split())[:200]}"


def _ended(parser: etree.XMLPullParser, damage: SitemapProblems) -> Iterator[SitemapEntry]:
    for _, ended in parser.read_events():
        element = cast("etree._Element", ended)  # noqa: SLF001 - lxml gives its element no other name
        name = _local(element)
        if name in {"url", "sitemap"}:
            place = _place(element, leads_to_sitemap=name == "sitemap")
            _forget(element)
            if place.url:
                yield place
            else:
                damage.without_address += 1


def _place(element: etree._Element, *, leads_to_sitemap: bool) -> SitemapEntry:
    said = {_local(child): _text(child) for child in element if _local(child) not in {"news", "loc"}}
    # Some write the address without `<loc>` around it; a cut one would be another address.
    address = next((child.text for child in element if _local(child) == "loc"), element.text)
    news = next((child for child in element if _local(child) == "news"), None)
    about = {} if news is None else {_local(child): _text(child) for child in news}
    return SitemapEntry(
        url=(address or "").strip(),
        leads_to_sitemap=leads_to_sitemap,
        lastmod=said.get("lastmod") or None,
        published=about.get("publication_date") or None,
        title=about.get("title") or None,
    )


def _forget(element: etree._Element) -> None:
    """Let go of an element and of all that stood before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and (earlier := element.getprevious()) is not None:
        parent.remove(earlier)


def _text(element: etree._Element) -> str:
    return (element.text or "")[:_MAX_TEXT].strip()


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


MAX_BYTES = 200 * 1024 * 1024
_SAMPLE = 200
_PORTION = 500
_SAME_CLOCK = {True: 3, False: 10}
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _OutsideCount:
    """How many places were outside the span looked for."""

    count: int = 0

    def note(self) -> tuple[str, ...]:
        """Return the sentence for people, if there is anything to say."""
        return (f"{self.count:,} passed over: dated outside the span looked for",) if self.count else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _SitemapQuery:
    """What one look at a sitemap is about: the span, what tells whether an article is of it, and the time."""

    window: TimeWindow
    judge: Callable[..., bool]
    now: datetime


def parse_sitemap(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return what is recent in a sitemap, and the sitemaps to read next (`periods.recent` says what is recent)."""
    return read_sitemap(page, source, window=recent_window(source, now=now), now=now)


def read_sitemap(
    page: Page, source: Source, *, window: TimeWindow, now: datetime, changed_later: bool = False
) -> Discovery:
    """Return what a sitemap says of one span of time: articles, and further sitemaps to read, the newest first.

    What bears no date, or one that cannot be believed, counts as within the span; `periods.within` has the evidence,
    and what `changed_later` means. Raises SourceError where the page is no sitemap.
    """
    parts = list(iter_sitemap(page, source, window=window, now=now, changed_later=changed_later))
    return replace(parts[-1], candidates=tuple(each for part in parts for each in part.candidates))


def iter_sitemap(
    page: Page, source: Source, *, window: TimeWindow, now: datetime, changed_later: bool = False
) -> Iterator[Discovery]:
    """Yield the same in portions of some hundred articles, the last with everything else, in little memory."""
    shape = sniff_content(page.body)
    if shape is ContentKind.FEED:
        yield parse_feed(page, source, now=now)
        return
    scope = link_policy(source, page.url, page.final_url)
    if shape in {ContentKind.URLS, ContentKind.TEXT}:
        lines = decode_plain(gunzip(page.body, limit=MAX_BYTES)).split()
        entries = (Entry(link=line) for line in lines if line.startswith("http"))
        yield build_discovery(entries, page=page, source=source, scope=scope, now=now)
        return
    if shape not in {ContentKind.SITEMAP, ContentKind.XML}:
        raise SourceError(f"{page.url}: this is {shape.value}, not a sitemap; check the address and the source's kind")
    judge = partial(lies_within, window, period=period_in_name(page.final_url), changed_later=changed_later)
    yield from _xml(page, source, scope=scope, look=_SitemapQuery(window=window, judge=judge, now=now))


def _xml(page: Page, source: Source, *, scope: LinkPolicy, look: _SitemapQuery) -> Iterator[Discovery]:
    damage = SitemapProblems()
    pieces = iter_gunzipped(page.body, limit=MAX_BYTES)
    found = iter_entries(pieces, url=page.url, damage=damage, content_type=page.content_type)
    first = next(found, None)
    if first is None:
        yield Discovery(notes=("the sitemap is empty", *damage.notes()), skipped=damage.without_address)
        return
    found = _without_false_lastmod(chain((first,), found))
    omitted = _OutsideCount()
    if first.leads_to_sitemap:
        index = _index(found, page, scope=scope, look=look, omitted=omitted)
        skipped = index.skipped + damage.without_address
        yield replace(index, notes=(*index.notes, *damage.notes()), skipped=skipped)
        return
    sieve = EntryFilter(page=page, source=source, scope=scope, now=look.now)
    candidates = sieve.pass_through(_entries(found, look, zone=source_zone(source), omitted=omitted))
    while some := tuple(islice(candidates, _PORTION)):
        yield Discovery(candidates=some)
    yield Discovery(
        skipped=sieve.skipped.total() + damage.without_address,
        offsite=sieve.offsite,
        offsite_examples=tuple(sieve.elsewhere),
        out_of_range=omitted.count,
        notes=(*sieve.notes(), *omitted.note(), *damage.notes()),
    )


def _without_false_lastmod(found: Iterator[SitemapEntry]) -> Iterator[SitemapEntry]:
    """Take away `lastmod` where many places share one: that is the clock of the program that wrote the file."""
    sample = list(islice(found, _SAMPLE))
    alike = len({place.lastmod for place in sample}) == 1
    if not alike or len(sample) < _SAME_CLOCK[sample[0].leads_to_sitemap]:
        return chain(sample, found)
    return (replace(place, lastmod=None) for place in chain(sample, found))


def _entries(
    found: Iterable[SitemapEntry], look: _SitemapQuery, *, zone: tzinfo, omitted: _OutsideCount
) -> Iterator[Entry]:
    for place in found:
        published = plausible_date(read_date(place.published, zone=zone), now=look.now)
        modified = plausible_date(read_date(place.lastmod, zone=zone), now=look.now)
        if place.leads_to_sitemap or not look.judge(url=place.url, published=published, modified=modified):
            omitted.count += 1
            continue
        yield Entry(link=place.url, title=place.title, published_at=published, modified_at=modified)


def _index(
    found: Iterable[SitemapEntry], page: Page, *, scope: LinkPolicy, look: _SitemapQuery, omitted: _OutsideCount
) -> Discovery:
    children: list[tuple[datetime, str]] = []
    offsite = 0
    for place in found:
        try:
            url = urls.resolve(place.url, base=page.final_url)
        except SourceError:
            offsite += 1
            continue
        modified, period = plausible_date(read_date(place.lastmod, zone=UTC), now=look.now), period_in_name(url)
        if not scope.admits(url):
            offsite += 1
        elif _may_hold(look.window, modified, period):
            children.append((modified or (period and period.end) or _NEVER, url))
        else:
            omitted.count += 1
    # Undated ones first: the sitemap of the latest news rarely says when it changed.
    children.sort(key=lambda child: (child[0] is not _NEVER, -child[0].timestamp() if child[0] is not _NEVER else 0.0))
    stray = (f"{offsite:,} left out: sitemaps of other sites, or no addresses",) if offsite else ()
    return Discovery(
        follow=tuple(dict.fromkeys(url for _, url in children)), skipped=offsite, notes=(*stray, *omitted.note())
    )


def _may_hold(window: TimeWindow, modified: datetime | None, period: TimeWindow | None) -> bool:
    """Tell whether a sitemap may name something of the span: it changed after its start, and its name allows it."""
    if modified and window.start and modified < window.start:
        return False
    return period is None or window.meets(period)
