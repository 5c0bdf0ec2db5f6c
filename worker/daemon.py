"""The daemon: asks every few seconds what is due, works it off, and stops cleanly at a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from worker.app import App, opened, worker_name
from worker.errors import StoreError
from worker.models import Claim, Outcome, Source
from worker.settings import Settings

log = structlog.get_logger()

ASK_EVERY: Final = timedelta(seconds=2)
SUMMARY_EVERY: Final = timedelta(minutes=5)
GRACE: Final = timedelta(seconds=20)
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=1)
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Daemon:
    """Runs until a signal; one object for one run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signal = 0
        self._stopped = asyncio.Event()
        self._polls: dict[str, asyncio.Task[None]] = {}

    def run(self) -> int:
        """Run and return the exit status, 128 and the signal's number; raises StoreError where it cannot start."""
        return asyncio.run(self._run())

    async def _run(self) -> int:
        async with opened(self._settings, _Silent()) as app:
            app.store.lock_daemon(f"{worker_name()}, since {app.clock.now():%Y-%m-%d %H:%M:%S} UTC")
            self._listen()
            log.info("run.started", worker=worker_name(), sources=len(app.sources))
            await app.import_seeds()
            await self._work(app)
            log.info("run.stopped", signal=signal.Signals(self._signal).name, **_counts(app))
        return 128 + self._signal

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stop, number)

    def _stop(self, number: int) -> None:
        if self._signal:
            os._exit(128 + number)  # leases and transactions make that safe, it is only less tidy
        self._signal = number
        log.info("run.stopping", signal=signal.Signals(number).name)
        self._stopped.set()

    async def _work(self, app: App) -> None:
        """Poll and ingest side by side until stopped, then finish what is in hand, or give it back after a while."""
        scheduler = self._scheduler(app)
        scheduler.start()
        working = asyncio.create_task(self._ingest(app))
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            scheduler.shutdown(wait=False)
            stopped.cancel()
            await self._finish([working, *self._polls.values()])

    def _scheduler(self, app: App) -> AsyncIOScheduler:
        """Return the clockwork; it keeps no due times of its own, they lie in the store."""
        scheduler = AsyncIOScheduler(timezone="UTC")
        always = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler.add_job(self._ask, "interval", args=[app], seconds=ASK_EVERY.total_seconds(), **always)
        scheduler.add_job(self._sum_up, "interval", args=[app], seconds=SUMMARY_EVERY.total_seconds(), **always)
        return scheduler

    async def _ask(self, app: App) -> None:
        """Start a poll of every source that is due and not being polled already."""
        now = app.clock.now()
        try:
            states = await app.offload(app.store.reader.sources)
        except StoreError as exc:
            log.error("run.store_failed", error=str(exc))
            return
        due_at = {state.name: state.due_at for state in states}
        for source in app.sources:
            due = due_at.get(source.name)
            if source.enabled and source.name not in self._polls and (due is None or due <= now):
                self._polls[source.name] = asyncio.create_task(self._poll(app, source))

    async def _poll(self, app: App, source: Source) -> None:
        try:
            await app.discoverer.poll(source, only_if_due=True)
        except StoreError as exc:
            log.error("run.store_failed", source=source.name, error=str(exc))
        except Exception:  # a bug is loud, but it costs only this poll
            log.exception("run.bug", source=source.name)
        finally:
            del self._polls[source.name]

    async def _ingest(self, app: App) -> None:
        await _again_while_store_fails(lambda: app.ingester.work(self._stopped.is_set), app)

    async def _sum_up(self, app: App) -> None:
        pending, due = await app.offload(app.store.ledger.pending, now=app.clock.now())
        log.info("run.summary", pending=pending, due=due, in_hand=app.ingester.in_hand, **_counts(app))

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let tasks end by themselves for a while, then cancel them: they give back what they hold."""
        _, late = await asyncio.wait(tasks, timeout=GRACE.total_seconds())
        for task in late:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def _again_while_store_fails(work: Callable[[], Awaitable[None]], app: App) -> None:
    """Run `work`; where the store fails, say so, wait longer each time, and go on."""
    wait = FIRST_WAIT
    while True:
        started = app.clock.monotonic()
        try:
            return await work()
        except StoreError as exc:
            if app.clock.monotonic() - started > LONGEST_WAIT.total_seconds():
                wait = FIRST_WAIT
            log.error("run.store_failed", error=str(exc), again_in=f"{wait.total_seconds():.0f}s")
            await app.clock.sleep(wait)
            wait = min(LONGEST_WAIT, wait * 2)


def _counts(app: App) -> dict[str, int]:
    outcomes = {state.value: count for state, count in sorted(app.tally.outcomes.items())}
    return {"discovered": app.tally.discovered, **outcomes}


class _Silent:
    """Shows nothing: the log tells it."""

    def discovered(self, source: Source, *, new: int) -> None:
        """Show nothing."""

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Show nothing."""
