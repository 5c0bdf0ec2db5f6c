"""What PostgreSQL can have against the worker: how each trouble is recognised, what to do, whether time may help.

The codes are those of PostgreSQL's appendix "Error Codes". libpq does not pass them on for a connection that was
refused, so that those are recognised by the server's words; in another language than English they count as a server
out of reach, with the words shown.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class Course(enum.Enum):
    """What to do about a piece of work that failed."""

    TELL = "say so at once: it needs somebody's hand"
    AGAIN = "try again at once: another transaction got in the way"
    FEW = "try again a few times, with a wait between"
    WAIT = "wait: the server is there, and time may help"
    RETURN = "wait if the server has answered before; otherwise its address may be wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One trouble. `sign` is a pattern of the server's words; its named groups, and those of the URL, fill `remedy`.

    `readers` is the remedy for those who only read, where it is another: nobody is told to grant more than is needed.
    """

    state: str = ""
    sign: str = ""
    remedy: str = ""
    readers: str = ""
    course: Course = Course.TELL

    def fits(self, state: str | None, words: str) -> bool:
        """Whether this is the trouble with a code, None where the driver gave none, and these words."""
        if state and self.state != state:
            return False
        return bool(re.search(self.sign, words)) if self.sign else bool(state)


UPGRADE: Final = "corpus-worker upgrade-store"
"""The command that brings a store of an older version up to date."""
_LET_IN = "as the owner of the schema, run `GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}`"
_LET_SEE = "as the owner of the schema, run `GRANT USAGE ON SCHEMA {schema} TO {user}`"
_SHOW = "as their owner, run `GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}`"
_SHARE = (
    "as their owner, run `GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {user}; "
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {user}`"
)
_URL = "correct the parameter in the url"

TROUBLES: Final = (
    # Those that pass come first: of several servers in one URL, one that may come back counts.
    Trouble(
        state="53300",
        sign="too many connections for",
        remedy="raise its CONNECTION LIMIT, or lower the number of workers",
        course=Course.WAIT,
    ),
    Trouble(
        state="53300",
        sign="too many clients|connection slots|no more connections allowed",
        remedy="the server has no connection left: raise max_connections, or lower the number of workers",
        course=Course.WAIT,
    ),
    Trouble(
        state="57P03",
        sign="database system is ",
        remedy="wait until the server has started, or look into its log",
        course=Course.WAIT,
    ),
    Trouble(
        state="25006",
        sign="session is read-only|in hot standby mode",
        remedy="no server that answers takes writes: one of them has to become the primary",
        course=Course.WAIT,
    ),
    # Those that need somebody's hand, met when connecting.
    Trouble(
        sign='invalid connection option "',
        remedy="PostgreSQL knows no such parameter: correct its name in the url, or leave it out",
    ),
    Trouble(sign="^bad value for|invalid .*(value|port number)|could not match [0-9]", remedy=_URL),
    Trouble(state="42704", sign="unrecognized configuration parameter", remedy=_URL),
    Trouble(
        sign="unsupported startup parameter",
        remedy="in PgBouncer, set `ignore_startup_parameters = options`",
    ),
    Trouble(
        state="28P01",
        sign="password authentication failed|no password supplied",
        remedy="put the right password into ~/.pgpass, or into CORPUS_WORKER_STORE__URL",
    ),
    Trouble(
        state="28000",
        sign=r'role "(?P<user>[^"]*)" does not exist',
        remedy="make it with `createuser {user}`, or correct the url",
    ),
    Trouble(state="28000", sign="not permitted to log in", remedy="run `ALTER ROLE {user} LOGIN`, or correct the url"),
    Trouble(state="28000", sign="pg_hba.conf", remedy="let this machine in with a line in the server's pg_hba.conf"),
    Trouble(
        state="3D000",
        sign=r'database "(?P<database>[^"]*)" does not exist',
        remedy="make it with `createdb -O {user} -E UTF8 -T template0 {database}`, or correct the url",
    ),
    Trouble(
        state="42501",
        sign="permission denied for database",
        remedy="as its owner, run `GRANT CONNECT ON DATABASE {database} TO {user}`",
    ),
    # What a statement can meet.
    Trouble(state="3F000", remedy=_LET_IN, readers=_LET_SEE),
    Trouble(
        state="42501",
        sign='permission denied for schema "?(?P<schema>[^"\n]+)',
        remedy=_LET_IN,
        readers=_LET_SEE,
    ),
    Trouble(
        state="42501",
        sign="must be owner of",
        remedy=f"the tables have to be changed: run `{UPGRADE}` once as their owner",
    ),
    Trouble(state="42501", remedy=_SHARE, readers=_SHOW),
    Trouble(state="40001", course=Course.AGAIN),
    Trouble(state="40P01", course=Course.AGAIN),
    Trouble(
        state="55P03",
        remedy="somebody holds a lock on the tables for long: find out who in pg_stat_activity, and stop them or wait",
        course=Course.WAIT,
    ),
    Trouble(
        state="57014",
        remedy="somebody ended the statement, or statement_timeout is too short for it: for the latter, run "
        "`ALTER ROLE {user} SET statement_timeout = 0`",
        course=Course.FEW,
    ),
    Trouble(
        state="25006",
        remedy="the server takes no writes (a standby, or default_transaction_read_only is on): wait until it does, or "
        "name every server in the url with target_session_attrs=read-write",
        course=Course.WAIT,
    ),
    Trouble(
        state="53200",
        remedy="the server is out of memory: lower the number of workers, or raise what its log names "
        "(max_locks_per_transaction, or the memory)",
        course=Course.WAIT,
    ),
    Trouble(state="53100", remedy="make room on the server's disk; nothing stored is lost"),
    Trouble(state="53400", remedy="raise the limit that it names on the server"),
    Trouble(state="58030", remedy="check the server's disk and its log"),
    Trouble(state="XX001", remedy="the database is damaged: restore the last backup"),
    Trouble(state="XX002", remedy="an index is damaged: run `REINDEX DATABASE {database}`"),
)


def trouble_of(state: str | None, words: str) -> Trouble | None:
    """Return the trouble with a code, None where the driver gave none, and the server's words; None where unknown."""
    return next((each for each in TROUBLES if each.fits(state, words)), None)


def remedy_of(trouble: Trouble, words: str, names: Mapping[str, str], *, only_reads: bool = False) -> str:
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
