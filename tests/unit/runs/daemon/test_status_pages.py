"""What a supervisor is told: not well until the store is open, nor while nothing gets on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from tests.fakes import FakeClock
from worker.app import App
from worker.config.schema import WebSettings
from worker.models import State
from worker.pipeline.stages import Tally
from worker.runs.daemon.session import ProgressCounter, Session
from worker.runs.daemon.status_pages import StatusPages
from worker.runs.daemon.watchdog import CHECK_EVERY, StallDetector


@dataclass
class FakeIngester:
    in_hand: int = 3


@dataclass
class FakeApp:
    tally: Tally = field(default_factory=Tally)
    ingester: FakeIngester = field(default_factory=FakeIngester)


@dataclass
class FakeWork:
    trouble: str = ""
    progress: StallDetector = field(default_factory=lambda: StallDetector(now=0))


def made() -> tuple[StatusPages, ProgressCounter, FakeApp, FakeWork]:
    done = ProgressCounter()
    return StatusPages(WebSettings(), clock=FakeClock(), done=done), done, FakeApp(), FakeWork()


def attach(board: StatusPages, app: FakeApp, work: FakeWork) -> None:
    board.attach(cast("App", app), cast("Session", work))


def test_a_daemon_is_not_well_before_its_store_is_open_and_after() -> None:
    board, _, app, work = made()

    before = board.health()
    attach(board, app, work)
    during = board.health()
    board.detach()
    after = board.health()

    assert [told.ok for told in (before, during, after)] == [False, True, False]
    assert "the store is not open" in before.reason


def test_the_figures_say_what_is_in_hand_what_was_done_and_how_long_it_stood_still() -> None:
    board, _, app, work = made()
    app.tally.outcomes[State.STORED] = 5
    work.progress.check(now=1, done=0, waiting=True)
    work.progress.check(now=1 + CHECK_EVERY.total_seconds(), done=0, waiting=True)

    attach(board, app, work)

    assert board.health().figures == {"in_hand": 3, "done": 5, "standing_still_s": CHECK_EVERY.total_seconds()}


def test_trouble_is_told_while_it_lasts() -> None:
    board, _, app, work = made()
    attach(board, app, work)

    work.trouble = "the store has not answered for 60 seconds"
    degraded = board.health()
    work.trouble = ""

    assert (degraded.ok, degraded.reason) == (False, "the store has not answered for 60 seconds")
    assert board.health().ok


def test_a_new_start_alone_heals_nothing_until_something_is_done() -> None:
    board, done, app, work = made()
    attach(board, app, work)
    work.trouble = "work has been waiting for 1800 seconds and none was done"
    board.detach()

    attach(board, app, FakeWork())
    anew = board.health()
    done.count += 1

    assert not anew.ok
    assert "no progress since; before: work has been waiting for 1800 seconds" in anew.reason
    assert board.health().ok


def test_a_change_of_configuration_is_no_trouble() -> None:
    board, _, app, work = made()
    attach(board, app, work)
    board.detach()

    attach(board, app, FakeWork())

    assert board.health().ok
