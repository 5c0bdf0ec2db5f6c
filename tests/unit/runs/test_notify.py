"""Messages to a person: what is sent of which problem, how often, when it has ended, and what a failure does."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from tests.commands import Desk
from tests.fakes import START, FakeClock, inline
from worker.config.schema import NotifySettings, Settings, WebSettings
from worker.files import reading
from worker.models import Alarm, Health, PollHistory, PublishingStats, Source, SourceState, SourceStats
from worker.ports import NullMetrics
from worker.runs.daemon.polling import ProgressCounter
from worker.runs.daemon.status_pages import StatusPages
from worker.runs.notify import (
    Notifier,
    Problems,
    SentNotice,
    deliver,
    general_alarms,
    losses,
    plan_notices,
    problems_of_sources,
    send_with_apprise,
    unusable_addresses,
)
from worker.storage.store import Store, open_store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WELL = Health(ok=True)
ILL = Health(ok=False, reason="the store does not answer")


def stats(
    name: str = "bao", *, error: str = "", paused: bool = False, newest: timedelta = HOUR, **learned: Any
) -> SourceStats:
    state = SourceState(name=name, error=error, failures=3 if error else 0, learned=PollHistory(**learned))
    return SourceStats(name=name, state=state, newest_at=START - newest, paused=paused)


def test_only_what_needs_a_person_is_a_problem() -> None:
    alarm = Alarm(what="length", since=START - 9 * DAY, detail="shorter")
    slow = PublishingStats(silence=2 * DAY)
    for source, causes in (
        (stats(), []),
        (stats(error="timeout", failing_since=START - 23 * HOUR), []),
        (stats(error="timeout", failing_since=START - 25 * HOUR), ["source bao: dead"]),
        (stats(error="timeout", failing_since=START - 25 * HOUR, paused=True), []),
        (stats(gap_at=START - HOUR, gaps=2), ["source bao: gap"]),
        (stats(gap_at=START - 25 * HOUR, gaps=2), []),
        (stats(alarms=(alarm,)), ["source bao: drift (length)"]),
        (stats(newest=25 * HOUR), ["no news"]),
        (stats(newest=25 * HOUR, paused=True), []),
        (stats(newest=3 * DAY, publishing_stats=slow), []),
        (stats(newest=9 * DAY, publishing_stats=slow), ["no news"]),
    ):
        found = [cause for cause, _ in problems_of_sources([source], now=START)]
        found += [each.what for each in general([source], began=START - 30 * DAY)]
        assert found == causes
    assert not general([replace(stats(), newest_at=None)], began=START - HOUR)
    assert not general([], began=START - 9 * DAY)
    assert [each.what for each in general([], free=5)] == ["disk of m"]


def general(sources: list[SourceStats], *, began: datetime = START, free: int | None = None) -> list[Alarm]:
    return list(general_alarms(sources, free, machine="m", began=began, now=START))


def test_lost_pages_are_one_cause_a_day() -> None:
    day = START.replace(hour=0, minute=0)
    hours = {(day, "lost"): 1, (day + HOUR, "lost"): 2, (day, "stored"): 9, (day - 9 * DAY, "lost"): 5}

    (loss,) = losses(hours, now=START)

    assert (loss.since, loss.detail.partition(":")[0]) == (day, f"3 pages lost on {day:%Y-%m-%d}")


def test_a_cause_is_said_once_a_day_and_its_end_once() -> None:
    ill = Problems(found={"disk": "full"}, checked=("disk",))
    well = Problems(found={}, checked=("disk",))
    unknown = Problems(found={}, checked=())
    sent: dict[str, SentNotice] = {}
    said = []

    for problems, after in (
        (ill, 0), (ill, 1), (well, 2), (well, 3), (ill, 4), (well, 5), (ill, 23), (ill, 24), (unknown, 25), (well, 26),
        (ill, 27), (ill, 49), (ill, 74), (unknown, 99), (well, 100),
    ):  # fmt: skip
        lines, sent = plan_notices(problems, sent, now=START + after * HOUR)
        said += [(after, line) for line in lines]

    assert said == [
        (0, "disk: full"), (2, "disk: well again"), (24, "disk: full"), (26, "disk: well again"), (49, "disk: full"),
        (74, "disk: full"),
    ]  # fmt: skip


class Sending:
    """Takes messages, or fails with a reason, or by raising."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.why = ""

    def __call__(self, _url: str, _title: str, body: str) -> str:
        if self.why == "bug":
            raise RuntimeError("json://user:geheim@host")
        if not self.why:
            self.bodies.append(body)
        return self.why


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://", parameters=None) as opened:
        yield opened


def app_on(store: Store) -> Any:
    return SimpleNamespace(store=store, offload=inline, sources=(Source(name="bao", kind="feed", url="https://a.vn"),))


