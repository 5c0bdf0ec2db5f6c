"""A database and its transactions: how one piece of work is run, and how it is tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import structlog
from sqlalchemy import URL, Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

from worker.storage.belongings import belongs, file_of
from worker.storage.border import Standpoint, course_after, describe_url, reason, translated
from worker.storage.ground import Ground
from worker.storage.patience import NO_PATIENCE, Outage, growing_waits, short_waits
from worker.storage.sqlstates import Course
from worker.storage.writeback import WriteBack

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()

WRITES: Final = "worker_writes"
CONFLICTS: Final = 50
CANCELS: Final = 5


class Database:
    """One database, and the ways to use it: `read`, `write` and the long read `snapshot`.

    Where the server went away, has no room for us yet, takes no writes, or another program holds the file, a piece of
    work is tried again for as long as `patience` says. A server that never answered is not waited for: the URL may be
    wrong. `given_up`, once set, ends every wait. `standpoint` is what the advice in its errors depends on.
    """

    def __init__(self, engine: Engine, *, given_up: threading.Event | None = None) -> None:
        self.engine = engine
        self.patience = NO_PATIENCE
        self._writer = engine.execution_options(**{WRITES: True})
        self.standpoint = Standpoint(url=engine.url)
        self._given_up = given_up or threading.Event()
        self._outage = Outage(self._given_up)
        self._answered = False
        self._ground: Ground | None = None
        self._write_back: WriteBack | None = None
        if path := self.path:
            self._ground = Ground(path, name=describe_url(self.url))
            self._write_back = WriteBack(engine, path)
            self._mind(self._ground)

    def _mind(self, ground: Ground) -> None:
        """Open connections to the file that was opened first, and to no other."""

        def before(*_: object) -> None:
            ground.require(in_use=False)

        def after(*_: object) -> None:
            ground.note()

        event.listen(self.engine, "do_connect", before)
        event.listen(self.engine, "connect", after)

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
        return file_of(self.url)

    def holds(self, path: Path) -> bool:
        """Whether a path names a file of this database: its own, one that SQLite keeps beside it, or a lock."""
        return self.path is not None and belongs(path, self.path)

    def size(self) -> int | None:
        """Return how many bytes the database takes, the write-ahead log included; None in memory."""
        if not self.is_sqlite:
            return self.read(_size_on_server)
        if self.path is None:
            return None
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def write(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that may write, and return what it returned once it is committed.

        `work` may run several times, even after a commit whose answer got lost: it must change nothing but the
        database, and must recognise what it has written before.
        """
        done = self._run(self._writer.begin, lambda connection: work(connection, *args, **kwargs))
        if self._write_back:
            self._write_back.after_commit()
        return done

    def read(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that only reads."""
        return self._run(self.engine.begin, lambda connection: work(connection, *args, **kwargs))

    def look(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, several statements that must see the store as of one moment, and return what it returned."""
        return self._run(self._as_of_now, work)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a long read that sees the store as it is now, whatever is written meanwhile."""
        with translated(self.standpoint), self._as_of_now() as connection:
            yield connection

    @contextmanager
    def _as_of_now(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
                # Who reads along may take their time over a row, unlike who holds locks.
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield connection.execution_options(yield_per=200)

    def tell_waiting(self, why: str, wait: timedelta) -> None:
        """Say in the log that the database is waited for."""
        log.warning("store.waiting", store=describe_url(self.url), reason=why, wait_s=wait.total_seconds())

    def pause(self, wait: timedelta) -> bool:
        """Wait, and return whether to go on: nobody has given up."""
        return not self._given_up.wait(wait.total_seconds())

    def give_up(self) -> None:
        """Stop waiting for a database that does not answer, now and from now on; for an orderly stop."""
        self._given_up.set()

    def close(self) -> None:
        """Close every connection."""
        self.give_up()
        self.engine.dispose()

    def _run(self, opened: Callable[[], AbstractContextManager[Connection]], work: Callable[[Connection], T]) -> T:
        tries = _Tries(self.patience)
        with translated(self.standpoint):
            while True:
                try:
                    with opened() as connection:
                        self._answered = True
                        done = work(connection)
                        if self._ground:
                            self._ground.require(in_use=True)
                        return done
                except DBAPIError as error:
                    if self._given_up.is_set() or not self._waited(error, tries):
                        raise

    def _waited(self, error: DBAPIError, tries: _Tries) -> bool:
        """Wait before a piece of work that failed is tried again; return False at once where it should not be."""

        def tell(wait: timedelta) -> None:
            self.tell_waiting(reason(error, self.standpoint), wait)

        course = course_after(error)
        if course is Course.RETURN:
            course = Course.WAIT if self._answered else Course.TELL
        if course is Course.WAIT:
            return self._waited_with_others(tries, tell)
        wait = next({Course.AGAIN: tries.conflicts, Course.FEW: tries.cancels}.get(course, iter(())), None)
        if wait is None:
            return False
        if course is Course.FEW:
            tell(wait)
        self.pause(wait)
        return True

    def _waited_with_others(self, tries: _Tries, tell: Callable[[timedelta], None]) -> bool:
        left = self.patience - tries.waited
        if left <= NO_PATIENCE:
            return False
        tries.waited += self._outage.wait(left, tell, again=tries.waited > NO_PATIENCE)
        return True


class Repository:
    """One part of the store; each of its methods is a function of a connection, run in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database


def writes(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Repository, P], T]:
    """Return `work` as a method that runs it in one transaction that may write; see `Database.write`."""

    @wraps(work)
    def method(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.write(work, *args, **kwargs)

    return method


def reads(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Repository, P], T]:
    """Return `work` as a method that runs it in one transaction that only reads."""

    @wraps(work)
    def method(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.read(work, *args, **kwargs)

    return method


class _Tries:
    """What one piece of work has been waited for so far, and may be yet."""

    def __init__(self, patience: timedelta) -> None:
        self.conflicts = short_waits(CONFLICTS)
        self.cancels = islice(growing_waits(patience), CANCELS)
        self.waited = NO_PATIENCE


def _size_on_server(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
