"""Locks on a whole store: one daemon on a SQLite file, one `reprocess` or `migrate-store` at a time.

The operating system or the server releases each lock when its process dies, so a lock never has to be removed by hand.
"""

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
from worker.storage.db.database import Database

# One daemon at a time on a SQLite store. The operating system releases the lock even after kill -9.


class DaemonLock:
    """A lock on a file beside a SQLite store (`flock`), which contains a description of the holder."""

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(store.name + ".daemon.lock")
        self._descriptor: int | None = None

    def acquire(self, owner: str) -> None:
        """Take the lock and write `owner`, a description of this process, into its file. No effect if already held.

        Raises StoreBusy, with the description of the holder, if another process holds the lock, and StoreError if the
        file cannot be opened.
        """
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            message = f"lock file {self._path} cannot be opened ({error.strerror}): check the permissions of its folder"
            raise StoreError(message) from error
        self._descriptor = self._locked(descriptor, owner)

    def holder(self) -> str:
        """Return the description of the other process that holds the lock; empty if none does."""
        if self._descriptor is not None or not self._path.exists():
            return ""
        with self._path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return file.read(1000).decode("utf-8", "replace").strip() or "another process"
        return ""

    def release(self) -> None:
        """Release the lock, if held."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def _locked(self, descriptor: int, owner: str) -> int:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(descriptor)
            message = (
                f"another daemon works on this store: {holder}; stop it first, or give this one its own [store] url"
            )
            raise StoreBusy(message) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode("utf-8"), 0)
        return descriptor


@contextmanager
def without_daemon(store: Path | None, *, why: str) -> Iterator[None]:
    """Hold the daemon lock of a SQLite store, so that no daemon starts meanwhile; no effect if `store` is None.

    `why` describes the work for the message that such a daemon prints. Raises StoreBusy if a daemon is running.
    """
    if store is None:
        yield
        return
    lock = DaemonLock(store)
    lock.acquire(why)
    try:
        yield
    finally:
        lock.release()


# Commands that change the whole store exclude each other: by a file beside a SQLite store, by an advisory lock of a
# PostgreSQL server. Such a lock belongs to a session, so it is lost when the server restarts or the connection breaks.


P = ParamSpec("P")
T = TypeVar("T")

LOCK_KEY = 0x7265746869
"""The key of the advisory lock: any number that is used for no other lock of a database (here, "rethi" in ASCII)."""
_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")
_PING = text("SELECT 1")
_THIS_SESSION = text("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_END_SESSION = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :backend_start"
)
_WAIT_FOR_LOCK = text("SELECT pg_advisory_lock(:key)")


class Writer(Protocol):
    """Runs transactions that write: a `Database`, or a `LockedWriter` for a command that holds a lock."""

    def write(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that may write; see `Database.write`."""
        ...


class LockedWriter:
    """Writes to a server under an advisory lock: checks before each try that the lock is still held."""

    def __init__(self, database: Database, *, ensure_held: Callable[[], None]) -> None:
        self._database = database
        self._ensure_held = ensure_held

    def write(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` as `Database.write` does; raises StoreBusy if another process has taken the lock meanwhile."""

        def guarded(connection: Connection) -> T:
            self._ensure_held()
            return work(connection, *args, **kwargs)

        return self._database.write(guarded)


@contextmanager
def exclusive(database: Database, *, command: str) -> Iterator[Writer]:
    """Hold the exclusive lock for a command on a store, and yield the writer to use meanwhile.

    Raises StoreBusy if another process is running the command.
    """
    if database.path is not None:
        with _file_lock(database.path.with_name(f"{database.path.name}.{command}.lock"), command):
            yield database
    elif database.is_sqlite:
        yield database  # in memory: no other process can open it
    else:
        with _server_lock(database, command) as ensure_held:
            yield LockedWriter(database, ensure_held=ensure_held)


@contextmanager
def _file_lock(path: Path, command: str) -> Iterator[None]:
    """Hold a lock on a file, which is created if missing and never deleted; raises StoreBusy if another holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        message = f"lock file {path} cannot be opened ({error.strerror}): check the permissions of its folder"
        raise StoreError(message) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise _busy(command) from error
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _server_lock(database: Database, command: str) -> Iterator[Callable[[], None]]:
    """Hold the advisory lock of a server; yield a function that takes it again if it was lost."""
    lock = _AdvisoryLock(database.engine, command)
    database.read(lambda _: lock.acquire(_busy(command)))  # through `read`, which waits for an unavailable server
    try:
        yield lock.ensure_held
    finally:
        lock.release()


class _AdvisoryLock:
    """A session-level advisory lock on its own connection, taken again after the session was lost."""

    def __init__(self, engine: Engine, command: str) -> None:
        self._engine = engine
        self._command = command
        self._connection: Connection | None = None
        self._session: RowMapping | None = None

    def acquire(self, otherwise: StoreBusy) -> None:
        """Take the lock on a new connection; raises `otherwise` if another session holds it."""
        with ExitStack() as on_failure:
            connection = on_failure.enter_context(self._engine.connect())
            connection.execution_options(isolation_level="AUTOCOMMIT")
            session = connection.execute(_THIS_SESSION).mappings().one()
            if not self._take_from_former_session(connection) and not self._try_lock(connection):
                raise otherwise
            self._connection, self._session = connection, session
            on_failure.pop_all()

    def _try_lock(self, connection: Connection) -> bool:
        return bool(connection.execute(_TRY_LOCK, {"key": LOCK_KEY}).scalar_one())

    def _take_from_former_session(self, connection: Connection) -> bool:
        """End the session that held the lock before, and take it over; return False if that session is gone already.

        After a broken connection, the server may keep the old session, and its lock, until it notices.
        """
        if self._session is None:
            return False
        ended = connection.execute(_END_SESSION, dict(self._session)).first() is not None
        self._session = None
        if ended:
            connection.execute(_WAIT_FOR_LOCK, {"key": LOCK_KEY})  # up to lock_timeout, if another process is faster
        return ended

    def ensure_held(self) -> None:
        """Take the lock again if it was lost; raises StoreBusy if another has it, DBAPIError if the server is away."""
        if self._connection is not None:
            try:
                self._connection.execute(_PING)
            except DBAPIError:
                self._drop(self._connection)
            else:
                return
        self.acquire(_lost_to_another(self._command))

    def release(self) -> None:
        if self._connection is not None:
            with suppress(DBAPIError):  # a broken connection has lost the lock already
                self._connection.execute(_UNLOCK, {"key": LOCK_KEY})
            self._drop(self._connection)

    def _drop(self, connection: Connection) -> None:
        self._connection = None
        connection.invalidate()  # closed for good, so that the pool cannot reuse a session with a lock
        connection.close()


def _busy(command: str) -> StoreBusy:
    """Return the error for a command that another process is running."""
    return StoreBusy(
        f"another {command} is at work on this store: wait until it has ended, or stop it and run this again"
    )


def _lost_to_another(command: str) -> StoreBusy:
    """Return the error for a command whose lock another process took while the server was away."""
    return StoreBusy(
        f"the server was away, and another {command} has started on this store meanwhile, so this one stopped: "
        "wait until the other has ended, then run this again"
    )
