"""Translates database errors into StoreError: what was found, what to do about it, and whether a retry may help.

`translated_errors` wraps every use of a connection. `retry_action` decides for `Database` whether a transaction is run
again. `PG_ERRORS` and `SQLITE_ADVICE` list the errors that have advice of their own. No message contains a password.
"""

from __future__ import annotations

import enum
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
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
from worker.models.base import dataclass

# PostgreSQL's errors: how each one is recognised, what to do about it, and whether waiting may help.
#
# The codes are those of PostgreSQL's appendix "Error Codes" (SQLSTATE). libpq reports no code for a refused connection,
# so these errors are recognised by the text of the message. A message in another language than English is not
# recognised: it counts as an unreachable server, and is shown as it is.


class RetryAction(enum.Enum):
    """What to do after a transaction failed."""

    FAIL = "raise the error at once: a person has to act"
    AT_ONCE = "try again at once: another transaction was in conflict with this one"
    FEW_TIMES = "try again a few times, with a wait in between"
    WAIT = "wait: the server answers, and the error may pass"
    WAIT_IF_KNOWN = "wait if the server has answered before; otherwise its address may be wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class PgError:
    """One error of PostgreSQL that the worker recognises.

    `sqlstate` is its code, empty for an error of the connection; `pattern` is a regular expression for its message.
    `remedy` is advice, a format string: its fields are filled from the named groups of `pattern` and from the URL.
    `reader_remedy` replaces it for read-only commands, so that nobody is told to grant more than is needed.
    """

    sqlstate: str = ""
    pattern: str = ""
    remedy: str = ""
    reader_remedy: str = ""
    action: RetryAction = RetryAction.FAIL

    def matches(self, state: str | None, words: str) -> bool:
        """Whether an error with this code (None: the driver gave none) and this message is the one meant here."""
        if state and self.sqlstate != state:
            return False
        return bool(re.search(self.pattern, words)) if self.pattern else bool(state)


