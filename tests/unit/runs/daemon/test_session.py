"""A session that makes no progress ends, even if other parts of it work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from tests.fakes import inline
from worker.app import App
from worker.clock import SystemClock
from worker.config.schema import FetchSettings
from worker.errors import MachineError, StoreError
from worker.models import Source
from worker.pipeline.stages import Tally
from worker.runs.daemon import session
from worker.runs.daemon.polling import ProgressCounter, SourcePoller
from worker.runs.daemon.session import Session, StopReason
from worker.runs.daemon.watchdog import LoopWatchdog, SystemdNotifier


class BusyIngester:
    """A fake that always makes progress."""

    in_flight = 1
    tasks = ()

    def __init__(self, done: ProgressCounter) -> None:
        self._done = done

    async def work(self, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self._done.count += 1
            await asyncio.sleep(0.01)


async def nothing(*_: object) -> None:
    return None


def fails() -> None:
    raise ValueError("a state that cannot be read")


def work_with(
    ingester: object,
    *,
    done: ProgressCounter,
    ended: list[str],
    sources: Callable[[], object] = tuple,
    has_due: Callable[..., bool] = lambda **_: True,
    stall_after: timedelta = timedelta(minutes=5),
    polled: tuple[Source, ...] = (),
) -> Session:
    """Return a session over fakes; reasons of the watchdog are added to `ended`."""
    clock = SystemClock()
    app = SimpleNamespace(
        clock=clock,
        offload=inline,
        sources=polled,
        tally=Tally(),
        ingester=ingester,
        ledger=SimpleNamespace(has_due=has_due),
        store=SimpleNamespace(reader=SimpleNamespace(sources=sources), cancel_waits=lambda: None),
        discoverer=SimpleNamespace(replan=nothing),
        import_seeds=nothing,
        settings=SimpleNamespace(
            daemon=SimpleNamespace(stall_after=stall_after),
            store=SimpleNamespace(keep_pages=None),
            fetch=FetchSettings(),
        ),
    )
    watchdog = LoopWatchdog(
        patience=timedelta(minutes=1), monotonic=clock.monotonic, end=lambda reason, _status: ended.append(reason)
    )
    return Session(cast("App", app), done, watchdog=watchdog, systemd=SystemdNotifier({}))


class FailingIngester:
    """Always fails with the given error, and counts the calls."""

    in_flight = 0
    tasks = ()

    def __init__(self, error: StoreError) -> None:
        self._error = error
        self.tries = 0

    async def work(self, _stopping: Callable[[], bool]) -> None:
        self.tries += 1
        raise self._error


class HangingIngester:
    """Waits for a store that does not answer, until it is cancelled."""

    in_flight = 1
    tasks = ()

    async def work(self, _stopping: Callable[[], bool]) -> None:
        await asyncio.Event().wait()


@pytest.mark.anyio
async def test_under_the_default_agent_nothing_is_polled_on_the_open_web_and_the_reason_is_told() -> None:
    source = Source(name="bao", kind="feed", url="https://93.184.216.34/rss")
    done = ProgressCounter()
    work = work_with(BusyIngester(done), done=done, ended=[], polled=(source,))

    running = asyncio.create_task(work.run())
    while not work.trouble:
        await asyncio.sleep(0)
    await work._check_progress()
    work.end(StopReason.RELOAD)

    assert await running is StopReason.RELOAD
    assert "set [fetch] user_agent" in work.trouble
    assert (done.count, work._scheduler.running) == (0, False)


@pytest.mark.anyio
async def test_a_stop_ends_the_wait_for_a_failing_store() -> None:
    ingester = FailingIngester(StoreError("no server", retry=True))
    work = work_with(ingester, done=ProgressCounter(), ended=[])
    loop = asyncio.get_running_loop()

    running = asyncio.create_task(work.run())
    while not ingester.tries:
        await asyncio.sleep(0.01)
    stopped = loop.time()
    work.end(StopReason.STOPPED)
    end = await running

    assert end is StopReason.STOPPED
    assert ingester.tries == 1
    assert loop.time() - stopped < session.FIRST_WAIT.total_seconds() / 2


@pytest.mark.anyio
async def test_a_stop_during_an_outage_does_not_wait_for_results_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def is_down(**_: object) -> bool:
        raise StoreError("no server", retry=True)

    monkeypatch.setattr(session, "CHECK_EVERY", timedelta(milliseconds=20))
    work = work_with(HangingIngester(), done=ProgressCounter(), ended=[], has_due=is_down)
    loop = asyncio.get_running_loop()

    running = asyncio.create_task(work.run())
    while not work.trouble:
        await asyncio.sleep(0.01)
    stopped = loop.time()
    work.end(StopReason.STOPPED)
    await running

    assert loop.time() - stopped < session.SHUTDOWN_GRACE.total_seconds() / 2


@pytest.mark.anyio
async def test_a_permanent_error_ends_a_session_before_any_progress() -> None:
    work = work_with(FailingIngester(StoreError("permission denied")), done=ProgressCounter(), ended=[])

    with pytest.raises(StoreError, match="permission denied"):
        await work.run()


@pytest.mark.anyio
@pytest.mark.parametrize("count", [0, 1])
async def test_a_permanent_error_after_some_progress_is_waited_for(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(session, "FIRST_WAIT", timedelta(milliseconds=1))
    ingester, done = FailingIngester(StoreError("no room on the disk")), ProgressCounter()
    done.count = count
    done.record_span(timedelta(0) if count else timedelta(hours=1))
    work = work_with(ingester, done=done, ended=[])

    running = asyncio.create_task(work.run())
    while ingester.tries < 3:
        await asyncio.sleep(0.01)
    work.end(StopReason.STOPPED)

    assert await running is StopReason.STOPPED


@pytest.mark.anyio
async def test_a_stop_during_a_query_logs_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checks = asyncio.Event()

    async def slowly(self: object) -> None:
        checks.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(session, "POLL_CHECK_EVERY", timedelta(milliseconds=20))
    monkeypatch.setattr(SourcePoller, "poll_due", slowly)
    done = ProgressCounter()
    work = work_with(BusyIngester(done), done=done, ended=[])

    running = asyncio.create_task(work.run())
    await checks.wait()
    work.end(StopReason.STOPPED)
    await running
    await asyncio.sleep(0)

    assert caplog.records == []


@pytest.mark.anyio
async def test_a_daemon_that_no_longer_polls_is_stalled_although_articles_are_processed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = timedelta(milliseconds=20)
    monkeypatch.setattr(session, "POLL_CHECK_EVERY", quick)
    monkeypatch.setattr(session, "CHECK_EVERY", quick)
    done, ended = ProgressCounter(), list[str]()
    work = work_with(BusyIngester(done), done=done, ended=ended, sources=fails, stall_after=timedelta(milliseconds=300))

    async with asyncio.timeout(20):
        end = await work.run()

    assert end is StopReason.STALLED
    assert "none was done" in work.trouble
    assert done.count > 1
    assert ended == []


@pytest.mark.anyio
@pytest.mark.parametrize("error", [MachineError("no more threads"), RuntimeError("can't start new thread")], ids=repr)
async def test_a_shortage_of_the_machine_in_a_background_task_ends_the_session(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_due(**_: object) -> bool:
        raise error

    monkeypatch.setattr(session, "CHECK_EVERY", timedelta(milliseconds=1))
    done = ProgressCounter()
    work = work_with(BusyIngester(done), done=done, ended=[], has_due=has_due)

    with pytest.raises(MachineError):
        await work.run()
