"""The border between SQLAlchemy's errors and the worker's own: clear sentences, and no password in any of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.errors import StoreBusy, StoreError

SQLITE_SENTENCES = (
    ("unable to open database file", "cannot be opened: check that its folder exists and can be written"),
    ("file is not a database", "is not a SQLite database: choose another [store] url, or move the file away"),
    ("readonly database", "cannot be written: check the permissions of the file and of its folder"),
    ("read-only", "lies on a read-only file system: choose another [store] url"),
    ("disk is full", "has no room left on its disk: make room and start again; nothing stored is lost"),
    ("disk I/O error", "met a disk error: check the disk and the free space, then start again"),
    ("malformed", "is damaged: restore the last backup"),
)
RETRY_STATES = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL's codes for a transaction that only has to be tried again (serialisation, deadlock, lock timeout)."""

INSUFFICIENT_PRIVILEGE = "42501"


def describe_url(url: URL) -> str:
    """Return a store URL fit to be shown: without password and query."""
    return url.set(query={}).render_as_string(hide_password=True)


def is_lost_connection(error: Exception) -> bool:
    """Whether the server went away, so that a new connection may do."""
    return isinstance(error, DBAPIError) and (error.connection_invalidated or _is_refused(error))


def is_worth_waiting(error: Exception) -> bool:
    """Whether time may help: the server went away, or another program holds the SQLite file."""
    return is_lost_connection(error) or (isinstance(error, DBAPIError) and "database is locked" in str(error.orig))


def is_conflict(error: Exception) -> bool:
    """Whether another transaction got in the way and trying again is all it takes."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in RETRY_STATES


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn the database's own errors into StoreError; broken constraints and statements stay loud, they are bugs."""
    try:
        yield
    except PoolTimeout as error:
        message = f"store {describe_url(url)}: no free connection in time; lower the number of workers"
        raise StoreBusy(message) from error
    except DatabaseError as error:
        if _is_bug(error):
            raise
        raise _store_error(error, url) from error
    except InterfaceError as error:
        raise _store_error(error, url) from error


def _store_error(error: DBAPIError, url: URL) -> StoreError:
    name = describe_url(url)
    cause = _first_line(error)
    if isinstance(error.orig, sqlite3.Error):
        if "locked" in cause:
            return StoreBusy(f"store {name} is locked by another program: wait until it is done, or stop it")
        for sign, sentence in SQLITE_SENTENCES:
            if sign in cause:
                return StoreError(f"store {name} {sentence}")
    if is_lost_connection(error):
        return StoreError(f"store {name} cannot be reached: {cause}; check that the server runs and the url is right")
    return StoreError(f"store {name}: {cause}")


def _is_bug(error: DatabaseError) -> bool:
    forbidden = getattr(error.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE
    return isinstance(error, IntegrityError | DataError | ProgrammingError) and not forbidden


def _is_refused(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", "")
    starting_or_stopping = isinstance(state, str) and state.startswith(("57P", "08"))
    return starting_or_stopping or (isinstance(error, OperationalError) and state is None)


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
