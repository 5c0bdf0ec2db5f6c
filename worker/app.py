"""Puts the parts together; the only module that names concrete classes."""

from __future__ import annotations

import functools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.dedupe.judge import Deduper
from worker.errors import FetchError
from worker.extract import ProcessExtractor, extract_rules
from worker.extract.main_text.boilerplate import HostBoilerplateCache
from worker.fetch.client import HttpFetcher
from worker.models import Article, Page, Request, Seed, Source
from worker.pipeline.discover import Discoverer
from worker.pipeline.ingest import Ingester
from worker.pipeline.seeds import SeedImporter, SeedReport
from worker.pipeline.stages import Limits, Observer, Stages, Tally
from worker.ports import BackfillRegistry, Clock, Fetcher, Ledger, MetricsSink, NullMetrics
from worker.schedule.poll_interval import IntervalPolicy
from worker.sources import PARSERS, detect
from worker.sources.files.inputs import read_seeds
from worker.storage import PATIENCE, Store
from worker.storage.opening import StoreExecutor, open_for_work, worker_name
from worker.urls import canonicalise, host_of

if TYPE_CHECKING:
    from worker.extract.quality import LanguageDetector


# Puts the counting around what is counted: every fetch, and whoever else watches a run.


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentedFetcher:
    """Fetches, and tells how long each fetch took and why it failed."""

    inner: Fetcher
    meter: MetricsSink
    clock: Clock

    async def fetch(self, request: Request) -> Page:
        """Return the page; see `Fetcher.fetch`."""
        started = self.clock.monotonic()
        try:
            return await self.inner.fetch(request)
        except FetchError as exc:
            self.meter.fetch_failed(exc.reason)
            raise
        finally:
            self.meter.took("fetch", seconds=self.clock.monotonic() - started)

    async def sitemaps(self, url: str) -> Sequence[str]:
        """Return the sitemaps that the robots.txt of a URL's site names; these fetches are not counted."""
        return await self.inner.sitemaps(url)

    async def aclose(self) -> None:
        """Close what is open."""
        await self.inner.aclose()


log = structlog.get_logger()