SETTINGS = Settings(notify=NotifySettings(urls=(SecretStr("json://u:geheim@h/x"), SecretStr("json://h/y"))))


@pytest.mark.anyio
async def test_what_was_sent_survives_a_restart_and_a_store_that_does_not_answer(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()  # as another test of this process may have set up logs
    sending, app = Sending(), app_on(store)
    first, later = (Notifier(now=START, meter=NullMetrics(), send=sending) for _ in range(2))

    sending.why = "bug"
    for minutes, opened in ((0, None), (5, None), (10, app)):
        await first.check(SETTINGS, ILL, opened, now=START + timedelta(minutes=minutes))
    sending.why = ""
    await first.check(SETTINGS, ILL, None, now=START + timedelta(minutes=15))
    await first.check(SETTINGS, ILL, app, now=START + timedelta(minutes=20))
    await later.check(SETTINGS, ILL, app, now=START + timedelta(minutes=25))
    await later.check(SETTINGS, ILL, app, now=START + timedelta(minutes=30))
    await later.check(SETTINGS, WELL, app, now=START + timedelta(minutes=35))
    await first.check(SETTINGS, WELL, app, now=START + timedelta(minutes=40))
    await later.check(SETTINGS, WELL, app, now=START + 2 * DAY)

    said = [body.partition(": ")[2] for body in sending.bodies[::2]]
    assert said == ["the store does not answer", "well again"]
    assert sending.bodies[::2] == sending.bodies[1::2]
    log = capsys.readouterr().out
    assert "notify.failed" in log
    assert "RuntimeError" in log
    assert "geheim" not in log
    await later.check(Settings(), ILL, app, now=START + 3 * DAY)


@pytest.mark.anyio
async def test_a_refused_configuration_is_reported_as_the_overview_shows_it_until_it_is_right(store: Store) -> None:
    pages = StatusPages(WebSettings(), clock=FakeClock(), done=ProgressCounter())
    sending = Sending()
    notifier = Notifier(now=START, meter=NullMetrics(), send=sending)
    for hours, why, health in ((0, "", WELL), (1, "line 7: no key", WELL), (2, "line 7: no key", ILL), (3, "", ILL)):
        pages.set_refused(why)
        now = START + hours * HOUR
        await notifier.check(SETTINGS, health, app_on(store), now=now, alarms=pages.alarms())

    said = [line.partition(": ")[2] for body in sending.bodies[::2] for line in body.split("\n")]
    assert said == [
        "the configuration is refused: line 7: no key (the one before stays in use)",
        "the store does not answer",
        "the configuration is refused: well again",
    ]


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Taking) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://anna:geheim@127.0.0.1:{server.server_port}/verborgen", got
        server.shutdown()


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.runs.notify.importlib.util.find_spec", lambda _: None)

    assert list(unusable_addresses(SETTINGS)) == [
        'notify.urls: needs apprise: run `pip install "corpus-worker[notify]"`'
    ]
    assert "corpus-worker[notify]" in send_with_apprise("json://h", "title", "body")
    assert list(unusable_addresses(Settings())) == []


@pytest.mark.anyio
async def test_a_message_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READ_TIMEOUT", timedelta(0))
    until = Event()

    def hang(*_: str) -> str:
        until.wait()
        return ""

    assert await deliver(hang, "json://h", "a", "b") == "no answer within a minute"
    until.set()


def test_doctor_sends_a_trial_message_and_nobody_shows_an_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk = Desk(folder=tmp_path)
    desk.configure()
    assert "[notify] urls" in desk.run("doctor", "--notify").out
    with receiver() as (good, got), receiver(403) as (bad, _):
        urls = json.dumps([good, bad, "nonsense://anna:geheim@verborgen"])
        desk.environment = {"CORPUS_WORKER_NOTIFY__URLS": urls}
        told, checked = desk.run("doctor", "--notify"), desk.run("config", "check")
        failed = send_with_apprise(bad, "title", "body")

    assert (told.status, checked.status) == (1, 0)
    assert [each["message"] for each in got] == ["This is a trial message."]
    assert "notify         1 (json): accepted a trial message" in told.out
    assert "2 (json): Failed to send JSON POST notification" in told.out
    assert "403" in failed
    assert "3 (nonsense)" in checked.err
    assert 'urls = ["**********"' in checked.out
    desk.environment = {"CORPUS_WORKER_NOTIFY__URLS": '["geheim:verborgen"]'}
    refused = desk.run("config", "check")
    assert (refused.status, "an address of apprise" in refused.err) == (2, True)
    shown = "".join((told.out, told.err, checked.out, checked.err, failed, refused.err, caplog.text))
    assert "geheim" not in shown
    assert "verborgen" not in shown
