"""Reads the pages of a source: the first page, the unread rest of a very long page, and the pages they link to.

`PageWalker.walk_pages` yields one `Discovery` per page for the discover flow. `CrossSubmissions` decides which other
sites' addresses a sitemap may list. `with_further_pages` is for the ingest flow: it joins the pages of one article.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from worker.errors import ExtractError, FetchBlocked, FetchError, SourceError
from worker.extract.multipage import is_first_page, is_next_page, join_pages, next_page_url
from worker.models import Authority, Candidate, Discovery, Page, PublishingStats, Request, Source, SourceState
from worker.models.base import counted
from worker.pipeline.poll_result import PollProgress
from worker.pipeline.stages import Limits, Stages
from worker.ports import Fetcher, Hints
from worker.schedule.retry import LEAST_PAGES, page_budget
from worker.urls import canonicalise, page_key, site_of

# Cross-submitted sitemaps: a site's robots.txt may name a sitemap on another domain (sitemaps.org, "cross submits").


_MAX_SITES_ASKED: Final = 5
"""Robots.txt files read for one source at one poll. Chosen, not measured: cross-submitted sitemaps serve a few sites of
one publisher, and a hostile sitemap must not make the worker contact thousands of hosts."""


class CrossSubmissions:
    """Checks which other sites a sitemap may list addresses of: those whose robots.txt names the sitemap.

    `source` is the source with the sites added to its own whose robots.txt names the source's own URL.
    """

    def __init__(self, source: Source, fetcher: Fetcher) -> None:
        self.source = source
        self._fetcher = fetcher
        self._named: dict[str, frozenset[str]] = {}

    async def vouched(self, page: Page, discovery: Discovery) -> Source | None:
        """Read the robots.txt of the sites that a sitemap's entries lead to.

        Return the source to parse the page again with if at least one of them names the sitemap, else None.
        """
        if self.source.kind != "sitemap":
            return None
        named = {url: await self._names(url) for url in discovery.offsite_examples}
        read_as = self.source
        self.source = _with_sites(self.source, [url for url in named if canonicalise(self.source.url) in named[url]])
        of_page = _with_sites(self.source, [url for url in named if canonicalise(page.url) in named[url]])
        return of_page if of_page != read_as else None

    async def _names(self, url: str) -> frozenset[str]:
        """Return the sitemaps that the robots.txt of a URL's site names, for the first few sites only."""
        if url not in self._named and len(self._named) < _MAX_SITES_ASKED:
            try:
                self._named[url] = frozenset(canonicalise(each) for each in await self._fetcher.sitemaps(url))
            except FetchError:
                self._named[url] = frozenset()
        return self._named.get(url, frozenset())


def _with_sites(source: Source, urls: Sequence[str]) -> Source:
    """Return a source with the sites of some URLs added to its own."""
    sites = source.options.sites | {site_of(url) for url in urls}
    return replace(source, options=replace(source.options, sites=sites))


_MAX_RESTS: Final = 40
"""How many slices of one very long page a poll reads: at 2,500 entries each, 100,000 entries."""
_FIRST_PAGES_SHARE: Final = 0.2
"""The share of a poll that reads the first pages, where news is; the remainder continues where the last poll stopped.
Chosen, not measured: a larger share finds news in more parts, a smaller one completes a round in fewer polls."""
_TIME_SHARE: Final = 0.6
"""The share of its lease that a poll spends on further pages: nine of fifteen minutes. A third of the lease is left for
the sitemaps that fill a gap."""


