"""Backups are complete, checked, and made while the store is in use."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.storage.factories import PARAMETERS, take_in
from worker.errors import StoreError
from worker.storage.db.engine import connect
from worker.storage.db.sqlite_files import leftover_log
from worker.storage.maintenance import backup
from worker.storage.maintenance.backup import back_up
from worker.storage.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a few articles."""
    opened = open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=PARAMETERS)
    for number in range(5):
        take_in(opened, f"https://h{number}.example/", f"chữ{number}")
    return opened


def test_a_backup_opens_as_a_store_of_its_own(store: Store, tmp_path: Path) -> None:
    made = store.back_up(tmp_path / "backup.db")

    assert made.books == store.reader.audit()
    assert made.size == (tmp_path / "backup.db").stat().st_size
    copy = open_store(f"sqlite:///{made.path}", parameters=PARAMETERS)
    assert list(copy.reader.heads()) == list(store.reader.heads())
    copy.close()
    store.close()


def test_a_store_that_may_only_be_read_is_backed_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "may_be_written", lambda _: False)
    before = {each.name for each in tmp_path.iterdir()}

    assert store.back_up(tmp_path / "backup.db").books.balanced
    assert {each.name for each in tmp_path.iterdir()} == {*before, "backup.db"}
    store.close()


def test_a_backup_made_during_writes_is_sound(store: Store, tmp_path: Path) -> None:
    stop = threading.Event()

    def work() -> None:
        number = 100
        while not stop.is_set():
            take_in(store, f"https://h{number}.example/", f"chữ{number}")
            number += 1

    writer = threading.Thread(target=work)
    writer.start()
    try:
        made = store.back_up(tmp_path / "backup.db")
    finally:
        stop.set()
        writer.join()

    assert made.books.balanced
    assert made.books.articles >= 5
    store.close()


def test_a_backup_never_overwrites(store: Store, tmp_path: Path) -> None:
    (tmp_path / "backup.db").write_text("mine")

    with pytest.raises(StoreError, match="exists: name a new file"):
        store.back_up(tmp_path / "backup.db")

    assert (tmp_path / "backup.db").read_text() == "mine"
    store.close()


def test_a_backup_replaces_another_one_if_requested(store: Store, tmp_path: Path) -> None:
    store.back_up(tmp_path / "backup.db")
    take_in(store, "https://later.example/", "chữ sau")

    again = store.back_up(tmp_path / "backup.db", replace=True)

    assert again.books.articles == 6
    assert sorted(path.name for path in tmp_path.glob("backup*")) == ["backup.db"]
    store.close()


