"""Turns the leaves of a source: its first page, what is left of a very long one, and the pages these lead to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from worker.errors import ExtractError, FetchBlocked, FetchError, SourceError
from worker.extract.multipage import is_first_page, is_next_page, join_pages, next_page_url
from worker.models import Authority, Candidate, Discovery, Page, Request, Source, SourceState
from worker.pipeline.poll_result import PollProgress
from worker.pipeline.stages import Limits, Stages
from worker.ports import Fetcher, Hints
from worker.urls import canonicalise, page_key, site_of

# Whose sitemap it is that lies on another domain: a site's own robots.txt says so (sitemaps.org, cross submits).


_MAX_SITES_ASKED: Final = 5


class CrossSubmissions:
    """Follows one source: what a site's robots.txt names as its sitemap speaks for that site, and nothing else of it.

    `source` counts as its own the sites whose robots.txt names the source itself.
    """

    def __init__(self, source: Source, fetcher: Fetcher) -> None:
        self.source = source
        self._fetcher = fetcher
        self._named: dict[str, frozenset[str]] = {}

    async def vouched(self, page: Page, discovery: Discovery) -> Source | None:
        """Ask the sites that a sitemap's entries lead to; return what to read it again as, where one vouches for it."""
        if self.source.kind != "sitemap":
            return None
        named = {url: await self._names(url) for url in discovery.offsite_examples}
        read_as = self.source
        self.source = _with_sites(self.source, [url for url in named if canonicalise(self.source.url) in named[url]])
        of_page = _with_sites(self.source, [url for url in named if canonicalise(page.url) in named[url]])
        return of_page if of_page != read_as else None

    async def _names(self, url: str) -> frozenset[str]:
        """Return the sitemaps that the robots.txt of a URL's site names; only a few sites are asked."""
        if url not in self._named and len(self._named) < _MAX_SITES_ASKED:
            try:
                self._named[url] = frozenset(canonicalise(each) for each in await self._fetcher.sitemaps(url))
            except FetchError:
                self._named[url] = frozenset()
        return self._named.get(url, frozenset())


def _with_sites(source: Source, urls: Sequence[str]) -> Source:
    sites = source.options.sites | {site_of(url) for url in urls}
    return replace(source, options=replace(source.options, sites=sites))


_MAX_RESTS: Final = 40
"""How often the rest of a very long page is gone on with in one poll: with 2,500 entries each, 100,000."""
_FIRST_PAGES_SHARE: Final = 0.2
"""How much of a poll goes to the first pages, where news is; the remainder goes on where the last poll stopped."""
_TIME_SHARE: Final = 0.6
"""How much of its lease a poll spends on further pages."""


