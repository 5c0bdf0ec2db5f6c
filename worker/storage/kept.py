"""The tables as a database keeps them: their rows in the order of the keys, step by step, and a digest of all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, LargeBinary, MetaData, Select, Table, Text, TypeDecorator, select, tuple_
from sqlalchemy.types import TypeEngine

from worker.storage.database import Database
from worker.storage.metadata import METADATA
from worker.storage.provenance import MARK
from worker.storage.tables import META

BATCH: Final = 1000
NARROW_BATCH: Final = 20_000
"""Rows copied in one step: fewer where they hold texts or bodies."""


def kept_tables() -> Sequence[Table]:
    """Return every table, with its values as they are kept."""
    # Children come after their parents, so that every foreign key finds its row.
    return [_as_kept(table) for table in METADATA.sorted_tables]


def _as_kept(table: Table) -> Table:
    """Return a table with its values as the database keeps them: packed texts are not unpacked on the way."""
    columns = [
        Column(column.name, _kept_type(column.type), primary_key=column.primary_key, autoincrement=False)
        for column in table.columns
        if column.computed is None
    ]
    return Table(table.name, MetaData(), *columns)


def _kept_type(of: TypeEngine[Any]) -> TypeEngine[Any]:
    return of.impl_instance if isinstance(of, TypeDecorator) else of


def _batch(table: Table) -> int:
    wide = any(isinstance(column.type, Text | LargeBinary) for column in table.columns)
    return BATCH if wide else NARROW_BATCH


def key_of(table: Table) -> list[Column[Any]]:
    """Return the columns of a table's key."""
    return list(table.primary_key.columns)


def _has_text_key(table: Table) -> bool:
    return any(isinstance(column.type, Text) for column in key_of(table))


def last_key(connection: Connection, table: Table) -> tuple[Any, ...] | None:
    """Return where to go on; the beginning for text keys, which databases put in different orders."""
    if _has_text_key(table):
        return None
    newest = select(*key_of(table)).order_by(*(column.desc() for column in key_of(table))).limit(1)
    row = connection.execute(newest).one_or_none()
    return None if row is None else tuple(row)


def _after(table: Table, last: tuple[Any, ...] | None) -> Select[Any]:
    rows = select(table).order_by(*key_of(table))
    return rows if last is None else rows.where(tuple_(*key_of(table)) > tuple_(*last))


def rows_after(connection: Connection, table: Table, last: tuple[Any, ...] | None) -> list[dict[str, Any]]:
    """Return the next rows of a table in the order of its keys, as many as are copied in one step."""
    return [dict(row._mapping) for row in connection.execute(_after(table, last).limit(_batch(table)))]  # noqa: SLF001


def digest_of(database: Database, table: Table) -> tuple[int, str]:
    """Return the number of rows and a hash of all of them; the order of rows, which databases differ in, is no part."""
    count, total = 0, 0
    with database.snapshot() as connection:
        for row in connection.execute(_all_of(table).execution_options(yield_per=_batch(table))):
            digest = hashlib.blake2b(repr(tuple(row)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            count, total = count + 1, (total + int.from_bytes(digest, "big")) % 2**128
    return count, f"{total:032x}"


def _all_of(table: Table) -> Select[Any]:
    return select(table).where(table.c.key != MARK) if table.name == META.name else select(table)