_PAGES_PER_POLL: Final = 500
_LEASE_MARGIN: Final = timedelta(minutes=2)
_POLL_LEASE: Final = timedelta(minutes=15)
_MAX_SLOT_WAIT: Final = timedelta(minutes=15)
NO_SEEDS: Final = "no seed in it; a seed is called NNN_<16 hex digits>.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillDeps:
    """What going back through a source's past needs besides: where its progress lies, and what asks for robots.txt."""

    registry: BackfillRegistry
    fetcher: Fetcher


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything a run needs, put together from the settings."""

    settings: Settings
    clock: SystemClock
    offload: StoreExecutor
    store: Store
    ledger: Ledger
    discoverer: Discoverer
    ingester: Ingester
    seeds: SeedImporter
    tally: Tally
    sources: tuple[Source, ...]
    backfill: BackfillDeps | None = None

    async def import_seeds(self, folder: Path | None = None) -> SeedReport:
        """Import the configured seed corpus, or another folder."""
        if folder is None and not self.settings.seeds.path:
            return SeedReport(found=0, imported=0, refused=0, problems=())
        path = folder or Path(self.settings.seeds.path)
        report = await self.seeds.add(read_seeds(path))
        for problem in report.problems:
            log.warning("seeds.problem", problem=problem)
        if not report.found and not report.problems:
            log.info("seeds.none", folder=str(path), note=NO_SEEDS)
        return report


@asynccontextmanager
async def open_app(
    settings: Settings,
    observer: Observer,
    *,
    command: str = "ingest",
    meter: MetricsSink | None = None,
    patience: timedelta = PATIENCE,
    create: bool = True,
) -> AsyncIterator[App]:
    """Open everything for one run of a command, and close it at the end.

    `patience` is how long a store that does not answer is waited for meanwhile; with `create` off there must be one
    already. Raises StoreError where the store
    cannot be used.
    """
    parameters = Deduper().parameters
    with (
        await open_for_work(settings.store.url, parameters, patience, command=command, create=create) as store,
        StoreExecutor(count=_threads(settings)) as offload,
    ):
        for remark in settings.remarks():
            log.warning("configuration.unused", remark=remark)
        inner = HttpFetcher(settings.fetch, clock=SystemClock(), hosts=store.hosts, offload=offload)
        fetcher = inner if meter is None else InstrumentedFetcher(inner=inner, meter=meter, clock=SystemClock())
        judge = Deduper(settings.dedupe, await offload(store.reader.weights))
        await offload(store.review.begin_under, judge.terms)
        parts = AppParts(store=store, offload=offload, ledger=store.ledger, fetcher=fetcher, deduper=judge, meter=meter)
        async with build_app(settings, parts, observer) as app:
            yield replace(app, backfill=BackfillDeps(registry=store.backfills, fetcher=inner))


@dataclass(frozen=True, slots=True, kw_only=True)
class AppParts:
    """What a run is put together from, and what differs between a real run and a dry run."""

    store: Store
    offload: StoreExecutor
    ledger: Ledger
    fetcher: Fetcher
    deduper: Deduper
    meter: MetricsSink | None = None


@asynccontextmanager
async def build_app(settings: Settings, parts: AppParts, observer: Observer) -> AsyncIterator[App]:
    """Build the application from its parts; the fetcher and the extraction processes are closed at the end."""
    tally, limits = Tally(), _limits(settings)
    extractor = ProcessExtractor(extract_rules(settings))
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
            seeds=_seed_importer(stages, parts.store),
            tally=tally,
            sources=tuple(source.source() for source in settings.sources),
        )
    finally:
        await extractor.aclose()
        await parts.fetcher.aclose()


def _stages(parts: AppParts, extractor: ProcessExtractor) -> Stages:
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


def _seed_importer(stages: Stages, store: Store) -> SeedImporter:
    return SeedImporter(
        clock=stages.clock,
        offload=stages.offload,
        deduper=stages.deduper,
        shelf=store.seeds,
        to_article=_seed_reader(),
    )


def _seed_reader() -> Callable[[Seed, datetime], Article]:
    """Return what turns a seed file into an article; the language model is loaded at the first one."""
    make_languages = functools.cache(_languages)

    def to_article(seed: Seed, now: datetime) -> Article:
        from worker.extract.seed_article import seed_article

        return seed_article(seed, fetched_at=now, languages=make_languages())

    return to_article


def _languages() -> LanguageDetector:
    from worker.extract.quality import LanguageDetector

    return LanguageDetector()


def _threads(settings: Settings) -> int:
    """Return how many calls of the store run at once: SQLite has one writer, a server's pool has four connections."""
    return 1 if settings.store.url.startswith("sqlite") else 4


def _limits(settings: Settings) -> Limits:
    schedule, fetch = settings.schedule, settings.fetch
    lease = fetch.deadline + settings.extract.timeout + _LEASE_MARGIN
    return Limits(
        rhythm=IntervalPolicy(
            every=schedule.every, min_every=schedule.min_every, max_every=schedule.max_every, jitter=schedule.jitter
        ),
        in_hand=fetch.max_connections,
        lease=lease,
        deadline=lease + _MAX_SLOT_WAIT,
        poll_lease=_POLL_LEASE,
        follow=_PAGES_PER_POLL,
        input_bytes=fetch.max_bytes,
        timezones={source.name: source.timezone for source in settings.sources},
        recheck=fetch.recheck,
        sitemaps=_sitemaps(settings),
        since={source.name: since for source in settings.sources if (since := source.wanted_since())},
    )


def _sitemaps(settings: Settings) -> dict[str, list[str]]:
    """Return the configured sitemaps by their host."""
    known: dict[str, list[str]] = {}
    for source in settings.sources:
        if source.kind == "sitemap" and source.enabled:
            known.setdefault(host_of(source.url), []).append(source.url)
    return known
