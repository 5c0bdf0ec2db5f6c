"""The files of a SQLite store: the database, and the write-ahead log and index that SQLite keeps beside it.

`OpenFileGuard` detects that an open file was deleted or replaced; `WalCheckpoint` writes the log back.
"""

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
"""The suffixes of the files that SQLite keeps beside a database."""
_MAGIC: Final = {"-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"), "-journal": (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",)}
"""The first bytes of SQLite's logs (https://sqlite.org/fileformat2.html, sections 3 and 4.1)."""


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite database; None for one in memory or on a server."""
    name = url.database
    return Path(name) if url.get_backend_name() == "sqlite" and name and name != ":memory:" else None


def is_store_file(url: str, path: Path) -> bool:
    """Whether a path is a file of the store at a URL. The store need not exist; False for an invalid URL."""
    try:
        store = sqlite_file(make_url(url))
    except ArgumentError:
        return False
    return store is not None and is_part_of_store(path, store)


def is_part_of_store(path: Path, store: Path) -> bool:
    """Whether a path is the store's database, a file that SQLite keeps beside it, or a lock file of the worker."""
    try:
        file, own = path.resolve(), store.resolve()
        is_lock = file.name.startswith(f"{own.name}.") and file.name.endswith(".lock")
        beside = is_lock or file.name.removeprefix(own.name) in {"", *SIDE_FILES}
        return (file.parent == own.parent and beside) or (path.exists() and store.exists() and path.samefile(store))
    except OSError:  # the name is not possible, for example too long
        return False


def leftover_log(path: Path) -> Path | None:
    """Return a log beside a path that another database left there, None if there is none.

    SQLite would apply that log to any database that is written to the path.
    """
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


# Checks that the files of an open SQLite store are still those that were opened.
#
# SQLite does not check: it continues to read and write a file that was deleted or moved, or whose disk was unmounted.
# Everything written is lost when the last process closes the file.


_FileId = tuple[int, int]


class OpenFileGuard:
    """Remembers the device and inode numbers of a store's files, and compares them later.

    The files are not opened for that: closing one would release SQLite's locks on it (POSIX advisory locks).
    """

    def __init__(self, store: Path, *, name: str) -> None:
        self._store = store
        self._name = name
        self._id: _FileId | None = None
        self._beside: dict[Path, _FileId] = {}

    def remember(self) -> None:
        """Remember the files that exist now; to be called right after a connection was opened."""
        self._id = self._id or _id_of(self._store)
        found = ((path, _id_of(path)) for path in (Path(f"{self._store}-wal"), Path(f"{self._store}-shm")))
        self._beside = {path: number for path, number in found if number is not None}

    def require_unchanged(self, *, in_use: bool) -> None:
        """Raise StoreError if the store's file was deleted, moved or replaced.

        `in_use`: a connection is open, so its log must be the same, too.
        """
        if self._id is None:
            return
        found = _id_of(self._store)
        if found is None:
            raise StoreError(
                f"store {self._name} is gone: its file was deleted or moved, or its disk was unmounted; nothing is "
                "stored until it is back; for a new store, stop the worker and start it again",
                retry=True,
            )
        if found != self._id:
            raise StoreError(
                f"store {self._name} was replaced by another file while it was open, and nothing is stored: stop the "
                f"worker, remove {self._store.name}-wal and {self._store.name}-shm, which belong to the file it had, "
                "and start it again",
                retry=True,
            )
        if in_use and not self._beside:
            self.remember()  # a new store has no log before its first write
        for path, number in self._beside.items() if in_use else ():
            if _id_of(path) != number:
                raise StoreError(
                    f"store {self._name}: {path.name} was deleted or replaced while it was open; stop everything that "
                    "works on the store, which writes back what is left of it, and check with `corpus-worker audit`",
                    retry=True,
                )


def _id_of(path: Path) -> _FileId | None:
    """Return the device and inode number of a file, None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


# Checkpoints: writes the log of a SQLite store back into its file while no other connection can commit.
#
# SQLite before 3.51.3 (3.50.7, 3.44.6) can lose a commit for good if one connection runs a checkpoint while another
# restarts the log (sqlite.org/wal.html, "the WAL-reset bug"). The first connection reads the length of the log. Then a
# commit of the second one restarts the log, and sets the number of frames written back to zero. The first connection
# now stores the old length as that number, so later frames below it are never written back.
#
# Only a commit restarts the log, and no commit is possible while another connection holds the write lock. So automatic
# checkpoints are off (`wal_autocheckpoint = 0`), and the worker runs them on one connection while another of its
# connections holds the write lock without writing. SQLite runs one more checkpoint when the last connection is closed;
# it holds the file exclusively then, so no other process can open it.


WAL_LIMIT: Final = 32 * 2**20
"""How many bytes are added to the log between two checkpoints. In a large store one settle changes about forty pages
all over the index. With SQLite's default of 1000 pages (4 MiB) the 99th percentile of a settle was 27 to 32 ms instead
of 16 to 17 (docs/store.md, "Writing")."""


_WAL_HEADER: Final = 32  # bytes (https://sqlite.org/fileformat2.html, section 4.1)


class WalCheckpoint:
    """Runs a checkpoint of a SQLite store after a commit if the log has grown by WAL_LIMIT since the last one."""

    def __init__(self, engine: Engine, store: Path) -> None:
        self._engine = engine
        self._log = store.with_name(f"{store.name}-wal")
        self._written = 0

    def after_commit(self) -> None:
        """Run a checkpoint if it is due. Errors of SQLite are ignored: the commit is safe in the log."""
        size = self._size()
        if size < self._written:  # restarted; its first commit truncated the file (`journal_size_limit = 0`)
            self._written = 0
        if size - self._written < WAL_LIMIT:
            return
        with contextlib.suppress(sqlite3.Error):
            self._write_back()
        # A long reader keeps the log from being restarted: it grows further, without a checkpoint after every commit.
        self._written = size

    def rewrite(self) -> None:
        """Write the whole file anew (VACUUM), so that no deleted row is left in it; raises sqlite3.Error.

        The log still holds all of it until `write_all_back` returned true and one more transaction was committed.
        """
        folder = str(self._log.parent.absolute()).replace("'", "''")
        with closing(self._engine.raw_connection()) as connection:
            cursor = connection.cursor()
            # The copy that VACUUM makes would go into /var/tmp, which may be small.
            cursor.execute(f"PRAGMA temp_store_directory = '{folder}'")
            try:
                cursor.execute("VACUUM")
            finally:
                cursor.execute("PRAGMA temp_store_directory = ''")

    def write_all_back(self) -> bool:
        """Run a checkpoint; return whether the whole log is in the file now, and not held back by a long reader."""
        busy, log, written = self._write_back()
        return not busy and log == written

    def log_header(self) -> bytes:
        """Return the header of the log, which changes when a commit starts to overwrite the log; empty without one."""
        try:
            with self._log.open("rb") as file:
                return file.read(_WAL_HEADER)
        except FileNotFoundError:
            return b""

    def _write_back(self) -> tuple[int, int, int]:
        with closing(self._engine.raw_connection()) as holding, closing(self._engine.raw_connection()) as writing:
            held = holding.cursor()
            held.execute("BEGIN IMMEDIATE")
            try:
                # PASSIVE never waits for readers or writers.
                result = writing.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                return result[0], result[1], result[2]
            finally:
                held.execute("ROLLBACK")

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0
