"""The settings of a session on a server, and the session of a client that has died."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.contract.storage.factories import PARAMETERS
from worker.errors import StoreBusy, StoreError
from worker.storage.db.engine import connect
from worker.storage.db.locks import exclusive
from worker.storage.store import Store, open_store

pytestmark = pytest.mark.postgresql


def settings(url: str, *names: str) -> dict[str, str]:
    def shown(connection: Connection) -> dict[str, str]:
        return {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names}

    with closing(connect(url)) as database:
        return database.read(shown)


def test_the_server_notices_a_dead_client_within_a_minute(bare_postgresql_url: str) -> None:
    idle, interval, count = "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"

    told = settings(bare_postgresql_url, idle, interval, count, "tcp_user_timeout")

    assert int(told[idle]) + int(told[interval]) * int(told[count]) <= 60
    assert told["tcp_user_timeout"] == "30000"


def test_options_of_the_url_leave_the_limits_of_a_session_as_they_are(bare_postgresql_url: str) -> None:
    limits = ("idle_in_transaction_session_timeout", "lock_timeout")
    url = f"{bare_postgresql_url}?options=-cwork_mem=8MB"

    told = settings(url, "work_mem", *limits)

    assert told == {"work_mem": "8MB", **settings(bare_postgresql_url, *limits)}
    assert "0" not in told.values()


def test_options_of_the_url_override_the_limits_of_a_session(bare_postgresql_url: str) -> None:
    url = f"{bare_postgresql_url}?options=-clock_timeout=3s"

    assert settings(url, "lock_timeout", "tcp_keepalives_idle") == {"lock_timeout": "3s", "tcp_keepalives_idle": "30"}


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("path", ["nix", "nix,nor_this", '"$user"'])
def test_a_search_path_without_an_existing_schema_is_an_error(
    bare_postgresql_url: str, path: str, create: bool
) -> None:
    with pytest.raises(
        StoreError, match="the search_path names no schema that exists: correct it, in the url"
    ) as caught:
        open_store(f"{bare_postgresql_url}?options=-csearch_path={path}", parameters=PARAMETERS, create=create)

    assert not caught.value.retry


def test_a_store_may_be_in_any_schema(bare_postgresql_url: str) -> None:
    with closing(connect(bare_postgresql_url)) as database:
        database.write(lambda connection: connection.exec_driver_sql('CREATE SCHEMA IF NOT EXISTS "Tin"'))
        url = f'{bare_postgresql_url}?options=-csearch_path=nix,"Tin"'

        with open_store(url, parameters=PARAMETERS) as store:
            assert store.reader.audit().balanced

        database.write(lambda connection: connection.exec_driver_sql('DROP SCHEMA "Tin" CASCADE'))


@pytest.fixture
def vanished() -> Iterator[Callable[[Connection], None]]:
    """Makes a connection's client vanish without a word: the server's end of it stays open."""
    kept: list[int] = []

    def vanish(connection: Connection) -> None:
        number = connection.connection.dbapi_connection.fileno()  # type: ignore[union-attr]
        kept.append(os.dup(number))
        ours, theirs = socket.socketpair()
        theirs.close()
        os.dup2(ours.fileno(), number)
        ours.close()

    yield vanish
    for number in kept:
        os.close(number)


def test_a_lock_is_taken_over_from_the_former_session(
    empty_postgresql_url: str, open_stores: Callable[[str], Store], vanished: Callable[[Connection], None]
) -> None:
    store, other = open_stores(empty_postgresql_url), open_stores(empty_postgresql_url)

    with exclusive(store._database, command="reprocess") as hold:
        vanished(hold._ensure_held.__self__._connection)  # type: ignore[attr-defined]

        assert hold.write(lambda _: 7) == 7
        with pytest.raises(StoreBusy, match="another reprocess is at work"), other.review.exclusive():
            pass
    with other.review.exclusive():
        pass


def end_in_a_list(connection: Connection) -> None:
    """End in the midst of a list of statements, of which one has failed."""
    driver: Any = connection.connection.dbapi_connection
    with driver.pipeline():
        driver.execute("INSERT INTO nowhere VALUES (1)")
        raise LookupError


def test_an_error_in_a_batch_of_rows_is_not_logged_by_the_driver_as_well(
    bare_postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ended = "error ignored terminating %r: %s"
    driver = logging.getLogger("psycopg")

    with closing(connect(bare_postgresql_url)) as database, pytest.raises(LookupError):
        database.write(end_in_a_list)
    driver.warning(ended, "it", "pipeline aborted")
    assert caplog.messages == []

    driver.warning(ended, "it", OSError("lost"))
    driver.warning("error ignored in rollback on it")
    assert caplog.messages == ["error ignored terminating 'it': lost", "error ignored in rollback on it"]
