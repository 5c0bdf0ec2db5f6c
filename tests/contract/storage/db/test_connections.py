"""Connections to a server that end during use, and databases that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.contract.storage.factories import NOW, PARAMETERS, candidate, claim_one, settle
from worker.errors import StoreError
from worker.storage.store import Store, open_store

A = "https://a.example/1"


@pytest.mark.postgresql
def test_connections_cut_off_by_the_server_are_made_again(
    empty_postgresql_url: str, open_stores: Callable[[str], Store]
) -> None:
    store = open_stores(empty_postgresql_url)
    store.ledger.enqueue([candidate(A)], now=NOW)
    claim = claim_one(store)
    engine = create_engine(empty_postgresql_url)
    with engine.begin() as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))

    outcome = settle(store, claim, "một hai")

    assert outcome is not None
    assert store.reader.audit().balanced
    engine.dispose()


@pytest.mark.postgresql
def test_several_processes_can_create_a_store_on_a_server_at_once(bare_postgresql_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = [pool.submit(open_store, bare_postgresql_url, parameters=PARAMETERS) for _ in range(4)]
        stores = [each.result() for each in opened]

    assert all(each.reader.audit().balanced for each in stores)
    for each in stores:
        each.close()


def test_several_processes_can_create_a_store_in_a_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"

    with ThreadPoolExecutor(4) as pool:
        opened = [pool.submit(open_store, url, parameters=PARAMETERS) for _ in range(4)]
        stores = [each.result() for each in opened]

    assert all(each.reader.audit().balanced for each in stores)
    for each in stores:
        each.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_is_not_in_utf_8_is_refused(postgresql_url: str, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        server.exec_driver_sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    url = make_url(postgresql_url).set(database=name).render_as_string(hide_password=False)

    with pytest.raises(StoreError, match=f"the database is in {encoding}, not in UTF8: make one with `createdb"):
        open_store(url, parameters=PARAMETERS)

    with engine.connect() as server:
        server.exec_driver_sql(f"DROP DATABASE {name}")
    engine.dispose()
