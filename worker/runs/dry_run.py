"""Dry runs (`--dry-run`): a run that fetches, extracts and judges, but stores nothing.

The ledger is a SQLite database in memory. Articles are also judged against the real store, which is only read. One
thing is shared with real runs: the rate limits of hosts, so that a dry run and a daemon together stay polite.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from worker.app import App, AppParts, BackfillDeps, build_app
from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.dedupe.judge import Deduper
from worker.errors import StoreError, StoreMissing
from worker.fetch.client import HttpFetcher
from worker.fetch.request import Step
from worker.logs import log
from worker.models import (
    Article,
    BackfillPlace,
    Candidate,
    Claim,
    Fingerprint,
    Neighbour,
    Outcome,
    Page,
    Relation,
    Request,
    SourceState,
    State,
)
from worker.models.base import dataclass
from worker.pipeline.stages import Observer
from worker.ports import HostHealth, HostRegistry, Judge, RobotsRecord
from worker.storage.corpus.reader import StoreReader
from worker.storage.ledger import StoredLedger
from worker.storage.queue.backfills import BackfillStore
from worker.storage.store import StoreExecutor, open_read_only, open_store


@asynccontextmanager
async def open_dry_run(
    settings: Settings, observer: Observer, observe: Callable[[Step], None], *, by_request: bool = False
) -> AsyncIterator[App]:
    """Build the application for a dry run; the store of the settings is only read, and may be missing.

    `observe` is called with each step of every fetch (robots.txt, redirects, responses). `by_request`: a person
    names what is fetched.
    """
    parameters = Deduper().parameters
    with (
        open_store("sqlite://", parameters=parameters) as memory,
        _real_reader(settings) as reader,
        shared_pacing(settings, memory.hosts) as hosts,
        StoreExecutor(count=1) as offload,
    ):
        inner = HttpFetcher.of(settings, clock=SystemClock(), hosts=hosts, offload=offload)
        if by_request:
            inner.reread_policies()
        fetcher = TracingFetcher(inner=inner, observe=observe)
        ledger = DryRunLedger(memory.ledger, reader)
        judge = Deduper(settings.dedupe, reader.weights() if reader else None)
        parts = AppParts(store=memory, offload=offload, ledger=ledger, fetcher=fetcher, deduper=judge)
        async with build_app(settings, parts, observer) as app:
            yield replace(
                app, backfill=BackfillDeps(registry=DryRunBackfills(memory.backfills, reader), fetcher=fetcher)
            )


@contextmanager
def _real_reader(settings: Settings) -> Iterator[StoreReader | None]:
    """Open the real store for reading; yield None, with a line in the log, if that fails."""
    try:
        store = open_read_only(settings)
    except StoreError as exc:
        report = log.info if isinstance(exc, StoreMissing) else log.warning  # before the first run there is none
        report("rehearse.no_store", error=str(exc))
        yield None
        return
    with store:
        yield store.reader


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingFetcher:
    """A fetcher that reports every step of a fetch to `observe`."""

    inner: HttpFetcher
    observe: Callable[[Step], None]

    async def fetch(self, request: Request) -> Page:
        """Fetch with `inner` and report the steps; see `HttpFetcher.fetch` for the errors."""
        return await self.inner.fetch(request, observe=self.observe)

    async def sitemaps(self, url: str) -> tuple[str, ...]:
        """Return the sitemaps listed in the robots.txt of a URL's site."""
        return await self.inner.sitemaps(url)

    async def aclose(self) -> None:
        """Close the connections of `inner`."""
        await self.inner.aclose()


class DryRunBackfills(BackfillStore):
    """Backfill progress in the database in memory; candidates known to the real store are not added.

    A dry run has its own leases, so that a real backfill is not disturbed.
    """

    def __init__(self, memory: BackfillStore, real: StoreReader | None) -> None:
        super().__init__(memory.database)
        self._real = real

    def save_candidates(
        self, name: str, place: BackfillPlace, candidates: Sequence[Candidate], *, batch: str, now: datetime
    ) -> BackfillPlace:
        """Add the candidates that the real store does not know."""
        candidates = self._real.hide_forgotten(candidates) if self._real else candidates
        wanted = [each for each in candidates if not _is_known(self._real, each)]
        return super().save_candidates(name, place, wanted, batch=batch, now=now)


