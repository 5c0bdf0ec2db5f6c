"""A store on a server is migrated while others use it: they are not blocked for long, and each wait is logged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import closing
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
import structlog
from sqlalchemy import Connection, create_engine, text

from tests.commands import Desk, stop
from tests.contract.storage.factories import PARAMETERS
from tests.former_schemas import make_first
from tests.waiting import eventually
from worker.errors import StoreBusy
from worker.storage.db.database import NO_WAIT, Database
from worker.storage.db.engine import connect
from worker.storage.db.migrate import MIGRATION_KEY, VERSIONS, version_of
from worker.storage.store import open_store

pytestmark = pytest.mark.postgresql


class Pauses(threading.Event):
    """An event whose waits pass at once, calling `during` with their number."""

    def __init__(self, during: Callable[[int], None]) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self._during = during

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        self._during(len(self.waits))
        return self.is_set()


@pytest.fixture
def old_url(bare_postgresql_url: str) -> str:
    """A store of the first version."""
    open_store(bare_postgresql_url, parameters=PARAMETERS).close()
    make_first(bare_postgresql_url)
    return bare_postgresql_url


@pytest.fixture
def reader(old_url: str) -> Iterator[Connection]:
    """Somebody who reads articles and takes their time."""
    engine = create_engine(old_url, connect_args={"application_name": "slow reader"})
    with engine.connect() as connection:
        connection.execute(text("SELECT count(*) FROM articles"))
        yield connection
    engine.dispose()


@pytest.fixture
def other(old_url: str) -> Iterator[Database]:
    """Another worker on the store."""
    with closing(connect(old_url)) as database:
        yield database


def pid_of(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def reasons(logs: list[MutableMapping[str, Any]]) -> list[str]:
    return [each["reason"] for each in logs if each["event"] == "store.waiting"]


def test_others_can_work_while_a_migration_waits_for_a_long_reader(
    old_url: str, reader: Connection, other: Database
) -> None:
    def during(count: int) -> None:
        other.write(works)
        if count == 3:
            reader.rollback()

    def works(connection: Connection) -> None:
        # It would wait for the reader if the change of tables still waited for its turn.
        connection.execute(text("SET LOCAL lock_timeout = '20s'"))
        connection.execute(text("DELETE FROM articles"))

    pid, pauses = pid_of(reader), Pauses(during)
    with structlog.testing.capture_logs() as logs:
        open_store(old_url, parameters=PARAMETERS, given_up=pauses).close()

    assert other.read(version_of, other) == VERSIONS[-1]
    assert pauses.waits == [0.2, 0.4, 0.8]
    who = f"the store's tables have to be changed, and other sessions use them, now slow reader (pid {pid})"
    assert reasons(logs) == [f"{who}: stop them, or wait"] * 3


def test_waiting_for_another_migration_is_logged(old_url: str, other: Database) -> None:
    with other.engine.connect() as changing:
        changing.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_KEY})
        pid = pid_of(changing)
        pauses = Pauses(lambda _: changing.rollback())
        with structlog.testing.capture_logs() as logs:
            open_store(old_url, parameters=PARAMETERS, given_up=pauses).close()

    (reason,) = reasons(logs)
    assert f"corpus-worker (pid {pid})" in reason


def test_when_patience_ends_the_error_names_the_sessions_in_the_way(
    old_url: str, reader: Connection, other: Database
) -> None:
    pid = pid_of(reader)

    with pytest.raises(StoreBusy, match=rf"use them, now slow reader \(pid {pid}\): stop them, or wait") as caught:
        # The others wait as long as the role may: a change of tables keeps everybody waiting, and so does not.
        open_store(f"{old_url}?options=-clock_timeout=1h", parameters=PARAMETERS, patience=NO_WAIT)

    assert caught.value.retry
    assert other.read(version_of, other) == "0001"


def test_cancelling_ends_the_wait_for_a_migration(old_url: str, reader: Connection) -> None:
    pauses = Pauses(lambda _: pauses.set())

    with pytest.raises(StoreBusy, match="slow reader"):
        open_store(old_url, parameters=PARAMETERS, given_up=pauses)

    assert len(pauses.waits) == 1
    assert reader.in_transaction()


@pytest.mark.parametrize(
    ("command", "waits"), [("run", "again_in="), ("ingest", "store.waiting"), ("upgrade-store", "")]
)
def test_a_command_logs_that_it_waits_for_a_long_reader_and_ends_on_a_signal(
    old_url: str, reader: Connection, tmp_path: Path, command: str, waits: str
) -> None:
    desk = Desk(folder=tmp_path, environment={"CORPUS_WORKER_STORE__URL": old_url})
    desk.configure()
    process = desk.start(command)
    try:
        eventually(lambda: f"slow reader (pid {pid_of(reader)})" in desk.log())
        assert waits in desk.log()

        ended = stop(process)

        assert ended.status in {143, -SIGTERM}
        assert "Traceback" not in desk.log()
        assert "most recent call first" not in desk.log()  # the dump of what had to be ended by force
    finally:
        desk.end_all()
