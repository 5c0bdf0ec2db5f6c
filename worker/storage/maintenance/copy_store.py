"""Copies a whole store into another database (`migrate-store`), and compares both at the end.

Rows are copied in order of their keys, so that an interrupted copy can be resumed. `docs/store.md`, "Moving a store",
describes the mark in the table `meta` that keeps other commands from using an incomplete copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
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
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeEngine

from worker.errors import StoreBusy, StoreError, StoreMissing, UsageError
from worker.models.base import dataclass
from worker.storage.corpus.index import INDEX_PARAMETERS
from worker.storage.corpus.search_index import SEARCH_QUEUE
from worker.storage.db.database import Database
from worker.storage.db.engine import MISSING_STORE, connect
from worker.storage.db.errors import describe_url
from worker.storage.db.locks import Writer, exclusive, without_daemon
from worker.storage.db.migrate import (
    COPIED_FROM,
    VERSIONS,
    begin_copy,
    bring_up_to_date,
    copied_from,
    end_copy,
    ensure_identity,
    identity_of,
    outdated_error,
    version_of,
)
from worker.storage.db.schema import ARTICLES, META, METADATA
from worker.storage.db.sql import add_missing, require_utf8
from worker.storage.queue.workers import active_workers

BATCH: Final = 1000
"""Rows copied in one transaction from a table with texts or bodies. Chosen, not measured: bounds memory, as an article
takes about 1.5 KB and a page much more (docs/store.md, "Size")."""
NARROW_BATCH: Final = 20_000
"""Rows copied in one transaction from any other table. 40.9 million rows took 79 minutes with these two values
(docs/store.md, "Size")."""


def raw_tables() -> Sequence[Table]:
    """Return every table without conversion of values: times are integers, compressed data stays compressed."""
    # Parents come before their children, so that every foreign key finds its row. Full-text search is made anew.
    return [_raw_table(table) for table in METADATA.sorted_tables if table is not SEARCH_QUEUE]


def _raw_table(table: Table) -> Table:
    columns = [
        Column(column.name, _raw_type(column.type), primary_key=column.primary_key, autoincrement=False)
        for column in table.columns
        if column.computed is None
    ]
    return Table(table.name, MetaData(), *columns)


def _raw_type(of: TypeEngine[Any]) -> TypeEngine[Any]:
    return of.impl_instance if isinstance(of, TypeDecorator) else of


def _batch(table: Table) -> int:
    """Return how many rows of a table are copied in one transaction."""
    wide = any(isinstance(column.type, Text | LargeBinary) for column in table.columns)
    return BATCH if wide else NARROW_BATCH


def key_of(table: Table) -> list[Column[Any]]:
    """Return the columns of a table's primary key."""
    return list(table.primary_key.columns)


def _has_text_key(table: Table) -> bool:
    return any(isinstance(column.type, Text) for column in key_of(table))


def last_key(connection: Connection, table: Table) -> tuple[Any, ...] | None:
    """Return the highest key in a partly copied table, None to start from the beginning.

    Tables with text keys always start over: the two databases sort texts in different orders.
    """
    if _has_text_key(table):
        return None
    newest = select(*key_of(table)).order_by(*(column.desc() for column in key_of(table))).limit(1)
    row = connection.execute(newest).one_or_none()
    return None if row is None else tuple(row)


def _after(table: Table, last: tuple[Any, ...] | None) -> Select[Any]:
    """Return a query of a table's rows in order of its key, after a key if one is given."""
    rows = select(table).order_by(*key_of(table))
    return rows if last is None else rows.where(tuple_(*key_of(table)) > tuple_(*last))


def rows_after(connection: Connection, table: Table, last: tuple[Any, ...] | None) -> list[dict[str, Any]]:
    """Return the next batch of rows of a table in order of its key, as dictionaries."""
    return [dict(row._mapping) for row in connection.execute(_after(table, last).limit(_batch(table)))]  # noqa: SLF001


