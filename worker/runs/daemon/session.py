"""One span of the daemon's work under one configuration: poll what is due, ingest, and look whether it gets on."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import timedelta
from typing import Final, ParamSpec, TypeVar

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from worker.app import App
from worker.errors import MachineError, StoreError, as_machine_error
from worker.models import Claim, Outcome, Source
from worker.pipeline.stages import DEADLINE
from worker.ports import Clock, RunInThread
from worker.runs.daemon.polling import STORE_TIMEOUT, SourcePoller
from worker.runs.daemon.watchdog import CHECK_EVERY, LoopWatchdog, StallDetector, SystemdNotifier, describe_tasks
from worker.storage import Store
from worker.storage.maintenance.prune import Pruned

# How long the daemon waits for a store that fails: longer each time, and said in the log.


FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=1)


class StoreBackoff:
    """The waits between tries that fail in a row: each twice as long as the one before, up to a bound."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def after(self, error: StoreError, *, lasted: timedelta = timedelta(0)) -> timedelta:
        """Say what failed and return how long to wait; a try that had `lasted` for long was no failure in a row."""
        wait = FIRST_WAIT if lasted > LONGEST_WAIT else self._next
        self._next = min(LONGEST_WAIT, wait * 2)
        log.error("run.store_failed", error=str(error), again_in=f"{wait.total_seconds():.0f}s")
        return wait


async def sleep_until(wait: timedelta, *, until: asyncio.Event) -> None:
    """Wait, but no longer than until something has happened."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait.total_seconds()):
            await until.wait()


# Lets go of old raw pages and histories, a little at a time, beside the work.


async def prune_old(store: Store, *, offload: RunInThread, clock: Clock, keep: timedelta) -> None:
    """Prune what is older than `keep`; between two steps whatever else wants the store has its turn."""
    steps = store.pruning(older_than=clock.now() - keep)
    gone = Pruned()
    try:
        while (step := await offload(next, steps, None)) is not None:
            gone += step
    except StoreError as exc:
        log.error("run.prune_failed", error=str(exc), note="tried again tomorrow")
        return
    log.info("run.pruned", **asdict(gone))


# What the clockwork calls: cancelled at a stop without a word.


P = ParamSpec("P")


def quiet_on_cancel(job: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Let a job end where it is cancelled: APScheduler cancels what is under way at its end, and logs that as an error.

    Nothing is awaited after it, so that nobody misses the cancellation.
    """

    @functools.wraps(job)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await job(*args, **kwargs)

    return run


T = TypeVar("T")

log = structlog.get_logger()

POLL_CHECK_EVERY: Final = timedelta(seconds=2)
SUMMARY_EVERY: Final = timedelta(minutes=5)
SHUTDOWN_GRACE: Final = timedelta(seconds=20)
PRUNE_AFTER: Final = timedelta(minutes=5)
"""When the first pruning of a day begins; a daemon that is started often prunes all the same."""
LOOP_INTERVAL: Final = timedelta(seconds=1)
MIN_CLOCK_JUMP: Final = timedelta(seconds=5)


class StopReason(enum.Enum):
    """Why a span of work ended."""

    STOPPED = "stopped"
    RELOAD = "reload"
    STALLED = "stalled"


class ProgressCounter:
    """Counts what was done, for the watch on progress: an end by deadline is none."""

    def __init__(self) -> None:
        self.count = 0
        self._worked = False

    @property
    def store_worked(self) -> bool:
        """Whether the store has ever done its part: what keeps it from that now has come since, and may pass."""
        return self._worked or self.count > 0

    def record_span(self, span: timedelta) -> None:
        """Note that work went on for so long before the store failed: a store that is of no use fails at once."""
        self._worked = self._worked or span > LONGEST_WAIT

    def discovered(self, source: Source, *, new: int) -> None:  # noqa: ARG002
        """Count what a source gave."""
        self.count += 1

    def settled(self, claim: Claim, outcome: Outcome) -> None:  # noqa: ARG002
        """Count an outcome."""
        if outcome.reason != DEADLINE:
            self.count += 1


