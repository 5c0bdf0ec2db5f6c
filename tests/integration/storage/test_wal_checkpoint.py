"""Checkpoints of a SQLite store run while no connection can commit, whatever the release of SQLite."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from worker.storage.db import sqlite_files
from worker.storage.db.database import Database
from worker.storage.db.engine import connect

PROCESSES, COMMITS, ROUND = 4, 60, 20


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that runs a checkpoint after a few commits."""
    monkeypatch.setattr("worker.storage.db.sqlite_files.WAL_LIMIT", 50_000)
    made = connect(f"sqlite:///{tmp_path / 'corpus.db'}")
    made.write(lambda connection: connection.execute(text("CREATE TABLE things (process, number, body)")))
    yield made
    made.close()


def add(connection: Connection, process: int, number: int) -> None:
    statement = text("INSERT INTO things VALUES (:process, :number, :body)")
    connection.execute(statement, {"process": process, "number": number, "body": "x" * 3_000})


def log_of(database: Database) -> Path:
    assert database.path is not None
    return database.path.with_name(f"{database.path.name}-wal")


def test_no_connection_runs_checkpoints_by_itself(database: Database) -> None:
    with closing(database.engine.raw_connection()) as connection:
        assert connection.cursor().execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_no_connection_can_write_during_a_checkpoint(database: Database) -> None:
    seen: list[str] = []

    def look(statement: str) -> None:
        if "wal_checkpoint" not in statement:
            return
        with closing(sqlite3.connect(str(database.path), timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                seen.append(str(error))

    @event.listens_for(database.engine, "connect")
    def trace(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_trace_callback(look)

    database.engine.dispose()
    for number in range(60):
        database.write(add, 0, number)

    assert len(seen) >= 3
    assert set(seen) == {"database is locked"}


def test_the_log_does_not_grow_for_ever_and_everything_is_in_the_file(database: Database) -> None:
    for number in range(200):
        database.write(add, 0, number)

    assert log_of(database).stat().st_size < 3 * sqlite_files.WAL_LIMIT
    assert database.path is not None
    assert database.path.stat().st_size > 200 * 3_000 - 3 * sqlite_files.WAL_LIMIT


def test_a_log_in_use_by_a_reader_grows_without_a_checkpoint_after_every_commit(database: Database) -> None:
    writes: list[str] = []

    @event.listens_for(database.engine, "connect")
    def trace(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_trace_callback(lambda said: writes.append(said) if "wal_checkpoint" in said else None)

    database.write(add, 0, 0)
    database.engine.dispose()
    with database.snapshot() as reading:
        reading.execute(text("SELECT * FROM things")).all()
        for number in range(100):
            database.write(add, 1, number)
        grown = log_of(database).stat().st_size
    for number in range(40):
        database.write(add, 2, number)

    assert grown > 100 * 3_000
    assert 3 <= len(writes) < 50
    assert log_of(database).stat().st_size < grown


def test_a_checkpoint_is_postponed_while_another_connection_writes(database: Database) -> None:
    with closing(sqlite3.connect(str(database.path))) as other:
        for number in range(20):
            database.write(add, 0, number)
        other.execute("BEGIN IMMEDIATE")
        with closing(database.engine.raw_connection()) as one, closing(database.engine.raw_connection()) as two:
            for each in (one, two):
                each.cursor().execute("PRAGMA busy_timeout = 0")
        assert database.path is not None
        back = sqlite_files.WalCheckpoint(database.engine, database.path)

        back.after_commit()

        other.rollback()
    database.write(add, 0, 99)


def _work(path: str, process: int, together: Barrier) -> None:
    sqlite_files.WAL_LIMIT = 20_000  # type: ignore[misc]
    together.wait()
    for first in range(0, COMMITS, ROUND):  # closing the last connection is one more way to write back
        with closing(connect(path)) as database:
            for number in range(first, first + ROUND):
                database.write(add, process, number)
            assert database.read(_found, process) == list(range(first + ROUND))


def _found(connection: Connection, process: int) -> list[int]:
    asked = text("SELECT number FROM things WHERE process = :process ORDER BY number")
    return list(connection.execute(asked, {"process": process}).scalars())


def test_many_processes_that_write_and_run_checkpoints_lose_nothing(database: Database) -> None:
    context = multiprocessing.get_context("fork")
    database.engine.dispose()  # a connection must not be carried over a fork
    together = context.Barrier(PROCESSES)
    url = f"sqlite:///{database.path}"
    workers = [context.Process(target=_work, args=(url, number, together)) for number in range(1, PROCESSES + 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    assert all(database.read(_found, number) == list(range(COMMITS)) for number in range(1, PROCESSES + 1))
    assert database.read(lambda connection: connection.execute(text("PRAGMA integrity_check")).scalar()) == "ok"
