"""Opens connections to SQLite and PostgreSQL: checks the store's URL, and sets pragmas, timeouts and keepalives.

`connect` returns a `Database`; nothing is read or written before its first transaction.
"""

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

from worker.errors import StoreError, StoreMissing, install_hint
from worker.storage.db.database import WRITES, Database
from worker.storage.db.errors import describe_url, needs_new_connection

MISSING_STORE = "does not exist yet: run `corpus-worker ingest` first"
HAS_NO_TABLES = "has no tables: `corpus-worker ingest` makes a new store there; if it had articles, restore a backup"
BUSY_TIMEOUT = timedelta(seconds=30)
"""How long SQLite waits for another writer before it reports a locked file. Chosen, not measured: a transaction of the
worker takes milliseconds (docs/store.md, "Size"), so only a foreign program holds the file that long."""
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "foreign_keys = ON",
    "cache_size = -32768",  # KiB
    "wal_autocheckpoint = 0",  # WalCheckpoint in sqlite_files.py does it
    "journal_size_limit = 0",
)
POOL_SIZE = 4
"""The largest number of connections of one process to a server. Chosen, not measured: over twenty processes fit within
the 100 connections that PostgreSQL allows by default."""
POOL_TIMEOUT = timedelta(seconds=30)
"""How long a thread waits for one of these connections. Chosen, not measured: like BUSY_TIMEOUT."""
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
SESSION = {
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": "10s",
    "jit": "off",
    **{name if name.startswith("tcp_") else f"tcp_{name}": str(value) for name, value in KEEPALIVE.items()},
}
"""Settings of a session, so that a worker that is suspended, cut off or dead does not hold its locks for long: the
server probes the connection and ends idle transactions. KEEPALIVE makes the client probe the server as well. With
1,125,000 addresses, compiling the statement that counts the rejected pages (`jit`) took 1.3 of its 2.5 seconds."""


