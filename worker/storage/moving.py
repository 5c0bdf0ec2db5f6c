"""Moves a whole store to another database, row by row: resumable, and compared at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, func, literal_column, select, text
from sqlalchemy.exc import IntegrityError

from worker.errors import StoreBusy, StoreError, StoreMissing, UsageError
from worker.storage.alone import Writer, alone
from worker.storage.border import describe_url
from worker.storage.database import Database
from worker.storage.dialect import add_missing, require_utf8
from worker.storage.engine import MISSING, connect
from worker.storage.index import INDEX_PARAMETERS
from worker.storage.kept import digest_of, kept_tables, key_of, last_key, rows_after
from worker.storage.lock import without_daemon
from worker.storage.migrate import VERSIONS, bring_up_to_date, outdated, version_of
from worker.storage.provenance import begin_arriving, end_arriving, identify, identity_of, origin_of
from worker.storage.tables import META
from worker.storage.workers import present


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
    """Copy every row of one store into an empty database, then compare both.

    A copy that was broken off goes on where it stopped; until it has been run to its end, no other command uses the
    target. One that was finished is compared again. Nobody may work on either store meanwhile: a daemon on a SQLite
    store is StoreBusy, and so is a worker that holds a lease. Raises UsageError where both are the same store, and
    StoreError where a store cannot be used, the target holds anything else, and where the two differ at the end.
    """
    with _at_rest(origin, target, now=now) as (source, destination), alone(destination, what="migrate-store") as hold:
        bring_up_to_date(destination)
        identity = source.read(identity_of) or source.write(identify)
        if not hold.write(_begin, destination, identity, source.read(_highest)):
            return _compared_anew(source, destination, identity)
        copied = {table.name: _copy(source, destination, table, progress, hold) for table in kept_tables()}
        moved = tuple(_compared(source, destination, table, copied[table.name]) for table in kept_tables())
        hold.write(end_arriving)
        return moved


@contextmanager
def _at_rest(origin: str, target: str, *, now: datetime) -> Iterator[tuple[Database, Database]]:
    """Open two stores that nobody works on, the one as it is and the other as it was found, which may be nothing."""
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
    if _place(source) == _place(destination):
        raise UsageError("FROM and TO are the same store; there is nothing to move")


def _place(database: Database) -> object:
    """Return where a database really is, however its URL is written: through a link, another name or address."""
    if not database.is_sqlite:
        return database.read(_place_on_server)
    if database.path is None or not database.path.exists():
        return database
    file = database.path.stat()
    return file.st_dev, file.st_ino


def _place_on_server(connection: Connection) -> tuple[Any, ...]:
    # Two servers can be copies of each other in everything but the microsecond they were started in.
    asked = "SELECT pg_postmaster_start_time(), oid, current_schema() FROM pg_database"
    return tuple(connection.execute(text(f"{asked} WHERE datname = current_database()")).one())


def _require_origin(source: Database, *, now: datetime) -> None:
    name = describe_url(source.url)
    if not _holds_store(source, now=now):
        raise StoreMissing(f"store {name} {MISSING}")
    if source.read(origin_of) is not None:
        raise StoreError(
            f"only a part of a store is in {name}: run `corpus-worker migrate-store` into it to its end first"
        )


def _holds_store(database: Database, *, now: datetime) -> bool:
    """Return whether there is a store; raises StoreError for one that is outdated or that somebody works on."""
    version = database.read(version_of, database)
    if version is None:
        return False
    if version != VERSIONS[-1]:
        raise outdated(database.url, version)
    _require_rest(database, now=now)
    return True


def _require_rest(database: Database, *, now: datetime) -> None:
    at_work = database.read(present, now=now)
    if not at_work:
        return
    names, until = ", ".join(each.name for each in at_work), max(each.until for each in at_work)
    killed = f", or where they were killed, wait until their leases end at {until:%H:%M:%S} UTC" if until > now else ""
    raise StoreBusy(f"at work on {describe_url(database.url)}: {names}; stop them first{killed}")


def _begin(connection: Connection, destination: Database, identity: str, highest: Mapping[str, int]) -> bool:
    """Mark a database that holds nothing, or find the mark of the same move; return False where it holds a store."""
    moving = origin_of(connection)
    if moving not in {None, identity}:
        name = describe_url(destination.url)
        raise StoreError(f"a move of another store into {name} is not finished: name an empty database as TO")
    if moving is None:
        if _holds_anything(connection):
            return False
        connection.execute(delete(INDEX_PARAMETERS))
        begin_arriving(connection, identity)
    if not destination.is_sqlite:
        _set_counters(connection, highest)
    return True


def _holds_anything(connection: Connection) -> bool:
    # What every new store says of itself is no part of a corpus.
    tables = (table for table in kept_tables() if table.name not in {META.name, INDEX_PARAMETERS.name})
    return any(connection.execute(select(*key_of(table)).limit(1)).first() for table in tables)


def _copy(source: Database, destination: Database, table: Table, progress: Progress, hold: Writer) -> int:
    copied, last = 0, destination.read(last_key, table)
    while rows := source.read(rows_after, table, last):
        try:
            copied += hold.write(add_missing, table, rows)
        except IntegrityError as error:  # a row that others rest on had no place, as one of the worker's had taken it
            raise _differs(destination, f"rows of table {table.name} find no place") from error
        last = tuple(rows[-1][column.name] for column in key_of(table))
        progress(table.name, copied)
    return copied


def _highest(connection: Connection) -> dict[str, int]:
    """Return the highest id of each table that the database numbers by itself."""
    numbered = (table for table in kept_tables() if [column.name for column in key_of(table)] == ["id"])
    tables = [table for table in numbered if table.name != INDEX_PARAMETERS.name]
    return {table.name: connection.scalar(select(func.coalesce(func.max(table.c.id), 0))) or 0 for table in tables}


def _set_counters(connection: Connection, highest: Mapping[str, int]) -> None:
    """Let the server's own numbering go on after the highest id; SQLite does so by itself."""
    for table, number in highest.items():
        counter = func.pg_get_serial_sequence(table, "id")
        connection.execute(select(func.setval(counter, number + 1, literal_column("false"))))


def _compared(source: Database, destination: Database, table: Table, copied: int) -> Moved:
    ours, theirs = digest_of(source, table), digest_of(destination, table)
    if ours != theirs:
        raise _differs(destination, f"table {table.name} differs after the move ({ours[0]} rows and {theirs[0]} rows)")
    return Moved(table=table.name, rows=ours[0], copied=copied)


def _differs(destination: Database, found: str) -> StoreError:
    name = describe_url(destination.url)
    advice = f"{name} holds nothing but this unfinished move, so delete it and move again"
    return StoreError(f"{found}: was one of the stores in use? {advice}")


def _compared_anew(source: Database, destination: Database, identity: str) -> tuple[Moved, ...]:
    """Return what an earlier move brought; raises StoreError where the target is anything but the same store."""
    name, advice = describe_url(destination.url), "nothing was changed; name an empty database as TO"
    if destination.read(identity_of) not in {None, identity}:
        raise StoreError(f"{name} holds another store already: {advice}")
    moved = []
    for table in kept_tables():
        ours, theirs = digest_of(source, table), digest_of(destination, table)
        if ours != theirs:
            rows = f"{theirs[0]} rows there, {ours[0]} in FROM"
            raise StoreError(f"{name} holds a store already, which differs in table {table.name} ({rows}): {advice}")
        moved.append(Moved(table=table.name, rows=ours[0], copied=0))
    return tuple(moved)
