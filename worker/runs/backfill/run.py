"""One run of a backfill: looking and working side by side, and what it came to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from worker.app import App
from worker.errors import StoreBusy, StoreError, UsageError, WorkerError
from worker.models import BackfillProgress, State
from worker.pipeline.stages import Tally
from worker.runs.backfill.walker import ArchiveWalker, BackfillOptions, WalkCounts
from worker.storage.opening import worker_name

log = structlog.get_logger()

_LEASE: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillReport:
    """How one run of a backfill ended: how far it has come in all, what this run looked at and did, what waits."""

    orders: BackfillOptions
    state: BackfillProgress
    looked: WalkCounts
    tally: Tally
    pending: int
    elapsed: timedelta
    error: str = ""

    @property
    def did_its_work(self) -> bool:
        """Whether at least one of the places it tried could be read; also true where nothing was left to read."""
        return not self.error and bool(self.looked.read or not self.looked.failed)

    @property
    def finished(self) -> bool:
        """Whether every place was looked at, and nothing that was found waits."""
        return self.state.finished_at is not None and not self.pending

    def as_record(self) -> dict[str, object]:
        """Return the counts as `backfill --json` prints them."""
        states = (state for state in State if state is not State.PENDING)
        return {
            "source": self.orders.source,
            "from": self.orders.first.isoformat(),
            "to": self.orders.last.isoformat(),
            "finished": self.finished,
            "places": {
                "looked": self.state.looked,
                "waiting": self.state.waiting,
                "unread": self.state.unread,
            },
            "found": self.state.found,
            "left_out": self.state.left_out,
            "discovered": self.tally.discovered,
            **{state.value: self.tally.outcomes[state] for state in states},
            "pending": self.pending,
            "seconds": round(self.elapsed.total_seconds(), 3),
            "error": self.error or self.looked.last_error,
        }


class BackfillRun:
    """Carries out one run; `report` tells how far it came, also after it was cancelled."""

    def __init__(self, app: App, orders: BackfillOptions) -> None:
        if app.past is None:
            raise UsageError("this run cannot go back: it was opened without a store")
        self._app = app
        self._book = app.past.book
        self._orders = orders
        self._started = app.clock.monotonic()
        self._looker = ArchiveWalker(app, app.past, orders, orders.source_of(app.settings))
        self._error = ""

    async def run(self, *, work: bool = True) -> None:
        """Look through the past and, unless told otherwise, work off what is found; cancelled, it gives back claims.

        Raises StoreBusy where another worker is at the same backfill.
        """
        async with self._leading():
            looking = asyncio.create_task(self._look())
            try:
                if work and not self._orders.discover_only:
                    await self._app.ingester.drain(
                        scope=self._orders.scope,
                        limit=self._orders.limit,
                        more=lambda: not looking.done(),
                    )
                await looking
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        try:
            await self._looker.look()
        except StoreError:
            raise
        except WorkerError as exc:
            self._error = str(exc)

    async def report(self) -> BackfillReport:
        """Count what was done so far."""
        state, pending = await self.progress()
        return BackfillReport(
            orders=self._orders,
            state=state,
            looked=self._looker.looked,
            tally=self._app.tally,
            pending=pending,
            elapsed=timedelta(seconds=self._app.clock.monotonic() - self._started),
            error=self._error,
        )

    async def progress(self) -> tuple[BackfillProgress, int]:
        """Return how far the backfill has come, and how many of its candidates wait."""
        state = await self._app.offload(self._book.state, self._orders.name)
        pending, _ = await self._app.offload(
            self._app.ledger.pending, now=self._app.clock.now(), scope=self._orders.scope
        )
        return state, pending

    async def _pending(self) -> int:
        now, scope = self._app.clock.now(), self._orders.scope
        pending, _ = await self._app.offload(self._app.ledger.pending, now=now, scope=scope)
        return pending

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[None]:
        if not await self._lead():
            raise StoreBusy(f"another worker is at the backfill {self._orders.name}; wait for it, or stop it first")
        keeping = asyncio.create_task(self._keep_leading())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self._app.offload(self._book.release, self._orders.name, worker=worker_name())

    async def _keep_leading(self) -> None:
        while True:
            await self._app.clock.sleep(_LEASE / 4)
            try:
                await self._lead()
            except StoreError as exc:  # the work itself meets the store too, and ends if it does not come back
                log.warning("backfill.lead_not_extended", error=str(exc))

    async def _lead(self) -> bool:
        now = self._app.clock.now()
        return await self._app.offload(
            self._book.acquire, self._orders.name, now=now, until=now + _LEASE, worker=worker_name()
        )
