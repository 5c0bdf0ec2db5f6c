"""Polls of due sources, and the pause of sources whose poll cannot be recorded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from tests.fakes import FakeClock, inline
from worker.app import App
from worker.errors import MachineError, StoreError
from worker.models import Source, SourceState
from worker.pipeline.poll_result import SourceReport
from worker.runs.daemon import polling
from worker.runs.daemon.polling import FAILED_POLL_PAUSE, ProgressCounter, SourcePoller


@dataclass
class FakeDiscoverer:
    """A discoverer with a given result: an error to raise, or a report."""

    ends: list[SourceReport | Exception] = field(default_factory=list)
    polls: int = 0

    async def poll(self, source: Source, *, only_if_due: bool = False) -> SourceReport:
        assert only_if_due
        self.polls += 1
        end = self.ends.pop(0) if self.ends else SourceReport(source=source.name)
        if isinstance(end, Exception):
            raise end
        return end


class Desk:
    def __init__(self, *ends: SourceReport | Exception) -> None:
        self.clock, self.done, self.discoverer = FakeClock(), ProgressCounter(), FakeDiscoverer(list(ends))
        self.failure: Exception | None = None
        app = SimpleNamespace(
            clock=self.clock,
            offload=inline,
            discoverer=self.discoverer,
            store=SimpleNamespace(reader=SimpleNamespace(sources=self.states)),
            settings=SimpleNamespace(fetch=SimpleNamespace(max_connections=4)),
            sources=(Source(name="bao", kind="feed", url="https://bao.example/rss"),),
        )
        self.lacks: list[MachineError] = []
        self.polling = SourcePoller(cast("App", app), self.done, fail=self.lacks.append)

    def states(self) -> tuple[SourceState, ...]:
        if self.failure:
            raise self.failure
        return ()

    async def poll_due(self) -> None:
        await self.polling.poll_due()
        await asyncio.gather(*self.polling.running.values())


@pytest.mark.anyio
@pytest.mark.parametrize("error", [StoreError("no room"), ZeroDivisionError("a bug")])
async def test_a_source_whose_poll_cannot_be_recorded_is_paused_before_the_next_poll(error: Exception) -> None:
    desk = Desk(error)

    await desk.poll_due()
    await desk.poll_due()
    soon = desk.discoverer.polls
    desk.clock.advance(FAILED_POLL_PAUSE)
    await desk.poll_due()

    assert (soon, desk.discoverer.polls) == (1, 2)


@pytest.mark.anyio
async def test_a_shortage_of_the_machine_ends_the_work() -> None:
    lack = MachineError("no more threads")
    desk = Desk(lack)

    await desk.poll_due()

    assert desk.lacks == [lack]


@pytest.mark.anyio
async def test_a_persistent_store_error_is_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(polling, "log", SimpleNamespace(error=lambda _event, error: told.append(error)))
    desk = Desk()

    for failure in ("gone", "gone", "gone", "another", "another"):
        desk.failure = StoreError(failure)
        await desk.poll_due()
    desk.clock.advance(polling.LOG_EVERY)
    await desk.poll_due()
    desk.failure = None
    await desk.poll_due()
    desk.failure = StoreError("another")
    await desk.poll_due()

    assert told == ["gone", "another", "another", "another"]


@pytest.mark.anyio
async def test_a_poll_by_another_worker_is_no_progress() -> None:
    desk = Desk(SourceReport(source="bao", skipped=True))

    await desk.poll_due()
    left_alone = desk.done.count
    await desk.poll_due()

    assert (left_alone, desk.done.count) == (0, 1)


@pytest.mark.anyio
async def test_no_poll_starts_after_close() -> None:
    desk = Desk()

    desk.polling.close()
    await desk.poll_due()

    assert desk.discoverer.polls == 0


@pytest.mark.anyio
async def test_a_query_that_ends_in_a_bug_does_not_count_as_answered() -> None:
    desk = Desk()

    await desk.poll_due()
    desk.failure = StoreError("gone for a moment")
    await desk.poll_due()
    desk.failure = ValueError("a state that cannot be read")
    with pytest.raises(ValueError, match="cannot be read"):
        await desk.poll_due()

    assert desk.polling.checks == 2