class PageWalker:
    """Fetches and parses the pages of a source, one after another."""

    def __init__(self, stages: Stages, limits: Limits) -> None:
        self._stages = stages
        self._limits = limits

    async def walk_pages(
        self,
        source: Source,
        first: Page,
        progress: PollProgress,
        *,
        state: SourceState | None = None,
        most: int | None = None,
    ) -> AsyncIterator[Discovery]:
        """Yield the discoveries of the source's first page and of the pages it leads to, up to the limit of one poll.

        At the limit, the page to continue at is recorded in `progress`, and the next poll continues there after the
        first pages. The caller must add each discovery to `progress` before it takes the next one. Pages are parsed in
        a thread, since a large sitemap takes seconds and would block every fetch. Pages that gave something new at the
        last polls come first, and polls that find nothing read fewer and fewer (`page_budget`).
        """
        stats = state.learned.publishing_stats if state else PublishingStats()
        most = most or page_budget(stats, self._limits.max_pages)
        seen, waiting = {source.url, first.final_url}, deque[str]()
        voucher = CrossSubmissions(source, self._stages.fetcher)
        async for discovery in self._all_of(first, voucher, progress, state):
            _add_pages(waiting, discovery.follow, first=stats.fruitful)
            yield discovery
        last, began = "", self._stages.clock.now()
        while waiting and (spent := self._spent(len(seen) - 1, most, since=began)) < 1:
            if state and not last and spent >= _FIRST_PAGES_SHARE:
                last = waiting[-1]
                _resume_at(waiting, stats.stopped_at)
            url = waiting.popleft()
            progress.wrapped_around |= url == last
            if url in seen:
                continue
            seen.add(url)
            progress.pages, known = progress.pages + 1, progress.new
            try:
                page = await self.fetch(url, source=source.name)
                async for discovery in self._all_of(page, voucher, progress, state):
                    _add_pages(waiting, discovery.follow, first=stats.fruitful)
                    yield discovery
            except (FetchError, SourceError) as exc:
                progress.skip(f"{url}: {exc}", retryable=isinstance(exc, FetchError) and exc.retry)
            if progress.new > known:
                progress.fruitful.append(url)
        if waiting:
            at = _place_to_continue(waiting, early={*progress.fruitful, *stats.fruitful})
            progress.stop(f"stopped after {counted(len(seen), 'page')}; {_how_to_read_the_rest(source)}", at=at)

    def _spent(self, pages: int, most: int, *, since: datetime) -> float:
        """Return the used share of the poll's pages or of its time, whichever is larger; 1 means none is left."""
        time = self._limits.poll_lease * _TIME_SHARE
        return max(pages / most, (self._stages.clock.now() - since) / time)

    async def fetch(self, url: str, *, source: str = "") -> Page:
        """Fetch a further page of a source, of any content type."""
        return await self._stages.fetcher.fetch(Request(url=url, accept="any", source=source))

    async def _all_of(
        self, page: Page, voucher: CrossSubmissions, progress: PollProgress, state: SourceState | None
    ) -> AsyncIterator[Discovery]:
        """Yield the discoveries of a page, and of its unread rest as long as that has new entries.

        At the first successful poll of a source the page is read to its end. Later the first slice without a new entry
        ends the reading: the entries behind it were read before.
        """
        whole = state is not None and state.succeeded_at is None
        rest: Page | None = page
        for _ in range(_MAX_RESTS):
            if rest is None:
                return
            known = progress.new
            try:
                kind = await self._kind_of(rest, voucher.source, progress)
                discovery = await asyncio.to_thread(self._parse, rest, voucher.source, kind)
                if again := await voucher.vouched(rest, discovery):
                    discovery = await asyncio.to_thread(self._parse, rest, again, kind)
            except SourceError as exc:
                if rest is page:
                    raise
                progress.skip(f"{page.url}: {exc}")
                return
            if discovery.is_article:
                progress.taken_for = progress.taken_for and "article"
                whole_page = await with_further_pages(rest, self._stages, source=voucher.source.name)
                discovery = replace(discovery, candidates=(self._page_itself(whole_page, voucher.source),))
            yield discovery
            rest = discovery.rest if whole or progress.new > known else None
        if rest is not None:
            progress.notes.append(
                f"{page.url}: it has too many entries; {progress.found:,} were read, the newest of them"
            )

    async def _kind_of(self, page: Page, source: Source, progress: PollProgress) -> str:
        """Return the source kind to parse a page as; detect it if the operator gave no kind (`auto`)."""
        if source.kind != "auto":
            return source.kind
        kind = await asyncio.to_thread(self._stages.detect, page)
        if kind in {"article", "listing"}:
            kind = await asyncio.to_thread(self._stages.detect, page, gate=await self._gate(page, source))
        progress.taken_for = progress.taken_for or kind
        return kind

    async def _gate(self, page: Page, source: Source) -> str:
        """Return the reason why extraction rejects a page, empty if it finds an article."""
        hints = Hints(url=page.url, canonical_url=page.final_url, source=source.name)
        try:
            await self._stages.extractor.extract(page, hints, fetched_at=page.fetched_at)
        except (ExtractError, FetchBlocked) as exc:
            return exc.reason
        return ""

    def _parse(self, page: Page, source: Source, kind: str) -> Discovery:
        """Parse a page as a kind of source, or return the page itself as the one candidate."""
        itself = Discovery(candidates=(self._page_itself(page, source),), is_article=True)
        if kind == "article":
            return itself
        parser = self._stages.parsers.get(kind)
        if parser is None:
            raise SourceError(f"{page.final_url} looks like a {kind}, which cannot be read; name a feed or an article")
        discovery = parser(page, source, now=self._stages.clock.now())
        # A page that was given by the operator and has no links is treated as an article: if it is none, the ingest
        # flow reports why.
        leads_nowhere = source.kind == "auto" and kind == "listing" and not discovery.candidates
        return itself if leads_nowhere else discovery

    def _page_itself(self, page: Page, source: Source) -> Candidate:
        """Return the candidate of a page that is itself an article; it brings its content along."""
        return Candidate(
            url=page.url,
            canonical_url=page_key(page.final_url),
            source=source.name,
            reference=source.url,
            authority=Authority.OPERATOR,
            payload=page,
        )


