"""Looks at one place of a source for what it says of one span of the past: articles, and where to look next."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from worker.dates.parsing import source_zone
from worker.dates.periods import TimeWindow, lies_within, period_in_name, period_in_path
from worker.errors import SourceError
from worker.models import Candidate, Discovery, Page, Source
from worker.sources.content import ContentKind, sniff_content
from worker.sources.entries import Entry, build_discovery, clean_title, link_policy
from worker.sources.feed.parser import parse_feed, read_feed
from worker.sources.web.links import Link, page_links
from worker.sources.web.listing import article_links, listing_dates, next_listing_page
from worker.sources.web.sitemap import iter_sitemap


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveQuery:
    """Which part of the past is looked for; `changed_later` takes what was only changed after it (`periods.within`)."""

    window: TimeWindow
    changed_later: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePage:
    """What one place says of the span: articles, further places (kind and URL), and how many it named of other times.

    `digest` stands for all the articles it named, those of other times too: two pages with one digest are one page.
    """

    candidates: tuple[Candidate, ...] = ()
    follow: tuple[tuple[str, str], ...] = ()
    left_out: int = 0
    digest: str = ""
    notes: tuple[str, ...] = ()


def scan_archive(
    kind: str, page: Page, source: Source, sought: ArchiveQuery, *, now: datetime
) -> Iterator[ArchivePage]:
    """Yield what a place of this kind says of the span, in portions of some hundred articles; the last has the rest.

    Raises SourceError where the page is nothing of the kind.
    """
    if kind == "sitemap":
        yield from _sitemap(page, source, sought, now=now)
    elif kind == "listing":
        yield _listing(page, source, sought, now=now)
    elif kind == "feed":
        yield _feed(page, source, sought, now=now)
    else:
        raise SourceError(f"{page.url}: a source of kind {kind} has no past to look through")


def _sitemap(page: Page, source: Source, sought: ArchiveQuery, *, now: datetime) -> Iterator[ArchivePage]:
    is_feed = sniff_content(page.body) is ContentKind.FEED
    for found in iter_sitemap(page, source, window=sought.window, now=now, changed_later=sought.changed_later):
        if is_feed:
            yield _together(_within(each, page, sought) for each in _whole(found, source, now=now))
            return
        yield ArchivePage(
            candidates=found.candidates,
            follow=tuple(("sitemap", url) for url in found.follow),
            left_out=found.out_of_range,
            notes=found.notes,
        )


def _feed(page: Page, source: Source, sought: ArchiveQuery, *, now: datetime) -> ArchivePage:
    """Read a feed and, where it is one of a chain (RFC 5005), go on with the one before it.

    What bears no date in a feed is news: it belongs to a span that lasts until now.
    """
    read = _whole(parse_feed(page, source, now=now), source, now=now)
    if not sought.window.holds(now):
        read = (_only_dated(each) for each in read)
    glimpse = _together(_within(each, page, sought) for each in read)
    older = read_feed(page).older
    return replace(glimpse, follow=(("feed", older),) if older and glimpse.digest else ())


def _whole(found: Discovery | None, source: Source, *, now: datetime) -> Iterator[Discovery]:
    """Yield a feed and, where it has very many entries, what else is in it."""
    while found is not None:
        yield found
        found = parse_feed(found.rest, source, now=now) if found.rest else None


def _only_dated(found: Discovery) -> Discovery:
    return replace(found, candidates=tuple(each for each in found.candidates if each.published_at or each.modified_at))


def _together(parts: Iterable[ArchivePage]) -> ArchivePage:
    """Return what all parts of one feed say; its digest is that of the first, the newest."""
    all_parts = list(parts)
    return ArchivePage(
        candidates=tuple(each for part in all_parts for each in part.candidates),
        left_out=sum(part.left_out for part in all_parts),
        digest=all_parts[0].digest,
        notes=tuple(dict.fromkeys(note for part in all_parts for note in part.notes)),
    )


def _listing(page: Page, source: Source, sought: ArchiveQuery, *, now: datetime) -> ArchivePage:
    """Read a listing page, with the dates beside its teasers, and go on until a page is older than the span."""
    links = page_links(page)
    chosen = article_links(links, page, source)
    dates = listing_dates(page, {link.key for link in chosen}, zone=source_zone(source), now=now)
    entries = [
        Entry(link=url, title=clean_title(link.text), published_at=dates.get(link.key))
        for link in chosen
        for url in (link.url, *link.others)
    ]
    scope = link_policy(source, page.url, page.final_url)
    found = build_discovery(entries, page=page, source=source, scope=scope, now=now)
    glimpse = _within(found, page, sought)
    goes_on = glimpse.digest and not _is_before(found.candidates, sought.window)
    return replace(glimpse, follow=_next(links, page, sought.window) if goes_on else ())


def _next(links: Iterable[Link], page: Page, window: TimeWindow) -> tuple[tuple[str, str], ...]:
    """Return the page after this one, unless its address names another time than the one looked for."""
    following = next_listing_page(list(links), page)
    if following is None:
        return ()
    period = period_in_name(following.url) if period_in_name(page.final_url) else None
    return () if period and not window.meets(period) else (("listing", following.url),)


def _is_before(candidates: Iterable[Candidate], window: TimeWindow) -> bool:
    """Tell whether everything that bears a date on a page is older than the span: what follows is older still."""
    start = window.start
    ends = [end for each in candidates if (end := _latest(each))]
    return bool(start and ends) and all(start and end < start for end in ends)


def _latest(candidate: Candidate) -> datetime | None:
    written = period_in_path(candidate.url)
    return candidate.published_at or (written.end if written else None)


def _within(found: Discovery, page: Page, sought: ArchiveQuery) -> ArchivePage:
    period = period_in_name(page.final_url)
    kept = tuple(
        each
        for each in found.candidates
        if lies_within(
            sought.window,
            url=each.url,
            published=each.published_at,
            modified=each.modified_at,
            period=period,
            changed_later=sought.changed_later,
        )
    )
    return ArchivePage(
        candidates=kept,
        left_out=len(found.candidates) - len(kept),
        digest=_digest(found.candidates),
        notes=found.notes,
    )


def _digest(candidates: Iterable[Candidate]) -> str:
    keys = sorted(each.canonical_url for each in candidates)
    return hashlib.sha256("\n".join(keys).encode("utf-8", "replace")).hexdigest() if keys else ""
