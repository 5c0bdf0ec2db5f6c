"""Another look at what is stored: a person's word on two articles, and everything judged or extracted again.

reprocess:  make the index again, if it has to be | queue kept pages | extract | judge all | take effect
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from typing import Final, TypeVar

import structlog

from worker.app import App, open_app
from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.dedupe.judge import Deduper
from worker.dedupe.model import FitScore, MarkedPair, cross_validate, marked_pair, refit, shipped_model, weights_to_text
from worker.errors import ExtractError, FetchBlocked, StoreError
from worker.extract import ProcessExtractor, extract_rules
from worker.extract.main_text.boilerplate import HostBoilerplateCache
from worker.models import Claim, Outcome, Page, Source, State
from worker.pipeline.stages import Tally
from worker.ports import Hints, Scope
from worker.storage import Store, needs_reindexing, open_store, reindex
from worker.storage.corpus.judge_model import UnsurePair
from worker.storage.maintenance.manual_decisions import Rejudged
from worker.storage.maintenance.rejudge import VerdictChange
from worker.storage.maintenance.review import REPROCESS_BATCH, RawPage
from worker.storage.opening import StoreExecutor, worker_name
from worker.urls import same_site

T = TypeVar("T")

log = structlog.get_logger()

_BATCH_SIZE: Final = 16
_LOG_EVERY: Final = 1000

ProgressCallback = Callable[[str, int], None]
"""Told what is being done (`indexed`, `extracted`, `judged`) and how many articles or pages were, so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionCounts:
    """How extracting kept pages again went, in pages: texts that differ, are the same, or that there are none of."""

    other: int
    same: int
    none: int
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprocessReport:
    """What reprocessing did, or would do: `texts` are those the corpus exports, before and after."""

    applied: bool
    indexed: int
    judged: int
    extracted: ExtractionCounts | None
    changes: tuple[VerdictChange, ...]
    texts_before: int
    texts_after: int


class _Stopped(Exception):
    """Somebody asked to stop, between two steps."""