UPGRADE_COMMAND: Final = "corpus-worker upgrade-store"
"""The command that brings a store of an older version up to date."""
_GRANT_CREATE = "as the owner of the schema, run `GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}`"
_GRANT_USAGE = "as the owner of the schema, run `GRANT USAGE ON SCHEMA {schema} TO {user}`"
_GRANT_SELECT = "as their owner, run `GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}`"
_GRANT_ALL = (
    "as their owner, run `GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {user}; "
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {user}`"
)
_FIX_URL = "correct the parameter in the url"

PG_ERRORS: Final = (
    # Temporary errors come first: where a URL names several servers, one that may come back decides.
    PgError(
        sqlstate="53300",
        pattern="too many connections for",
        remedy="raise its CONNECTION LIMIT, or lower the number of workers",
        action=RetryAction.WAIT,
    ),
    PgError(
        sqlstate="53300",
        pattern="too many clients|connection slots|no more connections allowed",
        remedy="the server has no connection left: raise max_connections, or lower the number of workers",
        action=RetryAction.WAIT,
    ),
    PgError(
        sqlstate="57P03",
        pattern="database system is ",
        remedy="wait until the server has started, or look into its log",
        action=RetryAction.WAIT,
    ),
    PgError(
        sqlstate="25006",
        pattern="session is read-only|in hot standby mode",
        remedy="no server that answers takes writes: one of them has to become the primary",
        action=RetryAction.WAIT,
    ),
    # Errors of the connection that a person has to correct.
    PgError(
        pattern='invalid connection option "',
        remedy="PostgreSQL has no such parameter: correct its name in the url, or leave it out",
    ),
    PgError(pattern="^bad value for|invalid .*(value|port number)|could not match [0-9]", remedy=_FIX_URL),
    PgError(sqlstate="42704", pattern="unrecognized configuration parameter", remedy=_FIX_URL),
    PgError(
        pattern="unsupported startup parameter",
        remedy="in PgBouncer, set `ignore_startup_parameters = options`",
    ),
    PgError(
        sqlstate="28P01",
        pattern="password authentication failed|no password supplied",
        remedy="put the right password into ~/.pgpass, or into CORPUS_WORKER_STORE__URL",
    ),
    PgError(
        sqlstate="28000",
        pattern=r'role "(?P<user>[^"]*)" does not exist',
        remedy="make it with `createuser {user}`, or correct the url",
    ),
    PgError(
        sqlstate="28000", pattern="not permitted to log in", remedy="run `ALTER ROLE {user} LOGIN`, or correct the url"
    ),
    PgError(
        sqlstate="28000", pattern="pg_hba.conf", remedy="allow this machine with a line in the server's pg_hba.conf"
    ),
    PgError(
        sqlstate="3D000",
        pattern=r'database "(?P<database>[^"]*)" does not exist',
        remedy="make it with `createdb -O {user} -E UTF8 -T template0 {database}`, or correct the url",
    ),
    PgError(
        sqlstate="42501",
        pattern="permission denied for database",
        remedy="as its owner, run `GRANT CONNECT ON DATABASE {database} TO {user}`",
    ),
    # Errors of a statement.
    PgError(sqlstate="3F000", remedy=_GRANT_CREATE, reader_remedy=_GRANT_USAGE),
    PgError(
        sqlstate="42501",
        pattern='permission denied for schema "?(?P<schema>[^"\n]+)',
        remedy=_GRANT_CREATE,
        reader_remedy=_GRANT_USAGE,
    ),
    PgError(
        sqlstate="42501",
        pattern="must be owner of",
        remedy=f"the tables have to be changed: run `{UPGRADE_COMMAND}` once as their owner",
    ),
    PgError(sqlstate="42501", remedy=_GRANT_ALL, reader_remedy=_GRANT_SELECT),
    PgError(sqlstate="40001", action=RetryAction.AT_ONCE),
    PgError(sqlstate="40P01", action=RetryAction.AT_ONCE),
    PgError(
        sqlstate="55P03",
        remedy="another session has locked the tables for long: find it in pg_stat_activity, and end it or wait",
        action=RetryAction.WAIT,
    ),
    PgError(
        sqlstate="57014",
        remedy="the statement was cancelled, or statement_timeout is too short for it: for the latter, run "
        "`ALTER ROLE {user} SET statement_timeout = 0`",
        action=RetryAction.FEW_TIMES,
    ),
    PgError(
        sqlstate="25006",
        remedy="the server takes no writes (a standby, or default_transaction_read_only is on): wait until it does, or "
        "name every server in the url with target_session_attrs=read-write",
        action=RetryAction.WAIT,
    ),
    PgError(
        sqlstate="53200",
        remedy="the server is out of memory: lower the number of workers, or raise what its log names "
        "(max_locks_per_transaction, or the memory)",
        action=RetryAction.WAIT,
    ),
    PgError(sqlstate="53100", remedy="make room on the server's disk; nothing stored is lost"),
    PgError(sqlstate="53400", remedy="raise the limit that it names on the server"),
    PgError(sqlstate="58030", remedy="check the server's disk and its log"),
    PgError(sqlstate="XX001", remedy="the database is damaged: restore the last backup"),
    PgError(sqlstate="XX002", remedy="an index is damaged: run `REINDEX DATABASE {database}`"),
)


def find_pg_error(state: str | None, words: str) -> PgError | None:
    """Return the entry for an error's code and message, None for an unknown error. `state` is None without a code."""
    return next((each for each in PG_ERRORS if each.matches(state, words)), None)


def remedy_of(known: PgError, words: str, names: Mapping[str, str], *, only_reads: bool = False) -> str:
    """Return the advice for an error, with its fields filled in and quoted as SQL identifiers where necessary.

    `words` is the server's message. `names` are the values known beforehand: user, database and schema.
    """
    remedy = (known.reader_remedy if only_reads else "") or known.remedy
    found = re.search(known.pattern, words) if known.pattern else None
    given = {**names, **(found.groupdict() if found else {})}
    return remedy.format_map({name: _quoted(value) for name, value in given.items()})


def _quoted(name: str) -> str:
    """Return a name as an SQL identifier: quoted unless it is plain lower case."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        return name
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


# Part of SQLite's message, and how the message about the store goes on.
SQLITE_ADVICE = (
    ("unable to open database file", "cannot be opened: check that its folder exists and can be written"),
    ("file is not a database", "is not a SQLite database: choose another [store] url, or move the file away"),
    ("readonly database", "cannot be written: check the permissions of the file and of its folder"),
    ("read-only", "is on a read-only file system: choose another [store] url"),
    ("disk is full", "has no room left on its disk: make room and start again; nothing stored is lost"),
    ("disk I/O error", "had a disk error: check the disk and the free space, then start again"),
    ("malformed", "is damaged: restore the last backup"),
)
SERVER_PARAMETERS = frozenset({"host", "hostaddr", "port"})
"""The URL parameters that may be shown: they say where the server is. All others may hold a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorContext:
    """What the advice in an error message depends on: the database, the schema, and whether this process only reads."""

    url: URL
    schema: str = "public"
    only_reads: bool = False


def describe_url(url: URL) -> str:
    """Return a store URL for messages: without its password, and with no parameters but those of SERVER_PARAMETERS."""
    shown = url.set(query={name: url.query[name] for name in url.query if name in SERVER_PARAMETERS}).render_as_string()
    return shown.replace("%3A", ":")


def retry_action(error: DBAPIError) -> RetryAction:
    """Return what to do after a transaction failed with this error."""
    if "database is locked" in str(error.orig):
        return RetryAction.WAIT
    if known := _pg_error(error):
        return known.action
    return RetryAction.WAIT_IF_KNOWN if _is_connection_lost(error) else RetryAction.FAIL


def describe_error(error: DBAPIError, context: ErrorContext) -> str:
    """Return what was found and what to do about it, as one line that contains no secret."""
    known, words = _pg_error(error), str(error.orig)
    if known is None:
        return _mask_values(_first_line(words) or type(error.orig).__name__, context.url)
    found = _mask_values(_line_with(known.pattern, words), context.url)
    only_reads = context.only_reads and _is_read(error.statement or "")
    return _with_remedy(found, known, words, replace(context, only_reads=only_reads))


def _is_read(statement: str) -> bool:
    """Whether a statement only reads, so that the advice for a read-only role applies."""
    return statement.lstrip().startswith(("SELECT", "WITH")) and "FOR UPDATE" not in statement


def schema_permission_error(context: ErrorContext) -> StoreError:
    """Return the error for a role that has no rights on the schema, with the GRANT to run."""
    words = f"permission denied for schema {context.schema}"
    known = find_pg_error("42501", words)
    return StoreError(f"store {describe_url(context.url)}: {_with_remedy(words, known, words, context)}")


def needs_new_connection(error: BaseException) -> bool:
    """Whether the server has become read-only: after a failover, a new connection may reach the new primary."""
    return _state(error) == "25006"


@contextmanager
def translated_errors(context: ErrorContext) -> Iterator[None]:
    """Raise StoreError in place of the database's errors.

    StoreBusy (a StoreError) means that the store is locked or out of connections. Violated constraints and invalid
    statements are bugs: they are raised as they are.
    """
    try:
        yield
    except PoolTimeout as error:
        message = f"store {describe_url(context.url)}: no free connection in time; lower the number of workers"
        raise StoreBusy(message, retry=True) from error
    except DatabaseError as error:
        if _is_bug(error):
            raise
        raise _store_error(error, context) from error
    except InterfaceError as error:
        raise _store_error(error, context) from error


def _store_error(error: DBAPIError, context: ErrorContext) -> StoreError:
    """Return the StoreError for a database error, with its advice and whether a retry may help."""
    name, cause = describe_url(context.url), _first_line(str(error.orig))
    if isinstance(error.orig, sqlite3.Error):
        if "locked" in cause:
            message = f"store {name} is locked by another program: wait until it is done, or stop it"
            return StoreBusy(message, retry=True)
        for pattern, sentence in SQLITE_ADVICE:
            if pattern in cause:
                return StoreError(f"store {name} {sentence}")
    action = retry_action(error)
    if action is RetryAction.WAIT_IF_KNOWN:
        advice = "check that the server runs and the url is right"
        return StoreError(f"store {name} cannot be reached: {describe_error(error, context)}; {advice}", retry=True)
    return StoreError(f"store {name}: {describe_error(error, context)}", retry=action is not RetryAction.FAIL)


def _is_bug(error: DatabaseError) -> bool:
    """Whether an error is a mistake of the program: a violated constraint, a bad value or an invalid statement."""
    return isinstance(error, IntegrityError | DataError | ProgrammingError) and _pg_error(error) is None


def _is_connection_lost(error: DBAPIError) -> bool:
    """Whether a server refused or ended the connection; classes 57P and 08 are its start, stop and failure."""
    state = _state(error.orig)
    starting_or_stopping = state is not None and state.startswith(("57P", "08"))
    refused = isinstance(error, OperationalError) and hasattr(error.orig, "sqlstate") and state is None
    return error.connection_invalidated or starting_or_stopping or refused


def _pg_error(error: DBAPIError) -> PgError | None:
    driver_has_codes = hasattr(error.orig, "sqlstate")
    return find_pg_error(_state(error.orig), str(error.orig)) if driver_has_codes else None


def _state(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None)


def _with_remedy(found: str, known: PgError | None, words: str, context: ErrorContext) -> str:
    url = context.url
    names = {"user": url.username or "ROLE", "database": url.database or "DATABASE", "schema": context.schema}
    remedy = remedy_of(known, words, names, only_reads=context.only_reads) if known else ""
    return f"{found}; {remedy}" if remedy else found


def _line_with(pattern: str, words: str) -> str:
    """Return the matching line of a message without libpq's prefix; libpq writes one line for each server tried."""
    line = next((line for line in words.splitlines() if pattern and re.search(pattern, line)), _first_line(words))
    return line.rpartition("FATAL: ")[2].rpartition(" failed: ")[2].strip()


def _mask_values(words: str, url: URL) -> str:
    """Replace the password and the values of URL parameters wherever a message quotes them."""
    given = [value for name in url.query if name not in SERVER_PARAMETERS for value in url.normalized_query[name]]
    parts = [part for value in given for part in re.split(r"[\s=]+", value)]  # `options` holds several settings
    for value in filter(None, [str(url.password or ""), *given, *parts]):
        words = words.replace(f'"{value}"', '"***"').replace(f"'{value}'", "'***'")
    return words


def _first_line(words: str) -> str:
    return words.strip().partition("\n")[0]
