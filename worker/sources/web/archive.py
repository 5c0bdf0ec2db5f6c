"""Read one page of a source for `backfill`: the articles of a past time window, and the pages to read next.

`scan_archive` accepts sitemaps, listing pages and feeds. It applies the parsers of regular polls and keeps the
candidates in the window. The walk from page to page is in `worker.runs.backfill`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from worker.dates.parsing import source_zone
from worker.dates.periods import TimeWindow, lies_within, period_in_name, period_in_path
from worker.errors import SourceError
from worker.models import Candidate, Discovery, Page, Source
from worker.models.base import dataclass
from worker.sources.content import ContentKind, sniff_content
from worker.sources.entries import Entry, build_discovery, clean_title, link_policy
from worker.sources.feed.parser import parse_feed, read_feed
from worker.sources.web.links import Link, page_links
from worker.sources.web.listing import article_links, listing_dates, next_listing_page
from worker.sources.web.sitemap import iter_sitemap


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveQuery:
    """The time window of a backfill; see `worker.dates.periods.lies_within` for `changed_later`."""

    window: TimeWindow
    changed_later: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePage:
    """What one page has for the time window.

    `follow`: further pages to read, as pairs of kind and URL. `outside`: the number of articles outside the window.
    `digest`: hash of the canonical URLs of all its articles, inside and outside; two pages with one digest are the same
    page under two URLs.
    """

    candidates: tuple[Candidate, ...] = ()
    follow: tuple[tuple[str, str], ...] = ()
    outside: int = 0
    digest: str = ""
    notes: tuple[str, ...] = ()


def scan_archive(kind: str, page: Page, source: Source, query: ArchiveQuery, *, now: datetime) -> Iterator[ArchivePage]:
    """Yield the articles of a page in portions of at most 500; the last portion has `follow` and `digest`.

    Raises SourceError if the page is not of this kind, or if the kind has no archive.
    """
    if kind == "sitemap":
        yield from _sitemap(page, source, query, now=now)
    elif kind == "listing":
        yield _listing(page, source, query, now=now)
    elif kind == "feed":
        yield _feed(page, source, query, now=now)
    else:
        raise SourceError(f"{page.url}: a source of kind {kind} has no archive to read")


def _sitemap(page: Page, source: Source, query: ArchiveQuery, *, now: datetime) -> Iterator[ArchivePage]:
    is_feed = sniff_content(page.body) is ContentKind.FEED
    for found in iter_sitemap(page, source, window=query.window, now=now, changed_later=query.changed_later):
        if is_feed:
            yield _together(_within(each, page, query) for each in _whole(found, source, now=now))
            return
        yield ArchivePage(
            candidates=found.candidates,
            follow=tuple(("sitemap", url) for url in found.follow),
            outside=found.out_of_range,
            notes=found.notes,
        )


def _feed(page: Page, source: Source, query: ArchiveQuery, *, now: datetime) -> ArchivePage:
    """Read a feed; if it is part of a chain (RFC 5005), the previous part follows.

    An entry without a date is recent, so it counts only if the window extends to the present.
    """
    read = _whole(parse_feed(page, source, now=now), source, now=now)
    if not query.window.contains(now):
        read = (_only_dated(each) for each in read)
    read_page = _together(_within(each, page, query) for each in read)
    older = read_feed(page).older
    return replace(read_page, follow=(("feed", older),) if older and read_page.digest else ())


def _whole(found: Discovery | None, source: Source, *, now: datetime) -> Iterator[Discovery]:
    """Yield a feed and, if it has very many entries, its further parts."""
    while found is not None:
        yield found
        found = parse_feed(found.rest, source, now=now) if found.rest else None


def _only_dated(found: Discovery) -> Discovery:
    return replace(found, candidates=tuple(each for each in found.candidates if each.published_at or each.modified_at))


def _together(parts: Iterable[ArchivePage]) -> ArchivePage:
    """Merge the parts of one feed; the digest is that of the first part, which has the newest entries."""
    all_parts = list(parts)
    return ArchivePage(
        candidates=tuple(each for part in all_parts for each in part.candidates),
        outside=sum(part.outside for part in all_parts),
        digest=all_parts[0].digest,
        notes=tuple(dict.fromkeys(note for part in all_parts for note in part.notes)),
    )


def _listing(page: Page, source: Source, query: ArchiveQuery, *, now: datetime) -> ArchivePage:
    """Read a listing page with the dates beside its links; the next page follows unless this one is too old already."""
    links = page_links(page)
    chosen = article_links(links, page, source)
    dates = listing_dates(page, {link.key for link in chosen}, zone=source_zone(source), now=now)
    entries = [
        Entry(link=url, title=clean_title(link.text), published_at=dates.get(link.key))
        for link in chosen
        for url in (link.url, *link.others)
    ]
    policy = link_policy(source, page)
    found = build_discovery(entries, page=page, source=source, policy=policy, now=now)
    read_page = _within(found, page, query)
    goes_on = read_page.digest and not _is_before(found.candidates, query.window)
    return replace(read_page, follow=_next(links, page, query.window) if goes_on else ())


def _next(links: Iterable[Link], page: Page, window: TimeWindow) -> tuple[tuple[str, str], ...]:
    """Return the next page, unless the date in its URL is outside the window."""
    following = next_listing_page(list(links), page)
    if following is None:
        return ()
    period = period_in_name(following.url) if period_in_name(page.final_url) else None
    return () if period and not window.overlaps(period) else (("listing", following.url),)


def _is_before(candidates: Iterable[Candidate], window: TimeWindow) -> bool:
    """Return whether all dated articles of a page are older than the window; further pages are older still."""
    start = window.start
    ends = [end for each in candidates if (end := _latest(each))]
    return bool(start and ends) and all(start and end < start for end in ends)


def _latest(candidate: Candidate) -> datetime | None:
    """Return the latest time at which a candidate may have been published, by its date or its URL."""
    written = period_in_path(candidate.url)
    return candidate.published_at or (written.end if written else None)


def _within(found: Discovery, page: Page, query: ArchiveQuery) -> ArchivePage:
    """Keep the candidates inside the window."""
    period = period_in_name(page.final_url)
    kept = tuple(
        each
        for each in found.candidates
        if lies_within(
            query.window,
            url=each.url,
            published=each.published_at,
            modified=each.modified_at,
            period=period,
            changed_later=query.changed_later,
        )
    )
    return ArchivePage(
        candidates=kept,
        outside=len(found.candidates) - len(kept),
        digest=_digest(found.candidates),
        notes=found.notes,
    )


def _digest(candidates: Iterable[Candidate]) -> str:
    """Return the SHA-256 of the sorted canonical URLs, or "" if there are none."""
    keys = sorted(each.canonical_url for each in candidates)
    return hashlib.sha256("\n".join(keys).encode("utf-8", "replace")).hexdigest() if keys else ""
