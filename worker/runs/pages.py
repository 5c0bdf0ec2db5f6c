"""The web pages of a store: what each reads, and which forms change something. `worker.web.routes` says how to add one.

`pages_app` makes the web application, for `corpus-worker web` (`WebRun`) and for the daemon.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import quote, urlencode

from worker.clock import SystemClock
from worker.config.schema import Settings, WebSettings
from worker.config.types import is_loopback
from worker.errors import StoreError
from worker.logs import log
from worker.models import ActivityCounts, Alarm, Health, StoreStats
from worker.models.browsing import UNDONE, CopyReport, NewArticles, ReviewPage, SearchResults
from worker.ports import Clock
from worker.runs import curation
from worker.runs.notify import alarms_of_store, losses, lost_by_day
from worker.runs.reading import ACTIVITY_SPAN, Browser, ShownArticle, shown_article
from worker.storage.corpus.reader import StoreReader
from worker.storage.store import open_read_only
from worker.web.app import Kept, StatusSource, WebApp, build_web_app
from worker.web.data import AtomFeed, FeedEntry, Within, cursor_values, make_cursor
from worker.web.metrics import Metrics
from worker.web.pages import Overview, beginning_of, daemon_alarms, plots, summary, titled, warned, web_address
from worker.web.routes import Action, FeedPage, WebPage
from worker.web.server import serve_pages

FEED_SIZE: Final = 100  # articles in the feed; chosen: more than come in between two looks of a feed reader
PAGE_SIZE: Final = 20  # results on a page: a screen or two
_MAX_OFFSET: Final = 980  # the last page of results
_OPEN_WITHIN, _LOOK_AGAIN = timedelta(seconds=5), timedelta(milliseconds=50)  # chosen: a reload takes less
_RENEWED_EVERY: Final = timedelta(minutes=1)  # chosen: nobody sees older figures, and counting a million takes 0.3 s
_ACTIVITY_AGE: Final = timedelta(seconds=30)  # for how long the plots are kept: they change little in that time

T = TypeVar("T")
Query = Annotated[str, "words that a text has to have, with filters as in `corpus-worker search`"]
Cursor = Annotated[str, "`next` of the part before"]
Limit = Annotated[int, Within(1, 1000), "the most rows"]
ArticleId = Annotated[int, "the id of a text"]
SourceName = Annotated[str, "the name of a source"]
CandidateId = Annotated[int, "the id of a candidate"]
Reason = Annotated[str, "why a page was rejected, in one word"]
Decided = Annotated[Literal["same", "different"], "whether both are one item"]


class CorpusPages:
    """Reads what the pages show of an open store, and makes their changes."""

    def __init__(self, source: StatusSource, *, corpus: Callable[[], Browser | None]) -> None:
        self._source, self._corpus = source, corpus
        self._answers: _Answers | None = None
        self._unsure: tuple[Browser, curation.UnsurePairs] | None = None
        self._finder = curation.SourceFinder()
        self.pages = (
            WebPage(path="/", data="/overview", template="overview.html", read=self.overview),
            WebPage(path="/search", template="search.html", read=self.search),
            WebPage(path="/articles", template="articles.html", read=self.articles),
            WebPage(path="/articles/{article_id}", template="article.html", read=self.article),
            WebPage(path="/clusters", template="clusters.html", read=self.clusters),
            WebPage(path="/review", template="review.html", read=self.review),
            WebPage(path="/sources", template="sources.html", read=self.sources),
            WebPage(path="/rejected", template="rejected.html", read=self.rejected),
            WebPage(path="/rejected/{candidate}", template="rejected_page.html", read=self.rejected_page),
        )
        self.feeds = (
            FeedPage(path="/feeds/articles.atom", read=self.articles_feed),
            FeedPage(path="/feeds/alarms.atom", read=self.alarms_feed),
        )
        self.actions = (
            Action(path="/sources/{name}/pause", act=self.pause),
            Action(path="/sources/{name}/resume", act=self.resume),
            Action(path="/sources/{name}/check", act=self.check),
            Action(path="/sources/add", act=self.add_sources),
            Action(path="/review/mark", act=self.mark),
            Action(path="/review/undo", act=self.undo_mark),
            Action(path="/rejected/{candidate}/take", act=self.take),
            Action(path="/rejected/{candidate}/leave", act=self.leave),
        )

    def app(self, web: WebSettings, *, is_public: bool) -> WebApp:
        """Return the application that serves these pages."""
        return build_web_app(
            self._source, web=web, pages=self.pages, actions=self.actions, feeds=self.feeds, is_public=is_public
        )

    async def stay_prepared(self) -> None:
        """Prepare again and again until cancelled, so that nobody sees figures of long ago."""
        while True:
            await self.prepare()
            await self._source.clock.sleep(_RENEWED_EVERY)

    async def prepare(self) -> None:
        """Do beforehand what visitors would wait for: load modules and templates, renew what is kept if it is old."""
        try:
            await asyncio.to_thread(curation.load_what_is_slow)
            if self._corpus() is not None:
                await self._source.recent()
                await self._hours()
                await (await self._answers_of_store()).report.get()
        except (StoreError, TimeoutError) as exc:
            log.warning("web.store_silent", error=str(exc) or "no answer in time")

    async def overview(self) -> Overview:
        """Return health, numbers, plots, what needs a person, newest articles and sources."""
        now, (figures, hours) = self._source.clock.now(), await asyncio.gather(self._source.recent(), self._hours())
        health, warnings = self._source.health(), warned(figures, now=now)
        daemon, of_worker, of_store = await self._worker_state(figures)
        alarms = (*of_worker, *of_store)
        lost = sum(lost_by_day(hours or {}, now=now).values())
        return Overview(
            summary=summary(health, alarms, daemon=daemon, needs_look=bool(lost or any(warnings.values()))),
            health=health,
            daemon=daemon,
            alarms=alarms,
            figures=figures,
            plots=() if hours is None else plots(hours, now=now),
            warnings=warnings,
            lost=lost,
        )

    async def _worker_state(
        self, figures: StoreStats | None
    ) -> tuple[str | None, tuple[Alarm, ...], tuple[Alarm, ...]]:
        """Return the daemon beside this server, the alarms of the worker, and those of the store."""
        corpus, now = self._corpus(), self._source.clock.now()
        of_store = await alarms_of_store(figures, corpus.run if corpus else None, now=now)
        if self._source.alarms is not None:
            return None, self._source.alarms(), of_store
        if corpus is None:
            return None, (), of_store
        try:
            daemon = await corpus.run(lambda reader: reader.daemon())
        except StoreError:
            return None, corpus.alarms, of_store  # the health says so
        return daemon, (*daemon_alarms(daemon, figures, now=now), *corpus.alarms), of_store

    async def search(self, *, q: Query = "", cursor: Cursor = "") -> SearchResults:
        """Return the texts that meet a query, the best first."""
        query, offset = q.strip(), max(0, min((cursor_values(cursor, int) or (0,))[0], _MAX_OFFSET))
        result = await self._run(lambda reader: reader.search(query, limit=PAGE_SIZE, offset=offset)) if query else None
        more = bool(result and result.more and offset + PAGE_SIZE <= _MAX_OFFSET)
        return SearchResults(
            query=query,
            offset=offset,
            result=result,
            next=make_cursor(offset + PAGE_SIZE) if more else None,
            previous=make_cursor(max(0, offset - PAGE_SIZE)) if offset else None,
        )

    async def articles(self, *, cursor: Cursor = "", limit: Limit = 50) -> NewArticles:
        """Return the articles of the corpus, without copies and earlier versions, the newest first."""
        (before,) = cursor_values(cursor, int) or (None,)
        found = await self._run(lambda reader: reader.newest(limit=limit + 1, before=before, heads=True))
        more = len(found) > limit
        return NewArticles(articles=found[:limit], next=make_cursor(found[limit - 1].id) if more else None)

    async def article(self, *, article_id: ArticleId) -> ShownArticle | None:
        """Return an article with its fields, its cluster and its history."""
        return await self._run(lambda reader: shown_article(reader, article_id))

    async def articles_feed(self) -> AtomFeed:
        """Return the newest articles of the corpus."""
        corpus = await self._open()
        tag = await corpus.tag()
        entries = tuple(
            FeedEntry(
                id=f"{tag}articles/{each.id}",
                title=titled(each.title),
                path=f"/articles/{each.id}",
                updated=each.at,
                published=each.published_at,
                via=web_address(each.url),
                author=each.source,
                summary=each.summary,
            )
            for each in await corpus.run(lambda reader: reader.newest(limit=FEED_SIZE, heads=True))
        )
        return AtomFeed(id=f"{tag}articles", title="New articles – Corpus Worker", entries=entries)

    async def alarms_feed(self) -> AtomFeed:
        """Return what needs a person."""
        browser, now = await self._open(), self._source.clock.now()
        figures, hours, tag = await asyncio.gather(self._source.recent(), self._hours(), browser.tag())
        found = [(name, each) for name, alarms in warned(figures, now=now).items() for each in alarms]
        found += [("extraction", each) for each in losses(hours or {}, now=now)]
        _, of_worker, of_store = await self._worker_state(figures)
        found += [*(("worker", each) for each in of_worker), *(("store", each) for each in of_store)]
        entries = tuple(
            FeedEntry(
                id=f"{tag}alarms/{name}/{quote(each.what)}/{beginning_of(each, now=now)}",
                title=f"{name}: {each.what}",
                path="/",
                updated=each.since,
                summary=each.detail,
            )
            for name, each in sorted(found, key=lambda pair: pair[1].since, reverse=True)
        )
        return AtomFeed(id=f"{tag}alarms", title="What needs a person – Corpus Worker", entries=entries)

    async def clusters(self, *, cursor: Cursor = "") -> curation.ClustersPage:
        """Return who copied whom: the week's most copied stories, hosts by share of copied text, the newest copies."""
        copies = await self._run(lambda reader: curation.read_copies(reader, cursor))
        return curation.ClustersPage(
            report=None if cursor else await (await self._answers_of_store()).report.get(),
            copies=copies.links,
            next=make_cursor(copies.before) if copies.before is not None else None,
        )

    async def review(self, *, cursor: Cursor = "") -> ReviewPage:
        """Return the pair about which the judge was least certain, and the decisions; `next` skips the pair."""
        browser = await self._open()
        return await browser.run(
            lambda reader: curation.read_review(self._unsure_pairs(browser, reader), reader, cursor)
        )

    async def mark(self, *, article: ArticleId, other: ArticleId, decided: Decided, cursor: Cursor = "") -> str:
        """Decide whether two articles are the same or different."""
        return await self._decide(article, other, decided=decided, cursor=cursor)

    async def undo_mark(self, *, article: ArticleId, other: ArticleId, cursor: Cursor = "") -> str:
        """Take back a decision on two articles."""
        return await self._decide(article, other, decided=UNDONE, cursor=cursor)

    async def _decide(self, article: int, other: int, *, decided: str, cursor: str) -> str:
        browser, now = await self._open(), self._source.clock.now()
        await browser.run(
            lambda reader: curation.mark_pair(reader, browser.settings(), article, other, decided=decided, now=now)
        )
        return f"/review?{urlencode({'cursor': cursor})}"

    async def sources(self, *, cursor: Cursor = "") -> curation.SourcesPage:
        """Return the configured sources, with their polls, problems and texts by day."""
        browser, now, figures = await self._open(), self._source.clock.now(), await self._source.recent()
        stats = {each.name: each for each in figures.sources} if figures else {}
        page = await browser.run(lambda reader: curation.read_sources(browser, reader, stats, cursor=cursor, now=now))
        return replace(page, addition=self._finder.addition)

    async def check(self, *, name: SourceName) -> None:
        """Make a source due at once."""
        browser, now = await self._open(), self._source.clock.now()
        browser.require_source(name)
        await browser.run(lambda reader: curation.make_due(reader, name, now=now))
        self._source.forget_recent()

    async def add_sources(self, *, url: Annotated[str, "a site, or one of its feeds or sitemaps"]) -> str:
        """Begin to look for the sources of a site; the best are added."""
        self._finder.start(url, await self._open(), done=self._source.forget_recent)
        return "/sources"

    async def rejected(self, *, reason: Reason = "", cursor: Cursor = "") -> curation.RejectedPages:
        """Return the pages that gave no article, the latest first."""
        return await self._run(lambda reader: curation.read_rejected(reader, cursor=cursor, reason=reason))

    async def rejected_page(self, *, candidate: CandidateId) -> curation.RejectedSource | None:
        """Return a page that gave no article, with its history and its text."""
        return await self._run(lambda reader: curation.read_rejected_page(reader, candidate))

    async def take(self, *, candidate: CandidateId) -> str:
        """Have a rejected page stored after all."""
        now = self._source.clock.now()
        await self._run(lambda reader: curation.take_rejected(reader, candidate, now=now))
        return f"/rejected/{candidate}"

    async def leave(self, *, candidate: CandidateId) -> str:
        """Leave a page rejected after all, while it waits to be stored."""
        now = self._source.clock.now()
        await self._run(lambda reader: curation.leave_rejected(reader, candidate, now=now))
        return f"/rejected/{candidate}"

    async def pause(self, *, name: SourceName) -> None:
        """Stop polling a source."""
        await self._set_enabled(name, enabled=False)

    async def resume(self, *, name: SourceName) -> None:
        """Poll a paused source again."""
        await self._set_enabled(name, enabled=True)

    async def _set_enabled(self, name: str, *, enabled: bool) -> None:
        browser = await self._open()
        await browser.set_enabled(name, enabled=enabled)
        self._source.forget_recent()

    async def _run(self, call: Callable[[StoreReader], T]) -> T:
        """Return what a function reads of the store, or changes in it."""
        browser = await self._open()
        return await browser.run(call)

    async def _open(self) -> Browser:
        """Return the store; a daemon that applies a change of its sources opens it again within seconds."""
        ends = self._source.clock.monotonic() + _OPEN_WITHIN.total_seconds()
        while (corpus := self._corpus()) is None:
            if self._source.clock.monotonic() >= ends:
                raise StoreError("the store is not open: the daemon is starting or stopping", retry=True)
            await self._source.clock.sleep(_LOOK_AGAIN)
        return corpus

    def _unsure_pairs(self, browser: Browser, reader: StoreReader) -> curation.UnsurePairs:
        """Return the unsure pairs of a store; those found so far are kept while it is open."""
        if self._unsure is None or self._unsure[0] is not browser:
            self._unsure = browser, curation.UnsurePairs(reader, merge_at=browser.settings().dedupe.probability)
        return self._unsure[1]

    async def _hours(self) -> Mapping[tuple[datetime, str], int] | None:
        """Return the outcomes by hour; None while the store has not answered."""
        if self._corpus() is None:
            return None
        answers = await self._answers_of_store()
        try:
            return (await answers.activity.get()).hours
        except (StoreError, TimeoutError) as exc:
            log.warning("web.store_silent", error=str(exc) or "no answer in time")
            return answers.counted.hours or None

    async def _answers_of_store(self) -> _Answers:
        """Return what is kept of the store that is open."""
        browser = await self._open()
        if self._answers is None or self._answers.browser is not browser:
            self._answers = _Answers(browser, self._source.clock)
        return self._answers