class Session:
    """One span of work, from importing the seeds to giving back what is in hand at its end."""

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
        self.trouble = ""
        """What keeps the daemon from getting on, as far as is known; empty while it does."""

    def end(self, why: StopReason) -> None:
        """Make `run` finish what is in hand and return; the first reason counts."""
        if not self._ended.is_set():
            self._end = why
            self._ended.set()

    async def run(self) -> StopReason:
        """Import seeds, then poll and ingest side by side until `end`; give back what could not be finished."""
        self._watchdog.watch(on=True)
        beside = [
            asyncio.create_task(self._repeat(LOOP_INTERVAL, self._check_clock)),
            asyncio.create_task(self._repeat(CHECK_EVERY, self._check_progress)),
        ]
        try:
            await self._wait_for(asyncio.create_task(self._prepare()))
            if not self._ended.is_set():
                self._scheduler.start()
                self._working = asyncio.create_task(self._ingest())
                await self._wait_for(self._working)
        finally:
            await self._finish(beside)
        if self._machine_error is not None:
            raise self._machine_error
        return self._end

    def _fail(self, lack: MachineError) -> None:
        """End, and raise at the end, what no work can be done with."""
        self._machine_error = self._machine_error or lack
        self.end(StopReason.STOPPED)

    async def _wait_for(self, task: asyncio.Task[None]) -> None:
        """Wait for a task, but no longer than until the end is wanted; raises what the task raised."""
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
        """Import seeds, and let rules of sources that were changed since their last polls count at once."""
        await self._retry_on_store_errors(self._app.import_seeds)
        await self._retry_on_store_errors(lambda: self._app.discoverer.replan(self._app.sources))

    async def _ingest(self) -> None:
        await self._retry_on_store_errors(lambda: self._app.ingester.work(self._ended.is_set))

    def _make_scheduler(self) -> AsyncIOScheduler:
        """Return the clockwork; it keeps no due times of its own, they lie in the store."""
        scheduler = AsyncIOScheduler(timezone="UTC")
        always = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler.add_job(
            quiet_on_cancel(self._polling.poll_due), "interval", seconds=POLL_CHECK_EVERY.total_seconds(), **always
        )
        scheduler.add_job(
            quiet_on_cancel(self._log_summary), "interval", seconds=SUMMARY_EVERY.total_seconds(), **always
        )
        if keep := self._app.settings.store.keep_pages:
            app, first = self._app, self._app.clock.now() + PRUNE_AFTER
            told = {"offload": app.offload, "clock": app.clock, "keep": keep}
            prune = functools.partial(quiet_on_cancel(prune_old), app.store, **told)
            scheduler.add_job(prune, "interval", days=1, next_run_time=first, **always)
        return scheduler

    async def _log_summary(self) -> None:
        app = self._app
        told = await self._query_store(app.offload(app.store.ledger.pending, now=app.clock.now()))
        if told is not None:
            pending, due = told
            log.info("run.summary", pending=pending, due=due, in_hand=app.ingester.in_hand, **app.tally.record())

    async def _query_store(self, question: Awaitable[T]) -> T | None:
        """Return the store's answer; None where it fails or is silent, and the log says so."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT.total_seconds()):
                return await question
        except (StoreError, TimeoutError) as exc:
            log.error("run.store_failed", error=str(exc) or "no answer")
            return None

    async def _repeat(self, pause: timedelta, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._app.clock.sleep(pause)
            try:
                await act()
            except Exception as exc:  # a bug here must not take the watch away
                if lack := as_machine_error(exc):
                    self._fail(lack)
                    return
                log.exception("run.bug")

    async def _check_clock(self) -> None:
        """Beat for the guard, and notice when somebody sets the clock: the clockwork would stand still until then."""
        self._watchdog.beat()
        was, self._clock_offset = self._clock_offset, self._wall_minus_monotonic()
        jump = timedelta(seconds=self._clock_offset - was)
        if abs(jump) > MIN_CLOCK_JUMP:
            await self._after_jump(jump)

    def _wall_minus_monotonic(self) -> float:
        return self._app.clock.now().timestamp() - self._app.clock.monotonic()

    async def _after_jump(self, jump: timedelta) -> None:
        """Plan the clockwork anew, and mend the times in the store that lie in a future that is far away now."""
        log.warning("run.clock_set", by_s=round(jump.total_seconds()))
        if self._scheduler.running:
            for job in self._scheduler.get_jobs():
                job.modify(next_run_time=self._app.clock.now())
        await self._query_store(self._app.offload(self._app.store.mend_times, now=self._app.clock.now()))

    async def _check_progress(self) -> None:
        """Look whether the daemon gets on; where it does not, end this span of work."""
        waiting, trouble = await self._has_work_waiting()
        now = self._app.clock.monotonic()
        stalled_for = self.progress.check(now=now, done=self._done.count, waiting=waiting)
        # Articles may be worked on while nobody asks any more which sources are due: that is a standstill too.
        stalled_for = max(
            stalled_for,
            self._poll_check_stall.check(now=now, done=self._polling.checks, waiting=self._scheduler.running),
        )
        if stalled_for >= self._patience:
            self._stalled(stalled_for)
        elif self._end is not StopReason.STALLED:
            self.trouble = trouble
            if not self._ended.is_set():
                self._notify_systemd()

    async def _has_work_waiting(self) -> tuple[bool, str]:
        """Tell whether there is work to be done, and what is wrong with the store; a silent store is work waiting."""
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
        return working and bool(due or app.ingester.in_hand or self._polling.running), ""

    def _notify_systemd(self) -> None:
        counts = ", ".join(f"{count} {state}" for state, count in self._app.tally.record().items())
        status = f"{len(self._polling.running)} polls and {self._app.ingester.in_hand} articles in hand; {counts}"
        self._systemd.alive(f"{self.trouble}; {status}" if self.trouble else status)

    def _stalled(self, stalled_for: timedelta) -> None:
        if self._ended.is_set():
            return
        self.trouble = f"work has been waiting for {stalled_for.total_seconds():.0f} seconds and none was done"
        log.error(
            "run.stalled",
            seconds=round(stalled_for.total_seconds()),
            in_hand=self._app.ingester.in_hand,
            polls=", ".join(sorted(self._polling.running)) or None,
            at=" | ".join(describe_tasks(self._tasks())),
        )
        self._systemd.degraded(self.trouble)
        self._watchdog.set_deadline(within=SHUTDOWN_GRACE, status=1)
        self.end(StopReason.STALLED)

    def _tasks(self) -> Iterable[asyncio.Task[None]]:
        working = [self._working] if self._working else []
        return [*self._app.ingester.tasks, *self._polling.running.values(), *working]

    async def _finish(self, beside: list[asyncio.Task[None]]) -> None:
        """Let work end by itself for a while, then cancel it: it gives back what it holds."""
        self._polling.close()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        tasks = [*self._polling.running.values(), *([self._working] if self._working else [])]
        if self._end is not StopReason.STALLED:
            await self._wait_for_tasks(tasks)
        self._app.store.give_up()  # what nobody waits for any more must not hold up the closing
        for task in (*tasks, *beside):
            task.cancel()
        await asyncio.gather(*tasks, *beside, return_exceptions=True)
        self._watchdog.watch(on=False)

    async def _wait_for_tasks(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Give tasks time to end by themselves, but none while the store fails: nothing could be written down."""
        pending, clock = set(tasks), self._app.clock
        until = clock.monotonic() + SHUTDOWN_GRACE.total_seconds()
        while pending and not self.trouble and clock.monotonic() < until:
            _, pending = await asyncio.wait(pending, timeout=LOOP_INTERVAL.total_seconds())

    async def _retry_on_store_errors(self, work: Callable[[], Awaitable[object]]) -> None:
        """Run `work`; where the store fails, say so, wait longer each time, and go on, until the end is wanted.

        Raises StoreError where the store needs somebody's hand and has never done its part yet.
        """
        waits, clock = StoreBackoff(), self._app.clock
        while not self._ended.is_set():
            started = clock.monotonic()
            try:
                await work()
            except StoreError as exc:
                lasted = timedelta(seconds=clock.monotonic() - started)
                self._done.record_span(lasted)
                if self._ended.is_set() or not (exc.retry or self._done.store_worked):
                    raise
                await sleep_until(waits.after(exc, lasted=lasted), until=self._ended)
            else:
                return
