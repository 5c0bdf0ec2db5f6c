"""A span of work that cannot get on ends by itself, whatever else goes well meanwhile."""

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
from worker.daemon import work as under_test
from worker.daemon.supervisor import Supervisor
from worker.daemon.watchdog import Guard
from worker.daemon.work import Done, End, Work
from worker.pipeline import Tally


class BusyIngester:
    """Always gets something done."""

    in_hand = 1
    tasks = ()

    def __init__(self, done: Done) -> None:
        self._done = done

    async def work(self, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self._done.count += 1
            await asyncio.sleep(0.01)


async def nothing(*_: object) -> None:
    return None


def fails() -> None:
    raise ValueError("a state that cannot be read")


@pytest.mark.anyio
async def test_a_daemon_that_never_learns_which_sources_are_due_stands_still_though_articles_are_worked_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done, ended = Done(), list[str]()
    clock, quick = SystemClock(), timedelta(milliseconds=20)
    monkeypatch.setattr(under_test, "ASK_EVERY", quick)
    monkeypatch.setattr(under_test, "LOOK_EVERY", quick)
    app = SimpleNamespace(
        clock=clock,
        offload=inline,
        sources=(),
        tally=Tally(),
        ingester=BusyIngester(done),
        ledger=SimpleNamespace(has_due=lambda **_: True),
        store=SimpleNamespace(reader=SimpleNamespace(sources=fails), give_up=lambda: None),
        discoverer=SimpleNamespace(replan=nothing),
        import_seeds=nothing,
        settings=SimpleNamespace(
            daemon=SimpleNamespace(stall_after=timedelta(milliseconds=300)), store=SimpleNamespace(keep_pages=None)
        ),
    )
    guard = Guard(
        patience=timedelta(minutes=1), monotonic=clock.monotonic, end=lambda reason, _status: ended.append(reason)
    )
    work = Work(cast("App", app), done, guard=guard, supervisor=Supervisor({}))

    async with asyncio.timeout(20):
        end = await work.run()

    assert end is End.STALLED
    assert "none was done" in work.trouble
    assert done.count > 1
    assert ended == []
