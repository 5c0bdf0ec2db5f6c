"""One database and its transactions: how a piece of work is run, tried again, and waited for in an outage."""

from __future__ import annotations

import random
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

from worker.clock import SystemClock
from worker.storage.db.errors import (
    ErrorContext,
    RetryAction,
    describe_error,
    describe_url,
    retry_action,
    translated_errors,
)
from worker.storage.db.sqlite_files import OpenFileGuard, WalCheckpoint, is_part_of_store, sqlite_file

# How long a database is waited for, and how often that is told: pauses that grow, shared by a process in an outage.


FIRST_WAIT, LONGEST_WAIT = timedelta(milliseconds=200), timedelta(seconds=10)
NO_WAIT: Final = timedelta(0)


def exponential_waits(patience: timedelta) -> Iterator[timedelta]:
    """Yield growing waits whose sum stays within `patience`."""
    wait, left = FIRST_WAIT, patience
    while left > NO_WAIT:
        yield min(wait, left)
        wait, left = min(2 * wait, LONGEST_WAIT), left - wait


def jittered_waits(count: int) -> Iterator[timedelta]:
    """Yield so many short waits at random, so that those who met go on one after the other."""
    for _ in range(count):
        yield FIRST_WAIT * random.random() / 4  # noqa: S311


class SharedBackoff:
    """The waits for a database that as a whole does not answer: one at a time, whoever waits, each longer.

    Whoever fails first begins a wait and tells of it; whoever fails while it lasts waits for its end, without a word.
    Waits begin anew at the shortest once nothing failed for as long as the longest: some calls may succeed all the
    while, as where a server has no room for one connection more.
    """

    def __init__(self, given_up: threading.Event) -> None:
        self._given_up = given_up
        self._clock = SystemClock()
        self._guard = threading.Lock()
        self._wait = NO_WAIT
        self._ends = float("-inf")

    def wait(self, patience: timedelta, on_start: Callable[[timedelta], None], *, again: bool) -> timedelta:
        """Wait for no longer than `patience`, and return for how long; `again` after another wait for the same."""
        begun, wait = self._reserve(patience, again=again)
        if begun:
            on_start(wait)
        self._given_up.wait(wait.total_seconds())
        if begun:
            with self._guard:
                self._ends = min(self._ends, self._clock.monotonic())
        return wait

    def _reserve(self, patience: timedelta, *, again: bool) -> tuple[bool, timedelta]:
        """Return whether a wait begins, and how long it is or the one under way still takes."""
        with self._guard:
            now = self._clock.monotonic()
            if now < self._ends:
                return False, min(timedelta(seconds=self._ends - now), patience)
            quiet = now - self._ends >= LONGEST_WAIT.total_seconds()
            self._wait = FIRST_WAIT if quiet and not again else min(max(2 * self._wait, FIRST_WAIT), LONGEST_WAIT)
            wait = min(self._wait, patience)
            self._ends = now + wait.total_seconds()
            return True, wait


P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()

WRITES: Final = "worker_writes"
MAX_CONFLICT_RETRIES: Final = 50
MAX_CANCEL_RETRIES: Final = 5


