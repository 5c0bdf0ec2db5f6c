"""Applies changed rules, decisions and weights to articles that are stored already.

ReprocessRun         extracts and judges the whole store again: `reprocess`
mark, mark_original  record a person's decision on two articles: `duplicates mark`
fit_judge            refits the judge's weights with these decisions: `duplicates fit`

A reprocess run:  rebuild the index if its parameters changed | extract the kept pages | judge all | apply the verdicts
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from typing import Final, TypeVar

from worker.app import open_app
from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.dedupe.judge import Deduper
from worker.errors import ExtractError, FetchBlocked, StoreError
from worker.extract.ipc import extract_rules
from worker.extract.main_text.boilerplate import HostBoilerplateCache
from worker.extract.pool import ProcessExtractor
from worker.logs import log
from worker.models import Article, Claim, Outcome, Source, State
from worker.models.base import dataclass
from worker.models.browsing import UNDONE
from worker.pipeline.filters import ArticleFilter
from worker.pipeline.stages import Tally, hints_for, hints_of
from worker.ports import Hints, Scope
from worker.storage.maintenance.manual_decisions import Rejudged
from worker.storage.maintenance.reindex import needs_reindexing, reindex
from worker.storage.maintenance.rejudge import VerdictChange
from worker.storage.maintenance.review import REPROCESS_BATCH, RawPage
from worker.storage.store import Store, StoreExecutor, open_store, worker_name

T = TypeVar("T")

_BATCH_SIZE: Final = 16
"""Pages extracted concurrently in a dry run: enough for all extraction processes, few enough to bound memory."""
_LOG_EVERY: Final = 1000
"""Articles between two progress events in the log (chosen, not measured)."""

ProgressCallback = Callable[[str, int], None]
"""Called with a step (`indexed`, `extracted`, `judged`) and the number of articles or pages done so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionCounts:
    """The result of extracting kept pages again: pages with another text (`other`), the same text, or none.

    `filled` counts the pages with the same text whose article was given fields that it lacked. `urls` lists the pages
    with another text; only a dry run fills it.
    """

    other: int
    same: int
    none: int
    filled: int = 0
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprocessReport:
    """What reprocessing did, or in a dry run would do.

    `extracted` is None if no pages were extracted. `to_fetch` counts the candidates that a filter had rejected before
    they were fetched, and that are queued now. `texts_before` and `texts_after` are the numbers of exported texts.
    """

    applied: bool
    indexed: int
    judged: int
    extracted: ExtractionCounts | None
    changes: tuple[VerdictChange, ...]
    texts_before: int
    texts_after: int
    to_fetch: int = 0


class _Stopped(Exception):
    """Raised in the store thread to stop between two steps after a cancellation."""