class _Answers:
    """What is kept of a store while it is open: who copied whom, and the outcomes by hour."""

    def __init__(self, browser: Browser, clock: Clock) -> None:
        self.browser, self._clock = browser, clock
        self.report = Kept(self._read_report, clock=clock, max_age=curation.REPORT_AGE)
        self.activity = Kept(self._read_activity, clock=clock, max_age=_ACTIVITY_AGE)
        self.counted = ActivityCounts(hours={}, last_event=0)

    async def _read_report(self) -> CopyReport:
        since = self._clock.now() - curation.REPORT_SPAN
        return await self.browser.count(lambda reader: reader.copy_report(since=since))

    async def _read_activity(self) -> ActivityCounts:
        """Read only what is new since the last time."""
        after, since = self.counted.last_event, self._clock.now() - ACTIVITY_SPAN
        new = await self.browser.count(lambda reader: reader.activity(after=after, since=since))
        hours = Counter({hour: number for hour, number in self.counted.hours.items() if hour[0] >= since})
        hours.update(new.hours)
        self.counted = ActivityCounts(hours=hours, last_event=new.last_event)
        return self.counted


def pages_app(
    source: StatusSource, *, corpus: Callable[[], Browser | None], web: WebSettings, is_public: bool = False
) -> WebApp:
    """Return the web application of a store; `corpus` returns None while the store is not open."""
    return CorpusPages(source, corpus=corpus).app(web, is_public=is_public)


