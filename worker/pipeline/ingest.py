"""The ingest flow: claim candidates, fetch, extract and judge each, and write one outcome for each.

`Ingester.drain` works until nothing is due (`ingest`); `Ingester.work` until it is told to stop (the daemon). Each
claim is a lease that is extended while its task runs; a claim that is not finished at the end is released.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from worker.errors import (
    ExtractError,
    ExtractorDown,
    FetchBlocked,
    FetchError,
    MachineError,
    StoreError,
    as_machine_error,
)
from worker.logs import log
from worker.models import FILTERED, FORGOTTEN_SCHEME, Article, Claim, Outcome, Page, Request, State, Text
from worker.pipeline.source_pages import with_further_pages
from worker.pipeline.stages import (
    Limits,
    Observer,
    Stages,
    Tally,
    deadline_error,
    hints_for,
    hints_of,
    may_use_feed_text,
    outcome_of_failure,
    with_feed_text,
)
from worker.ports import Scope
from worker.schedule.retry import keep_former_outcome, next_recheck

# Chosen, not measured. The waits trade the delay before new work is seen against empty queries. A batch of rechecks is
# one short transaction, and 500 of them every 30 seconds are more than the hosts' delays let any run fetch.
_TICK: Final = timedelta(milliseconds=250)
_RECHECK_EVERY: Final = timedelta(seconds=30)
_RECHECK_BATCH: Final = 500
_IDLE: Final = timedelta(seconds=1)
_NEW_STATES: Final = frozenset({State.STORED, State.DUPLICATE})


class Ingester:
    """Works on candidates, several at once. Create one object per run."""

    def __init__(self, stages: Stages, limits: Limits, *, tally: Tally, observer: Observer, worker: str) -> None:
        self._stages = stages
        self._limits = limits
        self._tally = tally
        self._observer = observer
        self._worker = worker
        self._in_flight: dict[asyncio.Task[None], Claim] = {}
        self.remaining: int | None = None  # how many candidates may still be claimed; None: no limit
        self._next_recheck_s = 0.0

    async def drain(
        self, *, scope: Scope = Scope(), limit: int | None = None, feed: asyncio.Task[None] | None = None
    ) -> None:
        """Work until nothing is due and `feed`, which discovers more, has ended, or until `limit` claims were made.

        On cancellation, release all unfinished claims before returning. Raises StoreError if the store is unusable.
        """
        self.remaining = limit
        async with self._heartbeat(), self._release_on_exit():
            while True:
                coming = {feed} if feed and not feed.done() else set()
                await self._claim(scope)
                if not (coming or self._in_flight) and (self.remaining == 0 or await self._nothing_due(scope)):
                    return
                await self._pause(_TICK, coming)

    async def work(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping` returns true, then finish the claimed candidates.

        On cancellation, release all unfinished claims before returning. Raises StoreError if the store is unusable.
        """
        async with self._heartbeat(), self._release_on_exit():
            while not stopping():
                await self._claim(Scope())
                await self._pause(_TICK if self._in_flight else _IDLE)
            while self._in_flight:
                await self._pause(_TICK)

    @property
    def in_flight(self) -> int:
        """The number of claimed candidates whose work has not ended."""
        return len(self._in_flight)

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The running tasks, for a dump of where each is suspended."""
        return tuple(self._in_flight)

    async def _queue_rechecks(self, scope: Scope) -> None:
        """Every `_RECHECK_EVERY`, queue the articles that have reached an age in `recheck`."""
        now = self._stages.clock.monotonic()
        if not self._limits.recheck or scope != Scope() or now < self._next_recheck_s:
            return
        self._next_recheck_s = now + _RECHECK_EVERY.total_seconds()
        await self._stages.offload(
            self._stages.ledger.queue_rechecks, now=self._stages.clock.now(), limit=_RECHECK_BATCH
        )

    async def _claim(self, scope: Scope) -> None:
        """Claim candidates up to the limits, and start a task for each."""
        await self._queue_rechecks(scope)
        room = self._limits.max_in_flight - len(self._in_flight)
        limit = room if self.remaining is None else min(room, self.remaining)
        if limit <= 0:
            return
        claims = await self._stages.offload(
            self._stages.ledger.claim,
            now=self._stages.clock.now(),
            lease=self._limits.lease,
            limit=limit,
            worker=self._worker,
            scope=scope,
        )
        if self.remaining is not None:
            self.remaining -= len(claims)
        if expired := sum(claim.lease_expired for claim in claims):
            self._stages.meter.leases_expired(expired)
        for claim in claims:
            self._in_flight[asyncio.create_task(self._work_on(claim))] = claim

    async def _nothing_due(self, scope: Scope) -> bool:
        return not await self._stages.offload(self._stages.ledger.has_due, now=self._stages.clock.now(), scope=scope)

    async def _pause(self, delay: timedelta, coming: Collection[asyncio.Task[None]] = ()) -> None:
        """Wait until a task ends, one of `coming` included, at most for `delay`, and remove the finished tasks."""
        sleeper = asyncio.ensure_future(self._stages.clock.sleep(delay))
        try:
            await asyncio.wait({sleeper, *self._in_flight, *coming}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
        for task in [task for task in self._in_flight if task.done()]:
            task.result()  # raises if the work was aborted: the claim stays in flight, so that it is released
            del self._in_flight[task]

    @asynccontextmanager
    async def _release_on_exit(self) -> AsyncIterator[None]:
        """At the end, cancel the tasks and release their claims, so that no lease has to expire first."""
        try:
            yield
        finally:
            claims, tasks = list(self._in_flight.values()), list(self._in_flight)
            self._in_flight.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if claims:
                await self._stages.offload(self._stages.ledger.release, claims)
                log.info("ingest.released", candidates=len(claims))

    @asynccontextmanager
    async def _heartbeat(self) -> AsyncIterator[None]:
        """Extend the leases of the claims in flight for as long as the block runs."""
        task = asyncio.create_task(self._extend_leases())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _extend_leases(self) -> None:
        """Extend the leases three times per lease duration, forever."""
        while True:
            await self._stages.clock.sleep(self._limits.lease / 3)
            until = self._stages.clock.now() + self._limits.lease
            try:
                await self._stages.offload(self._stages.ledger.extend, list(self._in_flight.values()), until=until)
            except StoreError as exc:  # the tasks use the store too, and raise if it does not recover
                log.warning("ingest.leases_not_extended", error=str(exc))

    async def _work_on(self, claim: Claim) -> None:
        """Work on one claim until its outcome is written, with the deadline; log and count the outcome."""
        started = self._stages.clock.monotonic()
        deadline = asyncio.timeout(self._limits.deadline.total_seconds())
        try:
            async with deadline:
                outcome = await self._outcome(claim)
        except (StoreError, MachineError):
            raise
        except ExtractorDown as exc:
            outcome = await self._finish(claim, self._after_failure(claim, exc))
        except Exception as exc:  # a bug is logged with its traceback, but fails only this candidate
            if lack := as_machine_error(exc):
                raise lack from exc
            if not deadline.expired():
                log.exception("ingest.bug", url=claim.url)
            outcome = await self._broken_off(claim, exc, late=deadline.expired())
        if outcome is None:
            self._stages.meter.lease_lost()
            log.warning("ingest.lease_lost", url=claim.url, worker=self._worker)
            return
        self._tally.count(outcome)
        self._observer.settled(claim, outcome)
        log_outcome(claim, outcome, ms=round(1000 * (self._stages.clock.monotonic() - started)))

    async def _broken_off(self, claim: Claim, error: Exception, *, late: bool) -> Outcome | None:
        """Finish a claim whose work raised, as a deadline error if it was `late`."""
        if late:
            error = deadline_error(after=self._limits.deadline)
        return await self._finish(claim, self._after_failure(claim, error))

    async def _outcome(self, claim: Claim) -> Outcome | None:
        """Run one candidate through the stages; return None if its lease was lost meanwhile."""
        page: Page | None = None
        try:
            _require_not_forgotten(claim)
            self._require_kept(claim)
            content = claim.payload or await self._stages.fetcher.fetch(
                Request(url=claim.url, validators=claim.validators, source=claim.source)
            )
            page = content if isinstance(content, Page) else None
            if page and _same_as_before(page, claim):
                outcome = Outcome(state=State.UNCHANGED, reason="body", article=claim.known_article)
                return await self._finish(claim, outcome, page)
            if page and not claim.payload:
                content = page = await with_further_pages(page, self._stages, source=claim.source)
            article = await self._extract(claim, content)
        except FetchBlocked as exc:
            return await self._finish(claim, Outcome(state=State.BLOCKED, reason=exc.reason, detail=str(exc)), page)
        except FetchError as exc:
            return await self._fall_back_to_feed_text(claim, self._after_failure(claim, exc), exc)
        except ExtractorDown:
            raise
        except ExtractError as exc:
            outcome = Outcome(state=State.REJECTED, reason=exc.reason, detail=str(exc))
            return await self._fall_back_to_feed_text(claim, outcome, exc, page)
        return await self._stages.offload(self._settle, claim, article, page)

    async def _fall_back_to_feed_text(
        self, claim: Claim, outcome: Outcome, error: FetchError | ExtractError, page: Page | None = None
    ) -> Outcome | None:
        """Finish a candidate whose page gave no article; use the feed's text instead where that is allowed."""
        if outcome.state is State.PENDING or claim.known_article is not None or not may_use_feed_text(error):
            return await self._finish(claim, outcome, page)
        text = await self._stages.offload(self._stages.ledger.fallback, claim)
        try:
            article = await self._extract(claim, text) if text else None
        except ExtractorDown:
            raise
        except (ExtractError, FetchBlocked):
            article = None
        if article is None:
            return await self._finish(claim, outcome, page)
        return await self._stages.offload(self._settle, claim, with_feed_text(article, error), None)

    async def _extract(self, claim: Claim, content: Page | Text) -> Article:
        """Extract the article from a page or a given text, with the hints of its candidate."""
        boilerplate = await self._stages.offload(self._stages.learner.known, claim.host)
        timezone = self._limits.timezones.get(claim.source)
        hints = hints_for(claim, content, timezone=timezone, boilerplate=boilerplate)
        hints = replace(hints, is_taken=claim.is_taken)
        fetched_at = content.fetched_at if isinstance(content, Page) else self._stages.clock.now()
        with self._stages.measure_time("extract"):
            article = await self._stages.extractor.extract(content, hints, fetched_at=fetched_at)
        for fallback in article.fallbacks:
            self._stages.meter.fell_back(fallback)
        if "fault" in article.fallbacks:
            log.warning("extract.fault", url=claim.url, notes=list(article.notes))
        _require_recent(claim, article, since=self._limits.since.get(claim.source))
        self._require_kept(claim, article)
        return article

    def _require_kept(self, claim: Claim, article: Article | None = None) -> None:
        """Raise ExtractError (`filtered`) for what a rule keeps out; no rule applies to an article in the corpus."""
        if self._limits.filter is None or claim.known_article is not None or claim.is_taken:
            return
        if why := self._limits.filter.objection(hints_of(claim, timezone=None), article):
            raise ExtractError(why, reason=FILTERED)

    def _settle(self, claim: Claim, article: Article, page: Page | None) -> Outcome | None:
        """Fingerprint, judge and store an article. Blocks, so it runs in the store's threads."""
        with self._stages.measure_time("fingerprint"):
            fingerprint = self._stages.deduper.fingerprint(article)
        with self._stages.measure_time("settle"):
            outcome = self._stages.ledger.settle(
                claim,
                article,
                fingerprint=fingerprint,
                judge=partial(self._stages.deduper.judge, article, fingerprint),
                now=self._stages.clock.now(),
                page=page,
                recheck_at=self._recheck_at(claim),
            )
        if outcome and outcome.state in _NEW_STATES:
            self._stages.learner.learn(article)
        return outcome

    async def _finish(self, claim: Claim, outcome: Outcome, page: Page | None = None) -> Outcome | None:
        """Write an outcome without a new article; a failed recheck keeps the former one."""
        outcome = keep_former_outcome(claim, outcome)
        return await self._stages.offload(
            self._stages.ledger.finish,
            claim,
            outcome,
            now=self._stages.clock.now(),
            page=page,
            recheck_at=self._recheck_at(claim),
        )

    def _recheck_at(self, claim: Claim) -> datetime | None:
        """Return the time of the next recheck; None for content from a file, which has no page to fetch."""
        return None if claim.payload else next_recheck(self._limits.recheck, claim, now=self._stages.clock.now())

    def _after_failure(self, claim: Claim, error: Exception) -> Outcome:
        return outcome_of_failure(claim, error, now=self._stages.clock.now(), chance=self._stages.chance())


