"""Moves a whole store to another database, row by row: resumable, and compared at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    TypeDecorator,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from worker.errors import StoreBusy, StoreError, StoreMissing
from worker.storage.border import describe_url
from worker.storage.database import Database
from worker.storage.dialect import add_missing
from worker.storage.engine import MISSING, connect
from worker.storage.index import INDEX_PARAMETERS
from worker.storage.lock import without_daemon
from worker.storage.metadata import METADATA
from worker.storage.migrate import VERSIONS, bring_up_to_date, version_of
from worker.storage.workers import workers

BATCH: Final = 1000
NARROW_BATCH: Final = 20_000
"""Rows copied in one step: fewer where they hold texts or bodies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One table as it was moved: rows in it, and how many of them this run copied."""

    table: str
    rows: int
    copied: int


Progress = Callable[[str, int], None]
"""Told the table and the number of rows copied after each batch."""


def move_store(
    origin: str, target: str, *, now: datetime, progress: Progress = lambda _table, _rows: None
) -> tuple[Moved, ...]:
    """Copy every row of one store into another, then compare both.

    A copy that was broken off goes on where it stopped. Nobody may work on either store meanwhile: a daemon on a SQLite
    store is StoreBusy, and so is a worker that holds a lease on the first. Raises StoreError where a store cannot be
    used, and where the two differ at the end.
    """
    with ExitStack() as held:
        source = held.enter_context(closing(connect(origin, create=False)))
        held.enter_context(without_daemon(source.path, why="moving it to another database"))
        destination = held.enter_context(closing(connect(target)))
        held.enter_context(without_daemon(destination.path, why="moving another store into it"))
        _require_current(source)
        _require_rest(source, now=now)
        bring_up_to_date(destination)
        copied = {table.name: _copy(source, destination, table, progress) for table in _tables()}
        destination.write(_set_counters, destination)
        return tuple(_compared(source, destination, table, copied[table.name]) for table in _tables())


def _tables() -> Sequence[Table]:
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


def _require_current(source: Database) -> None:
    version, name = source.read(version_of, source), describe_url(source.url)
    if version is None:
        raise StoreMissing(f"store {name} {MISSING}")
    if version != VERSIONS[-1]:
        raise StoreError(f"store {name} has schema {version}: open it once with `corpus-worker status` first")


def _require_rest(source: Database, *, now: datetime) -> None:
    at_work = source.read(workers, now=now)
    if at_work:
        names = ", ".join(each.name for each in at_work)
        until = max(each.until for each in at_work)
        raise StoreBusy(
            f"at work on {describe_url(source.url)}: {names}; stop them first, or where they were killed, wait until "
            f"their leases end at {until:%H:%M:%S} UTC"
        )


def _copy(source: Database, destination: Database, table: Table, progress: Progress) -> int:
    copied, last = 0, destination.read(_last_key, table)
    while rows := source.read(_rows_after, table, last):
        copied += destination.write(add_missing, table, rows)
        last = tuple(rows[-1][column.name] for column in _key(table))
        progress(table.name, copied)
    return copied


def _key(table: Table) -> list[Column[Any]]:
    return list(table.primary_key.columns)


def _has_text_key(table: Table) -> bool:
    return any(isinstance(column.type, Text) for column in _key(table))


def _last_key(connection: Connection, table: Table) -> tuple[Any, ...] | None:
    """Return where to go on; the beginning for text keys, which databases put in different orders."""
    if _has_text_key(table):
        return None
    newest = select(*_key(table)).order_by(*(column.desc() for column in _key(table))).limit(1)
    row = connection.execute(newest).one_or_none()
    return None if row is None else tuple(row)


def _after(table: Table, last: tuple[Any, ...] | None) -> Select[Any]:
    rows = select(table).order_by(*_key(table))
    return rows if last is None else rows.where(tuple_(*_key(table)) > tuple_(*last))


def _rows_after(connection: Connection, table: Table, last: tuple[Any, ...] | None) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(_after(table, last).limit(_batch(table)))]  # noqa: SLF001


def _set_counters(connection: Connection, destination: Database) -> None:
    """Let the server's own numbering go on after the highest id; SQLite does so by itself."""
    if destination.is_sqlite:
        return
    for table in _tables():
        (key, *others) = _key(table)
        if key.name == "id" and not others and table.name != INDEX_PARAMETERS.name:
            highest = select(func.coalesce(func.max(key), 0)).scalar_subquery()
            counter = func.pg_get_serial_sequence(table.name, key.name)
            connection.execute(select(func.setval(counter, highest + 1, literal_column("false"))))


def _compared(source: Database, destination: Database, table: Table, copied: int) -> Moved:
    ours, theirs = _digest(source, table), _digest(destination, table)
    if ours != theirs:
        raise StoreError(
            f"table {table.name} differs after the move ({ours[0]} rows and {theirs[0]} rows): was one of the stores "
            f"in use? empty {describe_url(destination.url)} and move again"
        )
    return Moved(table=table.name, rows=ours[0], copied=copied)


def _digest(database: Database, table: Table) -> tuple[int, str]:
    """Return the number of rows and a hash of all of them; the order of rows, which databases differ in, is no part."""
    count, total = 0, 0
    with database.snapshot() as connection:
        for row in connection.execute(select(table)):
            digest = hashlib.blake2b(repr(tuple(row)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            count, total = count + 1, (total + int.from_bytes(digest, "big")) % 2**128
    return count, f"{total:032x}"