def table_digest(database: Database, table: Table) -> tuple[int, str]:
    """Return the number of rows of a table, and a hash of them in hexadecimal that does not depend on their order.

    It is the sum of the rows' BLAKE2b hashes modulo 2^128, since the databases sort texts in different orders.
    """
    count, total = 0, 0
    with database.snapshot() as connection:
        for row in connection.execute(_all_of(table).execution_options(yield_per=_batch(table))):
            digest = hashlib.blake2b(repr(tuple(row)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            count, total = count + 1, (total + int.from_bytes(digest, "big")) % 2**128
    return count, f"{total:032x}"


def _all_of(table: Table) -> Select[Any]:
    """Return a query of a whole table; the mark of an unfinished copy is not part of the store."""
    return select(table).where(table.c.key != COPIED_FROM) if table.name == META.name else select(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedTable:
    """A copied table: the number of its rows, and how many of them this run copied."""

    table: str
    rows: int
    copied: int


CopyProgress = Callable[[str, int], None]
"""Called after each batch with the table's name and the number of its rows copied so far."""


def move_store(
    origin: str, target: str, *, now: datetime, progress: CopyProgress = lambda _table, _rows: None
) -> tuple[CopiedTable, ...]:
    """Copy every row of one store into an empty database, then compare both; return the tables.

    An interrupted copy is resumed; until it is complete, every other command refuses the target. After a complete copy,
    both stores are only compared again. No worker may use either store meanwhile: raises StoreBusy for a daemon on a
    SQLite store, a connected worker or a lease. Raises UsageError if both URLs are the same store, and StoreError if a
    store is unusable, if the target holds other data, or if the two differ at the end.
    """
    with (
        _idle(origin, target, now=now) as (source, destination),
        exclusive(destination, command="migrate-store") as hold,
    ):
        bring_up_to_date(destination)
        identity = source.read(identity_of) or source.write(ensure_identity)
        if not hold.write(_begin, destination, identity, source.read(_highest)):
            return _compared_anew(source, destination, identity)
        copied = {table.name: _copy(source, destination, table, progress, hold) for table in raw_tables()}
        moved = tuple(_compared(source, destination, table, copied[table.name]) for table in raw_tables())
        hold.write(_end)
        return moved


@contextmanager
def _idle(origin: str, target: str, *, now: datetime) -> Iterator[tuple[Database, Database]]:
    """Open both databases, the target may be empty, and hold their daemon locks. Raises StoreBusy if one is in use."""
    with ExitStack() as held:
        source = held.enter_context(closing(connect(origin, create=False)))
        destination = held.enter_context(closing(connect(target)))
        _require_two(source, destination)
        held.enter_context(without_daemon(source.path, why="moving it to another database"))
        _require_origin(source, now=now)
        held.enter_context(without_daemon(destination.path, why="moving another store into it"))
        if not destination.is_sqlite:
            destination.read(require_utf8)
        _holds_store(destination, now=now)
        yield source, destination


def _require_two(source: Database, destination: Database) -> None:
    if _location(source) == _location(destination):
        raise UsageError("FROM and TO are the same store; there is nothing to move")


def _location(database: Database) -> object:
    """Return a value that is the same for two URLs of one database, even through a link or another host name."""
    if not database.is_sqlite:
        return database.read(_location_on_server)
    if database.path is None or not database.path.exists():
        return database
    file = database.path.stat()
    return file.st_dev, file.st_ino


def _location_on_server(connection: Connection) -> tuple[Any, ...]:
    # A server may be an exact copy of another, down to its object ids; the time it was started tells them apart.
    query = "SELECT pg_postmaster_start_time(), oid, current_schema() FROM pg_database"
    return tuple(connection.execute(text(f"{query} WHERE datname = current_database()")).one())


def _require_origin(source: Database, *, now: datetime) -> None:
    """Raise StoreMissing if the origin is no store, StoreError if it is an incomplete copy itself."""
    name = describe_url(source.url)
    if not _holds_store(source, now=now):
        raise StoreMissing(f"store {name} {MISSING_STORE}")
    if source.read(copied_from) is not None:
        raise StoreError(
            f"only a part of a store is in {name}: run `corpus-worker migrate-store` into it to its end first"
        )


def _holds_store(database: Database, *, now: datetime) -> bool:
    """Whether a database contains a store; raises StoreError for an outdated one, StoreBusy for one in use."""
    version = database.read(version_of, database)
    if version is None:
        return False
    if version != VERSIONS[-1]:
        raise outdated_error(database.url, version)
    _require_idle(database, now=now)
    return True


def _require_idle(database: Database, *, now: datetime) -> None:
    """Raise StoreBusy with the names of the workers that are connected or hold a lease."""
    at_work = database.read(active_workers, now=now)
    if not at_work:
        return
    names, until = ", ".join(each.name for each in at_work), max(each.until for each in at_work)
    killed = f", or if they were killed, wait until their leases end at {until:%H:%M:%S} UTC" if until > now else ""
    raise StoreBusy(f"at work on {describe_url(database.url)}: {names}; stop them first{killed}")


def _begin(connection: Connection, destination: Database, identity: str, highest: Mapping[str, int]) -> bool:
    """Mark an empty database as the target; return False if it holds a store that is not marked.

    An existing mark of the same copy is kept; raises StoreError for the mark of another store's copy.
    """
    marked = copied_from(connection)
    if marked not in {None, identity}:
        name = describe_url(destination.url)
        raise StoreError(f"a move of another store into {name} is not finished: name an empty database as TO")
    if marked is None:
        if _holds_anything(connection):
            return False
        connection.execute(delete(INDEX_PARAMETERS))
        begin_copy(connection, identity)
    if not destination.is_sqlite:
        _set_counters(connection, highest)
    return True


def _holds_anything(connection: Connection) -> bool:
    # Every new store has rows in these two tables.
    tables = (table for table in raw_tables() if table.name not in {META.name, INDEX_PARAMETERS.name})
    return any(connection.execute(select(*key_of(table)).limit(1)).first() for table in tables)


def _copy(source: Database, destination: Database, table: Table, progress: CopyProgress, hold: Writer) -> int:
    """Copy the rows of a table that the target lacks; return how many."""
    copied, last = 0, destination.read(last_key, table)
    while rows := source.read(rows_after, table, last):
        try:
            copied += hold.write(add_missing, table, rows)
        except IntegrityError as error:  # its parent was skipped: a worker had used the same unique key
            raise _differs(destination, f"rows of table {table.name} cannot be inserted") from error
        last = tuple(rows[-1][column.name] for column in key_of(table))
        progress(table.name, copied)
    return copied


def _highest(connection: Connection) -> dict[str, int]:
    """Return the highest id in each table whose ids the database assigns."""
    numbered = (table for table in raw_tables() if [column.name for column in key_of(table)] == ["id"])
    tables = [table for table in numbered if table.name != INDEX_PARAMETERS.name]
    return {table.name: connection.scalar(select(func.coalesce(func.max(table.c.id), 0))) or 0 for table in tables}


def _set_counters(connection: Connection, highest: Mapping[str, int]) -> None:
    """Set PostgreSQL's sequences to continue after the highest ids; SQLite needs no such step."""
    for table, number in highest.items():
        counter = func.pg_get_serial_sequence(table, "id")
        connection.execute(select(func.setval(counter, number + 1, literal_column("false"))))


def _end(connection: Connection) -> None:
    """Remove the mark, and have every article indexed for full-text search, whose index depends on the database."""
    connection.execute(insert(SEARCH_QUEUE).from_select(["article_id"], select(ARTICLES.c.id)))
    end_copy(connection)


def _compared(source: Database, destination: Database, table: Table, copied: int) -> CopiedTable:
    """Compare a table in both stores; raises StoreError if it differs."""
    ours, theirs = table_digest(source, table), table_digest(destination, table)
    if ours != theirs:
        raise _differs(destination, f"table {table.name} differs after the move ({ours[0]} rows and {theirs[0]} rows)")
    return CopiedTable(table=table.name, rows=ours[0], copied=copied)


def _differs(destination: Database, found: str) -> StoreError:
    """Return the error for a difference between the stores, which only a change during the copy can cause."""
    name = describe_url(destination.url)
    advice = f"{name} holds nothing but this unfinished move, so delete it and move again"
    return StoreError(f"{found}: was one of the stores in use? {advice}")


def _compared_anew(source: Database, destination: Database, identity: str) -> tuple[CopiedTable, ...]:
    """Compare both stores after an earlier, complete copy; raises StoreError if they are not the same."""
    name, advice = describe_url(destination.url), "nothing was changed; name an empty database as TO"
    if destination.read(identity_of) not in {None, identity}:
        raise StoreError(f"{name} holds another store already: {advice}")
    moved = []
    for table in raw_tables():
        ours, theirs = table_digest(source, table), table_digest(destination, table)
        if ours != theirs:
            rows = f"{theirs[0]} rows there, {ours[0]} in FROM"
            raise StoreError(f"{name} holds a store already, which differs in table {table.name} ({rows}): {advice}")
        moved.append(CopiedTable(table=table.name, rows=ours[0], copied=0))
    return tuple(moved)
