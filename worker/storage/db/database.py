"""Runs transactions on the database, tries them again after conflicts, and waits while the database is unavailable.

`Database.read` and `Database.write` take a function whose first argument is a connection. `Repository`, `reads` and
`writes` make such functions into methods, so that each part of the store is a class without SQL of its own.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from worker.clock import SystemClock
from worker.logs import log
from worker.storage.db.errors import (
    ErrorContext,
    RetryAction,
    describe_error,
    describe_url,
    retry_action,
    translated_errors,
)
from worker.storage.db.sqlite_files import OpenFileGuard, WalCheckpoint, is_part_of_store, sqlite_file

# The waits between two tries: exponential, or short and random, or shared by all threads of a process in an outage.


FIRST_WAIT, LONGEST_WAIT = timedelta(milliseconds=200), timedelta(seconds=10)
"""Chosen, not measured: the first wait is shorter than a person notices, and the longest logs six lines a minute."""
NO_WAIT: Final = timedelta(0)  # for comparisons: no time is left to wait


def exponential_waits(patience: timedelta) -> Iterator[timedelta]:
    """Yield waits that double from FIRST_WAIT up to LONGEST_WAIT; their sum is `patience`."""
    wait, left = FIRST_WAIT, patience
    while left > NO_WAIT:
        yield min(wait, left)
        wait, left = min(2 * wait, LONGEST_WAIT), left - wait


def jittered_waits(count: int) -> Iterator[timedelta]:
    """Yield `count` random waits of up to 50 ms, so that transactions in conflict do not meet again at once."""
    for _ in range(count):
        yield FIRST_WAIT * random.random() / 4  # noqa: S311


class SharedBackoff:
    """Exponential backoff that all threads of a process share while the database as a whole does not answer.

    The first thread that fails starts a wait and logs it. A thread that fails during that wait only waits for its end,
    so an outage is logged once a wait and not once a thread. The waits start at FIRST_WAIT again when nothing has
    failed for LONGEST_WAIT. A success does not reset them: a server that is out of connections serves some calls.
    """

    def __init__(self, given_up: threading.Event) -> None:
        self._given_up = given_up
        self._clock = SystemClock()
        self._guard = threading.Lock()
        self._wait = NO_WAIT
        self._ends = float("-inf")

    def wait(self, patience: timedelta, on_start: Callable[[timedelta], None], *, again: bool) -> timedelta:
        """Wait for at most `patience`, and return how long the wait was.

        `on_start` is called with the wait, if this thread starts it. `again`: this transaction has waited before.
        """
        begun, wait = self._reserve(patience, again=again)
        if begun:
            on_start(wait)
        self._given_up.wait(wait.total_seconds())
        if begun:
            with self._guard:
                self._ends = min(self._ends, self._clock.monotonic())
        return wait

    def _reserve(self, patience: timedelta, *, again: bool) -> tuple[bool, timedelta]:
        """Start a wait or join the one under way; return whether it was started, and how long it takes from now."""
        with self._guard:
            now = self._clock.monotonic()
            if now < self._ends:
                return False, min(timedelta(seconds=self._ends - now), patience)
            recovered = now - self._ends >= LONGEST_WAIT.total_seconds()
            self._wait = FIRST_WAIT if recovered and not again else min(max(2 * self._wait, FIRST_WAIT), LONGEST_WAIT)
            wait = min(self._wait, patience)
            self._ends = now + wait.total_seconds()
            return True, wait


P = ParamSpec("P")
T = TypeVar("T")

WRITES: Final = "worker_writes"
"""The execution option of connections that write; `worker.storage.db.engine` starts their transactions differently."""
MAX_CONFLICT_RETRIES: Final = 50
"""Tries after a conflict between transactions. Chosen, not measured: 50 waits of 25 ms take a second."""
MAX_CANCEL_RETRIES: Final = 5
"""Tries after a cancelled statement. Chosen, not measured: the waits add up to six seconds, and a statement that is
cancelled each time (`statement_timeout` is too short for it) must end with the advice to raise that limit."""


class Database:
    """One database, with one method for each kind of transaction: `read`, `write`, `read_consistent` and `snapshot`.

    A transaction is tried again for up to `patience` while the server is away, has no free connection or takes no
    writes, or while another program locks the file. There is no wait for a server that has never answered: the URL may
    be wrong. Setting `given_up` ends every wait. `error_context` is used for the advice in error messages.
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
        """Refuse a new connection when the file at the path is no longer the one that was opened first."""

        def before(*_: object) -> None:
            guard.require_unchanged(in_use=False)

        def after(*_: object) -> None:
            guard.remember()

        event.listen(self.engine, "do_connect", before)
        event.listen(self.engine, "connect", after)

    @property
    def url(self) -> URL:
        """The URL of the database; it may contain a password, see `describe_url`."""
        return self.engine.url

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is SQLite; it is PostgreSQL otherwise."""
        return self.engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database; None for one in memory or on a server."""
        return sqlite_file(self.url)

    def free_bytes(self) -> int | None:
        """Return the free space beside a SQLite store; None for a server, whose disk is not this machine's."""
        return shutil.disk_usage(self.path.parent).free if self.path else None

    def holds(self, path: Path) -> bool:
        """Whether a path is a file of this database: the file itself, SQLite's log or index of it, or a lock file."""
        return self.path is not None and is_part_of_store(path, self.path)

    def size(self) -> int | None:
        """Return the size of the database in bytes, with SQLite's write-ahead log; None for one in memory."""
        if not self.is_sqlite:
            return self.read(_size_on_server)
        if self.path is None:
            return None
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def write(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that may write, commit it, and return the result of `work`.

        `work` may run several times, even after a commit whose confirmation was lost with the connection. So it must
        have no effect outside the database, and must recognise rows that an earlier try has written. Raises StoreError.
        """
        done = self._run(self._writer.begin, lambda connection: work(connection, *args, **kwargs))
        if self._checkpoint:
            self._checkpoint.after_commit()
        return done

    def read(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction that only reads, and return its result. Raises StoreError."""
        return self._run(self.engine.begin, lambda connection: work(connection, *args, **kwargs))

    def read_consistent(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction whose statements all see the same state of the store; return its result."""
        return self._run(self._consistent, work)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a connection for a long read: every statement sees the store as it was at the first one.

        Rows are fetched in batches, so a large result needs little memory. An error while reading is not tried again.
        """
        with translated_errors(self.error_context), self._consistent() as connection:
            yield connection

    @contextmanager
    def _consistent(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
                # A reader may be slow with a row: it holds no locks, which is what the timeout protects others from.
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield connection.execution_options(yield_per=200)

    def rewrite(self, commit: Callable[[Connection], None], *, patience: timedelta) -> bool:
        """Write a SQLite file and its log anew, so that they hold no deleted row; True at once on a server.

        `commit` writes anything: the log begins anew with it. Return False if a long reader kept the log for all of
        `patience`. Other writers wait for as long as copying the file takes. Raises StoreError, for example if the disk
        is full: as much as twice the size of the store has to be free.
        """
        checkpoint = self._checkpoint
        if checkpoint is None:
            return True
        with translated_errors(self.error_context):
            try:
                checkpoint.rewrite()
                waits = exponential_waits(patience)
                while not self._begin_log_anew(checkpoint, commit):
                    if (wait := next(waits, None)) is None or not self.pause(wait):
                        return False
            except sqlite3.OperationalError as error:
                raise OperationalError("VACUUM", None, error) from error
            return True

    def _begin_log_anew(self, checkpoint: WalCheckpoint, commit: Callable[[Connection], None]) -> bool:
        before = checkpoint.log_header()
        if not checkpoint.write_all_back():
            return False
        self.write(commit)
        return checkpoint.log_header() != before

    def log_wait(self, why: str, wait: timedelta) -> None:
        """Log that the worker waits for the database, with the reason and the length of the wait."""
        log.warning("store.waiting", store=describe_url(self.url), reason=why, wait_s=wait.total_seconds())

    def pause(self, wait: timedelta) -> bool:
        """Wait; return False if `cancel_waits` was called before or meanwhile."""
        return not self._given_up.wait(wait.total_seconds())

    def cancel_waits(self) -> None:
        """End all waits for an unavailable database and start no new ones, so that the process can stop."""
        self._given_up.set()

    def close(self) -> None:
        """End all waits and close every connection."""
        self.cancel_waits()
        self.engine.dispose()

    def _run(self, opened: Callable[[], AbstractContextManager[Connection]], work: Callable[[Connection], T]) -> T:
        """Run `work` in the transaction that `opened` begins, and again for as long as errors may be retried."""
        tries = _RetryBudget(self.patience)
        with translated_errors(self.error_context):
            while True:
                try:
                    with opened() as connection:
                        self._answered = True
                        done = work(connection)
                        # Leaving the block commits: into a file that was deleted, everything written would be lost.
                        if self._file_guard:
                            self._file_guard.require_unchanged(in_use=True)
                        return done
                except DBAPIError as error:
                    if self._given_up.is_set() or not self._wait_before_retry(error, tries):
                        raise

    def _wait_before_retry(self, error: DBAPIError, tries: _RetryBudget) -> bool:
        """Wait before the next try of a failed transaction; return False at once if it should not be tried again."""

        def on_start(wait: timedelta) -> None:
            self.log_wait(describe_error(error, self.error_context), wait)

        action = retry_action(error)
        if action is RetryAction.WAIT_IF_KNOWN:
            action = RetryAction.WAIT if self._answered else RetryAction.FAIL
        if action is RetryAction.WAIT:
            return self._wait_for_server(tries, on_start)
        waits = {RetryAction.AT_ONCE: tries.conflicts, RetryAction.FEW_TIMES: tries.cancels}
        wait = next(waits.get(action, iter(())), None)
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
    """Base of the parts of a store. Their methods are made with `reads` and `writes`: one transaction a call."""

    def __init__(self, database: Database) -> None:
        self.database = database


def writes(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Repository, P], T]:
    """Return a method of a Repository that runs `work` through `Database.write`."""

    @wraps(work)
    def method(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.write(work, *args, **kwargs)

    return method


def reads(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Repository, P], T]:
    """Return a method of a Repository that runs `work` through `Database.read`."""

    @wraps(work)
    def method(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.read(work, *args, **kwargs)

    return method


class _RetryBudget:
    """The waits that one transaction has left, by kind of error, and how long it has waited for the server so far."""

    def __init__(self, patience: timedelta) -> None:
        self.conflicts = jittered_waits(MAX_CONFLICT_RETRIES)
        self.cancels = islice(exponential_waits(patience), MAX_CANCEL_RETRIES)
        self.waited = NO_WAIT


def _size_on_server(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
