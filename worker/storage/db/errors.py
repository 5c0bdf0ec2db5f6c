"""Database errors in the worker's own words: what was found, what to do, whether to try again; no password in any."""

from __future__ import annotations

import enum
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

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

# What PostgreSQL can have against the worker: how each trouble is recognised, what to do, whether time may help.
#
# The codes are those of PostgreSQL's appendix "Error Codes". libpq does not pass them on for a connection that was
# refused, so that those are recognised by the server's words; in another language than English they count as a server
# out of reach, with the words shown.


class Retry(enum.Enum):
    """What to do about a piece of work that failed."""

    TELL = "say so at once: it needs somebody's hand"
    AGAIN = "try again at once: another transaction got in the way"
    FEW = "try again a few times, with a wait between"
    WAIT = "wait: the server is there, and time may help"
    RETURN = "wait if the server has answered before; otherwise its address may be wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class PgError:
    """One trouble. `sign` is a pattern of the server's words; its named groups, and those of the URL, fill `remedy`.

    `readers` is the remedy for those who only read, where it is another: nobody is told to grant more than is needed.
    """

    state: str = ""
    sign: str = ""
    remedy: str = ""
    readers: str = ""
    course: Retry = Retry.TELL

    def fits(self, state: str | None, words: str) -> bool:
        """Whether this is the trouble with a code, None where the driver gave none, and these words."""
        if state and self.state != state:
            return False
        return bool(re.search(self.sign, words)) if self.sign else bool(state)


