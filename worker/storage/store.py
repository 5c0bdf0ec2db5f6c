"""The open store: one database with the ledger, the corpus, the seeds, the hosts and the maintenance operations.

`open_store` creates or migrates the store where needed and returns a `Store`, whose attributes are the parts.
`open_for_work` and `open_read_only` open the store of a command.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, Self, TypeVar

from sqlalchemy import Connection

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.logs import log
from worker.models import IndexParameters
from worker.ports import Ledger
from worker.storage.corpus import judge_model
from worker.storage.corpus.index import require_parameters, stored_parameters
from worker.storage.corpus.reader import StoreReader
from worker.storage.corpus.search_index import SEARCH_BATCH, index_queued_texts
from worker.storage.db.database import Database
from worker.storage.db.engine import connect
from worker.storage.db.locks import DaemonLock
from worker.storage.db.migrate import (
    MIGRATION_KEY,
    bring_up_to_date,
    read_meta,
    require_complete,
    require_finished,
    require_privileges,
    write_meta,
)
from worker.storage.db.schema import META
from worker.storage.db.sql import lock_keys, lock_table, require_utf8
from worker.storage.queue.backfills import BackfillStore
from worker.storage.queue.hosts import HostStore, ParagraphStore
from worker.storage.queue.workers import WorkerRecord, believable_time, correct_times, name_connections

if TYPE_CHECKING:
    from worker.storage.ledger import StoredLedger
    from worker.storage.maintenance.backup import Backup
    from worker.storage.maintenance.prune import Pruned
    from worker.storage.maintenance.review import StoreReview
    from worker.storage.seeds.importing import SeedStore
    from worker.storage.seeds.removal import SeedRemoval

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = timedelta(minutes=5)
"""How long a transaction waits for an unavailable store. Chosen, not measured: a restart or failover takes less."""


class Store:
    """An open store, to be closed after use, or used as a context manager.

    All methods block the calling thread, and raise StoreError if the database fails. They may be called from several
    threads. The parts that only work needs are imported when they are used, so that read-only commands start fast.
    """

    def __init__(self, database: Database) -> None:
        self.reader = StoreReader(database)
        self.hosts = HostStore(database)
        self.backfills = BackfillStore(database)
        self.paragraphs = ParagraphStore(database)
        self.opened_at: datetime | None = None
        """When it was opened for work, as far as that can be believed (`believable_time`)."""
        self._database = database
        self._lock = DaemonLock(database.path) if database.path else None

    @cached_property
    def ledger(self) -> StoredLedger:
        """The queue of candidates and its outcomes."""
        from worker.storage.ledger import StoredLedger

        return StoredLedger(self._database)

    @cached_property
    def seeds(self) -> SeedStore:
        """The import of the seed corpus."""
        from worker.storage.seeds.importing import SeedStore

        return SeedStore(self._database)

    @cached_property
    def seed_removal(self) -> SeedRemoval:
        """The removal of seeds."""
        from worker.storage.seeds.removal import SeedRemoval

        return SeedRemoval(self._database)

    @cached_property
    def review(self) -> StoreReview:
        """What `reprocess`, `duplicates` and `forget` do to the whole store."""
        from worker.storage.maintenance.review import StoreReview

        return StoreReview(self._database)

    def back_up(self, path: Path, *, replace: bool = False) -> Backup:
        """Copy a SQLite store in use to a file, and check the copy; raises StoreError. See `maintenance.backup`."""
        from worker.storage.maintenance.backup import back_up

        return back_up(self._database, path, replace=replace)

    def holds(self, path: Path) -> bool:
        """Whether a path is one of the files of this store, which no other output may overwrite."""
        return self._database.holds(path)

    def prune(self, *, older_than: datetime, dry_run: bool = False) -> Pruned:
        """Delete raw pages and histories from before a time, but no text of the corpus; see `maintenance.prune`."""
        from worker.storage.maintenance.prune import prune

        return prune(self._database, older_than=older_than, dry_run=dry_run)

    def prune_in_steps(self, *, older_than: datetime) -> Iterator[Pruned]:
        """Do the same in small steps, one for each item that the caller takes from the iterator."""
        from worker.storage.maintenance.prune import prune_steps

        return prune_steps(self._database, older_than=older_than)

    def index_queued_texts(self, *, limit: int = SEARCH_BATCH) -> int:
        """Put some of the articles that full-text search lacks into its index; return how many, 0 when none is left."""
        return self._database.write(index_queued_texts, limit=limit)

    def rewrite_search_index(self) -> Iterator[None]:
        """Rewrite the index of full-text search in small steps, one for each item, without what was removed from it.

        Only SQLite needs it: its index keeps the words of a removed text until then.
        """
        from worker.storage.corpus.search import rewrite_step

        while self._database.write(rewrite_step):
            yield

    def correct_times(self, *, now: datetime) -> timedelta:
        """Set times that lie too far in the future back to now, as a clock that ran ahead leaves them.

        These are slots and pauses of hosts, leases and due times. Return by how much the largest was wrong.
        """
        return self._database.write(correct_times, now=now)

    def check_clock(self, *, now: datetime) -> None:
        """Correct times in the future, and decide in `opened_at` which time is believed."""
        self.correct_times(now=now)
        self.opened_at = self._database.read(believable_time, now=now)

    def set_patience(self, patience: timedelta) -> None:
        """Set how long a transaction waits for an unavailable database."""
        self._database.patience = patience

    def change_note(self, name: str, change: Callable[[str], tuple[str, T]]) -> T:
        """Replace a note in one transaction by what `change` makes of it; return the other thing that it returns.

        A note that was never written is empty. `change` has to be pure: the transaction may be repeated.
        """
        return self._database.write(_change_note, name, change)

    def cancel_waits(self) -> None:
        """End all waits for an unavailable database and start no new ones, so that the process can stop."""
        self._database.cancel_waits()

    def lock_daemon(self, owner: str) -> None:
        """Take the daemon lock of a SQLite store; raises StoreBusy with the description of the daemon that holds it.

        `owner` describes this daemon. No effect on PostgreSQL, where any number of daemons share a store.
        """
        if self._lock is not None:
            self._lock.acquire(owner)

    def unlock_daemon(self) -> None:
        """Release the daemon lock, if held."""
        if self._lock is not None:
            self._lock.release()

    def workers(self, *, now: datetime) -> tuple[WorkerRecord, ...]:
        """Return the workers with leases or connections; those of this machine whose process is gone have ended."""
        return tuple(replace(each, ended=is_dead(each.name)) for each in self.reader.workers(now=now))

    def announce(self, *, command: str, worker: str) -> None:
        """Show to other processes that this one works on the store: its command, and its name as a worker.

        On PostgreSQL this is the connections' `application_name`. No effect on SQLite.
        """
        if not self._database.is_sqlite:
            name_connections(self._database.engine, command=command, worker=worker)

    def save_first_terms(self, terms: str) -> None:
        """Save which terms of judgement a new store uses; no effect if it has some. `terms` as in `Deduper.terms`."""
        if self._database.read(judge_model.terms) is None:
            self._database.write(judge_model.save_first_terms, terms)

    def require_rights(self) -> None:
        """Raise StoreError if the PostgreSQL role lacks a privilege to write to the store, with the GRANT to run."""
        require_privileges(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the daemon lock and close every connection."""
        self.unlock_daemon()
        self._database.close()


