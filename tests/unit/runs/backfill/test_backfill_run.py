"""A backfill run: its lease, its limit, and waiting for the ingester."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import TypeVar, cast

import pytest

from tests.fakes import START, FakeClock, FakeFetcher, inline, page
from worker.app import App, BackfillDeps
from worker.errors import StoreError
from worker.models import BackfillPlace, BackfillProgress, Candidate, Source
from worker.pipeline.stages import Tally
from worker.runs.backfill import BackfillOptions, BackfillRun, run, walker
from worker.runs.backfill.walker import ArchiveWalker
from worker.sources.web.archive import ArchivePage

T = TypeVar("T")

ORDERS = BackfillOptions(source="bao", first=date(2026, 1, 1), last=date(2026, 1, 2), discover_only=True)
SOURCE = Source(name="bao", kind="feed", url="https://bao.example/rss")


class Book:
    """Records the lease holder; the second call fails."""

    def __init__(self) -> None:
        self.leads = 0

    def acquire(self, *_: object, **__: object) -> bool:
        self.leads += 1
        if self.leads == 2:
            raise StoreError("locked for a moment")
        return True

    def release(self, _name: str, *, worker: str) -> None:
        pass


@pytest.mark.anyio
async def test_a_brief_store_error_does_not_lose_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, registry = FakeClock(), Book()

    class SlowLooker:
        def __init__(self, *_: object) -> None:
            pass

        async def walk(self) -> None:
            await clock.sleep(timedelta(minutes=3))

    monkeypatch.setattr(run, "ArchiveWalker", SlowLooker)
    monkeypatch.setattr(BackfillOptions, "source_of", lambda *_: SOURCE)
    app = SimpleNamespace(clock=clock, offload=inline, settings=None, backfill=SimpleNamespace(registry=registry))

    await BackfillRun(cast("App", app), ORDERS).run()

    assert registry.leads > 3


@pytest.mark.anyio
async def test_the_walker_does_not_wait_for_an_ingester_that_has_reached_its_limit() -> None:
    clock, taken = FakeClock(), [False]

    def pending(**_: object) -> tuple[int, int]:
        taken[0] = True
        return 5000, 5000

    class Ingester:
        @property
        def remaining(self) -> int:
            return 0 if taken[0] else 10

    ledger = SimpleNamespace(pending=pending)
    app = SimpleNamespace(clock=clock, offload=inline, settings=None, ledger=ledger, ingester=Ingester())
    options = BackfillOptions(source="bao", first=date(2026, 1, 1), last=date(2026, 1, 2), limit=10)
    walker = ArchiveWalker(
        cast("App", app), cast("BackfillDeps", SimpleNamespace(registry=None, fetcher=None)), options, SOURCE
    )

    began = clock.monotonic()
    await walker._wait_for_ingester()

    assert clock.monotonic() - began < 5


class Shelf:
    """A registry with one place, whose candidates are new the first time they are added."""

    def __init__(self, page: BackfillPlace) -> None:
        self.waiting: list[BackfillPlace] = [page]
        self.known: set[str] = set()
        self.sizes: list[int] = []

    def state(self, name: str) -> BackfillProgress:
        return BackfillProgress(name=name, waiting=len(self.waiting), begun_at=START)

    def next_place(self, _name: str, *, after: int) -> BackfillPlace | None:
        return next((each for each in self.waiting if each.id > after), None)

    def save_candidates(
        self, _name: str, place: BackfillPlace, candidates: Sequence[Candidate], **_: object
    ) -> BackfillPlace:
        new = {each.url for each in candidates} - self.known
        self.known |= new
        self.sizes.append(len(candidates))
        return replace(place, new=place.new + len(new))

    def close(self, _name: str, place: BackfillPlace, *_: object, **__: object) -> bool:
        self.waiting = [each for each in self.waiting if each.id != place.id]
        return True

    def finish(self, *_: object, **__: object) -> None:
        pass


@pytest.mark.anyio
async def test_a_limit_stops_within_a_sitemap_and_the_next_run_continues_with_the_rest() -> None:
    url = "https://bao.example/sitemap.xml"
    places = "".join(f"<url><loc>https://bao.example/tin-{n}.html</loc></url>" for n in range(1200))
    shelf = Shelf(BackfillPlace(id=1, kind="sitemap", url=url))
    fetcher = FakeFetcher({url: page(url, f"<urlset>{places}</urlset>")})

    looked = []
    for limit in (700, 700):
        ledger = SimpleNamespace(pending=lambda **_: (0, 0))
        app = SimpleNamespace(clock=FakeClock(), offload=inline, settings=None, ledger=ledger, tally=Tally())
        walker = ArchiveWalker(
            cast("App", app),
            cast("BackfillDeps", SimpleNamespace(registry=shelf, fetcher=fetcher)),
            replace(ORDERS, limit=limit),
            replace(SOURCE, kind="sitemap", url=url),
        )
        await walker.walk()
        looked.append((walker.counts.new, len(shelf.waiting)))

    assert looked == [(700, 1), (500, 0)]
    assert max(shelf.sizes) <= 500
    assert len(shelf.known) == 1200


class FreshThreads(ThreadPoolExecutor):
    """An executor that runs every call on a thread of its own, and keeps the threads until it ends."""

    def __init__(self) -> None:
        super().__init__(1)
        self.started: list[ThreadPoolExecutor] = []

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> Future[T]:
        self.started.append(ThreadPoolExecutor(1))
        return self.started[-1].submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for each in self.started:
            each.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)


@pytest.mark.anyio
async def test_a_sitemap_is_parsed_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.get_running_loop().set_default_executor(FreshThreads())
    url = "https://bao.example/sitemap.xml"
    threads: set[int] = set()

    def scan(*_: object, **__: object) -> Iterator[ArchivePage]:
        for _part in range(4):
            threads.add(threading.get_ident())
            yield ArchivePage()

    monkeypatch.setattr(walker, "scan_archive", scan)
    ledger = SimpleNamespace(pending=lambda **_: (0, 0))
    app = SimpleNamespace(clock=FakeClock(), offload=inline, settings=None, ledger=ledger, tally=Tally())
    shelf = Shelf(BackfillPlace(id=1, kind="sitemap", url=url))
    deps = SimpleNamespace(registry=shelf, fetcher=FakeFetcher({url: page(url, "<urlset/>")}))

    await ArchiveWalker(cast("App", app), cast("BackfillDeps", deps), ORDERS, replace(SOURCE, kind="sitemap")).walk()

    assert not shelf.waiting
    assert len(threads) == 1
