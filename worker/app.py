"""Puts the parts together; the only module that names concrete classes."""

from __future__ import annotations

import functools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from worker.clock import SystemClock
from worker.dedupe import Deduper
from worker.extract import ProcessExtractor, extract_rules
from worker.fetch import HttpFetcher
from worker.learning import LearnedSites
from worker.metering import MeteredFetcher
from worker.models import Article, Seed, Source
from worker.offload import Threads
from worker.pipeline import Discoverer, Ingester, Limits, Observer, SeedImporter, SeedReport, Stages, Tally
from worker.ports import BackfillBook, Fetcher, Ledger, Meter, Unmetered
from worker.readying import ready_store, worker_name
from worker.schedule import Rhythm
from worker.settings import Settings
from worker.sources import PARSERS, detect
from worker.sources.seeds import read_seeds
from worker.storage import PATIENCE, Store
from worker.urls import canonicalise, host_of

if TYPE_CHECKING:
    from worker.extract.language import Languages

log = structlog.get_logger()

_PAGES_PER_POLL: Final = 500
_LEASE_MARGIN: Final = timedelta(minutes=2)
_POLL_LEASE: Final = timedelta(minutes=15)
_LONGEST_WAIT_FOR_A_TURN: Final = timedelta(minutes=15)
NO_SEEDS: Final = "no seed in it; a seed is called NNN_<16 hex digits>.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What going back through a source's past needs besides: where its progress lies, and what asks for robots.txt."""

    book: BackfillBook
    fetcher: Fetcher


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything a run needs, put together from the settings."""

    settings: Settings
    clock: SystemClock
    offload: Threads
    store: Store
    ledger: Ledger
    discoverer: Discoverer
    ingester: Ingester
    seeds: SeedImporter
    tally: Tally
    sources: tuple[Source, ...]
    past: Past | None = None

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
async def opened(
    settings: Settings,
    observer: Observer,
    *,
    command: str = "ingest",
    meter: Meter | None = None,
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
        await ready_store(settings.store.url, parameters, patience, command=command, create=create) as store,
        Threads(count=_threads(settings)) as offload,
    ):
        for remark in settings.remarks():
            log.warning("configuration.unused", remark=remark)
        inner = HttpFetcher(settings.fetch, clock=SystemClock(), hosts=store.hosts, offload=offload)
        fetcher = inner if meter is None else MeteredFetcher(inner=inner, meter=meter, clock=SystemClock())
        judge = Deduper(settings.dedupe, await offload(store.reader.weights))
        await offload(store.review.begin_under, judge.terms)
        parts = Parts(store=store, offload=offload, ledger=store.ledger, fetcher=fetcher, deduper=judge, meter=meter)
        async with put_together(settings, parts, observer) as app:
            yield replace(app, past=Past(book=store.backfills, fetcher=inner))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a run is put together from, and what differs between a real run and a dry run."""

    store: Store
    offload: Threads
    ledger: Ledger
    fetcher: Fetcher
    deduper: Deduper
    meter: Meter | None = None


@asynccontextmanager
async def put_together(settings: Settings, parts: Parts, observer: Observer) -> AsyncIterator[App]:
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


def _stages(parts: Parts, extractor: ProcessExtractor) -> Stages:
    return Stages(
        clock=SystemClock(),
        offload=parts.offload,
        fetcher=parts.fetcher,
        extractor=extractor,
        deduper=parts.deduper,
        ledger=parts.ledger,
        learner=LearnedSites(parts.store.paragraphs),
        parsers=PARSERS,
        detect=detect,
        canonicalise=canonicalise,
        chance=random.random,
        meter=parts.meter or Unmetered(),
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
        from worker.extract.seeds import seed_article

        return seed_article(seed, fetched_at=now, languages=make_languages())

    return to_article


def _languages() -> Languages:
    from worker.extract.language import Languages

    return Languages()


def _threads(settings: Settings) -> int:
    """Return how many calls of the store run at once: SQLite has one writer, a server's pool has four connections."""
    return 1 if settings.store.url.startswith("sqlite") else 4


def _limits(settings: Settings) -> Limits:
    schedule, fetch = settings.schedule, settings.fetch
    lease = fetch.deadline + settings.extract.timeout + _LEASE_MARGIN
    return Limits(
        rhythm=Rhythm(
            every=schedule.every, min_every=schedule.min_every, max_every=schedule.max_every, jitter=schedule.jitter
        ),
        in_hand=fetch.max_connections,
        lease=lease,
        deadline=lease + _LONGEST_WAIT_FOR_A_TURN,
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