def _change_note(connection: Connection, name: str, change: Callable[[str], tuple[str, T]]) -> T:
    lock_table(connection, META)  # another process may change the same note
    value, result = change(read_meta(connection, name) or "")
    write_meta(connection, name, value)
    return result


def open_store(
    url: str,
    *,
    parameters: IndexParameters | None,
    create: bool = True,
    patience: timedelta = PATIENCE,
    given_up: threading.Event | None = None,
) -> Store:
    """Open the store at a SQLAlchemy URL. It is created or migrated if necessary, unless `create` is off.

    `parameters` are those of the index; None opens the store for reading only. While the database is starting, has no
    free connection, is a standby or is locked, the call waits for up to `patience`, or until `given_up` is set.

    Raises StoreError if the store is of a newer version, if its index was made with other parameters, if it cannot be
    reached or written; with `create` off also StoreMissing for a missing store, and StoreError for an older version.
    """
    database = connect(url, create=create, given_up=given_up)
    database.patience = patience
    database.error_context = replace(database.error_context, only_reads=parameters is None)
    try:
        if not database.is_sqlite:
            database.read(require_utf8)
        bring_up_to_date(database, create=create)
        database.read(require_complete)
        database.read(require_finished)
        # Read first: usually nothing has to be written, and a read does not wait for a writer.
        if parameters is not None and database.read(stored_parameters) != parameters:
            database.write(agree_on_parameters, parameters)
    except BaseException:
        database.close()
        raise
    return Store(database)


