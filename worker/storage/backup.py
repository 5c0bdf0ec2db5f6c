"""A copy of a SQLite store while it is in use: made by SQLite itself, checked before it gets its name."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url

from worker.errors import StoreError
from worker.models import Books
from worker.storage import audit
from worker.storage.border import describe_url
from worker.storage.database import Database
from worker.storage.engine import connect

PAGES_AT_ONCE: Final = 2000
SECRETS: Final = ("password", "sslpassword", "passfile")
"""Parameters of a server's URL that are not to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup: where it is, how large, and the books it holds."""

    path: Path
    size: int
    books: Books


def back_up(database: Database, path: Path, *, replace: bool = False) -> Backup:
    """Copy the store to a file, beside running work, and check the copy's pages and books before it gets its name.

    Raises StoreError where the file exists and `replace` is off, cannot be written, or does not hold a sound store;
    nothing is left of a copy that failed, and a file that it should replace stays as it was.
    """
    if database.path is None:
        raise StoreError(f"store {describe_url(database.url)} is no SQLite file: {_other_way(database.url, path)}")
    if not path.parent.is_dir():
        raise StoreError(f"backup {path} cannot be made: there is no folder {path.parent}; make it first")
    _check_target(database.path, path, replace=replace)
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        _copy(database.path, unfinished)
        books = _checked(unfinished)
        _make_last(unfinished)
        unfinished.rename(path)
        _make_last(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"backup {path} cannot be made ({error}): nothing was changed in the store") from error
    finally:
        for leftover in path.parent.glob(f"{unfinished.name}*"):
            leftover.unlink()
    return Backup(path=path, size=path.stat().st_size, books=books)


def _other_way(url: URL, path: Path) -> str:
    if url.get_backend_name() != "postgresql":
        return "there is nothing to copy"
    server = url.set(drivername="postgresql").difference_update_query(SECRETS).render_as_string()
    return f"run `pg_dump --format=custom --file={path} {server}`, and to restore, `pg_restore --dbname=URL {path}`"


def _check_target(store: Path, path: Path, *, replace: bool) -> None:
    if not path.exists():
        return
    if path.samefile(store):
        raise StoreError(f"{path} is the store itself: name another file for the backup")
    if not replace:
        raise StoreError(f"{path} exists: name a new file for the backup, or replace it with --force")
    if not path.is_file():
        raise StoreError(f"{path} is no file: name a file for the backup")


def _make_last(path: Path) -> None:
    """Have the disk keep what was written, and not only the system's memory: a file's bytes, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
