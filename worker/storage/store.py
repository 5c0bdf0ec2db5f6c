"""The open store: one database, the ledger, and every other part that the flows and the commands use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from sqlalchemy import Connection

from worker.models import IndexParameters
from worker.storage.corpus import settling
from worker.storage.corpus.index import require_parameters, stored_parameters
from worker.storage.corpus.reader import StoreReader
from worker.storage.corpus.settling import SeedStore
from worker.storage.db.database import Database, Repository, reads, writes
from worker.storage.db.engine import connect
from worker.storage.db.locks import DaemonLock
from worker.storage.db.meta import require_complete
from worker.storage.db.migrate import MIGRATION_KEY, bring_up_to_date, require_privileges
from worker.storage.db.sql import lock_keys, require_utf8
from worker.storage.maintenance.backup import Backup, back_up
from worker.storage.maintenance.prune import Pruned, prune, prune_steps
from worker.storage.maintenance.reindex import require_finished
from worker.storage.maintenance.review import StoreReview
from worker.storage.queue import claims, intake, outcomes, sources, workers
from worker.storage.queue.backfills import BackfillStore
from worker.storage.queue.contents import find_fallback
from worker.storage.queue.hosts import HostStore, ParagraphStore
from worker.storage.queue.outcomes import queue_rechecks
from worker.storage.queue.workers import correct_times, daemons, is_direct, name_connections

# The ledger as the flows use it: each call is one transaction, described where its function is.


class StoredLedger(Repository):
    """`Ledger` on the store."""

    source_state = reads(sources.source_state)
    lead_poll = writes(sources.lead_poll)
    record_poll = writes(intake.record_poll)
    replan = writes(sources.replan)
    enqueue = writes(intake.enqueue)
    queue_rechecks = writes(queue_rechecks)
    claim = writes(claims.claim)
    extend = writes(claims.extend)
    release = writes(claims.release)
    lease_owners = reads(workers.lease_owners)
    reclaim = writes(workers.reclaim)
    fallback = reads(find_fallback)
    finish = writes(outcomes.finish)
    settle = writes(settling.settle)
    pending = reads(claims.pending)
    has_due = reads(claims.has_due)
    next_due = reads(claims.next_due)


PATIENCE = timedelta(minutes=5)
"""How long a store that does not answer is waited for: a restart or a failover takes less."""


class Store:
    """An open store."""

    def __init__(self, database: Database) -> None:
        self.ledger = StoredLedger(database)
        self.seeds = SeedStore(database)
        self.reader = StoreReader(database)
        self.hosts = HostStore(database)
        self.backfills = BackfillStore(database)
        self.paragraphs = ParagraphStore(database)
        self.review = StoreReview(database)
        self._database = database
        self._lock = DaemonLock(database.path) if database.path else None

    def back_up(self, path: Path, *, replace: bool = False) -> Backup:
        """Copy a SQLite store to a file beside running work, and check the copy; raises StoreError."""
        return back_up(self._database, path, replace=replace)

    def holds(self, path: Path) -> bool:
        """Whether a path names a file of this store, which nothing else may write."""
        return self._database.holds(path)

    def prune(self, *, older_than: datetime, dry_run: bool = False) -> Pruned:
        """Let go of raw pages and histories from before a time; never of a text of the corpus."""
        return prune(self._database, older_than=older_than, dry_run=dry_run)

    def pruning(self, *, older_than: datetime) -> Iterator[Pruned]:
        """Do the same in short steps, one for each item asked for."""
        return prune_steps(self._database, older_than=older_than)

    def mend_times(self, *, now: datetime) -> timedelta:
        """Bring times from a clock that ran ahead back to now: turns, rests, leases, due times; return how far."""
        return self._database.write(correct_times, now=now)

    def be_patient(self, patience: timedelta) -> None:
        """Wait for a database that does not answer for as long as that, from now on."""
        self._database.patience = patience

    def give_up(self) -> None:
        """Stop waiting for a database that does not answer; for an orderly stop."""
        self._database.give_up()

    def lock_daemon(self, owner: str) -> None:
        """Be the only daemon on this store, described by `owner`; raises StoreBusy naming the one that is.

        On PostgreSQL any number of daemons share a store, so there is nothing to hold.
        """
        if self._lock is not None:
            self._lock.take(owner)

    def unlock_daemon(self) -> None:
        """Let another daemon in."""
        if self._lock is not None:
            self._lock.give_back()

    def daemon(self) -> str:
        """Return what the daemon that works on this store says of itself, or the names of several; empty for none."""
        return self._lock.holder() if self._lock is not None else self._database.read(daemons)

    def knows_daemons(self) -> bool:
        """Whether `daemon` is sure that there is none: it cannot look past a connection pooler."""
        return self._database.is_sqlite or self._database.read(is_direct)

    def introduce(self, *, command: str, worker: str) -> None:
        """Let others see that this process has the store open for work: as which command, and under which name."""
        if not self._database.is_sqlite:
            name_connections(self._database.engine, command=command, worker=worker)

    def require_rights(self) -> None:
        """Raise StoreError where this role cannot write all there is to write, saying what it lacks."""
        require_privileges(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and let another daemon in."""
        self.unlock_daemon()
        self._database.close()


def open_store(
    url: str,
    *,
    parameters: IndexParameters | None,
    create: bool = True,
    patience: timedelta = PATIENCE,
    given_up: threading.Event | None = None,
) -> Store:
    """Open the store at a SQLAlchemy URL, made or migrated as needed.

    Who only reads needs no `parameters`. Raises StoreError where it cannot be used: it is newer than this program, its
    index was made with other `parameters`, it cannot be reached or written, or `create` is off and there is none, or an
    older one.
    A store that is starting, full, on a standby or held by another program is waited for as long as `patience` says,
    and so is one that has answered before and does not any more, until `given_up` is set.
    """
    database = connect(url, create=create, given_up=given_up)
    database.patience = patience
    database.standpoint = replace(database.standpoint, only_reads=parameters is None)
    try:
        if not database.is_sqlite:
            database.read(require_utf8)
        bring_up_to_date(database, create=create)
        database.read(require_complete)
        database.read(require_finished)
        # Asked first: whoever only reads does not wait for a writer.
        if parameters is not None and database.read(stored_parameters) != parameters:
            database.write(agree_on_parameters, parameters)
    except BaseException:
        database.close()
        raise
    return Store(database)


def agree_on_parameters(connection: Connection, parameters: IndexParameters) -> None:
    """Let a new store remember how its index is made; raises StoreError in one whose index was made otherwise."""
    lock_keys(connection, [MIGRATION_KEY])  # several may open a new store together
    require_parameters(connection, parameters)
