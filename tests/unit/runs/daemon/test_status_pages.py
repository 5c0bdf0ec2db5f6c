"""The health of a daemon: unhealthy until its store is open, and while it makes no progress."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from tests.fakes import FakeClock
from worker.app import App
from worker.config.schema import WebSettings
from worker.models import State
from worker.pipeline.stages import Tally
from worker.runs.daemon.polling import ProgressCounter
from worker.runs.daemon.session import Session
from worker.runs.daemon.status_pages import StatusPages
from worker.runs.daemon.watchdog import CHECK_EVERY, StallDetector
from worker.runs.reading import REFUSED


@dataclass
class FakeIngester:
    in_flight: int = 3


@dataclass
class FakeApp:
    tally: Tally = field(default_factory=Tally)
    ingester: FakeIngester = field(default_factory=FakeIngester)


@dataclass
class FakeSession:
    trouble: str = ""
    progress: StallDetector = field(default_factory=lambda: StallDetector(now=0))


def made() -> tuple[StatusPages, ProgressCounter, FakeApp, FakeSession]:
    done = ProgressCounter()
    return StatusPages(WebSettings(), clock=FakeClock(), done=done), done, FakeApp(), FakeSession()


def attach(pages: StatusPages, app: FakeApp, session: FakeSession) -> None:
    pages.attach(cast("App", app), cast("Session", session))


def test_a_daemon_is_unhealthy_before_its_store_is_open_and_after() -> None:
    pages, _, app, session = made()

    before = pages.health()
    attach(pages, app, session)
    during = pages.health()
    pages.detach()
    after = pages.health()

    assert [told.ok for told in (before, during, after)] == [False, True, False]
    assert "the store is not open" in before.reason


def test_health_has_the_work_in_hand_the_work_done_and_the_length_of_the_stall() -> None:
    pages, _, app, session = made()
    app.tally.outcomes[State.STORED] = 5
    session.progress.check(now=1, done=0, waiting=True)
    session.progress.check(now=1 + CHECK_EVERY.total_seconds(), done=0, waiting=True)

    attach(pages, app, session)

    assert pages.health().figures == {
        "in_hand": 3, "done": 5, "standing_still_s": CHECK_EVERY.total_seconds(), "configurations_refused": 0,
    }  # fmt: skip


def test_a_refused_configuration_needs_a_person_until_one_is_valid_but_the_daemon_is_well() -> None:
    pages, _, app, session = made()
    attach(pages, app, session)

    pages.set_refused("worker.toml: no value")
    (alarm,), health = pages.alarms(), pages.health()
    pages.set_refused("")

    assert (alarm.what, alarm.detail) == (REFUSED, "worker.toml: no value (the one before stays in use)")
    assert (health.ok, health.figures["configurations_refused"]) == (True, 1)
    assert pages.alarms() == ()


def test_trouble_is_reported_while_it_lasts() -> None:
    pages, _, app, session = made()
    attach(pages, app, session)

    session.trouble = "the store has not answered for 60 seconds"
    degraded = pages.health()
    session.trouble = ""

    assert (degraded.ok, degraded.reason) == (False, "the store has not answered for 60 seconds")
    assert pages.health().ok


def test_a_restart_alone_is_unhealthy_until_there_is_progress() -> None:
    pages, done, app, session = made()
    attach(pages, app, session)
    session.trouble = "work has been waiting for 1800 seconds and none was done"
    pages.detach()

    attach(pages, app, FakeSession())
    anew = pages.health()
    done.count += 1

    assert not anew.ok
    assert "no progress since; before: work has been waiting for 1800 seconds" in anew.reason
    assert pages.health().ok


def test_a_change_of_configuration_is_healthy() -> None:
    pages, _, app, session = made()
    attach(pages, app, session)
    pages.detach()

    attach(pages, app, FakeSession())

    assert pages.health().ok


async def test_while_a_daemon_serves_its_pages_what_they_count_is_kept_young() -> None:
    def tasks() -> set[str]:
        return {each.get_name() for each in asyncio.all_tasks()}

    any_port = WebSettings().model_copy(update={"listen": "127.0.0.1:0"})
    pages = StatusPages(any_port, clock=FakeClock(), done=ProgressCounter())
    async with pages.serve():
        during = tasks()
    await asyncio.sleep(0)

    assert "web.prepared" in during
    assert "web.prepared" not in tasks()
