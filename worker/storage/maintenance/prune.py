"""Retention: lets go of old raw pages and histories, never of a text of the corpus or of a candidate's outcome.

In small transactions, each found by an index: whoever works on the store meanwhile waits for one of them at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Table,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    text,
    type_coerce,
)

from worker.models import State, backfill_batch
from worker.storage.db.database import Database
from worker.storage.db.schema import CANDIDATES, EVENTS, HOSTS, MOVES, PAGES, ROBOTS
from worker.storage.db.sql import first_id_since
from worker.storage.queue.addresses import ADDRESSES
from worker.storage.queue.backfills import BACKFILL_PLACES, BACKFILLS

BATCH: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows were let go of, or would be, and how many bytes the pages took."""

    pages: int = 0
    page_bytes: int = 0
    events: int = 0
    robots: int = 0
    hosts: int = 0
    moves: int = 0
    places: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        """Return the sum of two steps."""
        return Pruned(
            pages=self.pages + other.pages,
            page_bytes=self.page_bytes + other.page_bytes,
            events=self.events + other.events,
            robots=self.robots + other.robots,
            hosts=self.hosts + other.hosts,
            moves=self.moves + other.moves,
            places=self.places + other.places,
        )


def prune(database: Database, *, older_than: datetime, dry_run: bool = False) -> Pruned:
    """Let go of everything at once; see `pruning`."""
    return sum(prune_steps(database, older_than=older_than, dry_run=dry_run), Pruned())


def prune_steps(database: Database, *, older_than: datetime, dry_run: bool = False) -> Iterator[Pruned]:
    """Let go of raw pages, events, robots.txt files and idle hosts from before a time; yields what each step took.

    What a pending candidate needs stays, and so does what came to its outcome later than that. Pages that are gone
    cannot be extracted again. So go permanent moves of candidates that nothing is planned for (asked for again, one
    costs a redirect, and is known again), and the places of backfills that were done: who asks for one again looks at
    all of it again anyway.
    """
    yield from _pages(database, older_than, dry_run=dry_run)
    yield from _events(database, older_than, dry_run=dry_run)
    for table, old, name in ((ROBOTS, ROBOTS.c.checked_at < older_than, "robots"), (HOSTS, _idle(older_than), "hosts")):
        if dry_run:
            yield Pruned(**{name: database.read(_count, table, old)})
            continue
        while step := database.write(_delete_some, table, old):
            yield Pruned(**{name: step})
    yield from _moves(database, older_than, dry_run=dry_run)
    yield from _places(database, older_than, dry_run=dry_run)


def _finished(candidate_id: Any, *, before: datetime) -> ColumnElement[bool]:
    """Return whether a candidate had its outcome before a time: its due time is that of its outcome then."""
    unfinished = or_(CANDIDATES.c.state == State.PENDING, CANDIDATES.c.due_at >= before)
    return ~exists().where(CANDIDATES.c.id == candidate_id, unfinished)


def _idle(before: datetime) -> ColumnElement[bool]:
    """Return whether nothing waits for a host and nothing of interest is remembered of it."""
    times = (HOSTS.c.next_turn, HOSTS.c.closed_until, HOSTS.c.lease_until)
    return and_(HOSTS.c.due_at.is_(None), HOSTS.c.lease_token.is_(None), *(at < before for at in times))


def _pages(database: Database, before: datetime, *, dry_run: bool) -> Iterator[Pruned]:
    after: tuple[datetime, int] | None = None
    while rows := database.read(_old_pages, before, after):
        ids = [row.id for row in rows if row.finished]
        if ids and not dry_run:
            database.write(_delete, PAGES, ids)
        yield Pruned(pages=len(ids), page_bytes=sum(row.size for row in rows if row.finished))
        after = rows[-1].fetched_at, rows[-1].id


def _old_pages(connection: Connection, before: datetime, after: tuple[datetime, int] | None) -> list[Any]:
    size = func.length if connection.dialect.name == "sqlite" else func.pg_column_size
    query = select(
        PAGES.c.id,
        PAGES.c.fetched_at,
        size(type_coerce(PAGES.c.body, LargeBinary)).label("size"),
        _finished(PAGES.c.candidate_id, before=before).label("finished"),
    ).where(PAGES.c.fetched_at < before)
    if after is not None:
        at, last = after
        query = query.where(
            PAGES.c.fetched_at >= at, or_(PAGES.c.fetched_at > at, and_(PAGES.c.fetched_at == at, PAGES.c.id > last))
        )
    return list(connection.execute(query.order_by(PAGES.c.fetched_at, PAGES.c.id).limit(BATCH)))


