"""One session of the daemon: the work between opening the store and the next reload, restart or stop.

A session polls due sources, ingests candidates, prunes old pages, and checks that work makes progress. The scheduler
only triggers checks; due times and leases are in the store, so that a restart loses nothing.

prepare (seeds, changed rules) | poll + ingest until `end` | finish or release the work in hand
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final, ParamSpec, TypeVar

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from worker.app import App
from worker.clock import steady_time
from worker.errors import ConfigurationError, MachineError, StoreError, as_machine_error
from worker.fetch.http.network_backend import require_named_agent
from worker.logs import log
from worker.ports import RunInThread
from worker.runs.daemon.polling import STORE_TIMEOUT, ProgressCounter, SourcePoller
from worker.runs.daemon.watchdog import CHECK_EVERY, LoopWatchdog, StallDetector, SystemdNotifier, describe_tasks
from worker.storage.maintenance.prune import Pruned
from worker.storage.store import Store

FIRST_WAIT: Final = timedelta(seconds=5)
"""The first wait after a store error: most locks and failovers are over by then."""
LONGEST_WAIT: Final = timedelta(minutes=1)
"""The longest wait between two attempts: work resumes within a minute after the store is back."""


class StoreBackoff:
    """Exponential backoff for store errors: the wait doubles from FIRST_WAIT up to LONGEST_WAIT."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def after(self, error: StoreError, *, lasted: timedelta = timedelta(0)) -> timedelta:
        """Log the error and return how long to wait.

        An attempt that `lasted` longer than LONGEST_WAIT had worked; the backoff then starts over.
        """
        wait = FIRST_WAIT if lasted > LONGEST_WAIT else self._next
        self._next = min(LONGEST_WAIT, wait * 2)
        log.error("run.store_failed", error=str(error), again_in=f"{wait.total_seconds():.0f}s")
        return wait


async def sleep_until(wait: timedelta, *, until: asyncio.Event) -> None:
    """Sleep for `wait`, or until the event `until` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait.total_seconds()):
            await until.wait()


async def prune_old(store: Store, *, offload: RunInThread, now: Callable[[], datetime], keep: timedelta) -> None:
    """Delete pages and histories older than `keep`, in short steps, so that other store calls run in between."""
    steps = store.prune_in_steps(older_than=now() - keep)
    gone = Pruned()
    try:
        while (step := await offload(next, steps, None)) is not None:
            gone += step
    except StoreError as exc:
        log.error("run.prune_failed", error=str(exc), note="tried again tomorrow")
        return
    log.info("run.pruned", **asdict(gone))


P = ParamSpec("P")


def quiet_on_cancel(job: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Return `job` wrapped so that a cancellation ends it silently.

    APScheduler cancels running jobs at shutdown and logs the cancellation as an error. Swallowing it is safe because
    nothing is awaited after the job.
    """

    @functools.wraps(job)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await job(*args, **kwargs)

    return run


T = TypeVar("T")

POLL_CHECK_EVERY: Final = timedelta(seconds=2)
"""How often the store is queried for due sources: small against poll intervals of minutes, and a cheap query."""
SUMMARY_EVERY: Final = timedelta(minutes=5)
"""How often `run.summary` is logged: 288 lines a day."""
INDEX_EVERY: Final = timedelta(seconds=10)
"""How often new articles are put into the index of full-text search. Chosen: so few wait that reading them is quick."""
SHUTDOWN_GRACE: Final = timedelta(seconds=20)
"""How long running work may finish at a stop; `docs/reference.md` promises an end within 30 seconds."""
PRUNE_AFTER: Final = timedelta(minutes=5)
"""The delay before the first pruning; it is short, so that a daemon that restarts every few hours prunes as well."""
LOOP_INTERVAL: Final = timedelta(seconds=1)
"""How often the event loop reports to the watchdog and the clocks are compared."""
MIN_CLOCK_JUMP: Final = timedelta(seconds=5)
"""A larger difference between the clocks means that the wall clock was set; NTP corrects in much smaller steps."""


