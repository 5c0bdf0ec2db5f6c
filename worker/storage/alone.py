"""One long piece of work on a whole store at a time: a lock that is given back even after kill -9."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from worker.errors import StoreBusy, StoreError
from worker.storage.border import translated
from worker.storage.database import Database

KEY = 0x7265746869
"""The advisory lock on a server; a file beside the store does the same for SQLite."""


@contextmanager
def alone(database: Database, *, what: str) -> Iterator[None]:
    """Be the only one at `what` on a store; raises StoreBusy where another is."""
    if database.path is not None:
        with _file_locked(database.path.with_name(f"{database.path.name}.{what}.lock"), what):
            yield
    elif database.is_sqlite:
        yield  # in memory, and so nobody else's
    else:
        with _server_locked(database, what):
            yield


@contextmanager
def _file_locked(path: Path, what: str) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        message = f"lock file {path} cannot be opened ({error.strerror}): check the permissions of its folder"
        raise StoreError(message) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise _busy(what) from error
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _server_locked(database: Database, what: str) -> Iterator[None]:
    with translated(database.url), database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": KEY}).scalar_one():
            raise _busy(what)
        try:
            yield
        finally:
            with suppress(DBAPIError):  # a connection that is gone has let go of it
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": KEY})


def _busy(what: str) -> StoreBusy:
    return StoreBusy(f"another {what} is at work on this store: wait until it has ended, or stop it and run this again")
