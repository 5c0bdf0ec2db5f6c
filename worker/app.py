"""Builds the application: the only module that connects concrete classes to each other.

The flows in `pipeline` know their collaborators as protocols (`worker.ports`); this module chooses the classes behind
them. Use it as a context manager:

    async with open_app(settings, observer, command="ingest") as app:
        await app.ingester.drain()
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.config.sources import DEFAULT_TIMEZONE
from worker.dedupe.fingerprint import fingerprint
from worker.dedupe.judge import Deduper
from worker.errors import FetchError
from worker.extract.ipc import extract_rules
from worker.extract.main_text.boilerplate import HostBoilerplateCache
from worker.extract.pool import ProcessExtractor
from worker.fetch.client import HttpFetcher
from worker.files.reading import read_in_thread
from worker.logs import log
from worker.models import Page, Request, Source
from worker.models.base import dataclass
from worker.pipeline.discover import Discoverer
from worker.pipeline.filters import ArticleFilter
from worker.pipeline.ingest import Ingester
from worker.pipeline.prepare_seeds import SeedOptions
from worker.pipeline.seeds import SeedImporter, SeedProgress, SeedReport
from worker.pipeline.stages import Limits, Observer, Stages, Tally
from worker.ports import BackfillRegistry, Clock, Fetcher, Ledger, MetricsSink, NullMetrics
from worker.schedule.poll_interval import IntervalPolicy
from worker.sources import PARSERS, detect
from worker.sources.files.article_files import InputProblem
from worker.sources.files.seed_rows import SeedFile
from worker.sources.files.seeds import describe_problem, find_seed_files
from worker.storage.store import PATIENCE, Store, StoreExecutor, open_for_work, worker_name
from worker.urls import canonicalise, host_of


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentedFetcher:
    """A fetcher that reports the duration and the failures of another fetcher to the metrics.

    A decorator around `inner`, so that the fetcher itself does not depend on metrics.
    """

    inner: Fetcher
    meter: MetricsSink
    clock: Clock

    async def fetch(self, request: Request) -> Page:
        """Fetch with `inner` and record the duration; see `Fetcher.fetch` for the errors."""
        started = self.clock.monotonic()
        try:
            return await self.inner.fetch(request)
        except FetchError as exc:
            self.meter.fetch_failed(exc.reason)
            raise
        finally:
            self.meter.took("fetch", seconds=self.clock.monotonic() - started)

    async def sitemaps(self, url: str) -> Sequence[str]:
        """Return the sitemaps listed in the robots.txt of a URL's site; these fetches are not measured."""
        return await self.inner.sitemaps(url)

    async def aclose(self) -> None:
        """Close the connections of `inner`."""
        await self.inner.aclose()


