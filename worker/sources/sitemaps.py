"""Reads sitemaps (sitemaps.org): indexes, sets of URLs, news sitemaps, plain text and feeds, gzipped or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import chain, islice

from worker import urls
from worker.charset import as_written
from worker.errors import SourceError
from worker.models import Discovery, Page, Source
from worker.sources.dates import plausible, read_date, zone_of
from worker.sources.entries import Entry, Scope, Sieve, discovery, scope_of
from worker.sources.feeds import parse_feed
from worker.sources.packing import chunks, inflated
from worker.sources.periods import Window, named_period, recent, within
from worker.sources.shapes import Shape, shape_of
from worker.sources.sitemap_stream import Damage, Place, places

MAX_BYTES = 200 * 1024 * 1024
_SAMPLE = 200
_PORTION = 500
_SAME_CLOCK = {True: 3, False: 10}
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Omitted:
    """How many places were outside the span looked for."""

    count: int = 0

    def note(self) -> tuple[str, ...]:
        """Return the sentence for people, if there is anything to say."""
        return (f"{self.count:,} passed over: dated outside the span looked for",) if self.count else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one look at a sitemap is about: the span, what tells whether an article is of it, and the time."""

    window: Window
    judge: Callable[..., bool]
    now: datetime


def parse_sitemap(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return what is recent in a sitemap, and the sitemaps to read next (`periods.recent` says what is recent)."""
    return look_through(page, source, window=recent(source, now=now), now=now)


def look_through(
    page: Page, source: Source, *, window: Window, now: datetime, changed_later: bool = False
) -> Discovery:
    """Return what a sitemap says of one span of time: articles, and further sitemaps to read, the newest first.

    What bears no date, or one that cannot be believed, counts as within the span; `periods.within` has the evidence,
    and what `changed_later` means. Raises SourceError where the page is no sitemap.
    """
    parts = list(leaf_through(page, source, window=window, now=now, changed_later=changed_later))
    return replace(parts[-1], candidates=tuple(each for part in parts for each in part.candidates))


def leaf_through(
    page: Page, source: Source, *, window: Window, now: datetime, changed_later: bool = False
) -> Iterator[Discovery]:
    """Yield the same in portions of some hundred articles, the last with everything else, in little memory."""
    shape = shape_of(page.body)
    if shape is Shape.FEED:
        yield parse_feed(page, source, now=now)
        return
    scope = scope_of(source, page.url, page.final_url)
    if shape in {Shape.URLS, Shape.TEXT}:
        lines = as_written(inflated(page.body, limit=MAX_BYTES)).split()
        entries = (Entry(link=line) for line in lines if line.startswith("http"))
        yield discovery(entries, page=page, source=source, scope=scope, now=now)
        return
    if shape not in {Shape.SITEMAP, Shape.XML}:
        raise SourceError(f"{page.url}: this is {shape.value}, not a sitemap; check the address and the source's kind")
    judge = partial(within, window, period=named_period(page.final_url), changed_later=changed_later)
    yield from _xml(page, source, scope=scope, look=_Look(window=window, judge=judge, now=now))


def _xml(page: Page, source: Source, *, scope: Scope, look: _Look) -> Iterator[Discovery]:
    damage = Damage()
    pieces = chunks(page.body, limit=MAX_BYTES)
    found = places(pieces, url=page.url, damage=damage, content_type=page.content_type)
    first = next(found, None)
    if first is None:
        yield Discovery(notes=("the sitemap is empty", *damage.notes()), skipped=damage.without_address)
        return
    found = _believed(chain((first,), found))
    omitted = _Omitted()
    if first.leads_to_sitemap:
        index = _index(found, page, scope=scope, look=look, omitted=omitted)
        skipped = index.skipped + damage.without_address
        yield replace(index, notes=(*index.notes, *damage.notes()), skipped=skipped)
        return
    sieve = Sieve(page=page, source=source, scope=scope, now=look.now)
    candidates = sieve.pass_through(_entries(found, look, zone=zone_of(source), omitted=omitted))
    while some := tuple(islice(candidates, _PORTION)):
        yield Discovery(candidates=some)
    yield Discovery(
        skipped=sieve.skipped.total() + damage.without_address,
        strangers=sieve.strangers,
        elsewhere=tuple(sieve.elsewhere),
        outside=omitted.count,
        notes=(*sieve.notes(), *omitted.note(), *damage.notes()),
    )


def _believed(found: Iterator[Place]) -> Iterator[Place]:
    """Take away `lastmod` where many places share one: that is the clock of the program that wrote the file."""
    sample = list(islice(found, _SAMPLE))
    alike = len({place.lastmod for place in sample}) == 1
    if not alike or len(sample) < _SAME_CLOCK[sample[0].leads_to_sitemap]:
        return chain(sample, found)
    return (replace(place, lastmod=None) for place in chain(sample, found))


def _entries(found: Iterable[Place], look: _Look, *, zone: tzinfo, omitted: _Omitted) -> Iterator[Entry]:
    for place in found:
        published = plausible(read_date(place.published, zone=zone), now=look.now)
        modified = plausible(read_date(place.lastmod, zone=zone), now=look.now)
        if place.leads_to_sitemap or not look.judge(url=place.url, published=published, modified=modified):
            omitted.count += 1
            continue
        yield Entry(link=place.url, title=place.title, published_at=published, modified_at=modified)


def _index(found: Iterable[Place], page: Page, *, scope: Scope, look: _Look, omitted: _Omitted) -> Discovery:
    children: list[tuple[datetime, str]] = []
    strangers = 0
    for place in found:
        try:
            url = urls.resolve(place.url, base=page.final_url)
        except SourceError:
            strangers += 1
            continue
        modified, period = plausible(read_date(place.lastmod, zone=UTC), now=look.now), named_period(url)
        if not scope.admits(url):
            strangers += 1
        elif _may_hold(look.window, modified, period):
            children.append((modified or (period and period.end) or _NEVER, url))
        else:
            omitted.count += 1
    # Undated ones first: the sitemap of the latest news rarely says when it changed.
    children.sort(key=lambda child: (child[0] is not _NEVER, -child[0].timestamp() if child[0] is not _NEVER else 0.0))
    stray = (f"{strangers:,} left out: sitemaps of other sites, or no addresses",) if strangers else ()
    return Discovery(
        follow=tuple(dict.fromkeys(url for _, url in children)), skipped=strangers, notes=(*stray, *omitted.note())
    )


def _may_hold(window: Window, modified: datetime | None, period: Window | None) -> bool:
    """Tell whether a sitemap may name something of the span: it changed after its start, and its name allows it."""
    if modified and window.start and modified < window.start:
        return False
    return period is None or window.meets(period)
