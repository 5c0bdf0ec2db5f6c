"""A copy of a SQLite store while it is in use: made by SQLite itself, checked before it gets its name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url

from worker.errors import StoreError
from worker.files.atomic import private_folder, replace_file, require_replaceable
from worker.models import AuditReport
from worker.storage.corpus import audit
from worker.storage.db.database import Database
from worker.storage.db.engine import connect
from worker.storage.db.errors import describe_url
from worker.storage.db.sqlite_files import leftover_log

PAGES_AT_ONCE: Final = 2000
SECRETS: Final = ("password", "sslpassword", "passfile")
"""Parameters of a server's URL that are not to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup: where it is, how large, and the books it holds."""

    path: Path
    size: int
    books: AuditReport


def back_up(database: Database, path: Path, *, replace: bool = False) -> Backup:
    """Copy the store to a file, beside running work, and check the copy's pages and books before it gets its name.

    Raises StoreError where the file exists and `replace` is off, cannot be written, or does not hold a sound store;
    nothing is left of a copy that failed, and a file that it should replace stays as it was.
    """
    if database.path is None:
        raise StoreError(f"store {describe_url(database.url)} is no SQLite file: {_other_way(database.url, path)}")
    if not path.parent.is_dir():
        raise StoreError(f"backup {path} cannot be made: there is no folder {path.parent}; make it first")
    try:
        _check_target(database, path, replace=replace)
        with private_folder(path.parent) as private:  # SQLite writes other files beside its own
            made = private / "store.sqlite"
            _copy(database.path, made)
            books = _checked(made)
            replace_file(made, path)
    except (sqlite3.Error, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"backup {path} cannot be made ({why}): nothing was changed in the store") from error
    return Backup(path=path, size=path.stat().st_size, books=books)


def _other_way(url: URL, path: Path) -> str:
    if url.get_backend_name() != "postgresql":
        return "there is nothing to copy"
    server = url.set(drivername="postgresql").difference_update_query(SECRETS).render_as_string()
    return f"run `pg_dump --format=custom --file={path} {server}`, and to restore, `pg_restore --dbname=URL {path}`"


def _check_target(database: Database, path: Path, *, replace: bool) -> None:
    if database.holds(path):
        raise StoreError(f"{path} is a part of the store itself: name another file for the backup")
    log = leftover_log(path)
    if log is not None:
        raise StoreError(f"{log} is a log of SQLite and would be read into the backup: remove it, or name another")
    if require_replaceable(path) is not None and not replace:
        raise StoreError(f"{path} exists: name a new file for the backup, or replace it with --force")


def _copy(origin: Path, target: Path) -> None:
    with closing(sqlite3.connect(origin)) as source, closing(sqlite3.connect(target)) as copy:
        # In steps, so that a writer waits for one of them at most; what it writes meanwhile is copied as well.
        source.backup(copy, pages=PAGES_AT_ONCE, sleep=0.005)
        copy.execute("PRAGMA journal_mode = DELETE")


def _checked(path: Path) -> AuditReport:
    with closing(sqlite3.connect(path)) as copy:
        (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise StoreError(f"backup {path} is damaged ({found}): check the disks, and try again")
    database = connect(make_url(f"sqlite:///{path}").render_as_string())
    try:
        books = database.read_consistent(audit.books)
    finally:
        database.close()
    if not books.balanced:
        raise StoreError(f"the store has problems, and so would its backup: {books.problems[0]}; see `audit`")
    return books