class PageWalker:
    """Reads the pages of sources, one after the other."""

    def __init__(self, stages: Stages, limits: Limits) -> None:
        self._stages = stages
        self._limits = limits

    async def turn(
        self,
        source: Source,
        first: Page,
        count: PollProgress,
        *,
        state: SourceState | None = None,
        most: int | None = None,
    ) -> AsyncIterator[Discovery]:
        """Yield what the source's first page and those it leads to say, up to the limit of one poll.

        Where that comes between, `count` says so and the next poll goes on there, after the first pages. Whoever takes
        what is yielded adds it to `count` before taking more. Parsing has a thread of its own: a large sitemap takes
        seconds, and every fetch would wait.
        """
        seen, waiting = {source.url, first.final_url}, deque[str]()
        voucher = CrossSubmissions(source, self._stages.fetcher)
        async for discovery in self._all_of(first, voucher, count, state):
            waiting.extend(discovery.follow)
            yield discovery
        last, began = "", self._stages.clock.now()
        while waiting and (spent := self._spent(len(seen) - 1, most, since=began)) < 1:
            if state and not last and spent >= _FIRST_PAGES_SHARE:
                last = waiting[-1]
                _resume_at(waiting, state.learned.habits.stopped_at)
            url = waiting.popleft()
            count.round_over |= url == last
            if url in seen:
                continue
            seen.add(url)
            try:
                page = await self.fetch(url)
                async for discovery in self._all_of(page, voucher, count, state):
                    waiting.extend(discovery.follow)
                    yield discovery
            except (FetchError, SourceError) as exc:
                count.skip(f"{url}: {exc}", owed=isinstance(exc, FetchError) and exc.retry)
        if waiting:
            count.stop(f"stopped after {len(seen)} pages; {_who_reads_the_rest(source)}", at=waiting[0])

    def _spent(self, pages: int, most: int | None, *, since: datetime) -> float:
        """Return how much of what one poll may read is read, or of its time is gone: all of it at 1."""
        time = self._limits.poll_lease * _TIME_SHARE
        return max(pages / (most or self._limits.follow), (self._stages.clock.now() - since) / time)

    async def fetch(self, url: str) -> Page:
        """Fetch a further page."""
        return await self._stages.fetcher.fetch(Request(url=url, accept="any"))

    async def _all_of(
        self, page: Page, voucher: CrossSubmissions, count: PollProgress, state: SourceState | None
    ) -> AsyncIterator[Discovery]:
        """Yield what a page says, and go on with its rest while that brings something new; the first time to its end.

        What was there the last time was read then.
        """
        whole = state is not None and state.succeeded_at is None
        rest: Page | None = page
        for _ in range(_MAX_RESTS):
            if rest is None:
                return
            known = count.new
            try:
                kind = await self._kind_of(rest, voucher.source, count)
                discovery = await asyncio.to_thread(self._parse, rest, voucher.source, kind)
                if again := await voucher.vouched(rest, discovery):
                    discovery = await asyncio.to_thread(self._parse, rest, again, kind)
            except SourceError as exc:
                if rest is page:
                    raise
                count.skip(f"{page.url}: {exc}")
                return
            if discovery.is_article:
                count.taken_for = count.taken_for and "article"
                whole_page = await with_further_pages(rest, self._stages)
                discovery = replace(discovery, candidates=(self._page_itself(whole_page, voucher.source),))
            yield discovery
            rest = discovery.rest if whole or count.new > known else None
        if rest is not None:
            count.notes.append(f"{page.url}: it has too many entries; {count.found:,} were read, the newest of them")

    async def _kind_of(self, page: Page, source: Source, count: PollProgress) -> str:
        """Return what a page is read as; of a page somebody named without saying so, what it is taken for."""
        if source.kind != "auto":
            return source.kind
        kind = await asyncio.to_thread(self._stages.detect, page)
        if kind in {"article", "listing"}:
            kind = await asyncio.to_thread(self._stages.detect, page, gate=await self._gate(page, source))
        count.taken_for = count.taken_for or kind
        return kind

    async def _gate(self, page: Page, source: Source) -> str:
        """Return why extraction finds no article on a page, empty where it finds one."""
        hints = Hints(url=page.url, canonical_url=page.final_url, source=source.name)
        try:
            await self._stages.extractor.extract(page, hints, fetched_at=page.fetched_at)
        except (ExtractError, FetchBlocked) as exc:
            return exc.reason
        return ""

    def _parse(self, page: Page, source: Source, kind: str) -> Discovery:
        itself = Discovery(candidates=(self._page_itself(page, source),), is_article=True)
        if kind == "article":
            return itself
        parser = self._stages.parsers.get(kind)
        if parser is None:
            raise SourceError(f"{page.final_url} looks like a {kind}, which cannot be read; name a feed or an article")
        discovery = parser(page, source, now=self._stages.clock.now())
        # A page somebody named that leads nowhere is taken for an article; the gates say why where it is none.
        leads_nowhere = source.kind == "auto" and kind == "listing" and not discovery.candidates
        return itself if leads_nowhere else discovery

    def _page_itself(self, page: Page, source: Source) -> Candidate:
        return Candidate(
            url=page.url,
            canonical_url=page_key(page.final_url),
            source=source.name,
            reference=source.url,
            authority=Authority.OPERATOR,
            payload=page,
        )


def _resume_at(waiting: deque[str], stopped_at: str) -> None:
    """Turn the pages that wait, so that the one at which the last poll stopped is the next."""
    if stopped_at in waiting:
        waiting.rotate(-waiting.index(stopped_at))


def _who_reads_the_rest(source: Source) -> str:
    if source.kind == "sitemap":
        return "the next polls go on from there"
    return f"`corpus-worker backfill {source.name}` reads the rest"


# Gathers the further pages of an article that is spread over several, within bounds.


_MAX_ARTICLE_PAGES: Final = 10
_MAX_ARTICLE_BYTES: Final = 5_000_000
_MAX_ARTICLE_TIME: Final = timedelta(seconds=60)


async def with_further_pages(page: Page, stages: Stages) -> Page:
    """Return a page with the further pages of its article behind it; what cannot be had is left out.

    Only pages of the same host are asked for whose addresses are its own but for the number of the page, each named by
    the one before with `rel=next`, at the pace and by the rules of every fetch. Whoever reads the page afterwards sees
    where an article goes on that was not gathered to its end.
    """
    pages, started = [page], stages.clock.monotonic()
    if page.not_modified or not is_first_page(page.final_url):
        return page
    while len(pages) < _MAX_ARTICLE_PAGES and sum(len(each.body) for each in pages) < _MAX_ARTICLE_BYTES:
        url = next_page_url(pages[-1])
        if url is None or stages.clock.monotonic() - started > _MAX_ARTICLE_TIME.total_seconds():
            break
        try:
            further = await stages.fetcher.fetch(Request(url=url))
        except FetchError:
            break
        if not is_next_page(further.final_url, pages[-1].final_url):
            break
        pages.append(further)
    return join_pages(pages) if len(pages) > 1 else page
