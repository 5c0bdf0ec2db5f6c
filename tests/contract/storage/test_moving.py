"""Moving a store: everything arrives, a broken move goes on, and a difference is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.contract.storage.made import MINUTE, NOW, PARAMETERS, add_seed, candidate, seed, take_in
from worker.errors import StoreBusy, StoreError
from worker.models import Text
from worker.ports import HostStanding, RobotsRecord
from worker.storage import Store, open_store
from worker.storage.lock import DaemonLock
from worker.storage.moving import move_store


@pytest.fixture
def origin(tmp_path: Path) -> str:
    """A SQLite store with a bit of everything."""
    url = f"sqlite:///{tmp_path / 'origin.db'}"
    store = open_store(url, parameters=PARAMETERS)
    fill(store)
    store.close()
    return url


def fill(store: Store) -> None:
    add_seed(store, "001", "sáu bảy")
    first = take_in(store, "https://a.example/1", "một hai")
    copy = take_in(store, "https://b.example/1", "hai một")
    store.ledger.enqueue([candidate("https://c.example/1", payload=Text(text="chữ"))], now=NOW)
    store.hosts.note(HostStanding(host="a.example", failures=2))
    store.hosts.keep_robots(RobotsRecord(origin="https://a.example", checked_at=NOW, status=200, body=b"\x00\xff"))
    assert first.article
    assert copy.article
    store.mark(first.article, copy.article, decided="same", now=NOW)


def test_everything_arrives_and_works_on(origin: str, store_url: str, open_stores: Callable[[str], Store]) -> None:
    moved = move_store(origin, store_url, now=NOW)

    assert sum(table.rows for table in moved) > 20
    before, after = open_stores(origin), open_stores(store_url)
    assert after.reader.audit() == before.reader.audit()
    assert list(after.reader.heads()) == list(before.reader.heads())
    assert list(after.reader.duplicates()) == list(before.reader.duplicates())
    assert after.reader.candidate("https://a.example/1") == before.reader.candidate("https://a.example/1")
    assert after.seeds.has_seed(seed("001", "sáu bảy"))
    assert after.hosts.robots("https://a.example") == before.hosts.robots("https://a.example")
    assert take_in(after, "https://d.example/1", "một hai").verdict is not None
    assert after.reader.audit().balanced


def test_a_move_broken_off_goes_on_where_it_stopped(origin: str, store_url: str) -> None:
    def break_off(table: str, _rows: int) -> None:
        if table == "articles":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_store(origin, store_url, now=NOW, progress=break_off)

    moved = {table.table: table for table in move_store(origin, store_url, now=NOW)}

    assert moved["articles"].copied == 0
    assert moved["articles"].rows == 3
    assert moved["standings"].copied == 3


def test_a_move_done_twice_copies_nothing_more(origin: str, store_url: str) -> None:
    move_store(origin, store_url, now=NOW)

    assert {table.copied for table in move_store(origin, store_url, now=NOW)} == {0}


def test_a_difference_is_told(origin: str, store_url: str) -> None:
    move_store(origin, store_url, now=NOW)
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE articles SET title = 'another'"))
    engine.dispose()

    with pytest.raises(StoreError, match=r"table articles differs after the move .*move again"):
        move_store(origin, store_url, now=NOW)


def test_a_store_that_is_not_there_cannot_be_moved(tmp_path: Path, store_url: str) -> None:
    with pytest.raises(StoreError, match="does not exist yet"):
        move_store(f"sqlite:///{tmp_path / 'none.db'}", store_url, now=NOW)


def test_a_store_that_a_daemon_works_on_is_not_moved(origin: str, store_url: str, tmp_path: Path) -> None:
    lock = DaemonLock(tmp_path / "origin.db")
    lock.take("a daemon of this test")

    with pytest.raises(StoreBusy, match="a daemon of this test"):
        move_store(origin, store_url, now=NOW)

    lock.give_back()
    assert move_store(origin, store_url, now=NOW)


def test_a_store_that_somebody_works_on_is_not_moved(origin: str, store_url: str) -> None:
    with open_store(origin, parameters=PARAMETERS) as store:
        store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="far-away:7")

    with pytest.raises(StoreBusy, match="far-away:7; stop them first"):
        move_store(origin, store_url, now=NOW)

    assert move_store(origin, store_url, now=NOW + 2 * MINUTE)