def agree_on_parameters(connection: Connection, parameters: IndexParameters) -> None:
    """Save the index parameters of a new store; raises StoreError if the store was made with others."""
    lock_keys(connection, [MIGRATION_KEY])  # several processes may open a new store at the same time
    require_parameters(connection, parameters)


# Opens the store of a command, for reading or for work, and runs its blocking calls on threads.
#
# Opening for work migrates the store, repairs the times that a wrong clock has written, and frees the leases of dead
# processes of this machine. Nothing here imports fetch, extract or dedupe, so that read-only commands start fast.

_INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC
"""The inode number of the initial PID namespace (PROC_PID_INIT_INO in Linux's proc_ns.h); a container has another."""


def open_read_only(settings: Settings, *, patience: timedelta = PATIENCE) -> Store:
    """Open an existing store for reading; raises StoreError. `patience` is as in `open_store`."""
    return open_store(settings.store.url, parameters=None, create=False, patience=patience)


async def open_for_work(
    url: str, parameters: IndexParameters, patience: timedelta, *, command: str, create: bool = True
) -> Store:
    """Open the store for work as `command`, creating it if it is missing and `create` is on; raises StoreError.

    This runs on a thread, as a migration may take minutes in which the event loop must serve probes and signals. While
    the database is unavailable the call waits for up to `patience`; cancelling the task ends the wait.
    """
    import asyncio

    given_up = threading.Event()
    try:
        store = await asyncio.to_thread(_open_and_repair, url, parameters, patience, given_up, create=create)
    except asyncio.CancelledError:
        given_up.set()
        raise
    store.announce(command=command, worker=worker_name())
    return store


def _open_and_repair(
    url: str, parameters: IndexParameters, patience: timedelta, given_up: threading.Event, *, create: bool
) -> Store:
    """Open the store, and repair what wrong clocks and dead workers have left in it."""
    store = open_store(url, parameters=parameters, create=create, patience=patience, given_up=given_up)
    try:
        store.require_rights()
        store.check_clock(now=SystemClock().now())
        _reclaim_dead_leases(store.ledger)
    except BaseException:
        store.close()
        raise
    store.set_patience(PATIENCE)
    return store


def _reclaim_dead_leases(ledger: Ledger) -> None:
    """Free the leases of dead workers of this machine, so that their candidates need not wait until a lease ends."""
    dead = [name for name in ledger.lease_owners() if is_dead(name)]
    if dead and (freed := ledger.reclaim(dead)):
        log.info("store.taken_over", candidates=freed, workers=", ".join(dead))


def is_dead(worker: str) -> bool:
    """Return whether a worker of this machine has ended; False for one of another machine, where nobody knows."""
    machine, _, pid = worker.rpartition(":")
    if machine != _machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return int(pid) == os.getpid()  # a lease in this process's name is from an earlier process with the same id


def worker_name() -> str:
    """Return the name of this process in leases: host name, PID namespace if in a container, and process id."""
    return f"{_machine()}:{os.getpid()}"


def _machine() -> str:
    # Containers may share a host name, and each of them has a process 1.
    namespace = Path("/proc/self/ns/pid")
    in_container = namespace.exists() and namespace.stat().st_ino != _INITIAL_PID_NAMESPACE
    return f"{socket.gethostname()}/{namespace.stat().st_ino}" if in_container else socket.gethostname()


class StoreExecutor:
    """Runs blocking calls of the store on its own threads, so that neither the event loop nor name look-ups wait.

    Calls start in the order in which they were made. SQLite has one writer, so one thread is enough for it.
    """

    def __init__(self, *, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="store")

    async def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` on a thread and return its result. A cancelled task does not end the call on the thread."""
        import asyncio

        future = self._executor.submit(partial(call, *args, **kwargs))
        return await asyncio.wrap_future(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, *, wait: bool = True) -> None:
        """Take no more calls; with `wait`, return when those that are running have ended."""
        with contextlib.suppress(RuntimeError):
            self._executor.shutdown(wait=wait, cancel_futures=not wait)
