"""SQL that SQLite and PostgreSQL spell differently: upserts, lists of numbers, locks, largest and smallest values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

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
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement, ReturnTypeFromArgs
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from worker.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

Insert: TypeAlias = "sqlite.Insert | postgresql.Insert"
T = TypeVar("T")
_LOCK_KEYS = text("SELECT count(pg_advisory_xact_lock(key)) FROM unnest(CAST(:keys AS bigint[])) AS wanted (key)")


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the values in lists of at most so many, for statements and transactions of bounded size."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


class greatest(ReturnTypeFromArgs[Any]):  # noqa: N801
    """The largest of its arguments, none of which may be NULL (SQLite and PostgreSQL disagree on NULL)."""

    inherit_cache = True


class least(ReturnTypeFromArgs[Any]):  # noqa: N801
    """The smallest of its arguments, none of which may be NULL."""

    inherit_cache = True


def _call(function: type[FunctionElement[Any]], dialect: str, name: str) -> None:
    """Compile a function under a different name for one database."""

    @compiles(function, dialect)
    def called(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
        return f"{name}{compiler.process(element.clause_expr, **options)}"


_call(greatest, "sqlite", "max")
_call(least, "sqlite", "min")


class Numbers(TypeDecorator[Iterable[int]]):
    """Integers of 64 bits bound as one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type for this database."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        from sqlalchemy.dialects import postgresql

        return dialect.type_descriptor(postgresql.ARRAY(BigInteger()))

    def process_bind_param(self, value: Iterable[int] | None, dialect: Dialect) -> str | list[int]:
        """Return the numbers in the form that this database accepts."""
        numbers = list(value or ())
        return json.dumps(numbers) if dialect.name == "sqlite" else numbers


class _Unnested(FunctionElement[int]):
    """A table function with one row for each number."""

    inherit_cache = True


_call(_Unnested, "sqlite", "json_each")
_call(_Unnested, "postgresql", "unnest")


class _Among(FunctionElement[bool]):
    """The condition that a column's value is in a list of numbers."""

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002
        """Return the condition unchanged; SQLAlchemy would add " = 1" for SQLite, which then uses no index."""
        return self


@compiles(_Among, "sqlite")
def _sqlite_among(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    value, numbers = (compiler.process(each, **options) for each in element.clauses)
    return f"{value} IN (SELECT value FROM json_each({numbers}))"  # noqa: S608 - consists of compiled parts


@compiles(_Among, "postgresql")
def _postgresql_among(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    # Unlike a join with unnest(), this uses the index even while the table is nearly empty. That matters because a
    # prepared statement keeps its plan while the table grows.
    value, numbers = (compiler.process(each, **options) for each in element.clauses)
    return f"{value} = ANY ({numbers})"


def among(value: ColumnElement[int], name: str) -> ColumnElement[bool]:
    """Return the condition that a column's value is one of the integers bound to a parameter.

    Unlike with `in_`, the statement's text does not depend on how many there are: it is compiled and prepared once.
    """
    return _Among(value, bindparam(name, type_=Numbers()))


def each_of(name: str) -> TableValuedAlias:
    """Return a table with one column, `value`, and a row for each of the integers bound to a parameter."""
    # The alias has the column's name: PostgreSQL names the only column of a table function after its alias.
    return _Unnested(bindparam(name, type_=Numbers())).table_valued(column("value", BigInteger), name="value")


def is_sqlite(connection: Connection) -> bool:
    """Whether this is a connection to SQLite."""
    return connection.dialect.name == "sqlite"


@contextmanager
def small_cache(connection: Connection) -> Iterator[None]:
    """Let SQLite keep 4 MiB of pages during the block: a long read passes nearly every page once."""
    if not is_sqlite(connection):
        yield
        return
    usual = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql("PRAGMA cache_size = -4096")
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # the error of the block, if there is one, is the one to report
            connection.exec_driver_sql(f"PRAGMA cache_size = {usual}")


class Upsert:
    """An INSERT with ON CONFLICT. Both databases spell it alike, but SQLAlchemy has a class of its own for each.

    A statement is made when it is first used: the classes of the other database are not even imported.
    """

    def __init__(self, table: Table, finish: Callable[[Insert], Executable]) -> None:
        self._table, self._finish = table, finish

    def on(self, connection: Connection) -> Executable:
        """Return the statement for the database of this connection."""
        return self._on_sqlite if is_sqlite(connection) else self._on_postgresql

    @cached_property
    def _on_sqlite(self) -> Executable:
        from sqlalchemy.dialects import sqlite

        return self._finish(sqlite.insert(self._table))

    @cached_property
    def _on_postgresql(self) -> Executable:
        from sqlalchemy.dialects import postgresql

        return self._finish(postgresql.insert(self._table))


def upsert(table: Table, finish: Callable[[Insert], Executable]) -> Upsert:
    """Return an INSERT into a table for both databases; `finish` adds the ON CONFLICT clause."""
    return Upsert(table, finish)


def add_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose key does not exist yet; return how many. All rows must have the same columns."""
    names = list(rows[0])
    if is_sqlite(connection):
        from sqlalchemy.dialects import sqlite

        return _written(connection, sqlite.insert(table).on_conflict_do_nothing(), rows)
    from sqlalchemy.dialects import postgresql

    # One array parameter for each column: PostgreSQL parses it faster than one parameter for each field.
    lists = [bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in names]
    new_rows = func.unnest(*lists).table_valued(*names, name="new_rows").render_derived()
    statement = postgresql.insert(table).from_select(names, select(new_rows)).on_conflict_do_nothing()
    return _written(connection, statement, {name: [row[name] for row in rows] for name in names})


def _written(connection: Connection, statement: Executable, values: Any) -> int:
    return connection.execute(statement, values, execution_options={"preserve_rowcount": True}).rowcount


def lock_keys(connection: Connection, keys: Iterable[int]) -> None:
    """Take advisory locks on 64-bit keys until the transaction ends; waits for transactions that hold one of them.

    Keys are locked in ascending order, so that two transactions cannot deadlock. No effect on SQLite, which allows one
    writer at a time.
    """
    if not is_sqlite(connection):
        connection.execute(_LOCK_KEYS, {"keys": sorted(set(keys))})


def lock_table(connection: Connection, table: Table) -> None:
    """Lock a table against other writers until the transaction ends. No effect on SQLite, which allows one writer."""
    if not is_sqlite(connection):
        connection.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


def require_utf8(connection: Connection) -> None:
    """Raise StoreError if a PostgreSQL database is not in UTF-8: other encodings cannot hold every text."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise StoreError(
            f"the database is in {encoding}, not in UTF8: make one with `createdb -E UTF8 -T template0 NAME`"
        )


def first_id_since(connection: Connection, rows: Select[Any], since: datetime) -> int:
    """Return the id of the first row at or after a time, one past the last id if all rows are older, 0 without rows.

    `rows` selects two columns: the id and the time. Ids are given out in order of time, up to differences between the
    clocks of several workers. A binary search reads a few rows, however large the table is.
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
