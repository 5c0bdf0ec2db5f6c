"""What a database can meet while it is in use: each told in one line, nothing lost, work going on afterwards."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from tests.contract.storage.factories import NOW, PARAMETERS, candidate, claim_one, page, settle, take_in
from worker.errors import StoreBusy, StoreError
from worker.storage import Store, open_store
from worker.storage.db.database import NO_WAIT, Database
from worker.storage.db.errors import ErrorContext, translated_errors

A = "https://a.example/1"


class Limit:
    """Lets a SQLite store grow no further, as a full disk would."""

    def __init__(self, store: Store) -> None:
        self._engine = store._database.engine
        self._pages = 0
        event.listen(self._engine, "begin", self._apply)

    def to_what_is_there(self, path: Path) -> None:
        with sqlite3.connect(path) as connection:
            (self._pages,) = connection.execute("PRAGMA page_count").fetchone()

    def lift(self) -> None:
        self._pages = 1 << 30

    def _apply(self, connection: object) -> None:
        if self._pages:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {self._pages}")  # type: ignore[attr-defined]


def test_a_full_disk_is_told_and_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    store = open_store(f"sqlite:///{path}", parameters=PARAMETERS)
    store.ledger.enqueue([candidate(A)], now=NOW)
    claim = claim_one(store)
    limit = Limit(store)
    limit.to_what_is_there(path)
    body = page(A, bytes(range(256)) * 4000)

    with pytest.raises(StoreError, match="has no room left on its disk: make room and start again; nothing stored is"):
        settle(store, claim, "một hai " * 20000, content=body)

    limit.lift()
    assert store.reader.audit().balanced
    assert settle(store, claim, "một hai", content=body) is not None
    assert store.reader.audit().balanced
    store.close()


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    store = open_store(f"sqlite:///{path}", parameters=PARAMETERS)
    take_in(store, A, "một hai")
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    with pytest.raises(StoreError, match="is damaged: restore the last backup"):
        open_store(f"sqlite:///{path}", parameters=PARAMETERS).reader.audit()


def test_a_file_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    open_store(f"sqlite:///{path}", parameters=PARAMETERS).close()
    store = open_store(f"sqlite:///{path}", parameters=PARAMETERS)
    store._database.read(lambda connection: connection.exec_driver_sql("PRAGMA query_only = ON"))

    with pytest.raises(StoreError, match="cannot be written: check the permissions"):
        store.ledger.enqueue([candidate()], now=NOW)
    store.close()


def test_a_store_held_by_another_program_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.storage.db.engine.BUSY_TIMEOUT", timedelta(0))
    path = tmp_path / "corpus.db"
    store = open_store(f"sqlite:///{path}", parameters=PARAMETERS, patience=timedelta(minutes=1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waits: list[float | None] = []

    def wait(seconds: float | None = None) -> bool:
        waits.append(seconds)
        if len(waits) == 3:
            other.rollback()
        return False

    monkeypatch.setattr(store._database._given_up, "wait", wait)

    assert store.ledger.enqueue([candidate()], now=NOW) == 1
    assert waits == [0.2, 0.4, 0.8]
    other.close()
    store.close()


def test_who_gives_up_waits_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.storage.db.engine.BUSY_TIMEOUT", timedelta(0))
    path = tmp_path / "corpus.db"
    store = open_store(f"sqlite:///{path}", parameters=PARAMETERS)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    store.cancel_waits()

    with pytest.raises(StoreBusy, match="locked by another program"):
        store.ledger.enqueue([candidate()], now=NOW)
    other.close()
    store.close()


def test_waits_grow_and_keep_within_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(create_engine("sqlite://"))
    database.patience = timedelta(seconds=60)
    waits: list[float] = []
    error = OperationalError("SELECT 1", None, sqlite3.OperationalError("database is locked"))

    def refuses(_connection: object) -> None:
        raise error

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    monkeypatch.setattr(database._given_up, "wait", wait)
    with pytest.raises(StoreBusy):
        database.read(refuses)

    assert sum(waits) == pytest.approx(60)
    assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
    assert max(waits) == 10.0
    assert database.patience != NO_WAIT
    database.close()


@pytest.mark.parametrize("error", [IntegrityError, ProgrammingError])
def test_a_bug_stays_loud(error: type[IntegrityError | ProgrammingError]) -> None:
    with pytest.raises(error), translated_errors(ErrorContext(url=make_url("sqlite://"))):
        raise error("INSERT", None, sqlite3.IntegrityError("UNIQUE constraint failed"))


def test_a_lack_of_rights_is_told() -> None:
    class NotAllowed(Exception):
        sqlstate = "42501"

    context = ErrorContext(url=_secret_url())

    with pytest.raises(StoreError, match="permission denied for table articles"), translated_errors(context):
        raise ProgrammingError("SELECT", None, NotAllowed("permission denied for table articles"))


def test_no_error_shows_a_password() -> None:
    with pytest.raises(StoreError) as caught, translated_errors(ErrorContext(url=_secret_url())):
        raise OperationalError("SELECT", None, Exception("no route to host"))

    assert "secret" not in str(caught.value)
    assert "db.example" in str(caught.value)


def _secret_url() -> URL:
    return make_url("postgresql+psycopg://u:secret@db.example/corpus?password=secret")