class ReprocessRun:
    """Judges a whole store again under the settings, after extracting its kept pages again if that is wanted."""

    def __init__(self, settings: Settings, *, extract: bool, watcher: ProgressCallback, rejected: bool = False) -> None:
        """`rejected` takes only pages that gave no article: what they give is judged as it comes, and nothing else."""
        self._settings = settings
        self._extract = extract
        self._rejected = rejected
        self._watcher = watcher
        self._deduper = Deduper(settings.dedupe)
        self._clock = SystemClock()
        self._stopping = threading.Event()
        self._counts = dict.fromkeys(("indexed", "extracted", "judged"), 0)

    async def run(self) -> ReprocessReport:
        """Do it; cancelled, it stops between two steps, and goes on from there the next time."""
        with StoreExecutor(count=1) as offload:
            await self._step(offload(self._reindex))
            with self._open() as store, store.review.alone():
                before = (await offload(store.reader.counts)).clusters
                extracted = await self._extract_again(store, offload) if self._extract else None
                changes: tuple[VerdictChange, ...] = ()
                if not self._rejected:
                    changes = await self._step(offload(self._judge_all, store))
                    await self._step(offload(self._take_effect, store))
                after = (await offload(store.reader.counts)).clusters
        return self._report(extracted, changes, before=before, after=after)

    async def dry_run(self) -> ReprocessReport:
        """Tell what would change; only what was judged on the way is remembered, for the real run to go on from."""
        url = self._settings.store.url
        with StoreExecutor(count=1) as offload:
            if await offload(needs_reindexing, url, parameters=self._deduper.parameters):
                raise StoreError(
                    "the store's index has to be made again first, so nobody can tell yet what would change: "
                    "run `corpus-worker reprocess --dedupe` without --dry-run"
                )
            with self._open() as store, store.review.alone():
                before = (await offload(store.reader.counts)).clusters
                pages = store.review.kept_pages(rejected=self._rejected)
                extracted = None
                if self._extract:
                    extracted = await _dry_run_extraction(self._settings, store, pages, self._count)
                changes: tuple[VerdictChange, ...] = ()
                if not self._rejected:
                    changes = await self._step(offload(self._judge_all, store))
        after = before + sum(change.new_head - change.head for change in changes)
        return self._report(extracted, changes, before=before, after=after, applied=False)

    def _open(self) -> Store:
        store = open_store(self._settings.store.url, parameters=self._deduper.parameters, create=False)
        self._deduper = Deduper(self._settings.dedupe, store.reader.weights())
        store.introduce(command="reprocess", worker=worker_name())
        return store

    async def _step(self, work: Awaitable[T]) -> T:
        """Wait for a long piece of blocking work; cancelled, it is told to stop, and has stopped when this ends."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stopping.set()
            await asyncio.gather(task, return_exceptions=True)
            raise

    def _count(self, what: str, done: int) -> None:
        self._counts[what] = done
        self._watcher(what, done)
        if done % _LOG_EVERY == 0:
            log.info("reprocess.progress", **{what: done})
        if self._stopping.is_set():
            raise _Stopped

    def _reindex(self) -> None:
        url, parameters = self._settings.store.url, self._deduper.parameters
        if needs_reindexing(url, parameters=parameters):
            reindex(
                url,
                parameters=parameters,
                fingerprint=self._deduper.fingerprint,
                progress=lambda done: self._count("indexed", done),
            )

    async def _extract_again(self, store: Store, offload: StoreExecutor) -> ExtractionCounts:
        """Send every kept page through the ingest flow; nothing of it needs the network."""
        await offload(store.review.queue_kept_pages, now=self._clock.now(), rejected=self._rejected)
        async with open_app(self._settings, _PageCounter(self._count), command="reprocess") as app:
            await _drain_batch(app)
            tally = app.tally
        await offload(store.review.finish_kept_pages)
        return _extraction_counts(tally)

    def _judge_all(self, store: Store) -> tuple[VerdictChange, ...]:
        thought = store.review.think_again(tag=self._tag())
        thought.judge_all(self._deduper.judge, progress=lambda done: self._count("judged", done))
        return tuple(thought.changes())

    def _take_effect(self, store: Store) -> None:
        store.review.think_again(tag=self._tag()).take_effect(self._deduper.judge, now=self._clock.now())
        store.review.now_under(self._deduper.terms)
        if self._extract:
            store.review.end_kept_pages()

    def _tag(self) -> str:
        """Name the rules: a judgement that was broken off under others is of no use."""
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
        )


def mark(settings: Settings, one: int, other: int, *, decided: str) -> tuple[Rejudged, ...]:
    """Remember that a person calls two articles `same` or `different`; return what was judged again because of it.

    Raises StoreError where an id is unknown, or both are versions of one page.
    """
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        judge = Deduper(settings.dedupe, store.reader.weights()).judge
        return store.review.mark(one, other, decided=decided, judge=judge, now=SystemClock().now())


def mark_original(settings: Settings, article_id: int) -> tuple[Rejudged, ...]:
    """Remember that a person calls an article the original of its cluster; return what is exported otherwise now.

    Raises StoreError where the id is unknown.
    """
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        return store.review.mark_original(article_id, now=SystemClock().now())


class _PageCounter:
    """Counts the pages that were extracted."""

    def __init__(self, count: ProgressCallback) -> None:
        self._count = count
        self._done = 0

    def discovered(self, source: Source, *, new: int) -> None:
        """Pass over what is discovered: nothing is, here."""

    def settled(self, _claim: Claim, _outcome: Outcome) -> None:
        """Count a page."""
        self._done += 1
        self._count("extracted", self._done)


async def _drain_batch(app: App) -> None:
    await app.ingester.drain(scope=Scope(batch=REPROCESS_BATCH))


def _extraction_counts(tally: Tally) -> ExtractionCounts:
    made = tally.outcomes
    return ExtractionCounts(
        other=made[State.STORED] + made[State.DUPLICATE] + made[State.REVISED],
        same=made[State.UNCHANGED],
        none=made[State.REJECTED] + made[State.BLOCKED] + made[State.FAILED] + tally.retrying,
    )


async def _dry_run_extraction(
    settings: Settings, store: Store, pages: Iterator[RawPage], count: ProgressCallback
) -> ExtractionCounts:
    """Extract every kept page, and compare; nothing is written."""
    extractor, sites = ProcessExtractor(extract_rules(settings)), HostBoilerplateCache(store.paragraphs)
    timezones = {source.name: source.timezone for source in settings.sources}
    done, other, none = 0, list[str](), 0
    try:
        while batch := list(islice(pages, _BATCH_SIZE)):
            hints = [_hints(kept, sites, timezones.get(kept.source)) for kept in batch]
            texts = await asyncio.gather(*(_text(extractor, *pair) for pair in zip(batch, hints, strict=True)))
            for kept, sha256 in zip(batch, texts, strict=True):
                none += sha256 is None
                other += [kept.url] if sha256 not in {None, kept.known_sha256} else []
            done += len(batch)
            count("extracted", done)
    finally:
        await extractor.aclose()
    return ExtractionCounts(other=len(other), same=done - len(other) - none, none=none, urls=tuple(other))


async def _text(extractor: ProcessExtractor, kept: RawPage, hints: Hints) -> str | None:
    try:
        return (await extractor.extract(kept.content, hints, fetched_at=kept.fetched_at)).sha256
    except (ExtractError, FetchBlocked):
        return None


def _hints(kept: RawPage, sites: HostBoilerplateCache, timezone: str | None) -> Hints:
    content = kept.content
    hints = Hints(
        url=kept.url,
        canonical_url=kept.canonical_url,
        source=kept.source,
        title=kept.title,
        published_at=kept.published_at,
        modified_at=kept.modified_at,
        external_id=kept.external_id,
        timezone=timezone,
        boilerplate=sites.known(kept.host),
    )
    is_elsewhere = isinstance(content, Page) and not same_site(content.url, content.final_url)
    return hints.address_only() if is_elsewhere else hints


# Teaches the judge of a store by what people marked there, and finds the pairs that are most worth marking.


FEWEST_MARKS = 6
"""Marks of either kind together, under which nothing is learned but chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What fitting did, or would do: on how many marks, how well on marks not seen, and what moved."""

    applied: bool
    same: int
    different: int
    before: FitScore
    after: FitScore
    shift: float
    factors: dict[str, float]


def fit_judge(settings: Settings, *, dry_run: bool) -> FitReport:
    """Refit the shipped weights with the marks of the store, and keep them there unless it is a `dry_run`.

    Raises StoreError where there are too few marks.
    """
    model = shipped_model()
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        made = (
            marked_pair(one, other, same=decided == "same", model=model)
            for one, other, decided in store.reader.marked_pairs()
        )
        lessons: list[MarkedPair] = [each for each in made if each is not None]
        same = sum(each.one_item for each in lessons)
        if len(lessons) < FEWEST_MARKS or same in (0, len(lessons)):
            raise StoreError(
                f"{len(lessons)} marked pairs to learn from, {same} of them the same; it takes {FEWEST_MARKS}, some of "
                "either kind: `corpus-worker duplicates review` lists pairs worth marking"
            )
        before, after = cross_validate(model, lessons, merge_at=settings.dedupe.probability)
        learned = refit(model, lessons, fitted=SystemClock().now().date().isoformat())
        if not dry_run:
            store.review.keep_weights(weights_to_text(learned))
    return FitReport(
        applied=not dry_run,
        same=same,
        different=len(lessons) - same,
        before=before,
        after=after,
        shift=learned.shift,
        factors=dict(learned.factors),
    )


def find_unsure_pairs(settings: Settings, *, most: int) -> list[UnsurePair]:
    """Return the pairs about which the judge was least sure."""
    with open_store(settings.store.url, parameters=None, create=False) as store:
        return store.reader.unsure(merge_at=settings.dedupe.probability, most=most)
