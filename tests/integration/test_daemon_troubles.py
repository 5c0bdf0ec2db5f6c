"""`run` under faults: the clock is set, the process is suspended, the store hangs, the configuration changes."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import CONFIG, Desk, stop
from tests.newsroom import Newsroom, rss, sites_of
from tests.texts import page, story
from tests.waiting import eventually

HOST = "mot.example"
FEED = "/newsroom-feed.xml"
SOURCE = f'[[sources]]\nname = "mot"\nkind = "feed"\nurl = "https://{HOST}{FEED}"\n'
QUICK = CONFIG.replace('max_every = "5s"', 'max_every = "2s"')
IN_TIME = "it did not stop by itself in time"
PATIENCE_S = 300.0
ODD = (str(Path(__file__).parents[1] / "faulty_machine.py"),)


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom(sites_of({f"https://{HOST}/mot.html": page("Một", story("một"))})) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path: Path, room: Newsroom) -> Iterator[Desk]:
    made = Desk(folder=tmp_path, environment=room.environment, program=ODD)
    made.configure(SOURCE, base=QUICK)
    yield made
    made.end_all()


def hang(desk: Desk) -> None:
    """Make the store hang, and wait until somebody waits for it."""
    (desk.folder / "hang").touch()
    eventually((desk.folder / "hang.reached").exists)


def polls(room: Newsroom) -> int:
    return len(room.asked(HOST, FEED))


def more_polls(room: Newsroom) -> None:
    before = polls(room)
    eventually(lambda: polls(room) >= before + 2)


@pytest.mark.parametrize("hour", [-3600, 3600])
def test_polls_continue_when_the_clock_is_set(desk: Desk, room: Newsroom, hour: int) -> None:
    process = desk.start("run")
    eventually(lambda: polls(room) >= 2)

    (desk.folder / "clock").write_text(str(hour), encoding="utf-8")
    eventually(lambda: f"run.clock_set by_s={hour}" in desk.log())
    more_polls(room)
    room.put(HOST, "/hai.html", page("Hai", story("hai")))
    room.put(HOST, FEED, rss([(f"https://{HOST}/hai.html", "Hai")]))
    eventually(lambda: desk.log().count("state=stored") == 2)

    assert stop(process).status == 143, desk.log()
    assert desk.run("audit", "--json").record()["balanced"] is True


def test_polls_continue_after_the_clock_was_set_back_while_nothing_ran(desk: Desk, room: Newsroom) -> None:
    (desk.folder / "clock").write_text("3600", encoding="utf-8")
    first = desk.start("run")
    eventually(lambda: polls(room) >= 1)
    stop(first)

    (desk.folder / "clock").unlink()
    second = desk.start("run")
    more_polls(room)

    assert "store.times_mended" in desk.log()
    assert stop(second).status == 143, desk.log()


@pytest.mark.parametrize("set_before_the_start", [True, False])
def test_a_clock_that_is_a_year_ahead_deletes_no_pages(
    desk: Desk, room: Newsroom, *, set_before_the_start: bool
) -> None:
    desk.configure(SOURCE, base=QUICK.replace("[store]\n", '[store]\nkeep_pages = "30d"\n'))
    process = desk.start("run")
    eventually(lambda: "state=stored" in desk.log())
    if set_before_the_start:
        stop(process)
        (desk.folder / "clock").write_text(str(400 * 86_400), encoding="utf-8")
        process = desk.start("run")
        more_polls(room)
    # Any jump of the clock starts all jobs, pruning included.
    (desk.folder / "clock").write_text(str(401 * 86_400), encoding="utf-8")
    eventually(lambda: "run.pruned" in desk.log())
    (desk.folder / "clock").unlink()
    eventually(lambda: desk.log().count("run.pruned") >= 2)
    stop(process)

    assert desk.log().count("run.pruned pages=0 ") == desk.log().count("run.pruned"), desk.log()


def test_a_process_that_was_suspended_continues(desk: Desk, room: Newsroom) -> None:
    desk.configure('[daemon]\nstall_after = "20s"\n' + SOURCE, base=QUICK)
    process = desk.start("run")
    eventually(lambda: polls(room) >= 2)

    process.send_signal(signal.SIGSTOP)
    time.sleep(25)
    process.send_signal(signal.SIGCONT)
    more_polls(room)

    assert "run.stalled" not in desk.log()
    assert "run.ended_by_guard" not in desk.log()
    assert stop(process).status == 143, desk.log()


def test_a_store_that_hangs_permanently_ends_the_daemon_and_the_log_shows_where(desk: Desk, room: Newsroom) -> None:
    desk.configure('[daemon]\nstall_after = "3s"\n' + SOURCE, base=QUICK)
    process = desk.start("run")
    eventually(lambda: polls(room) >= 1)

    (desk.folder / "hang").touch()
    process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 1
    assert "run.stalled" in desk.log()
    assert "faulty_machine.py" in desk.log()
    assert "run.ended_by_guard" in desk.log()


def test_work_that_hangs_for_a_while_is_restarted(desk: Desk, room: Newsroom) -> None:
    desk.configure('[daemon]\nstall_after = "8s"\n' + SOURCE, base=QUICK)
    (desk.folder / "hang").touch()
    process = desk.start("run")
    eventually(lambda: "run.stalled" in desk.log())

    (desk.folder / "hang").unlink()
    eventually(lambda: "state=stored" in desk.log())

    assert desk.log().count("run.started") == 2
    assert stop(process).status == 143, desk.log()
    assert polls(room) >= 1


def test_a_blocked_event_loop_ends_the_daemon(desk: Desk, room: Newsroom) -> None:
    desk.configure('[daemon]\nstall_after = "10s"\n' + SOURCE, base=QUICK)
    process = desk.start("run")
    eventually(lambda: polls(room) >= 1)

    (desk.folder / "block").touch()
    process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 1
    assert "the event loop was blocked" in desk.log()
    assert "in _due" in desk.log() or "in waiting" in desk.log()


def test_a_second_signal_ends_it_at_once(desk: Desk, room: Newsroom) -> None:
    process = desk.start("run")
    eventually(lambda: polls(room) >= 1)
    hang(desk)

    process.send_signal(signal.SIGTERM)
    eventually(lambda: "run.stopping" in desk.log())
    ended = stop(process)

    assert ended.status == 143
    assert IN_TIME not in desk.log()


def test_a_daemon_whose_store_hangs_stops_within_thirty_seconds(desk: Desk, room: Newsroom) -> None:
    process = desk.start("run")
    eventually(lambda: polls(room) >= 1)
    hang(desk)

    ended = stop(process)

    assert ended.status == 143
    assert IN_TIME in desk.log()


def test_a_new_configuration_is_applied_and_an_invalid_one_is_refused(desk: Desk, room: Newsroom) -> None:
    other = "/hai-feed.xml"
    room.put(HOST, "/hai.html", page("Hai", story("hai")))
    room.put(HOST, other, rss([(f"https://{HOST}/hai.html", "Hai")]))
    process = desk.start("run")
    eventually(lambda: "state=stored" in desk.log())

    desk.configure("[colour]\n")
    process.send_signal(signal.SIGHUP)
    eventually(lambda: "run.reload_refused" in desk.log())
    more_polls(room)
    desk.configure(SOURCE + f'[[sources]]\nname = "hai"\nkind = "feed"\nurl = "https://{HOST}{other}"\n', base=QUICK)
    process.send_signal(signal.SIGHUP)
    eventually(lambda: desk.log().count("state=stored") == 2)

    assert "colour: unknown key" in desk.log()
    assert desk.log().count("run.started") == 2
    assert stop(process).status == 143, desk.log()
    assert desk.run("audit", "--json").record()["balanced"] is True


def test_a_configuration_whose_store_cannot_be_opened_is_refused_too(desk: Desk, room: Newsroom) -> None:
    process = desk.start("run")
    eventually(lambda: polls(room) >= 1)

    (desk.folder / "a-file").touch()
    base = (desk.folder / "worker.toml").read_text(encoding="utf-8")
    desk.configure(base.replace("corpus.db", "a-file/corpus.db"), base="")
    process.send_signal(signal.SIGHUP)
    eventually(lambda: "run.reload_refused" in desk.log())
    more_polls(room)

    assert stop(process).status == 143, desk.log()


def test_systemd_is_notified_from_start_to_end(desk: Desk) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(desk.folder / "notify"))
        listener.settimeout(PATIENCE_S)
        desk.environment = {**desk.environment, "NOTIFY_SOCKET": str(desk.folder / "notify")}
        process = desk.start("run")

        ready, alive = listener.recv(4096).decode(), listener.recv(4096).decode()
        stop(process)
        listener.setblocking(False)
        heard = [alive]
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(listener.recv(4096).decode())

    assert ready == "READY=1"
    assert alive.startswith("WATCHDOG=1\nSTATUS=")
    assert heard[-1].startswith("STOPPING=1")
