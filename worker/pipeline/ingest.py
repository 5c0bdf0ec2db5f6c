"""The ingest flow: claim candidates, work on them, and write one outcome for each."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from worker.errors import (
    ExtractError,
    ExtractorDown,
    FetchBlocked,
    FetchError,
    MachineError,
    StoreError,
    as_machine_error,
)
from worker.models import Article, Claim, Outcome, Page, Request, State, Text
from worker.pipeline.source_pages import with_further_pages
from worker.pipeline.stages import (
    Limits,
    Observer,
    Stages,
    Tally,
    deadline_error,
    may_use_feed_text,
    outcome_of_failure,
    with_feed_text,
)
from worker.ports import Hints, Scope
from worker.schedule.retry import keep_former_outcome, next_recheck
from worker.urls import same_site

log = structlog.get_logger()

_TICK: Final = timedelta(milliseconds=250)
_RECHECK_EVERY: Final = timedelta(seconds=30)
_RECHECK_BATCH: Final = 500
_IDLE: Final = timedelta(seconds=1)
_NEW_STATES: Final = frozenset({State.STORED, State.DUPLICATE})


class Ingester:
    """Works candidates off, several at once; one object for one run."""

    def __init__(self, stages: Stages, limits: Limits, *, tally: Tally, observer: Observer, worker: str) -> None:
        self._stages = stages
        self._limits = limits
        self._tally = tally
        self._observer = observer
        self._worker = worker
        self._in_hand: dict[asyncio.Task[None], Claim] = {}
        self.left: int | None = None  # how many candidates may still be taken; None: any number
        self._look_again_at = 0.0

    async def drain(
        self, *, scope: Scope = Scope(), limit: int | None = None, more: Callable[[], bool] = lambda: False
    ) -> None:
        """Work until nothing is due and no `more` is coming, or until `limit` candidates were taken.

        Cancelled, it gives back what is in hand before it returns. Raises StoreError if the store cannot be used.
        """
        self.left = limit
        async with self._heartbeat(), self._put_back():
            while True:
                coming = more()
                await self._take(scope)
                if not (coming or self._in_hand) and (self.left == 0 or await self._nothing_due(scope)):
                    return
                await self._pause(_TICK)

    async def work(self, stopping: Callable[[], bool]) -> None:
        """Work for as long as `stopping` says no, then finish what is in hand.

        Cancelled, it gives back what is in hand before it returns. Raises StoreError if the store cannot be used.
        """
        async with self._heartbeat(), self._put_back():
            while not stopping():
                await self._take(Scope())
                await self._pause(_TICK if self._in_hand else _IDLE)
            while self._in_hand:
                await self._pause(_TICK)

    @property
    def in_hand(self) -> int:
        """How many candidates are being worked on."""
        return len(self._in_hand)

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """What is being worked on, to see where it stands."""
        return tuple(self._in_hand)

    async def _look_again(self, scope: Scope) -> None:
        """From time to time, queue what has reached the age at which it is looked at again."""
        now = self._stages.clock.monotonic()
        if not self._limits.recheck or scope != Scope() or now < self._look_again_at:
            return
        self._look_again_at = now + _RECHECK_EVERY.total_seconds()
        await self._stages.offload(
            self._stages.ledger.queue_rechecks, now=self._stages.clock.now(), limit=_RECHECK_BATCH
        )

    async def _take(self, scope: Scope) -> None:
        """Claim as many candidates as there is room for and start on them."""
        await self._look_again(scope)
        room = self._limits.in_hand - len(self._in_hand)
        limit = room if self.left is None else min(room, self.left)
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
        if self.left is not None:
            self.left -= len(claims)
        if expired := sum(claim.lease_expired for claim in claims):
            self._stages.meter.leases_expired(expired)
        for claim in claims:
            self._in_hand[asyncio.create_task(self._work_on(claim))] = claim

    async def _nothing_due(self, scope: Scope) -> bool:
        return not await self._stages.offload(self._stages.ledger.has_due, now=self._stages.clock.now(), scope=scope)

    async def _pause(self, delay: timedelta) -> None:
        """Wait until something in hand is done, but no longer than `delay`."""
        sleeper = asyncio.ensure_future(self._stages.clock.sleep(delay))
        try:
            await asyncio.wait({sleeper, *self._in_hand}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
        for task in [task for task in self._in_hand if task.done()]:
            task.result()  # whose work was broken off is still in hand, and given back
            del self._in_hand[task]

    @asynccontextmanager
    async def _put_back(self) -> AsyncIterator[None]:
        """Give back, at the end, every claim that is still in hand: nobody waits for its lease to run out."""
        try:
            yield
        finally:
            claims, tasks = list(self._in_hand.values()), list(self._in_hand)
            self._in_hand.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if claims:
                await self._stages.offload(self._stages.ledger.release, claims)
                log.info("ingest.released", candidates=len(claims))

    @asynccontextmanager
    async def _heartbeat(self) -> AsyncIterator[None]:
        """Prolong the leases of what is in hand for as long as the block lasts."""
        task = asyncio.create_task(self._prolong())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _prolong(self) -> None:
        while True:
            await self._stages.clock.sleep(self._limits.lease / 3)
            until = self._stages.clock.now() + self._limits.lease
            try:
                await self._stages.offload(self._stages.ledger.extend, list(self._in_hand.values()), until=until)
            except StoreError as exc:  # the work itself meets the store too, and ends if it does not come back
                log.warning("ingest.leases_not_extended", error=str(exc))

    async def _work_on(self, claim: Claim) -> None:
        started = self._stages.clock.monotonic()
        deadline = asyncio.timeout(self._limits.deadline.total_seconds())
        try:
            async with deadline:
                outcome = await self._outcome(claim)
        except (StoreError, MachineError):
            raise
        except ExtractorDown as exc:
            outcome = await self._finish(claim, self._after_failure(claim, exc))
        except Exception as exc:  # a bug is loud, but it costs only the page it happened on
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
        if late:
            error = deadline_error(after=self._limits.deadline)
        return await self._finish(claim, self._after_failure(claim, error))

    async def _outcome(self, claim: Claim) -> Outcome | None:
        """Take one candidate through the stages; None where its lease was lost on the way."""
        page: Page | None = None
        try:
            content = claim.payload or await self._stages.fetcher.fetch(
                Request(url=claim.url, validators=claim.validators)
            )
            page = content if isinstance(content, Page) else None
            if page and _same_as_before(page, claim):
                outcome = Outcome(state=State.UNCHANGED, reason="body", article=claim.known_article)
                return await self._finish(claim, outcome, page)
            if page and not claim.payload:
                content = page = await with_further_pages(page, self._stages)
            article = await self._extract(claim, content)
        except FetchBlocked as exc:
            return await self._finish(claim, Outcome(state=State.BLOCKED, reason=exc.reason, detail=str(exc)), page)
        except FetchError as exc:
            return await self._without_page(claim, self._after_failure(claim, exc), exc)
        except ExtractorDown:
            raise
        except ExtractError as exc:
            outcome = Outcome(state=State.REJECTED, reason=exc.reason, detail=str(exc))
            return await self._without_page(claim, outcome, exc, page)
        return await self._stages.offload(self._settle, claim, article, page)

    async def _without_page(
        self, claim: Claim, outcome: Outcome, error: FetchError | ExtractError, page: Page | None = None
    ) -> Outcome | None:
        """Let the text that came with the link stand in for a page that gave no article for good, if it may and can."""
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
        boilerplate = await self._stages.offload(self._stages.learner.known, claim.host)
        hints = Hints(
            url=claim.url,
            canonical_url=claim.canonical_url,
            source=claim.source,
            title=claim.title,
            published_at=claim.published_at,
            modified_at=claim.modified_at,
            external_id=claim.external_id,
            timezone=self._limits.timezones.get(claim.source),
            boilerplate=boilerplate,
        )
        if isinstance(content, Page) and not same_site(content.url, content.final_url):
            hints = hints.address_only()
        fetched_at = content.fetched_at if isinstance(content, Page) else self._stages.clock.now()
        with self._stages.timed("extract"):
            article = await self._stages.extractor.extract(content, hints, fetched_at=fetched_at)
        for fallback in article.fallbacks:
            self._stages.meter.fell_back(fallback)
        if "fault" in article.fallbacks:
            log.warning("extract.fault", url=claim.url, notes=list(article.notes))
        _require_recent(claim, article, since=self._limits.since.get(claim.source))
        return article

    def _settle(self, claim: Claim, article: Article, page: Page | None) -> Outcome | None:
        """Fingerprint, judge and write; runs where blocking is allowed."""
        with self._stages.timed("fingerprint"):
            fingerprint = self._stages.deduper.fingerprint(article)
        with self._stages.timed("settle"):
            outcome = self._stages.ledger.settle(
                claim,
                article,
                fingerprint=fingerprint,
                judge=partial(self._stages.deduper.judge, article, fingerprint),
                now=self._stages.clock.now(),
                page=page,
                recheck_at=self._look_at(claim),
            )
        if outcome and outcome.state in _NEW_STATES:
            self._stages.learner.learn(article)
        return outcome

    async def _finish(self, claim: Claim, outcome: Outcome, page: Page | None = None) -> Outcome | None:
        outcome = keep_former_outcome(claim, outcome)
        return await self._stages.offload(
            self._stages.ledger.finish,
            claim,
            outcome,
            now=self._stages.clock.now(),
            page=page,
            recheck_at=self._look_at(claim),
        )

    def _look_at(self, claim: Claim) -> datetime | None:
        """Return when a page is looked at again; content from a file has no page to look at."""
        return None if claim.payload else next_recheck(self._limits.recheck, claim, now=self._stages.clock.now())

    def _after_failure(self, claim: Claim, error: Exception) -> Outcome:
        return outcome_of_failure(claim, error, now=self._stages.clock.now(), chance=self._stages.chance())


def _same_as_before(page: Page, claim: Claim) -> bool:
    """Tell whether a page that already gave an article came back the same."""
    if claim.known_article is None:
        return False
    return page.not_modified or hashlib.sha256(page.body).hexdigest() == claim.known_sha256


def _require_recent(claim: Claim, article: Article, *, since: datetime | None) -> None:
    """Reject an article published before the time from which its source's are wanted; raises ExtractError (`old`).

    A date that is a guess decides nothing, nor does it bind a backfill, or an article that is in the corpus already.
    """
    published = article.published_at
    if (
        since is None
        or published is None
        or published >= since
        or claim.from_backfill
        or claim.known_article is not None
    ):
        return
    if not article.is_date_guessed:
        told = f"published {published:%Y-%m-%d}, wanted are articles since {since:%Y-%m-%d}"
        raise ExtractError(told, reason="old")


def log_outcome(claim: Claim, outcome: Outcome, *, ms: int) -> None:
    """Log the end of the work on one candidate: one line."""
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
