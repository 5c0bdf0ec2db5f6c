"""What a role must be allowed on a server to work: asked before the first work, not met in the middle of it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from worker.errors import StoreError
from worker.storage.border import describe_url
from worker.storage.database import Database
from worker.storage.metadata import METADATA
from worker.storage.sqlstates import remedy_of, trouble_of

_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
_ON_TABLES: Final = text(
    "SELECT t.name, r.kind FROM unnest(CAST(:tables AS text[])) AS t (name) "
    "CROSS JOIN unnest(CAST(:rights AS text[])) AS r (kind) "
    "WHERE NOT has_table_privilege(to_regclass(quote_ident(t.name)), r.kind)"
)
# A CASE, as nothing else keeps the planner from asking for the right on a sequence of what is none.
_ON_SEQUENCES: Final = text(
    "SELECT s.oid::regclass::text FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a' "
    "AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass "
    "WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') ELSE false END "
    "AND d.refobjid = ANY (SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(:tables AS text[])) AS t (name)) "
    "ORDER BY 1"
)
_WHO: Final = text("SELECT current_user, current_schema()")


def require_rights(database: Database) -> None:
    """Raise StoreError where the role cannot write all there is to write, saying what it lacks and what to run."""
    if not database.is_sqlite and (lack := database.read(_lack)):
        raise StoreError(f"store {describe_url(database.url)}: {lack}")


def _lack(connection: Connection) -> str:
    """Return what the role lacks and what to run; empty where it lacks nothing."""
    lacks = missing_rights(connection)
    if not lacks:
        return ""
    user, schema = connection.execute(_WHO).one()
    words = f"permission denied: the role {user} lacks {'; '.join(lacks)}"
    trouble = trouble_of("42501", words)
    remedy = remedy_of(trouble, words, {"user": user, "schema": schema}) if trouble else ""
    return f"{words}; {remedy}"


def missing_rights(connection: Connection) -> tuple[str, ...]:
    """Return what the role lacks to work on the tables and sequences of a store, such as `INSERT, UPDATE on hosts`."""
    tables = sorted(METADATA.tables)
    lacking = connection.execute(_ON_TABLES, {"tables": tables, "rights": list(_RIGHTS)}).all()
    by_tables: dict[str, list[str]] = {}
    for right in _RIGHTS:
        if some := [table for table, kind in lacking if kind == right]:
            by_tables.setdefault(_listed(some, tables), []).append(right)
    told = [f"{', '.join(rights)} on {some}" for some, rights in by_tables.items()]
    sequences = connection.execute(_ON_SEQUENCES, {"tables": tables}).scalars().all()
    return (*told, f"USAGE on {', '.join(sequences)}") if sequences else tuple(told)


def _listed(some: list[str], every: list[str]) -> str:
    return "every table" if len(some) == len(every) else ", ".join(sorted(some))
