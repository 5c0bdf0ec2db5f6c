"""Fakes that fit the real seams: clock, fetcher, extractor. The store and the judge in tests are the real ones."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from worker.dedupe.judge import Deduper
from worker.errors import ExtractError, ExtractorDown, FetchBlocked, FetchError
from worker.extract.main_text.boilerplate import HostBoilerplateCache
from worker.models import Article, Claim, Outcome, Page, Request, Source, Text, Validators
from worker.pipeline.stages import Limits, Stages
from worker.ports import Hints
from worker.schedule.poll_interval import IntervalPolicy
from worker.storage.store import Store

P = ParamSpec("P")
T = TypeVar("T")

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RHYTHM = IntervalPolicy(every=15 * MINUTE, min_every=5 * MINUTE, max_every=12 * 60 * MINUTE, jitter=0)
"""The polling of tests, without chance."""
_ROUNDS = 50


class FakeClock:
    """A clock that jumps to the next sleeper once nobody else has anything left to do."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._now = start
        self._waking: list[datetime] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def advance(self, delay: timedelta) -> None:
        self._now += delay

    async def sleep(self, delay: timedelta) -> None:
        wake = self._now + max(delay, timedelta(0))
        self._waking.append(wake)
        try:
            rounds = 0
            while self._now < wake:
                await asyncio.sleep(0)
                rounds = rounds + 1 if wake == min(self._waking) else 0
                if rounds > _ROUNDS:
                    self._now = wake
            await asyncio.sleep(0)
        finally:
            self._waking.remove(wake)


async def inline(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Offload nothing: call it here and now."""
    await asyncio.sleep(0)
    return call(*args, **kwargs)


def page(url: str, body: str = "", *, now: datetime = START, validators: Validators = Validators()) -> Page:
    return Page(
        url=url,
        final_url=url,
        status=200,
        body=body.encode(),
        fetched_at=now,
        content_type="text/html",
        validators=validators,
    )


class FakeFetcher:
    """Answers from a table of pages, errors, or callables that make either; notes what was asked.

    `robots` gives the sitemaps that a site's robots.txt names.
    """

    def __init__(self, answers: Mapping[str, object], *, robots: Callable[[str], Sequence[str]] = lambda _: ()) -> None:
        self.answers = dict(answers)
        self._robots = robots
        self.requests: list[Request] = []

    async def fetch(self, request: Request) -> Page:
        self.requests.append(request)
        await asyncio.sleep(0)
        answer = self.answers.get(request.url)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return page(request.url, answer)
        if isinstance(answer, Page):
            return answer
        raise FetchError(f"{request.url}: 404", reason="gone", retry=False, status=404)

    async def sitemaps(self, url: str) -> Sequence[str]:
        await asyncio.sleep(0)
        return self._robots(url)

    async def aclose(self) -> None:
        pass


class FakeExtractor:
    """Takes the body as the text, first line the title.

    `REJECT reason` is no article, `CRASH` a bug, `DOWN` a pool that is down, `SHORT` a lack of memory.
    """

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        await asyncio.sleep(0)
        raw = content.body.decode() if isinstance(content, Page) else content.text
        if raw.startswith("REJECT ") and not hints.is_taken:
            raise ExtractError(f"no article: {raw[7:]}", reason=raw[7:])
        if raw.startswith("RESERVED"):
            raise FetchBlocked("the page reserves its rights: noai", reason="rights")
        if raw.startswith("DOWN"):
            raise ExtractorDown("no worker process could be started")
        if raw.startswith("SHORT"):
            raise MemoryError
        if raw.startswith("CRASH"):
            raise RuntimeError("a bug in the extractor")
        title, _, text = raw.partition("\n")
        return article(text, url=hints.url, canonical_url=hints.canonical_url, title=title, source=hints.source)

    async def aclose(self) -> None:
        pass


def article(
    text: str,
    *,
    url: str = "https://paper.example/a",
    canonical_url: str = "",
    title: str = "Title",
    source: str = "paper",
    fetched_at: datetime = START,
) -> Article:
    return Article(
        url=url,
        canonical_url=canonical_url or url,
        source=source,
        host=url.split("/")[2] if "://" in url else "",
        title=title,
        text=text,
        language="vi",
        fetched_at=fetched_at,
        words=len(text.split()),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


class Watcher:
    """Remembers what a run told."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int]] = []
        self.outcomes: dict[str, Outcome] = {}

    def discovered(self, source: Source, *, new: int) -> None:
        self.found.append((source.name, new))

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        self.outcomes[claim.url] = outcome


def limits(*, policy: IntervalPolicy = RHYTHM, recheck: tuple[timedelta, ...] = (), **changes: Any) -> Limits:
    """Return the bounds of a small run: all that is leased is so for a minute, and four candidates are in hand."""
    bounds = {"max_in_flight": 4, "lease": MINUTE, "deadline": MINUTE, "poll_lease": 15 * MINUTE, "max_pages": 10}
    return Limits(policy=policy, recheck=recheck, **{"input_bytes": 10**6, **bounds, **changes})


def faked_stages(store: Store, *, clock: FakeClock, fetcher: FakeFetcher) -> Stages:
    """Put the real store and judge together with fakes; every page is an article, and nothing else can be read."""
    return Stages(
        clock=clock,
        offload=inline,
        fetcher=fetcher,
        extractor=FakeExtractor(),
        deduper=Deduper(),
        ledger=store.ledger,
        learner=HostBoilerplateCache(store.paragraphs),
        parsers={},
        detect=lambda _, gate=None: "article",
        canonicalise=lambda url: url,
        chance=lambda: 0.5,
    )
