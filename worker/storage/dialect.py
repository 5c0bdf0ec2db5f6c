"""What SQLite and PostgreSQL do differently: everything else in the store is the same statements for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, Table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import ReturnTypeFromArgs

from worker.errors import StoreError

Insert = sqlite.Insert | postgresql.Insert
_LOCK_KEYS = text("SELECT count(pg_advisory_xact_lock(key)) FROM unnest(CAST(:keys AS bigint[])) AS wanted (key)")


class greatest(ReturnTypeFromArgs[Any]):  # noqa: N801
    """The largest of its arguments, none of which may be NULL (SQLite and PostgreSQL disagree on NULL)."""

    inherit_cache = True


class least(ReturnTypeFromArgs[Any]):  # noqa: N801
    """The smallest of its arguments, none of which may be NULL."""

    inherit_cache = True


@compiles(greatest, "sqlite")
def _sqlite_greatest(element: greatest, compiler: SQLCompiler, **options: Any) -> str:
    return f"max{compiler.process(element.clause_expr, **options)}"


@compiles(least, "sqlite")
def _sqlite_least(element: least, compiler: SQLCompiler, **options: Any) -> str:
    return f"min{compiler.process(element.clause_expr, **options)}"


def is_sqlite(connection: Connection) -> bool:
    """Whether the connection speaks to SQLite."""
    return connection.dialect.name == "sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """An INSERT with ON CONFLICT: both databases spell it alike, but SQLAlchemy keeps two kinds of it."""

    sqlite: Executable
    postgresql: Executable

    def on(self, connection: Connection) -> Executable:
        """Return the statement for this connection's database."""
        return self.sqlite if is_sqlite(connection) else self.postgresql


def upsert(table: Table, finish: Callable[[Insert], Executable]) -> Upsert:
    """Return the INSERT into a table that `finish` adds its ON CONFLICT to."""
    return Upsert(sqlite=finish(sqlite.insert(table)), postgresql=finish(postgresql.insert(table)))


def lock_keys(connection: Connection, keys: Iterable[int]) -> None:
    """Hold these 64-bit keys until the transaction ends, against every other transaction that asks for one of them.

    Keys are taken in ascending order, so that two holders never wait for each other in a circle. SQLite has one
    writer at a time anyway.
    """
    if not is_sqlite(connection):
        connection.execute(_LOCK_KEYS, {"keys": sorted(set(keys))})


def lock_table(connection: Connection, table: Table) -> None:
    """Keep every other writer of a table waiting until the transaction ends; SQLite has one writer anyway."""
    if not is_sqlite(connection):
        connection.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


def require_utf8(connection: Connection) -> None:
    """Raise StoreError where a database on a server keeps its texts in another encoding: not every text fits there."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise StoreError(
            f"the database is in {encoding}, not in UTF8: make one with `createdb -E UTF8 -T template0 NAME`"
        )
