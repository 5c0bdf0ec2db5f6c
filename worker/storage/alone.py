"""One long piece of work on a whole store at a time: a lock that is given back even after kill -9."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine, RowMapping, text
from sqlalchemy.exc import DBAPIError

from worker.errors import StoreBusy, StoreError
from worker.storage.database import Database

P = ParamSpec("P")
T = TypeVar("T")

KEY = 0x7265746869
"""The advisory lock on a server; a file beside the store does the same for SQLite."""
_TRY = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")
_PING = text("SELECT 1")
_WHO = text("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :backend_start"
)
_WAIT = text("SELECT pg_advisory_lock(:key)")


class Writer(Protocol):
    """What writes as `Database.write` does."""

    def write(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that may write."""
        ...


class Hold:
    """The only one at a piece of work on a server: makes sure before each try of a write that it still is."""

    def __init__(self, database: Database, *, assure: Callable[[], None]) -> None:
        self._database = database
        self._assure = assure

    def write(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` as `Database.write` does; raises StoreBusy where another has come in meanwhile."""

        def assured(connection: Connection) -> T:
            self._assure()
            return work(connection, *args, **kwargs)

        return self._database.write(assured)


@contextmanager
def alone(database: Database, *, what: str) -> Iterator[Writer]:
    """Be the only one at `what` on a store, and write through what this yields; raises StoreBusy where another is."""
    if database.path is not None:
        with _file_locked(database.path.with_name(f"{database.path.name}.{what}.lock"), what):
            yield database
    elif database.is_sqlite:
        yield database  # in memory, and so nobody else's
    else:
        with _server_locked(database, what) as assure:
            yield Hold(database, assure=assure)


@contextmanager
def _file_locked(path: Path, what: str) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
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
def _server_locked(database: Database, what: str) -> Iterator[Callable[[], None]]:
    lock = _ServerLock(database.engine, what)
    database.read(lambda _: lock.take(_busy(what)))  # and so tried again while the server cannot be reached
    try:
        yield lock.assure
    finally:
        lock.give_back()


class _ServerLock:
    """An advisory lock, which a server forgets where it ends or the connection that took it does."""

    def __init__(self, engine: Engine, what: str) -> None:
        self._engine = engine
        self._what = what
        self._connection: Connection | None = None
        self._session: RowMapping | None = None

    def take(self, otherwise: StoreBusy) -> None:
        with ExitStack() as unless_taken:
            connection = unless_taken.enter_context(self._engine.connect())
            connection.execution_options(isolation_level="AUTOCOMMIT")
            session = connection.execute(_WHO).mappings().one()
            if not (self._taken_from_former(connection) or connection.execute(_TRY, {"key": KEY}).scalar_one()):
                raise otherwise
            self._connection, self._session = connection, session
            unless_taken.pop_all()

    def _taken_from_former(self, connection: Connection) -> bool:
        """End the session that had the lock before, and take it: a server may not know yet that its client is gone."""
        if self._session is None:
            return False
        ended = connection.execute(_END, dict(self._session)).first() is not None
        self._session = None
        if ended:
            connection.execute(_WAIT, {"key": KEY})  # no longer than lock_timeout, should somebody be quicker
        return ended

    def assure(self) -> None:
        """Take the lock again where it was lost; raises StoreBusy where another has it, DBAPIError without a server."""
        if self._connection is not None:
            try:
                self._connection.execute(_PING)
            except DBAPIError:
                self._let_go(self._connection)
            else:
                return
        self.take(_overtaken(self._what))

    def give_back(self) -> None:
        if self._connection is not None:
            with suppress(DBAPIError):  # a connection that is gone has let go of it
                self._connection.execute(_UNLOCK, {"key": KEY})
            self._let_go(self._connection)

    def _let_go(self, connection: Connection) -> None:
        self._connection = None
        connection.invalidate()  # whatever it still holds ends with it
        connection.close()


def _busy(what: str) -> StoreBusy:
    return StoreBusy(f"another {what} is at work on this store: wait until it has ended, or stop it and run this again")


def _overtaken(what: str) -> StoreBusy:
    return StoreBusy(
        f"the server was away, and another {what} has begun on this store meanwhile, so this one stopped: "
        "wait until the other has ended, then run this again"
    )
