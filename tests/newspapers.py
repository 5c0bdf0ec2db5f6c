"""A small web for tests of who may say what: pages by address, read by the real parsers, extractor, judge and store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes import START, FakeClock, FakeFetcher, Watcher, faked_stages, limits
from worker.errors import FetchBlocked, FetchError
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import ExtractRules
from worker.models import Article, CandidateRecord, Page, Request, Source, SourceOptions, State, Text
from worker.pipeline.discover import Discoverer
from worker.pipeline.ingest import Ingester
from worker.pipeline.stages import Tally
from worker.ports import Hints
from worker.sources import PARSERS, detect
from worker.storage.store import Store
from worker.urls import canonicalise

GONE = FetchError("404", reason="gone", retry=False, status=404)
DOWN = FetchError("no connection", reason="connect", retry=True)
FORBIDDEN = FetchBlocked("robots.txt forbids it", reason="robots")
SYLLABLES = (
    "ruộng gạch khói thuyền chợ rêu bụi đèn lưới cầu phà nón lụa gốm trống hội mưa nắng sương gió bãi cồn vườn "
    "rẫy suối thác đồi dốc bến cảng tàu ghe mái ngói sân giếng ao cá tôm cua lúa ngô khoai sắn mía chè cà tiêu "
    "điều "
)
MENU = "".join(f'<li><a href="/muc-{number}">Mục {number}</a></li>' for number in range(8))


def story(topic: str) -> str:
    """Return the paragraphs of a story like no other."""
    chance = random.Random(topic)
    lines = [f"Ở {topic}, {' '.join(chance.choices(SYLLABLES.split(), k=22))}." for _ in range(6)]
    return "".join(f"<p>{line}</p>" for line in lines)


def article_page(topic: str, *, head: str = "", title: str = "") -> str:
    """Return an article page about a topic."""
    title = title or f"Chuyện ở {topic}"
    return (
        f'<!doctype html><html lang="vi"><head><meta charset="utf-8"><title>{title}</title>{head}</head><body>'
        f"<nav><ul>{MENU}</ul></nav><article><h1>{title}</h1>{story(topic)}</article></body></html>"
    )


def entry(link: str, *, title: str = "Một tin", text: str = "", date: str = "") -> str:
    """Return an item of a feed, with its full text where there is one."""
    full = f"<content:encoded><![CDATA[{text}]]></content:encoded>" if text else ""
    dated = f"<pubDate>{date}</pubDate>" if date else ""
    return f"<item><title>{title}</title><link>{link}</link>{dated}{full}</item>"


def feed(*items: str, site: str = "") -> str:
    """Return an RSS feed, which says that it belongs to a site."""
    space = 'xmlns:content="http://purl.org/rss/1.0/modules/content/"'
    link = f"<link>{site}</link>" if site else ""
    return f'<rss version="2.0" {space}><channel><title>Tin</title>{link}{"".join(items)}</channel></rss>'


def listing(*links: str) -> str:
    """Return a listing page of headlines."""
    heads = "".join(
        f'<h3><a href="{link}">Một đầu đề dài vừa đủ cho bài số {at}</a></h3>' for at, link in enumerate(links)
    )
    return f"<html><body><main>{heads}</main></body></html>"


def served_by(url: str, body: str, *, asked: str) -> Page:
    """Return what came from one address when another was asked for."""
    return Page(url=asked, final_url=url, status=200, body=body.encode(), fetched_at=START, content_type="text/html")


class InProcessExtractor:
    """The real extraction, in this process."""

    def __init__(self) -> None:
        self._reader = _reader()

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        await asyncio.sleep(0)
        return self._reader.read(content, hints, fetched_at=fetched_at)

    async def aclose(self) -> None:
        pass


@cache
def _reader() -> ArticleExtractor:
    return ArticleExtractor(ExtractRules(languages=(), min_words=40))


class Web:
    """What is asked for, and what becomes of it; `answers` may change between two steps."""

    def __init__(
        self, store: Store, answers: Mapping[str, object], *, robots: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.store, self.clock = store, FakeClock()
        named = robots or {}
        self.fetcher = FakeFetcher(answers, robots=lambda url: named.get(url, ()))
        self.extractor = InProcessExtractor()
        stages = replace(
            faked_stages(store, clock=self.clock, fetcher=self.fetcher),
            extractor=self.extractor,
            parsers=PARSERS,
            detect=detect,
            canonicalise=canonicalise,
        )
        self.watcher, tally = Watcher(), Tally()
        parts = {"tally": tally, "observer": self.watcher, "worker": "w1"}
        self._discoverer = Discoverer(stages, limits(), **parts)  # type: ignore[arg-type]
        self._ingester = Ingester(stages, limits(), **parts)  # type: ignore[arg-type]

    def poll(self, url: str, *, kind: str = "feed", name: str = "", **options: Any) -> Web:
        """Poll a source and work off what it led to."""
        asyncio.run(self._poll(Source(name=name or url, kind=kind, url=url, options=SourceOptions(**options))))
        return self.work()

    async def _poll(self, source: Source) -> None:
        report = await self._discoverer.poll(source)
        assert not report.error, report

    def poll_during(self, asked: str, feed_url: str) -> Web:
        """Poll a feed each time that an address is asked for, before it answers."""
        answer = self.fetcher.fetch

        async def fetch(request: Request) -> Page:
            if request.url == asked:
                await self._poll(Source(name=feed_url, kind="feed", url=feed_url))
            return await answer(request)

        self.fetcher.fetch = fetch  # type: ignore[method-assign]
        return self

    def read(self, path: Path) -> Web:
        """Take in a file or folder, and work on it."""
        return self.poll(str(path), kind="files")

    def work(self) -> Web:
        """Work until nothing is due."""
        asyncio.run(self._ingester.drain())
        assert self.store.reader.audit().problems == ()
        return self

    @property
    def asked(self) -> list[str]:
        """Every address that was asked for."""
        return [request.url for request in self.fetcher.requests]

    @property
    def texts(self) -> dict[str, Article]:
        """What is exported, by its canonical address."""
        return {head.article.canonical_url: head.article for head in self.store.reader.heads()}

    def of(self, url: str) -> CandidateRecord:
        """Return what the ledger holds about an address."""
        record = self.store.reader.candidate(url)
        assert record is not None, url
        return record

    def state(self, url: str) -> State:
        """Return where the candidate of an address stands."""
        return self.of(url).state