def connect(url: str, *, create: bool = True, given_up: threading.Event | None = None) -> Database:
    """Return the database at a SQLAlchemy URL, without connecting to it. `given_up` is as in Database.

    Raises StoreError for an invalid URL, and StoreMissing for a SQLite file that does not exist if `create` is off.
    """
    parsed = _parse(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    engine = _sqlite_engine(parsed, create=create) if sqlite else _postgresql_engine(parsed)
    return Database(engine, given_up=given_up)


def _parse(url: str) -> URL:
    """Return a store URL in parts; raises StoreError for one that no supported database can open."""
    try:
        parsed = make_url(url)
        (parsed.host or "").encode("idna")
    except (ArgumentError, ValueError) as error:  # an invalid port or host name
        raise StoreError(
            "the store url is invalid: write sqlite:///path or postgresql+psycopg://host:port/name; for several "
            "servers, postgresql+psycopg:///name?host=one:5432&host=other:5432"
        ) from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StoreError(f"store {describe_url(parsed)}: use sqlite:///path or postgresql+psycopg://host/name")
    if parsed.get_backend_name() == "sqlite":
        _refuse_parameters(parsed, url)
    return parsed


def _refuse_parameters(url: URL, written: str) -> None:
    """Refuse URI file names and parameters of SQLite: lock files, backups and sizes need a plain path."""
    if "\0" in written:
        raise StoreError("the store url holds a NUL: no file can be called that; write sqlite:///path")
    if str(url.database).startswith("file:"):
        raise StoreError("the store url holds a file: URI: write the path alone, sqlite:///path")
    if "?" in written:
        names = ", ".join(sorted(url.query)) or "what follows the ?"
        raise StoreError(f"store {describe_url(url)}: SQLite takes no parameters here ({names}): leave them out")


def _sqlite_engine(url: URL, *, create: bool) -> Engine:
    """Return the engine of a SQLite file, read-only if this process cannot write it and `create` is off."""
    if url.database in {None, "", ":memory:"}:
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        _check_file(url, create=create)
        arguments: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_TIMEOUT.total_seconds()}
        path = Path(str(url.database)).absolute()
        if not create and not may_be_written(path):
            engine = create_engine(url, creator=lambda: sqlite3.connect(read_only_uri(path), uri=True, **arguments))
            event.listen(engine, "connect", _prepare_read_only)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        engine = create_engine(url, connect_args=arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_file(url: URL, *, create: bool) -> None:
    """Create the folder of a SQLite file; raises StoreMissing if the file is missing and may not be created.

    Raises StoreError if it cannot be read.
    """
    path = Path(str(url.database))
    try:
        missing = not path.exists()
        if path.is_dir():
            raise StoreError(f"store {describe_url(url)} is a folder: choose another [store] url, the path of a file")
        if not missing and not os.access(path, os.R_OK):
            user, store = os.geteuid(), describe_url(url)
            raise StoreError(f"store {store}: user {user} may not read this file: let user {user} read and write it")
    except PermissionError as error:
        user, store = os.geteuid(), describe_url(url)
        message = f"store {store}: user {user} may not open folder {path.parent} ({error.strerror})"
        raise StoreError(f"{message}: let user {user} read and write there, or choose another [store] url") from error
    except OSError as error:
        message = f"store {describe_url(url)[:100]}: no file can be called that ({error.strerror})"
        raise StoreError(f"{message}: choose another [store] url") from error
    if missing and not create:
        where = "" if path.is_absolute() else " (there is none in the folder in which this command runs)"
        raise StoreMissing(f"store {describe_url(url)} {MISSING_STORE}{where}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"store {describe_url(url)}: folder {path.parent} cannot be made ({error.strerror})"
        whose = f"let user {os.geteuid()} write there, or " if isinstance(error, PermissionError) else ""
        raise StoreError(f"{message}: {whose}choose another [store] url") from error


def may_be_written(path: Path) -> bool:
    """Whether a file, and the files that SQLite creates beside it, can be written."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def read_only_uri(path: Path) -> str:
    """Return the URI with which SQLite opens a file that this process cannot write.

    SQLite usually creates a shared-memory file beside it. Without a log (`-wal`) there is no writer, so `immutable=1`
    makes that file unnecessary (https://sqlite.org/wal.html, "Read-Only Databases").
    """
    log = path.with_name(f"{path.name}-wal")
    immutable = "&immutable=1" if not log.exists() or not log.stat().st_size else ""
    return f"{path.as_uri()}?mode=ro{immutable}"


def _prepare_read_only(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA cache_size = -32768")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not implicitly in the driver
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails without waiting if another writer has committed meanwhile.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL) -> Engine:
    options = {"application_name": "corpus-worker", "client_encoding": "utf8", "connect_timeout": 10, **KEEPALIVE}
    arguments = {name: value for name, value in options.items() if name not in url.query}
    arguments["options"] = _session_options(url)
    pool = {"pool_size": POOL_SIZE, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT.total_seconds()}
    try:
        engine = create_engine(url, hide_parameters=True, connect_args=arguments, **pool)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        message = f"the PostgreSQL driver is missing: {install_hint('postgresql')}"
        raise StoreError(f"store {describe_url(url)}: {message}, and write postgresql+psycopg://") from error
    logging.getLogger("psycopg").addFilter(_is_worth_logging)
    # Insert many rows with one statement instead of one message to the server for each row.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    event.listen(engine, "handle_error", _discard_standby_connections)
    return engine


def _session_options(url: URL) -> str:
    """Return the worker's session settings, then those of the URL: PostgreSQL takes the last value of a setting."""
    ours = [f"-c {name}={value}" for name, value in SESSION.items()]
    return " ".join([*ours, *url.normalized_query.get("options", ())])


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Whether a log record of psycopg says more than the error that psycopg raises.

    Errors that follow from the first one, such as an aborted pipeline, are not worth a line.
    """
    if not str(record.msg).startswith("error ignored terminating"):
        return True
    ignored = record.args[-1] if isinstance(record.args, tuple) and record.args else None
    return getattr(ignored, "sqlstate", None) is None and str(ignored) != "pipeline aborted"


def _discard_standby_connections(context: ExceptionContext) -> None:
    """Close the pool's connections after a failover, so that the next try can reach the new primary."""
    if needs_new_connection(context.original_exception):
        context.is_disconnect = True
