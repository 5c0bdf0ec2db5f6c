"""The open store: one database, and every view of it that the flows and the commands use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from worker.models import IndexParameters
from worker.storage.backfills import StoredBackfills
from worker.storage.backup import Backup, back_up
from worker.storage.clocks import mend_times
from worker.storage.database import Database
from worker.storage.dialect import require_utf8
from worker.storage.engine import connect
from worker.storage.hosts import StoredHostBook
from worker.storage.index import stored_parameters
from worker.storage.ledger import StoredLedger
from worker.storage.lock import DaemonLock
from worker.storage.migrate import agree_on_parameters, bring_up_to_date
from worker.storage.paragraphs import StoredParagraphMemory
from worker.storage.provenance import require_whole
from worker.storage.pruning import Pruned, prune, pruning
from worker.storage.reader import StoredReader
from worker.storage.reindexing import require_finished
from worker.storage.review import StoredReview
from worker.storage.rights import require_rights
from worker.storage.shelf import StoredSeedShelf
from worker.storage.workers import daemons, introduce, is_direct

PATIENCE = timedelta(minutes=5)
"""How long a store that does not answer is waited for: a restart or a failover takes less."""


class Store:
    """An open store."""

    def __init__(self, database: Database) -> None:
        self.ledger = StoredLedger(database)
        self.seeds = StoredSeedShelf(database)
        self.reader = StoredReader(database)
        self.hosts = StoredHostBook(database)
        self.backfills = StoredBackfills(database)
        self.paragraphs = StoredParagraphMemory(database)
        self.review = StoredReview(database)
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
        return pruning(self._database, older_than=older_than)

    def mend_times(self, *, now: datetime) -> timedelta:
        """Bring times from a clock that ran ahead back to now: turns, rests, leases, due times; return how far."""
        return self._database.write(mend_times, now=now)

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
            introduce(self._database.engine, command=command, worker=worker)

    def require_rights(self) -> None:
        """Raise StoreError where this role cannot write all there is to write, saying what it lacks."""
        require_rights(self._database)

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
        database.read(require_whole)
        database.read(require_finished)
        # Asked first: whoever only reads does not wait for a writer.
        if parameters is not None and database.read(stored_parameters) != parameters:
            database.write(agree_on_parameters, parameters)
    except BaseException:
        database.close()
        raise
    return Store(database)
