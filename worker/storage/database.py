"""The engine and its transactions: how a connection is opened, and how one piece of work is run and tried again."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from worker.errors import StoreError
from worker.storage.border import describe_url, is_conflict, is_lost_connection, translated

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT = timedelta(seconds=30)
WRITES = "worker_writes"


class Database:
    """One database, and the only two ways to use it: `read` and `write`."""

    def __init__(self, engine: Engine, *, pause: Callable[[float], None] | None = None) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{WRITES: True})
        self._pause = pause or (lambda _: None)

    @property
    def url(self) -> URL:
        """Where the database is."""
        return self.engine.url

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self.engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database; None in memory or on a server."""
        name = self.url.database
        return Path(name) if self.is_sqlite and name and name != ":memory:" else None

    def write(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that may write, and return what it returned once it is committed.

        `work` may run several times: it must not change anything but the database.
        """
        return self._run(self._writer, lambda connection: work(connection, *args, **kwargs))

    def read(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that only reads."""
        return self._run(self.engine, lambda connection: work(connection, *args, **kwargs))

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a long read that sees the store as it is now, whatever is written meanwhile."""
        options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with translated(self.url), self.engine.connect() as connection:
            yield connection.execution_options(yield_per=200, **options)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        with translated(self.url):
            for attempt in range(20):
                try:
                    with engine.begin() as connection:
                        return work(connection)
                except DBAPIError as error:
                    if not (is_conflict(error) or is_lost_connection(error)) or self.is_sqlite:
                        raise
                    self._pause(random.uniform(0.2, 1.0) * min(2.0, 0.01 * 2**attempt))  # noqa: S311
            with engine.begin() as connection:
                return work(connection)


def connect(url: str, *, create: bool = True) -> Database:
    """Return the database at a SQLAlchemy URL; nothing is asked of it yet.

    Raises StoreError for a URL nobody can use, and for a SQLite file that is missing where `create` is off.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return Database(_sqlite_engine(parsed, create=create))
    return Database(_postgresql_engine(parsed))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError("the store url is not one: write sqlite:///path or postgresql+psycopg://host/name") from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StoreError(f"store {describe_url(parsed)}: use sqlite:///path or postgresql+psycopg://host/name")
    return parsed


def _sqlite_engine(url: URL, *, create: bool) -> Engine:
    if url.database in {None, "", ":memory:"}:
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        _check_file(url, create=create)
        timeout = BUSY_TIMEOUT.total_seconds()
        engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": timeout})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_file(url: URL, *, create: bool) -> None:
    path = Path(str(url.database))
    if not path.exists() and not create:
        raise StoreError(f"store {describe_url(url)} does not exist yet: run `corpus-worker ingest` first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"store {describe_url(url)}: folder {path.parent} cannot be made ({error.strerror})"
        raise StoreError(f"{message}: choose another [store] url") from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not at the driver's whim
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "cache_size = -32768"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another writer came between.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL) -> Engine:
    try:
        return create_engine(url, pool_size=4, max_overflow=4, pool_timeout=30, pool_pre_ping=True)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        message = "the PostgreSQL driver is missing: install corpus-worker[postgresql]"
        raise StoreError(f"store {describe_url(url)}: {message}, and write postgresql+psycopg://") from error