_PAGES_PER_POLL: Final = 500
"""Bound on the further pages that one poll reads; the next poll continues there (docs/polling.md). Chosen, not
measured: at one request a second they take some eight minutes, well within `_POLL_LEASE`."""
_LEASE_MARGIN: Final = timedelta(minutes=2)
"""Time in a lease beyond the limits of fetching and extracting: for judging, writing and waiting for a busy store."""
_POLL_LEASE: Final = timedelta(minutes=15)
"""A poll that takes longer is cut off, and another worker may poll the source. It must exceed the time that
`_PAGES_PER_POLL` pages need at the default delay."""
_MAX_SLOT_WAIT: Final = timedelta(minutes=15)
"""How long a candidate may wait for its host's rate limiter before it is released and tried again later: longer than
any usual `Crawl-delay`, short enough that a blocked host does not occupy a worker slot for hours."""
_INDEX_PAUSE: Final = timedelta(milliseconds=20)
"""The pause between two batches for full-text search: an old store of a million articles takes half an hour, and other
work of the store thread never waits for more than one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillDeps:
    """What a backfill needs besides the rest of the application.

    `registry` holds the progress of backfills, `fetcher` reads archive pages and robots.txt.
    """

    registry: BackfillRegistry
    fetcher: Fetcher


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything a run needs, built from the settings.

    `offload` runs blocking store calls in threads. `ledger` is usually `store.ledger`; in a dry run it is a wrapper
    that writes to memory. `prepare` starts what the first page needs, for a run that will surely have one, and works
    beside the run's first requests. `backfill` is None where no backfill can run.
    """

    settings: Settings
    clock: SystemClock
    offload: StoreExecutor
    store: Store
    ledger: Ledger
    discoverer: Discoverer
    ingester: Ingester
    make_importer: Callable[[], SeedImporter]
    tally: Tally
    sources: tuple[Source, ...]
    prepare: Callable[[], Coroutine[Any, Any, None]]
    backfill: BackfillDeps | None = None

    async def index_texts(self) -> None:
        """Put every article that full-text search lacks into its index, in steps between which others can write."""
        while await self.offload(self.store.index_queued_texts):
            await self.clock.sleep(_INDEX_PAUSE)

    async def hold_paused(self, *, but: Collection[str] = ()) -> None:
        """Make what paused sources have found wait, and let go of what those have that are paused no longer.

        `but` names sources that this run works on although they are paused.
        """
        paused = [source.name for source in self.sources if not source.enabled and source.name not in but]
        if changed := await self.offload(self.store.ledger.hold_paused, paused, now=self.clock.now()):
            log.info("sources.held", paused=", ".join(paused) or None, candidates=changed)

    async def import_seeds(
        self, paths: Sequence[str] = (), watcher: Callable[[SeedProgress], None] = lambda _progress: None
    ) -> SeedReport:
        """Import the configured seed corpus, or the seeds at `paths`; `watcher` is called with the progress.

        Problems with files and rows are logged and part of the report; they raise nothing.
        """
        places = paths or self.settings.seeds.path
        if not places:
            return SeedReport()
        found = await read_in_thread(list, find_seed_files(places))
        files = [each for each in found if isinstance(each, SeedFile)]
        report = await self.make_importer().add(files, watcher) if files else SeedReport()
        problems = (*(describe_problem(each) for each in found if isinstance(each, InputProblem)), *report.problems)
        for problem in problems:
            log.warning("seeds.problem", problem=problem)
        if not report.found and not problems:
            log.info("seeds.none", path=", ".join(places))
        return replace(report, problems=problems)


@asynccontextmanager
async def open_app(
    settings: Settings,
    observer: Observer,
    *,
    command: str = "ingest",
    meter: MetricsSink | None = None,
    patience: timedelta = PATIENCE,
    create: bool = True,
    extractor: ProcessExtractor | None = None,
    by_request: bool = False,
) -> AsyncIterator[App]:
    """Open the store and build the application for one run of a command; close both at the end.

    `observer` is notified of discovered candidates and outcomes, `meter` of durations and failures. `patience` is how
    long opening waits for a store that does not answer. With `create=False` the store must exist already. `extractor`
    is one that is launched already; it is closed at the end as well. `by_request`: a person names what is fetched.
    Raises StoreError if the store cannot be used.
    """
    parameters = Deduper().parameters
    with (
        await open_for_work(settings.store.url, parameters, patience, command=command, create=create) as store,
        StoreExecutor(count=_threads(settings)) as offload,
    ):
        for remark in settings.warnings():
            log.warning("configuration.unused", remark=remark)
        inner = HttpFetcher.of(settings, clock=SystemClock(), hosts=store.hosts, offload=offload)
        if by_request:
            inner.reread_policies()
        fetcher = inner if meter is None else InstrumentedFetcher(inner=inner, meter=meter, clock=SystemClock())
        judge = Deduper(settings.dedupe, await offload(store.reader.weights))
        await offload(store.save_first_terms, judge.terms)
        parts = AppParts(
            store=store,
            offload=offload,
            ledger=store.ledger,
            fetcher=fetcher,
            deduper=judge,
            meter=meter,
            extractor=extractor,
        )
        async with build_app(settings, parts, observer) as app:
            yield replace(app, backfill=BackfillDeps(registry=store.backfills, fetcher=inner))


@dataclass(frozen=True, slots=True, kw_only=True)
class AppParts:
    """The collaborators in which a real run and a dry run differ."""

    store: Store
    offload: StoreExecutor
    ledger: Ledger
    fetcher: Fetcher
    deduper: Deduper
    meter: MetricsSink | None = None
    extractor: ProcessExtractor | None = None


