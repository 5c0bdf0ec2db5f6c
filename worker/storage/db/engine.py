"""How a connection is opened: what SQLite and PostgreSQL are told before the first statement."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from worker.errors import StoreError, StoreMissing
from worker.storage.db.database import WRITES, Database
from worker.storage.db.errors import describe_url, needs_new_connection

MISSING_STORE = "does not exist yet: run `corpus-worker ingest` first"
BUSY_TIMEOUT = timedelta(seconds=30)
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "foreign_keys = ON",
    "cache_size = -32768",  # KiB
    "wal_autocheckpoint = 0",  # see writeback.py
    "journal_size_limit = 0",
)
POOL_SIZE = 4
"""Connections one process keeps open to a server at most."""
POOL_TIMEOUT = timedelta(seconds=30)
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
SESSION = {
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": "10s",
    **{name if name.startswith("tcp_") else f"tcp_{name}": str(value) for name, value in KEEPALIVE.items()},
}
"""A worker that is suspended, cut off or gone must not hold its locks for long; the server asks whether it is there."""


def connect(url: str, *, create: bool = True, given_up: threading.Event | None = None) -> Database:
    """Return the database at a SQLAlchemy URL; nothing is asked of it yet. `given_up` is as in Database.

    Raises StoreError for a URL nobody can use, and for a SQLite file that is missing where `create` is off.
    """
    parsed = _parse(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    engine = _sqlite_engine(parsed, create=create) if sqlite else _postgresql_engine(parsed)
    return Database(engine, given_up=given_up)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        (parsed.host or "").encode("idna")
    except (ArgumentError, ValueError) as error:  # a port or host that is none
        raise StoreError(
            "the store url is not one: write sqlite:///path or postgresql+psycopg://host:port/name; for several "
            "servers, postgresql+psycopg:///name?host=one:5432&host=other:5432"
        ) from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StoreError(f"store {describe_url(parsed)}: use sqlite:///path or postgresql+psycopg://host/name")
    if parsed.get_backend_name() == "sqlite":
        _refuse_parameters(parsed, url)
    return parsed


def _refuse_parameters(url: URL, written: str) -> None:
    """Refuse what SQLite's URI file names can say: locks, backups and sizes go by the path."""
    if "\0" in written:
        raise StoreError("the store url holds a NUL: no file can be called that; write sqlite:///path")
    if str(url.database).startswith("file:"):
        raise StoreError("the store url holds a file: URI: write the path alone, sqlite:///path")
    if "?" in written:
        names = ", ".join(sorted(url.query)) or "what follows the ?"
        raise StoreError(f"store {describe_url(url)}: SQLite takes no parameters here ({names}): leave them out")


def _sqlite_engine(url: URL, *, create: bool) -> Engine:
    if url.database in {None, "", ":memory:"}:
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        _check_file(url, create=create)
        told: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_TIMEOUT.total_seconds()}
        path = Path(str(url.database)).absolute()
        if not create and not _may_be_written(path):
            engine = create_engine(url, creator=lambda: sqlite3.connect(_read_only_uri(path), uri=True, **told))
            event.listen(engine, "connect", _prepare_read_only)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        engine = create_engine(url, connect_args=told)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_file(url: URL, *, create: bool) -> None:
    path = Path(str(url.database))
    try:
        missing = not path.exists()
    except OSError as error:
        told = f"store {describe_url(url)[:100]}: no file can be called that ({error.strerror})"
        raise StoreError(f"{told}: choose another [store] url") from error
    if missing and not create:
        raise StoreMissing(f"store {describe_url(url)} {MISSING_STORE}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"store {describe_url(url)}: folder {path.parent} cannot be made ({error.strerror})"
        raise StoreError(f"{message}: choose another [store] url") from error


def _may_be_written(path: Path) -> bool:
    """Tell whether a file and what SQLite puts beside it can be written."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _read_only_uri(path: Path) -> str:
    """Return how SQLite opens a file that cannot be written.

    Without a log beside it nobody is writing, and nothing needs to be put there (https://sqlite.org/wal.html,
    "Read-Only Databases").
    """
    log = path.with_name(f"{path.name}-wal")
    alone = "&immutable=1" if not log.exists() or not log.stat().st_size else ""
    return f"{path.as_uri()}?mode=ro{alone}"


def _prepare_read_only(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA cache_size = -32768")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not at the driver's whim
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another writer came between.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL) -> Engine:
    options = {"application_name": "corpus-worker", "client_encoding": "utf8", "connect_timeout": 10, **KEEPALIVE}
    told = {name: value for name, value in options.items() if name not in url.query}
    told["options"] = _session_options(url)
    pool = {"pool_size": POOL_SIZE, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT.total_seconds()}
    try:
        engine = create_engine(url, hide_parameters=True, connect_args=told, **pool)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        message = "the PostgreSQL driver is missing: install corpus-worker[postgresql]"
        raise StoreError(f"store {describe_url(url)}: {message}, and write postgresql+psycopg://") from error
    logging.getLogger("psycopg").addFilter(_is_worth_logging)
    # Many rows in one statement rather than one message for each.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    event.listen(engine, "handle_error", _discard_standby_connections)
    return engine


def _session_options(url: URL) -> str:
    """Return the settings of a session: ours, then those of the URL, as of two for one setting the later counts."""
    ours = [f"-c {name}={value}" for name, value in SESSION.items()]
    return " ".join([*ours, *url.normalized_query.get("options", ())])


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Whether a line of the driver's says anything beside the error that it raises: what was sent after it is not."""
    if not str(record.msg).startswith("error ignored terminating"):
        return True
    ignored = record.args[-1] if isinstance(record.args, tuple) and record.args else None
    return getattr(ignored, "sqlstate", None) is None and str(ignored) != "pipeline aborted"


def _discard_standby_connections(context: ExceptionContext) -> None:
    """Throw the pool's connections away after a failover, so that the next try may reach the new primary."""
    if needs_new_connection(context.original_exception):
        context.is_disconnect = True