def _require_not_forgotten(claim: Claim) -> None:
    """Raise FetchBlocked if a person had the page removed; the store has replaced its address then."""
    if claim.url.startswith(FORGOTTEN_SCHEME):
        message = "a person had this page, or its whole host, removed (`corpus-worker forget`)"
        raise FetchBlocked(message, reason="forgotten")


def _same_as_before(page: Page, claim: Claim) -> bool:
    """Return whether the page of a known article is unchanged: a 304, or a body with the same hash."""
    if claim.known_article is None:
        return False
    return page.not_modified or hashlib.sha256(page.body).hexdigest() == claim.known_sha256


def _require_recent(claim: Claim, article: Article, *, since: datetime | None) -> None:
    """Raise ExtractError (`old`) if an article was published before the `since` of its source.

    A guessed date never rejects an article. `since` does not apply to a backfill, to an article in the corpus, nor to a
    page that a person wants stored.
    """
    published = article.published_at
    if (
        since is None
        or published is None
        or published >= since
        or claim.from_backfill
        or claim.is_taken
        or claim.known_article is not None
    ):
        return
    if not article.is_date_guessed:
        told = f"published {published:%Y-%m-%d}, wanted are articles since {since:%Y-%m-%d}"
        raise ExtractError(told, reason="old")


def log_outcome(claim: Claim, outcome: Outcome, *, ms: int) -> None:
    """Log the outcome of an attempt at one candidate in one line; `ms` is its duration."""
    best = outcome.verdict.best if outcome.verdict else None
    log.info(
        "ingest.outcome",
        state=outcome.state.value,
        reason=outcome.reason or None,
        url=claim.url,
        source=claim.source,
        article=outcome.article,
        against=best.article if best else None,
        retry_at=outcome.retry_at.isoformat(timespec="seconds") if outcome.retry_at else None,
        detail=outcome.detail or None,
        ms=ms,
    )