@asynccontextmanager
async def build_app(settings: Settings, parts: AppParts, observer: Observer) -> AsyncIterator[App]:
    """Build the application from its parts; close the fetcher and the extraction processes at the end."""
    tally, limits = Tally(), _limits(settings)
    extractor = parts.extractor or ProcessExtractor(extract_rules(settings))
    stages = _stages(parts, extractor)
    try:
        yield App(
            settings=settings,
            clock=SystemClock(),
            offload=parts.offload,
            store=parts.store,
            ledger=parts.ledger,
            discoverer=Discoverer(stages, limits, tally=tally, observer=observer, worker=worker_name()),
            ingester=Ingester(stages, limits, tally=tally, observer=observer, worker=worker_name()),
            make_importer=partial(_seed_importer, settings, stages, parts.store),
            tally=tally,
            sources=tuple(source.source() for source in settings.sources),
            prepare=partial(_prepare, extractor),
        )
    finally:
        await extractor.aclose()
        await parts.fetcher.aclose()


async def _prepare(extractor: ProcessExtractor) -> None:
    """Start an extraction process, and load what fingerprints need; a page meets a failure again, and reports it."""
    await asyncio.gather(extractor.start(), asyncio.to_thread(fingerprint, "a b"), return_exceptions=True)


def _stages(parts: AppParts, extractor: ProcessExtractor) -> Stages:
    """Return the collaborators of the flows in `pipeline`."""
    return Stages(
        clock=SystemClock(),
        offload=parts.offload,
        fetcher=parts.fetcher,
        extractor=extractor,
        deduper=parts.deduper,
        ledger=parts.ledger,
        learner=HostBoilerplateCache(parts.store.paragraphs),
        parsers=PARSERS,
        detect=detect,
        canonicalise=canonicalise,
        chance=random.random,
        meter=parts.meter or NullMetrics(),
    )


def seed_options(settings: Settings) -> SeedOptions:
    """Return how seeds are read under these settings."""
    return SeedOptions(
        columns=dict(settings.seeds.columns.items()),
        clean=settings.seeds.clean,
        timezone=DEFAULT_TIMEZONE,
        processes=extract_rules(settings).process_count(),
    )


def _seed_importer(settings: Settings, stages: Stages, store: Store) -> SeedImporter:
    return SeedImporter(
        clock=stages.clock,
        offload=stages.offload,
        deduper=stages.deduper,
        seed_store=store.seeds,
        extractor=stages.extractor,
        options=seed_options(settings),
    )


def _threads(settings: Settings) -> int:
    """Return the number of store calls that run at once: SQLite has one writer, a server's pool four connections."""
    return 1 if settings.store.url.startswith("sqlite") else 4


def _limits(settings: Settings) -> Limits:
    """Return the limits of the flows; a lease must outlast the time limits of fetching and extracting."""
    schedule, fetch = settings.schedule, settings.fetch
    lease = fetch.deadline + settings.extract.timeout + _LEASE_MARGIN
    return Limits(
        policy=IntervalPolicy(
            every=schedule.every, min_every=schedule.min_every, max_every=schedule.max_every, jitter=schedule.jitter
        ),
        max_in_flight=fetch.max_connections,
        lease=lease,
        deadline=lease + _MAX_SLOT_WAIT,
        poll_lease=_POLL_LEASE,
        max_pages=_PAGES_PER_POLL,
        input_bytes=fetch.max_bytes,
        timezones={source.name: source.timezone for source in settings.sources},
        recheck=fetch.recheck,
        sitemaps=_sitemaps(settings),
        since={source.name: since for source in settings.sources if (since := source.wanted_since())},
        filter=ArticleFilter(settings) if settings.has_filter else None,
    )


def _sitemaps(settings: Settings) -> dict[str, list[str]]:
    """Return the URLs of the enabled sitemap sources by host."""
    known: dict[str, list[str]] = {}
    for source in settings.sources:
        if source.kind == "sitemap" and source.enabled:
            known.setdefault(host_of(source.url), []).append(source.url)
    return known