class StopReason(enum.Enum):
    """Why a session ended: a signal, a new configuration, or a stall."""

    STOPPED = "stopped"
    RELOAD = "reload"
    STALLED = "stalled"


class Session:
    """One session, from importing the seeds to releasing unfinished work; `run` may be called once.

    `progress` detects that work waits and none is done, `_poll_check_stall` that due sources are no longer polled.
    """

    def __init__(self, app: App, done: ProgressCounter, *, watchdog: LoopWatchdog, systemd: SystemdNotifier) -> None:
        self._app = app
        self._done = done
        self._watchdog = watchdog
        self._systemd = systemd
        self._ended = asyncio.Event()
        self._end = StopReason.STOPPED
        self._machine_error: MachineError | None = None
        self._polling = SourcePoller(app, done, fail=self._fail)
        self._working: asyncio.Task[None] | None = None
        self._scheduler = self._make_scheduler()
        self._patience = app.settings.daemon.stall_after
        self.progress = StallDetector(now=app.clock.monotonic())
        self._poll_check_stall = StallDetector(now=app.clock.monotonic())
        self._clock_offset = self._wall_minus_monotonic()
        self._due_query: asyncio.Future[bool] | None = None
        self._due_query_started = 0.0
        self._refusal = ""
        self.trouble = ""
        """Why the daemon makes no progress, as far as is known; empty while it does."""

    def end(self, why: StopReason) -> None:
        """Make `run` finish the work in hand and return; the first reason is kept."""
        if not self._ended.is_set():
            self._end = why
            self._ended.set()

    async def run(self) -> StopReason:
        """Import seeds, then poll and ingest concurrently until `end`; release work that could not be finished.

        Raises StoreError if the store has a permanent error, MachineError if the machine lacks resources.
        """
        self._watchdog.watch(on=True)
        background = [
            asyncio.create_task(self._repeat(LOOP_INTERVAL, self._check_clock)),
            asyncio.create_task(self._repeat(CHECK_EVERY, self._check_progress)),
        ]
        try:
            await self._wait_for(asyncio.create_task(self._prepare()))
            if self._refusal:
                await self._ended.wait()
            if not self._ended.is_set():
                self._scheduler.start()
                self._working = asyncio.create_task(self._ingest())
                await self._wait_for(self._working)
        finally:
            await self._finish(background)
        if self._machine_error is not None:
            raise self._machine_error
        return self._end

    def _fail(self, lack: MachineError) -> None:
        """End the session and make `run` raise this error: no work is possible on a machine that lacks resources."""
        self._machine_error = self._machine_error or lack
        self.end(StopReason.STOPPED)

    async def _wait_for(self, task: asyncio.Task[None]) -> None:
        """Wait until a task is done or `end` was called; raise the exception of the task."""
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if task.done():
            task.result()
        elif task is not self._working:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _prepare(self) -> None:
        """Import seeds, and apply what was changed of sources: paused or resumed, and rules of polling.

        Under the shipped default user agent with sources that are not on loopback, do nothing but say so.
        """
        urls = [source.url for source in self._app.sources if source.enabled]
        try:
            if urls:
                await require_named_agent(self._app.settings.fetch, urls)
        except ConfigurationError as exc:
            self._refusal = self.trouble = f"{exc}, then restart the daemon or send it SIGHUP"
            log.error("run.refused", error=self._refusal)
            return
        await self._retry_on_store_errors(self._app.hold_paused)
        await self._retry_on_store_errors(self._app.import_seeds)
        await self._retry_on_store_errors(lambda: self._app.discoverer.replan(self._app.sources))

    async def _ingest(self) -> None:
        await self._retry_on_store_errors(lambda: self._app.ingester.work(self._ended.is_set))

    def _make_scheduler(self) -> AsyncIOScheduler:
        """Return the scheduler; its jobs query the store for due work, so it needs no persistent state."""
        scheduler = AsyncIOScheduler(timezone="UTC")
        always = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler.add_job(
            quiet_on_cancel(self._polling.poll_due), "interval", seconds=POLL_CHECK_EVERY.total_seconds(), **always
        )
        scheduler.add_job(
            quiet_on_cancel(self._log_summary), "interval", seconds=SUMMARY_EVERY.total_seconds(), **always
        )
        scheduler.add_job(quiet_on_cancel(self._index_texts), "interval", seconds=INDEX_EVERY.total_seconds(), **always)
        if keep := self._app.settings.store.keep_pages:
            app, first = self._app, self._app.clock.now() + PRUNE_AFTER
            # A clock that is wrong by a year, at the start or from now on, must not delete what is young.
            now = steady_time(app.clock, start=app.store.opened_at or app.clock.now())
            prune = functools.partial(quiet_on_cancel(prune_old), app.store, offload=app.offload, now=now, keep=keep)
            scheduler.add_job(prune, "interval", days=1, next_run_time=first, **always)
        return scheduler

    async def _index_texts(self) -> None:
        """Index articles for full-text search; what an error leaves is indexed the next time."""
        try:
            await self._app.index_texts()
        except StoreError as exc:
            log.error("run.store_failed", error=str(exc))

    async def _log_summary(self) -> None:
        app = self._app
        counts = await self._query_store(app.offload(app.store.ledger.pending, now=app.clock.now()))
        if counts is not None:
            pending, due = counts
            log.info("run.summary", pending=pending, due=due, in_hand=app.ingester.in_flight, **app.tally.record())

    async def _query_store(self, query: Awaitable[T]) -> T | None:
        """Return the result of a store query; log an error or a timeout and return None."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT.total_seconds()):
                return await query
        except (StoreError, TimeoutError) as exc:
            log.error("run.store_failed", error=str(exc) or "no answer")
            return None

    async def _repeat(self, pause: timedelta, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._app.clock.sleep(pause)
            try:
                await act()
            except Exception as exc:  # a bug here must not end the watchdog task
                if lack := as_machine_error(exc):
                    self._fail(lack)
                    return
                log.exception("run.bug")

    async def _check_clock(self) -> None:
        """Report to the watchdog, and detect that the wall clock was set.

        APScheduler plans with the wall clock: set back by an hour, it would trigger nothing for an hour.
        """
        self._watchdog.beat()
        was, self._clock_offset = self._clock_offset, self._wall_minus_monotonic()
        jump = timedelta(seconds=self._clock_offset - was)
        if abs(jump) > MIN_CLOCK_JUMP:
            await self._after_jump(jump)

    def _wall_minus_monotonic(self) -> float:
        """Return the offset between the two clocks in seconds; it changes only if the wall clock is set."""
        return self._app.clock.now().timestamp() - self._app.clock.monotonic()

    async def _after_jump(self, jump: timedelta) -> None:
        """Trigger all jobs now, and correct times in the store that are too far in the future."""
        log.warning("run.clock_set", by_s=round(jump.total_seconds()))
        if self._scheduler.running:
            for job in self._scheduler.get_jobs():
                job.modify(next_run_time=self._app.clock.now())
        await self._query_store(self._app.offload(self._app.store.correct_times, now=self._app.clock.now()))

    async def _check_progress(self) -> None:
        """Check that work makes progress; end the session if it has stalled for `[daemon] stall_after`."""
        waiting, trouble = await self._has_work_waiting()
        now = self._app.clock.monotonic()
        stalled_for = self.progress.check(now=now, done=self._done.count, waiting=waiting)
        # Articles may be processed while due sources are no longer polled: that is a stall, too.
        stalled_for = max(
            stalled_for,
            self._poll_check_stall.check(now=now, done=self._polling.checks, waiting=self._scheduler.running),
        )
        if stalled_for >= self._patience:
            self._stalled(stalled_for)
        elif self._end is not StopReason.STALLED:
            self.trouble = trouble or self._refusal
            if not self._ended.is_set():
                self._notify_systemd()

    async def _has_work_waiting(self) -> tuple[bool, str]:
        """Return whether work is waiting, and the trouble with the store if any.

        A store that does not answer counts as waiting work. The query keeps running then; the next check continues to
        wait for it, so that queries do not pile up.
        """
        app, now = self._app, self._app.clock.monotonic()
        if self._due_query is None:
            self._due_query_started = now
            self._due_query = asyncio.ensure_future(app.offload(app.ledger.has_due, now=app.clock.now()))
        await asyncio.wait({self._due_query}, timeout=CHECK_EVERY.total_seconds())
        if not self._due_query.done():
            waited = now - self._due_query_started + CHECK_EVERY.total_seconds()
            return True, f"the store has not answered for {waited:.0f} seconds"
        query, self._due_query = self._due_query, None
        try:
            due = query.result()
        except StoreError as exc:
            return False, str(exc)
        working = self._working is not None and not self._working.done()
        return working and bool(due or app.ingester.in_flight or self._polling.running), ""

    def _notify_systemd(self) -> None:
        """Send the watchdog keep-alive with a status line."""
        counts = ", ".join(f"{count} {state}" for state, count in self._app.tally.record().items())
        status = f"{len(self._polling.running)} polls and {self._app.ingester.in_flight} articles in hand; {counts}"
        self._systemd.alive(f"{self.trouble}; {status}" if self.trouble else status)

    def _stalled(self, stalled_for: timedelta) -> None:
        """End the session because of a stall; the process is killed if even that takes too long."""
        if self._ended.is_set():
            return
        self.trouble = f"work has been waiting for {stalled_for.total_seconds():.0f} seconds and none was done"
        log.error(
            "run.stalled",
            seconds=round(stalled_for.total_seconds()),
            in_hand=self._app.ingester.in_flight,
            polls=", ".join(sorted(self._polling.running)) or None,
            at=" | ".join(describe_tasks(self._tasks())),
        )
        self._systemd.degraded(self.trouble)
        self._watchdog.set_deadline(within=SHUTDOWN_GRACE, status=1)
        self.end(StopReason.STALLED)

    def _tasks(self) -> Iterable[asyncio.Task[None]]:
        working = [self._working] if self._working else []
        return [*self._app.ingester.tasks, *self._polling.running.values(), *working]

    async def _finish(self, background: list[asyncio.Task[None]]) -> None:
        """Let running work finish for SHUTDOWN_GRACE, then cancel it; cancelled work releases its leases."""
        self._polling.close()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        tasks = [*self._polling.running.values(), *([self._working] if self._working else [])]
        if self._end is not StopReason.STALLED:
            await self._wait_for_tasks(tasks)
        self._app.store.cancel_waits()  # abandoned store calls must not delay closing
        for task in (*tasks, *background):
            task.cancel()
        await asyncio.gather(*tasks, *background, return_exceptions=True)
        self._watchdog.watch(on=False)

    async def _wait_for_tasks(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Wait for tasks to finish, but not while the store fails: their results could not be written."""
        pending, clock = set(tasks), self._app.clock
        until = clock.monotonic() + SHUTDOWN_GRACE.total_seconds()
        while pending and not self.trouble and clock.monotonic() < until:
            _, pending = await asyncio.wait(pending, timeout=LOOP_INTERVAL.total_seconds())

    async def _retry_on_store_errors(self, work: Callable[[], Awaitable[object]]) -> None:
        """Run `work` until it succeeds or the session ends; after a store error, wait and try again.

        Raises StoreError if the error is permanent and the store has never worked.
        """
        backoff, clock = StoreBackoff(), self._app.clock
        while not self._ended.is_set():
            started = clock.monotonic()
            try:
                await work()
            except StoreError as exc:
                lasted = timedelta(seconds=clock.monotonic() - started)
                self._done.record_span(lasted)
                if self._ended.is_set() or not (exc.retry or self._done.store_worked):
                    raise
                await sleep_until(backoff.after(exc, lasted=lasted), until=self._ended)
            else:
                return