class DryRunLedger(StoredLedger):
    """The ledger of the database in memory, which judges articles against the real store as well."""

    def __init__(self, memory: StoredLedger, real: StoreReader | None) -> None:
        super().__init__(memory.database)
        self._real = real

    def source_state(self, name: str) -> SourceState:
        """Return an empty state: a dry run reads every source as if for the first time."""
        return SourceState(name=name)

    def is_forgotten(self, url: str) -> bool:
        """Return whether the real store has a tombstone of a URL."""
        return self._real is not None and self._real.is_forgotten(url)

    def enqueue(self, candidates: Sequence[Candidate], *, now: datetime, again: bool = False, batch: str = "") -> int:
        """Queue candidates that the real store does not know; with `again` also those it knows, hidden if forgotten."""
        candidates = self._real.hide_forgotten(candidates) if self._real else candidates
        wanted = [each for each in candidates if again or not _is_known(self._real, each)]
        return super().enqueue(wanted, now=now, again=again, batch=batch)

    def settle(
        self,
        claim: Claim,
        article: Article,
        *,
        fingerprint: Fingerprint,
        judge: Judge,
        now: datetime,
        page: Page | None = None,
        recheck_at: datetime | None = None,
    ) -> Outcome | None:
        """Judge against the real store; settle what is new to it in memory, which finds copies within this run."""
        neighbours = self._real.neighbours(article, fingerprint) if self._real else []
        if outcome := _outcome_against_store(article, neighbours, judge):
            return outcome if self.finish(claim, outcome, now=now, page=page) else None
        return super().settle(
            claim, article, fingerprint=fingerprint, judge=judge, now=now, page=page, recheck_at=recheck_at
        )


def _is_known(real: StoreReader | None, candidate: Candidate) -> bool:
    """Return whether a real run would skip a candidate: it is known and has no further URL to try."""
    record = real.candidate(candidate.canonical_url) if real is not None else None
    if record is None:
        return False
    known = any(each.url == candidate.url for each in record.addresses)
    return known or record.state not in {State.FAILED, State.REJECTED, State.BLOCKED}


def _outcome_against_store(article: Article, neighbours: Sequence[Neighbour], judge: Judge) -> Outcome | None:
    """Return the outcome against the articles of the real store; None if none of them is similar."""
    versions = [each for each in neighbours if each.canonical_url == article.canonical_url]
    if versions and versions[0].text == article.text:
        return Outcome(state=State.UNCHANGED, reason="text", detail=f"same text as article {versions[0].id}")
    verdict = judge(neighbours)
    best = verdict.best
    if best is None or verdict.relation is Relation.UNIQUE:
        return None
    return Outcome(
        state=verdict.state,
        reason=verdict.relation.value,
        detail=f"{verdict.relation.value} of article {best.article}: {best.rule}",
        verdict=verdict,
    )


# Rate limits shared between a dry run and the workers on the real store.


PACING_PATIENCE: Final = timedelta(seconds=5)
"""How long a locked store is waited for; without it a dry run, which a person watches, uses its own rate limits."""


class SharedPacing:
    """A host registry that reserves request slots in the shared registry of the store and writes all else to its own.

    If the store fails once, only the own registry is used from then on.
    """

    def __init__(self, own: HostRegistry, shared: HostRegistry | None) -> None:
        self._own = own
        self._shared = shared

    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        """Reserve the host's next request slot, after the slots of all workers on the store."""
        if self._shared is not None:
            try:
                now = self._shared.reserve(host, now=now, delay=delay, instead_of=instead_of)
            except StoreError as exc:
                self._give_up(exc)
        return self._own.reserve(host, now=now, delay=delay, instead_of=instead_of)

    def health_of(self, host: str) -> HostHealth:
        """Return the health of a host as this run knows it, else as the store does."""
        own = self._own.health_of(host)
        if own.failures or own.closed_until or self._shared is None:
            return own
        try:
            return self._shared.health_of(host)
        except StoreError as exc:
            self._give_up(exc)
            return own

    def save_health(self, health: HostHealth) -> None:
        """Save the health of a host for this run only."""
        self._own.save_health(health)

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return the robots.txt of an origin as this run knows it, else as the store does."""
        own = self._own.robots(origin)
        if own is not None or self._shared is None:
            return own
        try:
            return self._shared.robots(origin)
        except StoreError as exc:
            self._give_up(exc)
            return None

    def save_robots(self, record: RobotsRecord) -> None:
        """Save a robots.txt for this run only."""
        self._own.save_robots(record)

    def redirect_of(self, url: str) -> str | None:
        """Return a permanent redirect found in this run; redirects in the store are checked again."""
        return self._own.redirect_of(url)

    def save_redirect(self, url: str, target: str | None) -> None:
        """Save a permanent redirect for this run only."""
        self._own.save_redirect(url, target)

    def _give_up(self, error: StoreError) -> None:
        """Use only the own registry from now on."""
        log.warning("pacing.alone", error=str(error))
        self._shared = None


@contextmanager
def shared_pacing(settings: Settings, own: HostRegistry) -> Iterator[HostRegistry]:
    """Return a host registry that shares the rate limits of the store; without a usable store, `own`."""
    try:
        store = open_read_only(settings, patience=PACING_PATIENCE)
    except StoreError:
        yield own
        return
    with store:
        yield SharedPacing(own, store.hosts)