class WebRun:
    """`corpus-worker web`: the pages of a store, beside a daemon or without one."""

    def __init__(self, settings: Settings, *, listen: str, config: Path | None = None) -> None:
        self._settings = settings
        self._listen = listen
        self._config = config
        self._health = Health(ok=True)

    async def run(self, on_start: Callable[[str], None]) -> None:
        """Serve until cancelled; `on_start` is called with the URL. Raises StoreError and ListenError."""
        clock = SystemClock()
        sources = [source.source() for source in self._settings.sources]
        with (
            await asyncio.to_thread(open_read_only, self._settings) as store,
            Browser(store.reader, clock=clock, sources=sources, config=self._config) as browser,
        ):
            source = StatusSource(
                health=lambda: self._health, figures=lambda: self._figures(browser), metrics=Metrics(), clock=clock
            )
            is_public = not is_loopback(self._listen)
            served = CorpusPages(source, corpus=lambda: browser)
            app = served.app(self._settings.web, is_public=is_public)
            async with serve_pages(app, listen=self._listen) as port:
                host = self._listen.rpartition(":")[0]
                on_start(f"http://{host}:{port}/")
                await served.stay_prepared()

    async def _figures(self, browser: Browser) -> StoreStats:
        """Return the statistics, and keep in mind whether the store answers."""
        try:
            figures = await browser.figures()
        except StoreError as exc:
            self._health = Health(ok=False, reason=str(exc))
            raise
        self._health = Health(ok=True)
        return figures
