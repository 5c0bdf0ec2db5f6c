"""Backs up a SQLite store while it is in use, with SQLite's online backup API.

The copy is made under a temporary name and gets its real one after its pages and books were checked.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url

from worker.errors import StoreError
from worker.files.atomic import private_folder, replace_file, require_replaceable
from worker.models import AuditReport
from worker.models.base import dataclass
from worker.storage.corpus import audit
from worker.storage.db.database import Database
from worker.storage.db.engine import connect, may_be_written, read_only_uri
from worker.storage.db.errors import describe_url
from worker.storage.db.sqlite_files import leftover_log

PAGES_AT_ONCE: Final = 2000
"""Database pages (4 KiB each) copied in one step. Chosen, not measured: a writer waits for one step at most."""
PAUSE_S: Final = 0.005
"""Seconds between two steps, in which a writer can start. Chosen, not measured: adds 0.6 seconds a gigabyte."""
SECRETS: Final = ("password", "sslpassword", "passfile")
"""URL parameters of a server that are left out of messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup: its file, its size in bytes, and the result of the audit of the copy."""

    path: Path
    size: int
    books: AuditReport


def back_up(database: Database, path: Path, *, replace: bool = False) -> Backup:
    """Copy a SQLite store in use to a file, and check the copy's pages and books before it gets its name.

    Raises StoreError for a store on a server, if the file exists and `replace` is off, if it cannot be written, or if
    the copy fails the checks. A failed backup leaves no file, and does not change a file that it was to replace.
    """
    if database.path is None:
        raise StoreError(f"store {describe_url(database.url)} is not a SQLite file: {_other_way(database.url, path)}")
    if not path.parent.is_dir():
        raise StoreError(f"backup {path} cannot be made: there is no folder {path.parent}; make it first")
    try:
        _check_target(database, path, replace=replace)
        with private_folder(path.parent) as private:  # SQLite creates further files beside the copy
            made = private / "store.sqlite"
            _copy(database.path, made)
            books = _checked(made)
            replace_file(made, path)
    except (sqlite3.Error, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"backup {path} cannot be made ({why}): nothing was changed in the store") from error
    return Backup(path=path, size=path.stat().st_size, books=books)


def _other_way(url: URL, path: Path) -> str:
    """Return what to do for a store that is no file: `pg_dump`, with a URL that shows no secret."""
    if url.get_backend_name() != "postgresql":
        return "there is nothing to copy"
    server = url.set(drivername="postgresql").difference_update_query(SECRETS).render_as_string()
    return f"run `pg_dump --format=custom --file={path} {server}`, and to restore, `pg_restore --dbname=URL {path}`"


def _check_target(database: Database, path: Path, *, replace: bool) -> None:
    """Raise StoreError for a path that is part of the store, has a leftover log beside it, or exists already."""
    if database.holds(path):
        raise StoreError(f"{path} is a part of the store itself: name another file for the backup")
    log = leftover_log(path)
    if log is not None:
        raise StoreError(f"{log} is a log of SQLite and would be read into the backup: remove it, or name another")
    if require_replaceable(path) is not None and not replace:
        raise StoreError(f"{path} exists: name a new file for the backup, or replace it with --force")


def _copy(origin: Path, target: Path) -> None:
    path = origin.absolute()
    opened = sqlite3.connect(path) if may_be_written(path) else sqlite3.connect(read_only_uri(path), uri=True)
    with closing(opened) as source, closing(sqlite3.connect(target)) as copy:
        # SQLite also copies what is written meanwhile.
        source.backup(copy, pages=PAGES_AT_ONCE, sleep=PAUSE_S)
        copy.execute("PRAGMA journal_mode = DELETE")


def _checked(path: Path) -> AuditReport:
    """Return the audit of a copy; raises StoreError if the file is damaged or the books do not balance."""
    with closing(sqlite3.connect(path)) as copy:
        (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise StoreError(f"backup {path} is damaged ({found}): check the disks, and try again")
    database = connect(make_url(f"sqlite:///{path}").render_as_string())
    try:
        books = database.read_consistent(audit.full_audit)
    finally:
        database.close()
    if not books.balanced:
        raise StoreError(f"the store has problems, and so would its backup: {books.problems[0]}; see `audit`")
    return books
