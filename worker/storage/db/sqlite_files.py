"""The files of a SQLite store: which they are, whether they are still there, when the log is written back."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from worker.errors import StoreError

SIDE_FILES: Final = ("-wal", "-shm", "-journal")
"""What SQLite adds to the name of a database for the files beside it."""
_MAGIC: Final = {"-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"), "-journal": (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",)}
"""What SQLite's own logs begin with."""


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite database; None in memory or on a server."""
    name = url.database
    return Path(name) if url.get_backend_name() == "sqlite" and name and name != ":memory:" else None


def is_store_file(url: str, path: Path) -> bool:
    """Whether a path names a file of the store at a URL, whether or not that can be opened."""
    try:
        store = sqlite_file(make_url(url))
    except ArgumentError:
        return False
    return store is not None and is_part_of_store(path, store)


def is_part_of_store(path: Path, store: Path) -> bool:
    """Whether a path names a database's own file, one that SQLite keeps beside it, or a lock."""
    try:
        place, own = path.resolve(), store.resolve()
        is_lock = place.name.startswith(f"{own.name}.") and place.name.endswith(".lock")
        beside = is_lock or place.name.removeprefix(own.name) in {"", *SIDE_FILES}
        return (place.parent == own.parent and beside) or (path.exists() and store.exists() and path.samefile(store))
    except OSError:  # no file can have such a name
        return False


def leftover_log(path: Path) -> Path | None:
    """Return a log of SQLite that lies beside a path: it would be read into whatever file gets that name."""
    for ending, beginnings in _MAGIC.items():
        log = path.with_name(path.name + ending)
        try:
            if log.is_file():
                with log.open("rb") as file:
                    if file.read(8).startswith(beginnings):
                        return log
        except OSError:
            return log
    return None


# Whether the files of an open SQLite store are still those that were opened.
#
# SQLite does not look: it goes on reading and writing a file that was deleted or moved away, or whose disk has gone,
# and everything written is lost with the last process that has it open.


_FileId = tuple[int, int]


class OpenFileGuard:
    """Remembers which files a store was opened in. They are not opened for that: to close one would drop the locks."""

    def __init__(self, store: Path, *, name: str) -> None:
        self._store = store
        self._name = name
        self._id: _FileId | None = None
        self._beside: dict[Path, _FileId] = {}

    def remember(self) -> None:
        """Remember what is there, right after a connection was opened."""
        self._id = self._id or _id_of(self._store)
        found = ((path, _id_of(path)) for path in (Path(f"{self._store}-wal"), Path(f"{self._store}-shm")))
        self._beside = {path: number for path, number in found if number is not None}

    def require_unchanged(self, *, in_use: bool) -> None:
        """Raise StoreError where the store is not there any more; `in_use` while a connection has its log open."""
        if self._id is None:
            return
        found = _id_of(self._store)
        if found is None:
            raise StoreError(
                f"store {self._name} is gone: its file was deleted or moved, or its disk is away; nothing is stored "
                "until it is back; to begin a new store, stop the worker and start it anew",
                retry=True,
            )
        if found != self._id:
            raise StoreError(
                f"store {self._name} was replaced by another file while it was open, and nothing is stored: stop the "
                f"worker, remove {self._store.name}-wal and {self._store.name}-shm, which belong to the file it had, "
                "and start it anew",
                retry=True,
            )
        if in_use and not self._beside:
            self.remember()  # a store that is being made has no log until somebody writes to it
        for path, number in self._beside.items() if in_use else ():
            if _id_of(path) != number:
                raise StoreError(
                    f"store {self._name}: {path.name} was deleted or replaced while it was open; stop everything that "
                    "works on the store, which writes back what is left of it, and check with `corpus-worker audit`",
                    retry=True,
                )


def _id_of(path: Path) -> _FileId | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


# Writes the log of a SQLite store back into its file, and lets nobody commit meanwhile.
#
# SQLite before 3.51.3 (3.50.7, 3.44.6) can lose a commit for good where one connection writes the log back while
# another begins it anew (sqlite.org/wal.html, "the WAL-reset bug"): the first has read how long the log is, a commit
# begins it anew and sets to nothing what counts as written back, and the first then notes the old length. What is
# written up to that length later on is passed over ever after.
#
# Only a commit begins the log anew, and no commit is possible while another connection holds the write lock. So no
# connection of ours writes back by itself (`wal_autocheckpoint = 0`): we do, on one connection, while another of ours
# holds that lock and has written nothing. SQLite itself writes back once more when the last connection is closed: then
# it has the whole file to itself, and nobody else can even open it.


WAL_LIMIT: Final = 32 * 2**20
"""How far the log grows. In a large store a settle touches some forty pages of the index anywhere: with SQLite's own
thousand pages every twentieth settle would pay for writing them back."""


class WalCheckpoint:
    """Looks at the log of one SQLite store after each commit, and writes it back where it has grown by LIMIT."""

    def __init__(self, engine: Engine, store: Path) -> None:
        self._engine = engine
        self._log = store.with_name(f"{store.name}-wal")
        self._written = 0

    def after_commit(self) -> None:
        """Write the log back if it is time; an error is nobody's here: what was committed is in the log."""
        size = self._size()
        if size < self._written:  # it was begun anew, and its first commit cut it short (`journal_size_limit = 0`)
            self._written = 0
        if size - self._written < WAL_LIMIT:
            return
        with contextlib.suppress(sqlite3.Error):
            self._write_back()
        self._written = size  # where somebody still reads what is in it, it grows on: then not after every commit

    def _write_back(self) -> None:
        with closing(self._engine.raw_connection()) as holding, closing(self._engine.raw_connection()) as writing:
            held = holding.cursor()
            held.execute("BEGIN IMMEDIATE")
            try:
                # The passive way: it waits for nobody.
                writing.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            finally:
                held.execute("ROLLBACK")

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0