def _add_pages(waiting: deque[str], pages: Sequence[str], *, first: Sequence[str]) -> None:
    """Add pages to those that wait: those in `first` before the others.

    Of a long index both ends come even before them: new parts are added there.
    """
    listed = set(pages)
    ends = (pages[0], pages[-1]) if len(pages) > LEAST_PAGES else ()
    early = dict.fromkeys((*ends, *(url for url in first if url in listed)))
    waiting.extend(url for url in pages if url not in early)
    waiting.extendleft(reversed(early))


def _place_to_continue(waiting: Sequence[str], *, early: Collection[str]) -> str:
    """Return the first page that waits, except those that the next poll reads `early` in any case."""
    return next((url for url in waiting if url not in early), waiting[0])


def _resume_at(waiting: deque[str], stopped_at: str) -> None:
    """Rotate the waiting pages so that the page at which the last poll stopped is the next one."""
    if stopped_at in waiting:
        waiting.rotate(-waiting.index(stopped_at))


def _how_to_read_the_rest(source: Source) -> str:
    if source.kind == "sitemap":
        return "the next poll continues from there"
    return f"`corpus-worker backfill {source.name}` reads the rest"


# Fetches and joins the pages of an article that is split over several, within limits.


# Chosen, not measured: the limits end endless or hostile `rel=next` chains. Articles of more than a few pages are rare,
# and an article that exceeds a limit is stored with the pages that were read.
_MAX_ARTICLE_PAGES: Final = 10
_MAX_ARTICLE_BYTES: Final = 5_000_000
_MAX_ARTICLE_TIME: Final = timedelta(seconds=60)


async def with_further_pages(page: Page, stages: Stages, *, source: str = "") -> Page:
    """Return a page joined with the further pages of its article. The first page that cannot be fetched ends it.

    A page must be named by the one before it with `rel=next`, and its URL may differ from it only in the page number.
    Each fetch obeys robots.txt and the host's delay as usual. If not all pages were read, the joined page still has the
    link to the next one.
    """
    pages, started = [page], stages.clock.monotonic()
    if page.not_modified or not is_first_page(page.final_url):
        return page
    while len(pages) < _MAX_ARTICLE_PAGES and sum(len(each.body) for each in pages) < _MAX_ARTICLE_BYTES:
        url = next_page_url(pages[-1])
        if url is None or stages.clock.monotonic() - started > _MAX_ARTICLE_TIME.total_seconds():
            break
        try:
            further = await stages.fetcher.fetch(Request(url=url, source=source))
        except FetchError:
            break
        if not is_next_page(further.final_url, pages[-1].final_url):
            break
        pages.append(further)
    return join_pages(pages) if len(pages) > 1 else page
