"""SQL that SQLite and PostgreSQL spell differently, and queries that both answer from an index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Select,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    column,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement, ReturnTypeFromArgs
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from worker.errors import StoreError

Insert = sqlite.Insert | postgresql.Insert
_LOCK_KEYS = text("SELECT count(pg_advisory_xact_lock(key)) FROM unnest(CAST(:keys AS bigint[])) AS wanted (key)")


class greatest(ReturnTypeFromArgs[Any]):  # noqa: N801
    """The largest of its arguments, none of which may be NULL (SQLite and PostgreSQL disagree on NULL)."""

    inherit_cache = True


class least(ReturnTypeFromArgs[Any]):  # noqa: N801
    """The smallest of its arguments, none of which may be NULL."""

    inherit_cache = True


def _call(function: type[FunctionElement[Any]], dialect: str, name: str) -> None:
    """Let a function go by a name of its own in one database."""

    @compiles(function, dialect)
    def called(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
        return f"{name}{compiler.process(element.clause_expr, **options)}"


_call(greatest, "sqlite", "max")
_call(least, "sqlite", "min")


class Numbers(TypeDecorator[Iterable[int]]):
    """Integers of 64 bits bound as one value: an array on a server, JSON in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the database."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else postgresql.ARRAY(BigInteger()))

    def process_bind_param(self, value: Iterable[int] | None, dialect: Dialect) -> str | list[int]:
        """Return the numbers as the database takes them."""
        numbers = list(value or ())
        return json.dumps(numbers) if dialect.name == "sqlite" else numbers


class _Unnested(FunctionElement[int]):
    """A table with a row for each of some numbers."""

    inherit_cache = True


_call(_Unnested, "sqlite", "json_each")
_call(_Unnested, "postgresql", "unnest")


class _Among(FunctionElement[bool]):
    """Whether a column holds one of some numbers."""

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002
        """Stay as it is: SQLite would get "… IN (…) = 1", which no index serves."""
        return self


@compiles(_Among, "sqlite")
def _sqlite_among(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    value, numbers = (compiler.process(each, **options) for each in element.clauses)
    return f"{value} IN (SELECT value FROM json_each({numbers}))"  # noqa: S608 - made of compiled parts


@compiles(_Among, "postgresql")
def _postgresql_among(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    # Unlike a join with unnest(), this is planned as a look-up in the index even while the table is all but empty;
    # a prepared statement keeps its plan while the table grows.
    value, numbers = (compiler.process(each, **options) for each in element.clauses)
    return f"{value} = ANY ({numbers})"


def among(value: ColumnElement[int], name: str) -> ColumnElement[bool]:
    """Return whether a column is among the integers bound under a name.

    Unlike `in_`, a statement has the same text for any number of them, so that it is compiled and prepared once.
    """
    return _Among(value, bindparam(name, type_=Numbers()))


def each_of(name: str) -> TableValuedAlias:
    """Return a table with one column, `value`: the integers bound under a name, however many."""
    # The alias is called like the column: a server calls the only column of a function by the function's alias.
    return _Unnested(bindparam(name, type_=Numbers())).table_valued(column("value", BigInteger), name="value")


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


def add_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write those of many rows whose key is not there yet; return how many."""
    names = list(rows[0])
    if is_sqlite(connection):
        statement: Executable = sqlite.insert(table).on_conflict_do_nothing()
        return _written(connection, statement, rows)
    # A list for each column: the server takes a statement with a value for each field apart, one by one.
    lists = [bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in names]
    arriving = func.unnest(*lists).table_valued(*names, name="arriving").render_derived()
    statement = postgresql.insert(table).from_select(names, select(arriving)).on_conflict_do_nothing()
    return _written(connection, statement, {name: [row[name] for row in rows] for name in names})


def _written(connection: Connection, statement: Executable, values: Any) -> int:
    return connection.execute(statement, values, execution_options={"preserve_rowcount": True}).rowcount


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


# Finds where in a table a time begins: rows are numbered in the order they come, give or take several clocks.


def first_id_since(connection: Connection, rows: Select[Any], since: datetime) -> int:
    """Return the id of the first row of a time or later, given ids and times; one past the last where all are older.

    The interval is halved, so that a few rows are read however many there are.
    """
    key, _ = rows.selected_columns
    last = connection.execute(rows.order_by(key.desc()).limit(1)).first()
    if last is None:
        return 0
    low, high = 0, last[0] + 1
    while low < high:
        middle = (low + high) // 2
        found, at = connection.execute(rows.where(key >= middle).order_by(key).limit(1)).one()
        if at < since:
            low = found + 1
        else:
            high = middle
    return int(low)