def test_the_store_itself_is_never_replaced(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other-name.db").symlink_to(tmp_path / "corpus.db")

    with pytest.raises(StoreError, match="is a part of the store itself"):
        store.back_up(tmp_path / "other-name.db", replace=True)

    assert store.reader.audit().articles == 5
    store.close()


def test_a_backup_that_fails_leaves_the_one_before_as_it_was(store: Store, tmp_path: Path) -> None:
    before = store.back_up(tmp_path / "backup.db")
    with sqlite3.connect(tmp_path / "corpus.db") as connection:
        connection.execute("DELETE FROM decisions")

    with pytest.raises(StoreError, match="articles without a verdict"):
        store.back_up(tmp_path / "backup.db", replace=True)

    assert before.path.stat().st_size == before.size
    store.close()


def test_a_missing_folder_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no folder .*/none; make it first"):
        store.back_up(tmp_path / "none" / "backup.db")
    store.close()


def test_a_store_with_problems_is_not_backed_up_in_silence(store: Store, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "corpus.db") as connection:
        connection.execute("DELETE FROM decisions")

    with pytest.raises(StoreError, match="articles without a verdict"):
        store.back_up(tmp_path / "backup.db")

    assert sorted(path.name for path in tmp_path.glob("backup*")) == []
    store.close()


def test_a_store_in_memory_cannot_be_backed_up(tmp_path: Path) -> None:
    store = open_store("sqlite:///:memory:", parameters=PARAMETERS)

    with pytest.raises(StoreError, match="is not a SQLite file"):
        store.back_up(tmp_path / "backup.db")
    store.close()


def test_the_error_for_a_store_on_a_server_names_pg_dump_without_a_password(tmp_path: Path) -> None:
    url = "postgresql+psycopg://u:secret@db.example/corpus?password=secret&sslmode=require&sslpassword=secret"

    with closing(connect(url)) as database, pytest.raises(StoreError) as caught:
        back_up(database, tmp_path / "copy")

    assert "postgresql://u:***@db.example/corpus?sslmode=require`" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("corpus.db", True),
        ("corpus.db-wal", True),
        ("corpus.db-shm", True),
        ("corpus.db-journal", True),
        ("corpus.db.daemon.lock", True),
        ("corpus.db.reprocess.lock", True),
        ("hard", True),
        ("soft", True),
        ("way/corpus.db-wal", True),
        ("corpus.db-2026", False),
        ("corpus.db.bak", False),
        ("other/corpus.db-wal", False),
        ("poetry.lock", False),
    ],
)
def test_the_files_of_the_store_are_known_under_every_name(store: Store, tmp_path: Path, name: str, own: bool) -> None:
    (tmp_path / "hard").hardlink_to(tmp_path / "corpus.db")
    (tmp_path / "soft").symlink_to("corpus.db")
    (tmp_path / "way").symlink_to(tmp_path)

    assert store.holds(tmp_path / name) is own
    if own:
        with pytest.raises(StoreError, match="a part of the store itself"):
            store.back_up(tmp_path / name, replace=True)
    store.close()


@pytest.mark.parametrize("name", ["backup.db.unfinished", "backup.db.unfinished-wal", "backup.db.partial"])
def test_files_beside_a_backup_are_left_alone(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / name).symlink_to("precious")

    store.back_up(tmp_path / "backup.db")

    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / name).is_symlink()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    store.close()


def test_a_backup_is_never_written_through_a_link(store: Store, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "backup.db").symlink_to("precious")

    with pytest.raises(StoreError, match="it is a link"):
        store.back_up(tmp_path / "backup.db", replace=True)

    assert (tmp_path / "precious").read_text() == "mine"
    store.close()


def test_a_lock_is_never_taken_through_a_link(store: Store, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "corpus.db.daemon.lock").symlink_to("precious")

    with pytest.raises(StoreError, match="lock file"):
        store.lock_daemon("me")

    assert (tmp_path / "precious").read_text() == "mine"
    store.close()


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_backup_beside_a_leftover_log_is_refused(store: Store, tmp_path: Path, ending: str) -> None:
    log = tmp_path / f"backup.db{ending}"
    log.write_bytes({"-wal": b"\x37\x7f\x06\x82", "-journal": b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"}[ending] + b"rest")
    before = log.read_bytes()

    with pytest.raises(StoreError, match=f"backup.db{ending} is a log of SQLite"):
        store.back_up(tmp_path / "backup.db")

    assert log.read_bytes() == before
    assert not (tmp_path / "backup.db").exists()
    store.close()


def test_the_logs_that_sqlite_writes_are_known(tmp_path: Path) -> None:
    for mode, ending in (("WAL", "-wal"), ("PERSIST", "-journal")):
        path = tmp_path / f"{mode}.db"
        with closing(sqlite3.connect(path)) as made:
            made.execute(f"PRAGMA journal_mode = {mode}")
            made.execute("CREATE TABLE t (x)")
            made.execute("BEGIN IMMEDIATE")
            made.execute("PRAGMA cache_size = 1")
            made.executemany("INSERT INTO t VALUES (?)", [("x" * 4000,) for _ in range(100)])
            found = leftover_log(path)
            assert found == path.with_name(path.name + ending)


@pytest.mark.parametrize("name", ["backup.db-wal", "backup.db-journal"])
def test_other_files_of_such_a_name_are_no_logs(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")

    store.back_up(tmp_path / "backup.db")

    assert (tmp_path / name).read_text() == "mine"
    store.close()
