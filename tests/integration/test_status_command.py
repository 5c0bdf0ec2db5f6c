"""`status`, beside other commands."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.commands import Desk, stop
from tests.contract.storage.factories import PARAMETERS, candidate
from tests.fakes import START
from tests.run_cli import run_inside
from worker.storage.store import open_store


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A store with one candidate that waits."""
    made = Desk(folder=tmp_path)
    made.configure('[[sources]]\nname = "bao"\nkind = "feed"\nurl = "https://bao.example/rss"\n')
    with open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=PARAMETERS) as store:
        store.ledger.enqueue([candidate()], now=START)
    return made


def test_the_page_and_the_record_of_status_agree(desk: Desk) -> None:
    told = run_inside(desk.folder, "status")
    record = run_inside(desk.folder, "status", "--json").record()

    assert told.status == 0
    assert "1 pending, 1 of them due now" in told.out
    assert "not running" in told.out
    assert "bao" in told.out
    assert (record["pending"], record["due"], record["daemon"]) == (1, 1, "")
    assert record["bytes"] > 1000


def test_a_missing_store_is_reported(tmp_path: Path) -> None:
    Desk(folder=tmp_path).configure()

    ended = run_inside(tmp_path, "status")

    assert ended.status == 1
    assert "does not exist yet" in ended.err


def test_watch_needs_a_terminal_or_json(desk: Desk) -> None:
    ended = run_inside(desk.folder, "status", "--watch")

    assert ended.status == 2
    assert "--watch needs a terminal" in ended.err


def test_watch_refreshes_until_it_is_stopped(desk: Desk) -> None:
    process = desk.start("status", "--watch", "--json")
    assert process.stdout

    with open_store(f"sqlite:///{desk.folder / 'corpus.db'}", parameters=PARAMETERS) as store:
        first = json.loads(process.stdout.readline())
        store.ledger.enqueue([candidate("https://bao.example/2")], now=START)
        second = json.loads(process.stdout.readline())
    stop(process, signal.SIGINT)

    assert (first["pending"], second["pending"]) == (1, 2)
    assert process.returncode == 130
    assert "Traceback" not in desk.log()
