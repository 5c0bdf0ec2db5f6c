"""The daemon reacts to signals in every state: working, opening its store, waiting for it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.clock import SystemClock
from worker.config.load import load_settings
from worker.config.schema import Settings, StoreSettings
from worker.errors import StoreError
from worker.models import Alarm
from worker.pipeline.stages import Tally
from worker.runs.daemon import daemon as service
from worker.runs.daemon import session
from worker.runs.daemon.polling import ProgressCounter
from worker.runs.daemon.session import StopReason

Step = Callable[[], Awaitable[None]]


def settings(name: str) -> Settings:
    return Settings(store=StoreSettings(url=f"sqlite:///{name}.db"))


def sends(*numbers: signal.Signals) -> Step:
    async def act() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.05)

    return act


async def fails() -> None:
    raise StoreError("no room", retry=True)


async def is_refused() -> None:
    raise StoreError("permission denied")


class FakeWork:
    """Runs the action of its app, then waits for the end."""

    trouble = ""

    def __init__(self, app: Any, *_: object, **__: object) -> None:
        self._act: Step = app.working
        self._ended = asyncio.Event()
        self._why = StopReason.STOPPED

    def end(self, why: StopReason) -> None:
        if not self._ended.is_set():
            self._why = why
            self._ended.set()

    async def run(self) -> StopReason:
        await self._act()
        await self._ended.wait()
        return self._why


class Desk:
    """Runs a daemon over a list of openings: what happens while each store is opened and used."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *spans: tuple[Step, Step], reread: list[str]) -> None:
        self.urls: list[str] = []
        self._spans = list(spans)
        self._reread = [settings(name) for name in reread]
        monkeypatch.setattr(service, "open_app", self._opened)
        monkeypatch.setattr(service, "Session", FakeWork)

    @asynccontextmanager
    async def _opened(self, chosen: Settings, *_: object, **__: object) -> AsyncIterator[object]:
        opening, working = self._spans.pop(0)
        self.urls.append(chosen.store.url.removeprefix("sqlite:///"))
        await opening()
        store = SimpleNamespace(lock_daemon=lambda _owner: None)
        yield SimpleNamespace(store=store, clock=SystemClock(), sources=(), tally=Tally(), working=working)

    def run(self) -> int:
        return service.Daemon(settings("old"), reread=lambda: self._reread.pop(0)).run()


def test_a_reload_requested_while_the_store_is_opened_is_applied_once_it_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks, ends = (sends(signal.SIGHUP), sends()), (sends(), sends(signal.SIGTERM))
    desk = Desk(monkeypatch, checks, ends, reread=["new"])

    status = desk.run()

    assert (status, desk.urls) == (143, ["old.db", "new.db"])


def test_the_last_of_two_requested_configurations_is_applied_and_a_failure_rolls_back_to_the_working_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twice, bad, ends = (
        (sends(), sends(signal.SIGHUP, signal.SIGHUP)),
        (fails, sends()),
        (sends(), sends(signal.SIGTERM)),
    )
    desk = Desk(monkeypatch, twice, bad, ends, reread=["new", "newer"])

    status = desk.run()

    assert (status, desk.urls) == (143, ["old.db", "newer.db", "old.db"])


def test_systemd_gets_keep_alives_while_the_daemon_waits_for_the_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(300)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setattr(session, "FIRST_WAIT", timedelta(milliseconds=1))
        desk = Desk(monkeypatch, (sends(), fails), (fails, sends()), (sends(), sends(signal.SIGTERM)), reread=[])

        status = desk.run()

        told = [listener.recv(1000).decode() for _ in range(3)]
    assert (status, len(desk.urls)) == (143, 3)
    assert [message.splitlines()[0] for message in told] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    assert "waiting for the store" in told[1]


def test_a_daemon_that_waits_for_its_store_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails_and_is_stopped_later() -> None:
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGTERM)
        await fails()

    monkeypatch.setattr(session, "FIRST_WAIT", timedelta(hours=1))
    desk = Desk(monkeypatch, (sends(), fails_and_is_stopped_later), reread=[])

    status = desk.run()

    assert (status, desk.urls) == (143, ["old.db"])


@pytest.mark.parametrize(
    "spans", [[(is_refused, sends())], [(sends(), is_refused)], [(sends(), fails), (is_refused, sends())]]
)
def test_a_permanent_store_error_ends_a_daemon_that_has_done_nothing_yet(
    monkeypatch: pytest.MonkeyPatch, spans: list[tuple[Step, Step]]
) -> None:
    monkeypatch.setattr(session, "FIRST_WAIT", timedelta(milliseconds=1))
    desk = Desk(monkeypatch, *spans, reread=[])

    with pytest.raises(StoreError, match="permission denied"):
        desk.run()

    assert len(desk.urls) == len(spans)


def test_a_daemon_that_has_worked_waits_after_a_right_is_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FIRST_WAIT", timedelta(milliseconds=1))
    monkeypatch.setattr(ProgressCounter, "store_worked", property(lambda _: True))
    desk = Desk(monkeypatch, (sends(), is_refused), (is_refused, sends()), (sends(), sends(signal.SIGTERM)), reread=[])

    status = desk.run()

    assert (status, len(desk.urls)) == (143, 3)


def test_a_changed_file_applies_its_sources_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    text = '[store]\nurl = "sqlite:///{}.db"\n[[sources]]\nname = "a"\nkind = "feed"\nurl = "https://a.vn/"\n{}'
    file.write_text(text.format("old", ""), encoding="utf-8")
    monkeypatch.setattr(service, "CONFIG_CHECK_EVERY", timedelta(milliseconds=5))
    seen: list[list[bool]] = []

    async def is_paused() -> None:
        await asyncio.to_thread(file.write_text, text.format("other", "enabled = false"), encoding="utf-8")

    async def ends() -> None:
        seen.append([source.enabled for source in daemon._settings.sources])
        os.kill(os.getpid(), signal.SIGTERM)

    desk = Desk(monkeypatch, (sends(), is_paused), (sends(), ends), reread=[])
    daemon = service.Daemon(load_settings(file, {}), reread=lambda: load_settings(file, {}), config=file)

    assert (daemon.run(), desk.urls, seen) == (143, ["old.db", "old.db"], [[False]])


def test_an_invalid_file_is_refused_once_and_the_work_continues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "worker.toml"
    file.write_text("nonsense", encoding="utf-8")
    monkeypatch.setattr(service, "CONFIG_CHECK_EVERY", timedelta(milliseconds=5))

    read: list[Path] = []

    def reread() -> Settings:
        read.append(file)
        return load_settings(file, {})

    async def looks_some_times() -> None:
        while not read:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        shown.append(daemon.status_pages.alarms())
        file.write_text("", encoding="utf-8")
        while len(read) < 2:
            await asyncio.sleep(0.01)
        shown.append(daemon.status_pages.alarms())
        os.kill(os.getpid(), signal.SIGTERM)

    shown: list[tuple[Alarm, ...]] = []
    Desk(monkeypatch, (sends(), looks_some_times), (sends(), sends()), reread=[])
    daemon = service.Daemon(settings("old"), reread=reread, config=file)

    assert daemon.run() == 143
    assert [[str(file) in alarm.detail for alarm in each] for each in shown] == [[True], []]
    said = capsys.readouterr()
    assert (said.out + said.err).count("run.reload_refused") == 1  # wherever the log goes
