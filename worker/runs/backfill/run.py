"""One run of a backfill: walks the archive and ingests the candidates at the same time.

A lease in the store makes sure that one worker at a time runs a backfill. Progress is stored, so that the same command
continues after any interruption.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from worker.app import App
from worker.errors import StoreBusy, StoreError, UsageError, WorkerError
from worker.logs import log
from worker.models import BackfillProgress, State
from worker.models.base import dataclass
from worker.pipeline.stages import Tally
from worker.runs.backfill.walker import ArchiveWalker, BackfillOptions, WalkCounts
from worker.storage.store import worker_name

_LEASE_TIME: Final = timedelta(minutes=2)
"""The lease is renewed four times in this span; after a crash another worker can continue within two minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillReport:
    """The result of one run of a backfill.

    `state` is the progress of the backfill over all runs; `counts` and `tally` are those of this run. `pending` is the
    number of its candidates that are not finished, `error` the reason why the walk stopped, if it failed.
    """

    options: BackfillOptions
    state: BackfillProgress
    counts: WalkCounts
    tally: Tally
    pending: int
    elapsed: timedelta
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether at least one place could be read, or none was left to read."""
        return not self.error and bool(self.counts.read or not self.counts.failed)

    @property
    def finished(self) -> bool:
        """Whether every place was visited and no candidate is pending."""
        return self.state.finished_at is not None and not self.pending

    def as_record(self) -> dict[str, object]:
        """Return the counts as `backfill --json` prints them."""
        states = (state for state in State if state is not State.PENDING)
        return {
            "source": self.options.source,
            "from": self.options.first.isoformat(),
            "to": self.options.last.isoformat(),
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
            "error": self.error or self.counts.last_error,
        }


class BackfillRun:
    """One run of a backfill; `report` also works after a cancellation."""

    def __init__(self, app: App, options: BackfillOptions) -> None:
        if app.backfill is None:
            raise UsageError("no backfill is possible: this run was opened without a store")
        self._app = app
        self._registry = app.backfill.registry
        self._options = options
        self._started = app.clock.monotonic()
        self._walker = ArchiveWalker(app, app.backfill, options, options.source_of(app.settings))
        self._error = ""

    async def run(self, *, work: bool = True) -> None:
        """Walk the archive and ingest what is found, unless `work` is off; if cancelled, release the claims.

        Raises StoreBusy if another worker runs the same backfill.
        """
        async with self._lease():
            walking = asyncio.create_task(self._walk())
            try:
                if work and not self._options.discover_only:
                    await self._app.ingester.drain(
                        scope=self._options.scope,
                        limit=self._options.limit,
                        feed=walking,
                    )
                await walking
            finally:
                walking.cancel()
                await asyncio.gather(walking, return_exceptions=True)

    async def _walk(self) -> None:
        """Walk the archive; keep the error of a failed walk for the report, so that ingestion continues."""
        try:
            await self._walker.walk()
        except StoreError:
            raise
        except WorkerError as exc:
            self._error = str(exc)

    async def report(self) -> BackfillReport:
        """Return the result so far."""
        state, pending = await self.progress()
        return BackfillReport(
            options=self._options,
            state=state,
            counts=self._walker.counts,
            tally=self._app.tally,
            pending=pending,
            elapsed=timedelta(seconds=self._app.clock.monotonic() - self._started),
            error=self._error,
        )

    async def progress(self) -> tuple[BackfillProgress, int]:
        """Return the progress of the backfill and the number of its pending candidates."""
        state = await self._app.offload(self._registry.state, self._options.name)
        pending, _ = await self._app.offload(
            self._app.ledger.pending, now=self._app.clock.now(), scope=self._options.scope
        )
        return state, pending

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[None]:
        """Hold the lease on the backfill during the block."""
        if not await self._acquire_lease():
            raise StoreBusy(f"another worker runs the backfill {self._options.name}; wait for it, or stop it first")
        renewing = asyncio.create_task(self._renew_lease())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._app.offload(self._registry.release, self._options.name, worker=worker_name())

    async def _renew_lease(self) -> None:
        while True:
            await self._app.clock.sleep(_LEASE_TIME / 4)
            try:
                await self._acquire_lease()
            except StoreError as exc:  # the work itself uses the store and ends if the error lasts
                log.warning("backfill.lead_not_extended", error=str(exc))

    async def _acquire_lease(self) -> bool:
        now = self._app.clock.now()
        return await self._app.offload(
            self._registry.acquire, self._options.name, now=now, until=now + _LEASE_TIME, worker=worker_name()
        )