class Database:
    """One database, and the ways to use it: `read`, `write` and the long read `snapshot`.

    Where the server went away, has no room for us yet, takes no writes, or another program holds the file, a piece of
    work is tried again for as long as `patience` says. A server that never answered is not waited for: the URL may be
    wrong. `given_up`, once set, ends every wait. `context` is what the advice in its errors depends on.
    """

    def __init__(self, engine: Engine, *, given_up: threading.Event | None = None) -> None:
        self.engine = engine
        self.patience = NO_WAIT
        self._writer = engine.execution_options(**{WRITES: True})
        self.error_context = ErrorContext(url=engine.url)
        self._given_up = given_up or threading.Event()
        self._backoff = SharedBackoff(self._given_up)
        self._answered = False
        self._file_guard: OpenFileGuard | None = None
        self._checkpoint: WalCheckpoint | None = None
        if path := self.path:
            self._file_guard = OpenFileGuard(path, name=describe_url(self.url))
            self._checkpoint = WalCheckpoint(engine, path)
            self._guard_file(self._file_guard)

    def _guard_file(self, guard: OpenFileGuard) -> None:
        """Open connections to the file that was opened first, and to no other."""

        def before(*_: object) -> None:
            guard.require_unchanged(in_use=False)

        def after(*_: object) -> None:
            guard.remember()

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
        return sqlite_file(self.url)

    def holds(self, path: Path) -> bool:
        """Whether a path names a file of this database: its own, one that SQLite keeps beside it, or a lock."""
        return self.path is not None and is_part_of_store(path, self.path)

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
        if self._checkpoint:
            self._checkpoint.after_commit()
        return done

    def read(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that only reads."""
        return self._run(self.engine.begin, lambda connection: work(connection, *args, **kwargs))

    def read_consistent(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, several statements that must see the store as of one moment, and return what it returned."""
        return self._run(self._consistent, work)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a long read that sees the store as it is now, whatever is written meanwhile."""
        with translated_errors(self.error_context), self._consistent() as connection:
            yield connection

    @contextmanager
    def _consistent(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
                # Who reads along may take their time over a row, unlike who holds locks.
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield connection.execution_options(yield_per=200)

    def log_wait(self, why: str, wait: timedelta) -> None:
        """Say in the log that the database is waited for."""
        log.warning("store.waiting", store=describe_url(self.url), reason=why, wait_s=wait.total_seconds())

    def pause(self, wait: timedelta) -> bool:
        """Wait, and return whether to go on: nobody has given up."""
        return not self._given_up.wait(wait.total_seconds())

    def cancel_waits(self) -> None:
        """Stop waiting for a database that does not answer, now and from now on; for an orderly stop."""
        self._given_up.set()

    def close(self) -> None:
        """Close every connection."""
        self.cancel_waits()
        self.engine.dispose()

    def _run(self, opened: Callable[[], AbstractContextManager[Connection]], work: Callable[[Connection], T]) -> T:
        tries = _RetryBudget(self.patience)
        with translated_errors(self.error_context):
            while True:
                try:
                    with opened() as connection:
                        self._answered = True
                        done = work(connection)
                        if self._file_guard:
                            self._file_guard.require_unchanged(in_use=True)
                        return done
                except DBAPIError as error:
                    if self._given_up.is_set() or not self._wait_before_retry(error, tries):
                        raise

    def _wait_before_retry(self, error: DBAPIError, tries: _RetryBudget) -> bool:
        """Wait before a piece of work that failed is tried again; return False at once where it should not be."""

        def on_start(wait: timedelta) -> None:
            self.log_wait(describe_error(error, self.error_context), wait)

        action = retry_action(error)
        if action is RetryAction.WAIT_IF_KNOWN:
            action = RetryAction.WAIT if self._answered else RetryAction.FAIL
        if action is RetryAction.WAIT:
            return self._wait_for_server(tries, on_start)
        wait = next(
            {RetryAction.AT_ONCE: tries.conflicts, RetryAction.FEW_TIMES: tries.cancels}.get(action, iter(())), None
        )
        if wait is None:
            return False
        if action is RetryAction.FEW_TIMES:
            on_start(wait)
        self.pause(wait)
        return True

    def _wait_for_server(self, tries: _RetryBudget, on_start: Callable[[timedelta], None]) -> bool:
        left = self.patience - tries.waited
        if left <= NO_WAIT:
            return False
        tries.waited += self._backoff.wait(left, on_start, again=tries.waited > NO_WAIT)
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


class _RetryBudget:
    """What one piece of work has been waited for so far, and may be yet."""

    def __init__(self, patience: timedelta) -> None:
        self.conflicts = jittered_waits(MAX_CONFLICT_RETRIES)
        self.cancels = islice(exponential_waits(patience), MAX_CANCEL_RETRIES)
        self.waited = NO_WAIT


def _size_on_server(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
