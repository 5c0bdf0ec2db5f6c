"""`upgrade-store`, run as users run it, on a store of an older version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import Desk
from tests.former_schemas import make_first
from worker.storage.db.locks import DaemonLock
from worker.storage.db.migrate import VERSIONS

NEWEST = VERSIONS[-1]
ADVICE = f"has schema 0001, and this program needs {NEWEST}: stop the workers, then run `corpus-worker upgrade-store`"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A folder with an empty store of the first version."""
    made = Desk(folder=tmp_path)
    made.configure()
    (tmp_path / "in.txt").write_text("", encoding="utf-8")
    made.run("ingest", "in.txt")
    make_first(url_in(made))
    return made


def url_in(desk: Desk) -> str:
    return f"sqlite:///{desk.folder / 'corpus.db'}"


@pytest.mark.parametrize("command", ["status", "audit", "export", "duplicates", "prune", "reprocess", "backup copy.db"])
def test_commands_that_make_no_store_say_what_to_do_about_an_older_one(desk: Desk, command: str) -> None:
    refused = desk.run(*command.split(), *(["--older-than", "9d"] if command == "prune" else []))

    assert refused.status == 1
    assert refused.err.count("\n") == 1
    assert ADVICE in refused.err


def test_an_older_store_is_upgraded_once(desk: Desk) -> None:
    first, again = desk.run("upgrade-store"), desk.run("upgrade-store")

    assert (first.status, again.status) == (0, 0), first.err
    assert f"corpus.db was upgraded from 0001: schema {NEWEST}" in first.out
    assert f"corpus.db is already up to date: schema {NEWEST}" in again.out
    assert desk.run("upgrade-store", "--json").record() == {
        "before": NEWEST, "after": NEWEST, "borrowed_keys": [],
    }  # fmt: skip
    assert desk.run("audit").status == 0


def test_a_command_that_writes_upgrades_an_older_store(desk: Desk) -> None:
    assert desk.run("ingest", "in.txt").status in {0, 1}

    assert desk.run("upgrade-store", "--json").record()["before"] == NEWEST


def test_a_missing_store_is_not_created(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure()

    refused = desk.run("upgrade-store")

    assert refused.status == 1
    assert "does not exist yet" in refused.err
    assert not (tmp_path / "corpus.db").exists()


def test_a_file_is_not_changed_under_a_running_daemon(desk: Desk) -> None:
    daemon = DaemonLock(desk.folder / "corpus.db")
    daemon.acquire("the daemon of this test")
    try:
        refused = desk.run("upgrade-store")

        assert refused.status == 1
        assert "another daemon works on this store: the daemon of this test" in refused.err
        assert desk.run("status").err.count(ADVICE) == 1
    finally:
        daemon.release()
