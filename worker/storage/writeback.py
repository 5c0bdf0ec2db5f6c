"""Writes the log of a SQLite store back into its file, and lets nobody commit meanwhile.

SQLite before 3.51.3 (3.50.7, 3.44.6) can lose a commit for good where one connection writes the log back while
another begins it anew (sqlite.org/wal.html, "the WAL-reset bug"): the first has read how long the log is, a commit
begins it anew and sets to nothing what counts as written back, and the first then notes the old length. What is
written up to that length later on is passed over ever after.

Only a commit begins the log anew, and no commit is possible while another connection holds the write lock. So no
connection of ours writes back by itself (`wal_autocheckpoint = 0`): we do, on one connection, while another of ours
holds that lock and has written nothing. SQLite itself writes back once more when the last connection is closed: then
it has the whole file to itself, and nobody else can even open it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

LIMIT: Final = 32 * 2**20
"""How far the log grows. In a large store a settle touches some forty pages of the index anywhere: with SQLite's own
thousand pages every twentieth settle would pay for writing them back."""


class WriteBack:
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
        if size - self._written < LIMIT:
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
