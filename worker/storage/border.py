"""The border between SQLAlchemy's errors and the worker's own: clear sentences, and no password in any of them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import URL
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.errors import StoreBusy, StoreError
from worker.storage.sqlstates import Course, Trouble, remedy_of, trouble_of

SQLITE_SENTENCES = (
    ("unable to open database file", "cannot be opened: check that its folder exists and can be written"),
    ("file is not a database", "is not a SQLite database: choose another [store] url, or move the file away"),
    ("readonly database", "cannot be written: check the permissions of the file and of its folder"),
    ("read-only", "lies on a read-only file system: choose another [store] url"),
    ("disk is full", "has no room left on its disk: make room and start again; nothing stored is lost"),
    ("disk I/O error", "met a disk error: check the disk and the free space, then start again"),
    ("malformed", "is damaged: restore the last backup"),
)
ADDRESS = frozenset({"host", "hostaddr", "port"})
"""Parameters of a URL that say where the server is, and may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standpoint:
    """Who works on which database: what the advice in an error depends on."""

    url: URL
    schema: str = "public"
    only_reads: bool = False


def describe_url(url: URL) -> str:
    """Return a store URL fit to be shown: without password, and of its parameters only where the server is."""
    shown = url.set(query={name: url.query[name] for name in url.query if name in ADDRESS}).render_as_string()
    return shown.replace("%3A", ":")


def course_after(error: DBAPIError) -> Course:
    """Return what to do about a piece of work that failed."""
    if "database is locked" in str(error.orig):
        return Course.WAIT
    if trouble := _trouble(error):
        return trouble.course
    return Course.RETURN if _is_lost(error) else Course.TELL


def reason(error: DBAPIError, standpoint: Standpoint) -> str:
    """Return what was found and what to do, in one line without a secret."""
    trouble, words = _trouble(error), str(error.orig)
    if trouble is None:
        return _without_values(_first_line(words) or type(error.orig).__name__, standpoint.url)
    found = _without_values(_line_with(trouble.sign, words), standpoint.url)
    only_reads = standpoint.only_reads and _reads(error.statement or "")
    return _with_remedy(found, trouble, words, replace(standpoint, only_reads=only_reads))


def _reads(statement: str) -> bool:
    return statement.lstrip().startswith(("SELECT", "WITH")) and "FOR UPDATE" not in statement


def no_rights(standpoint: Standpoint) -> StoreError:
    """Return the error of a role that lacks rights on the schema."""
    words = f"permission denied for schema {standpoint.schema}"
    trouble = trouble_of("42501", words)
    return StoreError(f"store {describe_url(standpoint.url)}: {_with_remedy(words, trouble, words, standpoint)}")


def needs_new_connection(error: BaseException) -> bool:
    """Whether the server behind a connection has become one that takes no writes: another may have taken its place."""
    return _state(error) == "25006"


@contextmanager
def translated(standpoint: Standpoint) -> Iterator[None]:
    """Turn the database's own errors into StoreError; broken constraints and statements stay loud, they are bugs."""
    try:
        yield
    except PoolTimeout as error:
        message = f"store {describe_url(standpoint.url)}: no free connection in time; lower the number of workers"
        raise StoreBusy(message, retry=True) from error
    except DatabaseError as error:
        if _is_bug(error):
            raise
        raise _store_error(error, standpoint) from error
    except InterfaceError as error:
        raise _store_error(error, standpoint) from error


def _store_error(error: DBAPIError, standpoint: Standpoint) -> StoreError:
    name, cause = describe_url(standpoint.url), _first_line(str(error.orig))
    if isinstance(error.orig, sqlite3.Error):
        if "locked" in cause:
            message = f"store {name} is locked by another program: wait until it is done, or stop it"
            return StoreBusy(message, retry=True)
        for sign, sentence in SQLITE_SENTENCES:
            if sign in cause:
                return StoreError(f"store {name} {sentence}")
    course = course_after(error)
    if course is Course.RETURN:
        advice = "check that the server runs and the url is right"
        return StoreError(f"store {name} cannot be reached: {reason(error, standpoint)}; {advice}", retry=True)
    return StoreError(f"store {name}: {reason(error, standpoint)}", retry=course is not Course.TELL)


def _is_bug(error: DatabaseError) -> bool:
    return isinstance(error, IntegrityError | DataError | ProgrammingError) and _trouble(error) is None


def _is_lost(error: DBAPIError) -> bool:
    state = _state(error.orig)
    starting_or_stopping = state is not None and state.startswith(("57P", "08"))
    refused = isinstance(error, OperationalError) and hasattr(error.orig, "sqlstate") and state is None
    return error.connection_invalidated or starting_or_stopping or refused


def _trouble(error: DBAPIError) -> Trouble | None:
    driver_has_codes = hasattr(error.orig, "sqlstate")
    return trouble_of(_state(error.orig), str(error.orig)) if driver_has_codes else None


def _state(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None)


def _with_remedy(found: str, trouble: Trouble | None, words: str, standpoint: Standpoint) -> str:
    url = standpoint.url
    names = {"user": url.username or "ROLE", "database": url.database or "DATABASE", "schema": standpoint.schema}
    remedy = remedy_of(trouble, words, names, only_reads=standpoint.only_reads) if trouble else ""
    return f"{found}; {remedy}" if remedy else found


def _line_with(sign: str, words: str) -> str:
    """Return what a server said, of the one in question where several were tried."""
    line = next((line for line in words.splitlines() if sign and re.search(sign, line)), _first_line(words))
    return line.rpartition("FATAL: ")[2].rpartition(" failed: ")[2].strip()


def _without_values(words: str, url: URL) -> str:
    told = [value for name in url.query if name not in ADDRESS for value in url.normalized_query[name]]
    parts = [part for value in told for part in re.split(r"[\s=]+", value)]  # of `options`
    for value in filter(None, [str(url.password or ""), *told, *parts]):
        words = words.replace(f'"{value}"', '"***"').replace(f"'{value}'", "'***'")
    return words


def _first_line(words: str) -> str:
    return words.strip().partition("\n")[0]
