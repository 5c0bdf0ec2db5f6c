"""Errors of a database in use: reported in one line, nothing lost, and work resumes afterwards."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from tests.contract.storage.factories import NOW, PARAMETERS, candidate, claim_one, page, settle, take_in
from worker.errors import StoreBusy, StoreError
from worker.storage.db.database import NO_WAIT, Database
from worker.storage.db.errors import ErrorContext, translated_errors
from worker.storage.store import Store, open_store

A = "https://a.example/1"


class Limit:
    """Keeps a SQLite store from growing, as a full disk would."""

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


def test_a_full_disk_is_an_error_and_work_resumes_when_there_is_room(tmp_path: Path) -> None:
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


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    store = open_store(f"sqlite:///{path}", parameters=PARAMETERS)
    take_in(store, A, "một hai")
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    with pytest.raises(StoreError, match="is damaged: restore the last backup"):
        open_store(f"sqlite:///{path}", parameters=PARAMETERS).reader.audit()


def test_a_read_only_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    open_store(f"sqlite:///{path}", parameters=PARAMETERS).close()
    store = open_store(f"sqlite:///{path}", parameters=PARAMETERS)
    store._database.read(lambda connection: connection.exec_driver_sql("PRAGMA query_only = ON"))

    with pytest.raises(StoreError, match="cannot be written: check the permissions"):
        store.ledger.enqueue([candidate()], now=NOW)
    store.close()


def test_a_call_waits_for_a_store_that_another_program_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_cancelling_ends_the_wait_for_a_locked_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_waits_grow_and_stay_within_patience(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_violated_constraint_or_invalid_statement_is_not_translated(
    error: type[IntegrityError | ProgrammingError],
) -> None:
    with pytest.raises(error), translated_errors(ErrorContext(url=make_url("sqlite://"))):
        raise error("INSERT", None, sqlite3.IntegrityError("UNIQUE constraint failed"))


def test_a_missing_privilege_is_an_error() -> None:
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
