from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from tests.contract.storage.factories import PARAMETERS
from worker.storage.db.migrate import VERSIONS
from worker.storage.db.schema import METADATA
from worker.storage.store import Store, open_store

SERVER = "CORPUS_WORKER_TEST_POSTGRESQL"
REQUIRED = "CORPUS_WORKER_REQUIRE_POSTGRESQL"


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A database of this test process alone on the server the environment names."""
    server = os.environ.get(SERVER)
    if not server:
        message = f"no PostgreSQL server: name one in {SERVER} (.ci/postgresql start FOLDER prints its URL)"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(message)
    name = f"corpus_test_{os.getpid()}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(scope="session")
def fresh_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store to copy: migrating one for each test would take longer than the tests."""
    path = tmp_path_factory.mktemp("store") / "fresh.db"
    open_store(f"sqlite:///{path}", parameters=PARAMETERS).close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, fresh_file: Path) -> str:
    """Where an empty store can be opened."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(fresh_file, tmp_path / 'corpus.db')}"
    url: str = request.getfixturevalue("empty_postgresql_url")
    return url


@pytest.fixture
def empty_postgresql_url(postgresql_url: str) -> str:
    """An empty store on the server."""
    _empty(postgresql_url)
    return postgresql_url


@pytest.fixture
def open_stores() -> Iterator[Callable[[str], Store]]:
    """Opens stores, and closes them after the test."""
    opened: list[Store] = []

    def opener(url: str) -> Store:
        opened.append(open_store(url, parameters=PARAMETERS))
        return opened[-1]

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(store_url: str, open_stores: Callable[[str], Store]) -> Store:
    """An empty store."""
    return open_stores(store_url)


@pytest.fixture
def bare_postgresql_url(postgresql_url: str) -> str:
    """A database on the server without a table."""
    engine = create_engine(postgresql_url)
    with engine.begin() as connection:
        _drop_tables(connection)
    engine.dispose()
    return postgresql_url


def _drop_tables(connection: Connection) -> None:
    connection.execute(text("DROP SCHEMA public CASCADE"))
    connection.execute(text("CREATE SCHEMA public"))


def _empty(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        if not connection.execute(text("SELECT to_regclass('alembic_version')")).scalar():
            pass
        elif connection.execute(text("SELECT version_num FROM alembic_version")).scalar() != VERSIONS[-1]:
            _drop_tables(connection)  # a test of migrations left an older version
        else:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(table.delete())
            connection.execute(text("DELETE FROM search_texts"))
            connection.execute(text("ALTER SEQUENCE articles_id_seq RESTART"))
    engine.dispose()