class ReprocessRun:
    """Judges a whole store again under the current settings, optionally after extracting its kept pages again."""

    def __init__(self, settings: Settings, *, extract: bool, watcher: ProgressCallback, rejected: bool = False) -> None:
        """Prepare a run.

        `extract` also extracts the kept pages again; with `rejected` only pages that gave no article, and then only
        their new articles are judged. `watcher` is called with the progress, from another thread.
        """
        self._settings = settings
        self._extract = extract
        self._rejected = rejected
        self._watcher = watcher
        self._deduper = Deduper(settings.dedupe)
        self._clock = SystemClock()
        self._stopping = threading.Event()
        self._filter = ArticleFilter(settings) if settings.has_filter else None
        self._counts = dict.fromkeys(("indexed", "extracted", "judged", "to_fetch"), 0)

    async def run(self) -> ReprocessReport:
        """Reprocess the store. A cancelled run stops between two steps; the next run continues there.

        Raises StoreBusy if another maintenance command runs, StoreError if the store cannot be used.
        """
        with StoreExecutor(count=1) as offload:
            await self._step(offload(self._reindex))
            with self._open() as store, store.review.exclusive():
                before = (await offload(store.reader.counts)).clusters
                extracted = await self._extract_again(store, offload) if self._extract else None
                changes: tuple[VerdictChange, ...] = ()
                if not self._rejected:
                    changes = await self._step(offload(self._judge_all, store))
                    await self._step(offload(self._apply_verdicts, store))
                after = (await offload(store.reader.counts)).clusters
        return self._report(extracted, changes, before=before, after=after)

    async def dry_run(self) -> ReprocessReport:
        """Report what would change, without changing it.

        Verdicts are saved beside the current ones, so that a real run under the same rules need not judge again.
        Raises StoreError if the index must be rebuilt first.
        """
        url = self._settings.store.url
        with StoreExecutor(count=1) as offload:
            if await offload(needs_reindexing, url, parameters=self._deduper.parameters):
                raise StoreError(
                    "the index must be rebuilt before a dry run can compare anything: "
                    "run `corpus-worker reprocess --dedupe` without --dry-run"
                )
            with self._open() as store, store.review.exclusive():
                before = (await offload(store.reader.counts)).clusters
                pages = store.review.kept_pages(rejected=self._rejected)
                extracted = None
                if self._extract:
                    extracted = await self._dry_run_extraction(store, pages)
                    self._counts["to_fetch"] = await offload(self._queue_filtered, store, dry_run=True)
                changes: tuple[VerdictChange, ...] = ()
                if not self._rejected:
                    changes = await self._step(offload(self._judge_all, store))
        after = before + sum(change.new_head - change.head for change in changes)
        return self._report(extracted, changes, before=before, after=after, applied=False)

    def _open(self) -> Store:
        """Open the store and load the judge's weights from it."""
        store = open_store(self._settings.store.url, parameters=self._deduper.parameters, create=False)
        self._deduper = Deduper(self._settings.dedupe, store.reader.weights())
        store.announce(command="reprocess", worker=worker_name())
        return store

    async def _step(self, work: Awaitable[T]) -> T:
        """Wait for blocking work in a thread; if cancelled, make it stop, and wait until it has stopped."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stopping.set()
            await asyncio.gather(task, return_exceptions=True)
            raise

    def _count(self, what: str, done: int) -> None:
        """Report progress; raise _Stopped if the run was cancelled."""
        self._counts[what] = done
        self._watcher(what, done)
        if done % _LOG_EVERY == 0:
            log.info("reprocess.progress", **{what: done})
        if self._stopping.is_set():
            raise _Stopped

    def _reindex(self) -> None:
        """Rebuild the index if it was built with other parameters."""
        url, parameters = self._settings.store.url, self._deduper.parameters
        if needs_reindexing(url, parameters=parameters):
            reindex(
                url,
                parameters=parameters,
                fingerprint=self._deduper.fingerprint,
                progress=lambda done: self._count("indexed", done),
            )

    async def _extract_again(self, store: Store, offload: StoreExecutor) -> ExtractionCounts:
        """Queue every kept page and run the ingest flow on this batch; it needs no network."""
        await offload(store.review.queue_kept_pages, now=self._clock.now(), rejected=self._rejected)
        async with open_app(self._settings, _PageCounter(self._count), command="reprocess") as app:
            await app.ingester.drain(scope=Scope(batch=REPROCESS_BATCH))
            tally = app.tally
        await offload(store.review.finish_kept_pages)
        self._counts["to_fetch"] = await offload(self._queue_filtered, store)
        return _extraction_counts(tally)

    def _queue_filtered(self, store: Store, *, dry_run: bool = False) -> int:
        """Queue what the filter rejected unread before and keeps now; `ingest` and `run` fetch it."""
        return store.review.queue_filtered(
            lambda row: not self._objection(hints_of(row, timezone=None)), now=self._clock.now(), dry_run=dry_run
        )

    def _objection(self, known: Hints, article: Article | None = None) -> str:
        return self._filter.objection(known, article) if self._filter else ""

    async def _dry_run_extraction(self, store: Store, pages: Iterator[RawPage]) -> ExtractionCounts:
        """Extract every kept page and compare its text with the stored one; write nothing."""
        extractor = ProcessExtractor(extract_rules(self._settings))
        sites = HostBoilerplateCache(store.paragraphs)
        timezones = {source.name: source.timezone for source in self._settings.sources}
        done, other, none, filled = 0, list[str](), 0, 0
        try:
            while batch := list(islice(pages, _BATCH_SIZE)):
                hints = [
                    hints_for(
                        kept, kept.content, timezone=timezones.get(kept.source), boilerplate=sites.known(kept.host)
                    )
                    for kept in batch
                ]
                made = await asyncio.gather(
                    *(self._article(extractor, *each) for each in zip(batch, hints, strict=True))
                )
                for kept, article in zip(batch, made, strict=True):
                    none += article is None
                    if article is not None and article.sha256 != kept.known_sha256:
                        other.append(kept.url)
                    elif article is not None:
                        filled += any(getattr(article, name) for name in kept.missing_fields)
                done += len(batch)
                self._count("extracted", done)
        finally:
            await extractor.aclose()
        same = done - len(other) - none
        return ExtractionCounts(other=len(other), same=same, none=none, filled=filled, urls=tuple(other))

    async def _article(self, extractor: ProcessExtractor, kept: RawPage, hints: Hints) -> Article | None:
        """Return what is extracted from a kept page; None if the page has no article, or a filter keeps it out."""
        try:
            article = await extractor.extract(kept.content, hints, fetched_at=kept.fetched_at)
        except (ExtractError, FetchBlocked):
            return None
        is_kept_out = kept.known_sha256 is None and self._objection(hints_of(kept, timezone=None), article)
        return None if is_kept_out else article

    def _judge_all(self, store: Store) -> tuple[VerdictChange, ...]:
        """Judge all articles again, continuing an interrupted run; return the verdicts that differ."""
        rejudge = store.review.rejudge(tag=self._tag())
        rejudge.judge_all(self._deduper.judge, progress=lambda done: self._count("judged", done))
        return tuple(rejudge.changes())

    def _apply_verdicts(self, store: Store) -> None:
        """Make the new verdicts the current ones, and record under which rules they were made."""
        store.review.rejudge(tag=self._tag()).take_effect(self._deduper.judge, now=self._clock.now())
        store.review.save_terms(self._deduper.terms)
        if self._extract:
            store.review.end_kept_pages()

    def _tag(self) -> str:
        """Return a hash of the rules, so that an interrupted run continues only under the same rules."""
        rules = [asdict(self._deduper.parameters), self._deduper.terms, version("corpus-worker")]
        return hashlib.sha256(json.dumps(rules, sort_keys=True, default=str).encode()).hexdigest()

    def _report(
        self,
        extracted: ExtractionCounts | None,
        changes: tuple[VerdictChange, ...],
        *,
        before: int,
        after: int,
        applied: bool = True,
    ) -> ReprocessReport:
        return ReprocessReport(
            applied=applied,
            indexed=self._counts["indexed"],
            judged=self._counts["judged"],
            extracted=extracted,
            changes=changes,
            texts_before=before,
            texts_after=after,
            to_fetch=self._counts["to_fetch"],
        )


def mark(settings: Settings, one: int, other: int, *, decided: str) -> tuple[Rejudged, ...]:
    """Record a person's decision that two articles are `same` or `different`; return the changed verdicts.

    The decision `undone` takes the one before back. Raises StoreError if an id is unknown, if both are versions of one
    page, or if there is nothing to take back.
    """
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        judge = Deduper(settings.dedupe, store.reader.weights()).judge
        now = SystemClock().now()
        if decided == UNDONE:
            return store.review.unmark(one, other, judge=judge, now=now)
        return store.review.mark(one, other, decided=decided, judge=judge, now=now)


def mark_original(settings: Settings, article_id: int) -> tuple[Rejudged, ...]:
    """Record a person's decision that an article is the original of its cluster; return the changed verdicts.

    Raises StoreError if the id is unknown.
    """
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        return store.review.mark_original(article_id, now=SystemClock().now())


class _PageCounter:
    """An observer that counts the extracted pages."""

    def __init__(self, count: ProgressCallback) -> None:
        self._count = count
        self._done = 0

    def discovered(self, source: Source, *, new: int) -> None:
        """Do nothing: reprocessing discovers no candidates."""

    def settled(self, _claim: Claim, _outcome: Outcome) -> None:
        """Count an extracted page."""
        self._done += 1
        self._count("extracted", self._done)


def _extraction_counts(tally: Tally) -> ExtractionCounts:
    """Return the counts of an ingest flow over kept pages; any new verdict means another text."""
    made = tally.outcomes
    return ExtractionCounts(
        other=made[State.STORED] + made[State.DUPLICATE] + made[State.REVISED],
        same=made[State.UNCHANGED],
        none=made[State.REJECTED] + made[State.BLOCKED] + made[State.FAILED] + tally.retrying,
        filled=tally.filled,
    )