UPGRADE_COMMAND: Final = "corpus-worker upgrade-store"
"""The command that brings a store of an older version up to date."""
_LET_IN = "as the owner of the schema, run `GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}`"
_LET_SEE = "as the owner of the schema, run `GRANT USAGE ON SCHEMA {schema} TO {user}`"
_SHOW = "as their owner, run `GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}`"
_SHARE = (
    "as their owner, run `GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {user}; "
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {user}`"
)
_URL = "correct the parameter in the url"

PG_ERRORS: Final = (
    # Those that pass come first: of several servers in one URL, one that may come back counts.
    PgError(
        state="53300",
        sign="too many connections for",
        remedy="raise its CONNECTION LIMIT, or lower the number of workers",
        course=Retry.WAIT,
    ),
    PgError(
        state="53300",
        sign="too many clients|connection slots|no more connections allowed",
        remedy="the server has no connection left: raise max_connections, or lower the number of workers",
        course=Retry.WAIT,
    ),
    PgError(
        state="57P03",
        sign="database system is ",
        remedy="wait until the server has started, or look into its log",
        course=Retry.WAIT,
    ),
    PgError(
        state="25006",
        sign="session is read-only|in hot standby mode",
        remedy="no server that answers takes writes: one of them has to become the primary",
        course=Retry.WAIT,
    ),
    # Those that need somebody's hand, met when connecting.
    PgError(
        sign='invalid connection option "',
        remedy="PostgreSQL knows no such parameter: correct its name in the url, or leave it out",
    ),
    PgError(sign="^bad value for|invalid .*(value|port number)|could not match [0-9]", remedy=_URL),
    PgError(state="42704", sign="unrecognized configuration parameter", remedy=_URL),
    PgError(
        sign="unsupported startup parameter",
        remedy="in PgBouncer, set `ignore_startup_parameters = options`",
    ),
    PgError(
        state="28P01",
        sign="password authentication failed|no password supplied",
        remedy="put the right password into ~/.pgpass, or into CORPUS_WORKER_STORE__URL",
    ),
    PgError(
        state="28000",
        sign=r'role "(?P<user>[^"]*)" does not exist',
        remedy="make it with `createuser {user}`, or correct the url",
    ),
    PgError(state="28000", sign="not permitted to log in", remedy="run `ALTER ROLE {user} LOGIN`, or correct the url"),
    PgError(state="28000", sign="pg_hba.conf", remedy="let this machine in with a line in the server's pg_hba.conf"),
    PgError(
        state="3D000",
        sign=r'database "(?P<database>[^"]*)" does not exist',
        remedy="make it with `createdb -O {user} -E UTF8 -T template0 {database}`, or correct the url",
    ),
    PgError(
        state="42501",
        sign="permission denied for database",
        remedy="as its owner, run `GRANT CONNECT ON DATABASE {database} TO {user}`",
    ),
    # What a statement can meet.
    PgError(state="3F000", remedy=_LET_IN, readers=_LET_SEE),
    PgError(
        state="42501",
        sign='permission denied for schema "?(?P<schema>[^"\n]+)',
        remedy=_LET_IN,
        readers=_LET_SEE,
    ),
    PgError(
        state="42501",
        sign="must be owner of",
        remedy=f"the tables have to be changed: run `{UPGRADE_COMMAND}` once as their owner",
    ),
    PgError(state="42501", remedy=_SHARE, readers=_SHOW),
    PgError(state="40001", course=Retry.AGAIN),
    PgError(state="40P01", course=Retry.AGAIN),
    PgError(
        state="55P03",
        remedy="somebody holds a lock on the tables for long: find out who in pg_stat_activity, and stop them or wait",
        course=Retry.WAIT,
    ),
    PgError(
        state="57014",
        remedy="somebody ended the statement, or statement_timeout is too short for it: for the latter, run "
        "`ALTER ROLE {user} SET statement_timeout = 0`",
        course=Retry.FEW,
    ),
    PgError(
        state="25006",
        remedy="the server takes no writes (a standby, or default_transaction_read_only is on): wait until it does, or "
        "name every server in the url with target_session_attrs=read-write",
        course=Retry.WAIT,
    ),
    PgError(
        state="53200",
        remedy="the server is out of memory: lower the number of workers, or raise what its log names "
        "(max_locks_per_transaction, or the memory)",
        course=Retry.WAIT,
    ),
    PgError(state="53100", remedy="make room on the server's disk; nothing stored is lost"),
    PgError(state="53400", remedy="raise the limit that it names on the server"),
    PgError(state="58030", remedy="check the server's disk and its log"),
    PgError(state="XX001", remedy="the database is damaged: restore the last backup"),
    PgError(state="XX002", remedy="an index is damaged: run `REINDEX DATABASE {database}`"),
)


def find_pg_error(state: str | None, words: str) -> PgError | None:
    """Return the trouble with a code, None where the driver gave none, and the server's words; None where unknown."""
    return next((each for each in PG_ERRORS if each.fits(state, words)), None)


def remedy_of(trouble: PgError, words: str, names: Mapping[str, str], *, only_reads: bool = False) -> str:
    """Return what to do, with the names in it written as SQL writes them."""
    remedy = (trouble.readers if only_reads else "") or trouble.remedy
    found = re.search(trouble.sign, words) if trouble.sign else None
    given = {**names, **(found.groupdict() if found else {})}
    return remedy.format_map({name: _quoted(value) for name, value in given.items()})


def _quoted(name: str) -> str:
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        return name
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


SQLITE_ADVICE = (
    ("unable to open database file", "cannot be opened: check that its folder exists and can be written"),
    ("file is not a database", "is not a SQLite database: choose another [store] url, or move the file away"),
    ("readonly database", "cannot be written: check the permissions of the file and of its folder"),
    ("read-only", "lies on a read-only file system: choose another [store] url"),
    ("disk is full", "has no room left on its disk: make room and start again; nothing stored is lost"),
    ("disk I/O error", "met a disk error: check the disk and the free space, then start again"),
    ("malformed", "is damaged: restore the last backup"),
)
SERVER_PARAMETERS = frozenset({"host", "hostaddr", "port"})
"""Parameters of a URL that say where the server is, and may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorContext:
    """Who works on which database: what the advice in an error depends on."""

    url: URL
    schema: str = "public"
    only_reads: bool = False


def describe_url(url: URL) -> str:
    """Return a store URL fit to be shown: without password, and of its parameters only where the server is."""
    shown = url.set(query={name: url.query[name] for name in url.query if name in SERVER_PARAMETERS}).render_as_string()
    return shown.replace("%3A", ":")


def retry_action(error: DBAPIError) -> Retry:
    """Return what to do about a piece of work that failed."""
    if "database is locked" in str(error.orig):
        return Retry.WAIT
    if trouble := _pg_error(error):
        return trouble.course
    return Retry.RETURN if _is_connection_lost(error) else Retry.TELL


def describe_error(error: DBAPIError, standpoint: ErrorContext) -> str:
    """Return what was found and what to do, in one line without a secret."""
    trouble, words = _pg_error(error), str(error.orig)
    if trouble is None:
        return _mask_values(_first_line(words) or type(error.orig).__name__, standpoint.url)
    found = _mask_values(_line_with(trouble.sign, words), standpoint.url)
    only_reads = standpoint.only_reads and _is_read(error.statement or "")
    return _with_remedy(found, trouble, words, replace(standpoint, only_reads=only_reads))


def _is_read(statement: str) -> bool:
    return statement.lstrip().startswith(("SELECT", "WITH")) and "FOR UPDATE" not in statement


def schema_permission_error(standpoint: ErrorContext) -> StoreError:
    """Return the error of a role that lacks rights on the schema."""
    words = f"permission denied for schema {standpoint.schema}"
    trouble = find_pg_error("42501", words)
    return StoreError(f"store {describe_url(standpoint.url)}: {_with_remedy(words, trouble, words, standpoint)}")


def needs_new_connection(error: BaseException) -> bool:
    """Whether the server behind a connection has become one that takes no writes: another may have taken its place."""
    return _state(error) == "25006"


@contextmanager
def translated_errors(standpoint: ErrorContext) -> Iterator[None]:
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


def _store_error(error: DBAPIError, standpoint: ErrorContext) -> StoreError:
    name, cause = describe_url(standpoint.url), _first_line(str(error.orig))
    if isinstance(error.orig, sqlite3.Error):
        if "locked" in cause:
            message = f"store {name} is locked by another program: wait until it is done, or stop it"
            return StoreBusy(message, retry=True)
        for sign, sentence in SQLITE_ADVICE:
            if sign in cause:
                return StoreError(f"store {name} {sentence}")
    course = retry_action(error)
    if course is Retry.RETURN:
        advice = "check that the server runs and the url is right"
        return StoreError(f"store {name} cannot be reached: {describe_error(error, standpoint)}; {advice}", retry=True)
    return StoreError(f"store {name}: {describe_error(error, standpoint)}", retry=course is not Retry.TELL)


def _is_bug(error: DatabaseError) -> bool:
    return isinstance(error, IntegrityError | DataError | ProgrammingError) and _pg_error(error) is None


def _is_connection_lost(error: DBAPIError) -> bool:
    state = _state(error.orig)
    starting_or_stopping = state is not None and state.startswith(("57P", "08"))
    refused = isinstance(error, OperationalError) and hasattr(error.orig, "sqlstate") and state is None
    return error.connection_invalidated or starting_or_stopping or refused


def _pg_error(error: DBAPIError) -> PgError | None:
    driver_has_codes = hasattr(error.orig, "sqlstate")
    return find_pg_error(_state(error.orig), str(error.orig)) if driver_has_codes else None


def _state(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None)


def _with_remedy(found: str, trouble: PgError | None, words: str, standpoint: ErrorContext) -> str:
    url = standpoint.url
    names = {"user": url.username or "ROLE", "database": url.database or "DATABASE", "schema": standpoint.schema}
    remedy = remedy_of(trouble, words, names, only_reads=standpoint.only_reads) if trouble else ""
    return f"{found}; {remedy}" if remedy else found


def _line_with(sign: str, words: str) -> str:
    """Return what a server said, of the one in question where several were tried."""
    line = next((line for line in words.splitlines() if sign and re.search(sign, line)), _first_line(words))
    return line.rpartition("FATAL: ")[2].rpartition(" failed: ")[2].strip()


def _mask_values(words: str, url: URL) -> str:
    told = [value for name in url.query if name not in SERVER_PARAMETERS for value in url.normalized_query[name]]
    parts = [part for value in told for part in re.split(r"[\s=]+", value)]  # of `options`
    for value in filter(None, [str(url.password or ""), *told, *parts]):
        words = words.replace(f'"{value}"', '"***"').replace(f"'{value}'", "'***'")
    return words


def _first_line(words: str) -> str:
    return words.strip().partition("\n")[0]