def _events(database: Database, before: datetime, *, dry_run: bool) -> Iterator[Pruned]:
    """Take the events in the order they came, up to the first one that is young enough."""
    after, end = (
        0,
        database.read(first_id_since, select(EVENTS.c.id, EVENTS.c.at).where(EVENTS.c.what != "fetched"), before),
    )
    while rows := database.read(_events_between, before, after=after, end=end):
        ids = [row.id for row in rows if row.finished]
        if ids and not dry_run:
            database.write(_delete, EVENTS, ids)
        yield Pruned(events=len(ids))
        after = rows[-1].id


def _events_between(connection: Connection, before: datetime, *, after: int, end: int) -> list[Any]:
    query = select(EVENTS.c.id, _finished(EVENTS.c.candidate_id, before=before).label("finished"))
    span = query.where(EVENTS.c.id > after, EVENTS.c.id < end)
    return list(connection.execute(span.order_by(EVENTS.c.id).limit(BATCH)))


def _delete(connection: Connection, table: Table, ids: list[int]) -> None:
    still = PAGES.c.candidate_id if table is PAGES else EVENTS.c.candidate_id
    pending = exists().where(CANDIDATES.c.id == still, CANDIDATES.c.state == State.PENDING)
    connection.execute(delete(table).where(table.c.id.in_(ids), not_(pending)))


def _moves(database: Database, before: datetime, *, dry_run: bool) -> Iterator[Pruned]:
    after = ""
    while rows := database.read(_moves_after, after, before):
        urls = [row.url for row in rows if row.settled]
        if urls and not dry_run:
            database.write(_delete_moves, urls, before)
        yield Pruned(moves=len(urls))
        after = rows[-1].url


def _moves_after(connection: Connection, after: str, before: datetime) -> list[Any]:
    query = select(MOVES.c.url, _settled(before).label("settled")).where(MOVES.c.url > after)
    return list(connection.execute(query.order_by(MOVES.c.url).limit(BATCH)))


def _delete_moves(connection: Connection, urls: list[str], before: datetime) -> None:
    connection.execute(delete(MOVES).where(MOVES.c.url.in_(urls), _settled(before)))


def _settled(before: datetime) -> ColumnElement[bool]:
    """Return whether a move is that of candidates alone, all done before a time and none to be looked at again.

    The moves of feeds, sitemaps and archives are few, are asked for again and again, and stay.
    """
    theirs = CANDIDATES.c.url == MOVES.c.url
    other = and_(ADDRESSES.c.url == MOVES.c.url, ADDRESSES.c.candidate_id == CANDIDATES.c.id)
    planned = or_(CANDIDATES.c.state == State.PENDING, CANDIDATES.c.due_at >= before, CANDIDATES.c.look_at.is_not(None))
    known = or_(exists().where(theirs), exists().where(other))
    return and_(known, not_(exists().where(theirs, planned)), not_(exists().where(other, planned)))


def _places(database: Database, before: datetime, *, dry_run: bool) -> Iterator[Pruned]:
    for name in database.read(_done_backfills, before):
        if dry_run:
            yield Pruned(places=database.read(_count, BACKFILL_PLACES, BACKFILL_PLACES.c.backfill == name))
            continue
        while step := database.write(_delete_places, name, before):
            yield Pruned(places=step)


def _done_backfills(connection: Connection, before: datetime) -> list[str]:
    done = select(BACKFILLS.c.name).where(BACKFILLS.c.finished_at < before).order_by(BACKFILLS.c.name)
    return [name for name in connection.execute(done).scalars().all() if not _waits(connection, name)]


def _waits(connection: Connection, name: str) -> bool:
    # In the words of the partial index of batches.
    marked = select(CANDIDATES.c.id).where(text("state = 'pending' AND batch <> ''")).limit(1)
    return connection.execute(marked.where(CANDIDATES.c.batch == backfill_batch(name))).first() is not None


def _delete_places(connection: Connection, name: str, before: datetime) -> int:
    # Held, so that nobody begins the backfill anew between this look and the deletion.
    done = select(BACKFILLS.c.name).where(BACKFILLS.c.name == name, BACKFILLS.c.finished_at < before)
    if connection.execute(done.with_for_update()).first() is None:
        return 0
    return _delete_some(connection, BACKFILL_PLACES, BACKFILL_PLACES.c.backfill == name)


def _count(connection: Connection, table: Table, old: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(old)).scalar_one())


def _delete_some(connection: Connection, table: Table, old: ColumnElement[bool]) -> int:
    (key,) = table.primary_key.columns
    keys = connection.execute(select(key).where(old).limit(BATCH)).scalars().all()
    if keys:
        connection.execute(delete(table).where(key.in_(keys), old))
    return len(keys)
