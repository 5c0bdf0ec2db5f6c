"""A copy of a SQLite store while it is in use: made by SQLite itself, checked before it gets its name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from worker.errors import StoreError
from worker.models import Books
from worker.storage import audit
from worker.storage.border import describe_url
from worker.storage.database import Database
from worker.storage.engine import connect

PAGES_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup: where it is, how large, and the books it holds."""

    path: Path
    size: int
    books: Books


def back_up(database: Database, path: Path) -> Backup:
    """Copy the store to a new file, beside running work, and check the copy's pages and books.

    Raises StoreError where the file exists, cannot be written, or does not hold a sound store; nothing is left of a
    copy that failed.
    """
    if database.path is None:
        raise StoreError(f"store {describe_url(database.url)} is no SQLite file: back it up with pg_dump")
    if path.exists():
        raise StoreError(f"{path} exists: name a new file for the backup")
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        _copy(database.path, unfinished)
        books = _checked(unfinished)
        unfinished.rename(path)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"backup {path} cannot be made ({error}): nothing was changed in the store") from error
    finally:
        for leftover in path.parent.glob(f"{unfinished.name}*"):
            leftover.unlink()
    return Backup(path=path, size=path.stat().st_size, books=books)


def _copy(origin: Path, target: Path) -> None:
    with closing(sqlite3.connect(origin)) as source, closing(sqlite3.connect(target)) as copy:
        # In steps, so that a writer waits for one of them at most; what it writes meanwhile is copied as well.
        source.backup(copy, pages=PAGES_AT_ONCE, sleep=0.005)
        copy.execute("PRAGMA journal_mode = DELETE")


def _checked(path: Path) -> Books:
    with closing(sqlite3.connect(path)) as copy:
        (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise StoreError(f"backup {path} is damaged ({found}): check the disks, and try again")
    database = connect(make_url(f"sqlite:///{path}").render_as_string())
    try:
        books = database.look(audit.books)
    finally:
        database.close()
    if not books.balanced:
        raise StoreError(f"the store has problems, and so would its backup: {books.problems[0]}; see `audit`")
    return books
