"""`run`, the daemon, as a process of its own against a site on loopback."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Desk, stop
from tests.newsroom import Newsroom, rss, sites_of
from tests.texts import page, story
from tests.waiting import eventually

HOST = "mot.example"
FEED = "/newsroom-feed.xml"


def url(name: str) -> str:
    return f"https://{HOST}/{name}.html"


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom(sites_of({url("mot"): page("Một", story("một"))})) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path: Path, room: Newsroom) -> Desk:
    made = Desk(folder=tmp_path, environment=room.environment)
    made.configure(f'[[sources]]\nname = "mot"\nkind = "feed"\nurl = "https://{HOST}{FEED}"\n')
    return made


def test_the_daemon_polls_picks_up_what_is_new_and_stops_cleanly(desk: Desk, room: Newsroom) -> None:
    process = desk.start("run", "--json")
    eventually(lambda: stored(desk) == 1)

    second = desk.run("run")
    room.put(HOST, "/hai.html", page("Hai", story("hai")))
    room.put(HOST, FEED, rss([(url("mot"), "Một"), (url("hai"), "Hai")]))
    eventually(lambda: stored(desk) == 2)
    beside = desk.run("audit", "--json").record()
    status = desk.run("status", "--json").record()
    ended = stop(process)

    after = desk.run("audit", "--json").record()
    assert second.status == 1
    assert "another daemon works on this store" in second.err
    assert str(process.pid) in second.err
    assert beside["balanced"] is True
    assert str(process.pid) in status["daemon"]
    assert status["sources"]["mot"]["failures"] == 0
    assert ended.status == 143, desk.log()
    assert ended.records() == [{"exit_status": 143, "signal": "SIGTERM"}]
    assert after["balanced"] is True
    assert (after["stored"], after["pending"]) == (2, 0)
    assert "run.stopped reason=SIGTERM" in desk.log()
    assert len(room.asked(HOST, "/mot.html")) == 1


def test_the_daemon_survives_an_outage_of_a_site(desk: Desk, room: Newsroom) -> None:
    process = desk.start("run")
    eventually(lambda: stored(desk) == 1)

    room.down(HOST)
    eventually(lambda: "discover.failed" in desk.log())
    room.put(HOST, "/hai.html", page("Hai", story("hai")))
    room.put(HOST, FEED, rss([(url("mot"), "Một"), (url("hai"), "Hai")]))
    room.up(HOST)
    eventually(lambda: stored(desk) == 2)
    ended = stop(process, signal.SIGINT)

    assert ended.status == 130, desk.log()
    assert "Traceback" not in desk.log()


def test_a_killed_daemon_does_not_block_the_next(desk: Desk) -> None:
    process = desk.start("run")
    eventually(lambda: stored(desk) == 1)
    process.kill()
    process.communicate()

    again = desk.start("run")
    eventually(lambda: desk.log().count("run.started") == 2)

    assert stop(again).status == 143, desk.log()


def test_an_invalid_configuration_ends_the_daemon_immediately(desk: Desk) -> None:
    desk.configure("[colour]\n")

    ended = desk.run("run")

    assert ended.status == 2
    assert "colour: unknown key" in ended.err


def stored(desk: Desk) -> int:
    """Count articles in the store, beside whoever works on it."""
    path = desk.folder / "corpus.db"
    if not path.exists():
        return 0
    database = sqlite3.connect(path)
    try:
        count: int = database.execute("SELECT count(*) FROM candidates WHERE state = 'stored'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        database.close()
    return count
