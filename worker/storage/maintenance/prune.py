"""Deletes old raw pages, histories and state of hosts, but never a text of the corpus or a candidate's outcome.

Rows are found by an index and deleted in small transactions, so that a running worker waits for one of them at most.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from worker.models.base import dataclass
from worker.storage.db.database import Database
from worker.storage.db.schema import CANDIDATES, EVENTS, HOSTS, MOVES, PAGES, ROBOTS
from worker.storage.db.sql import first_id_since
from worker.storage.queue.addresses import ADDRESSES
from worker.storage.queue.backfills import BACKFILL_PLACES, BACKFILLS

BATCH: Final = 500
"""Rows read or deleted in one transaction. Chosen, not measured: a running worker waits for one of them at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows of each kind were deleted, or would be in a dry run; `page_bytes` is the compressed size."""

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
    """Run all steps of `prune_steps`, and return their sum."""
    return sum(prune_steps(database, older_than=older_than, dry_run=dry_run), Pruned())


def prune_steps(database: Database, *, older_than: datetime, dry_run: bool = False) -> Iterator[Pruned]:
    """Delete raw pages, events, robots.txt files and idle hosts from before a time; yield what each step deleted.

    Pages and events of candidates that are pending, or that were finished later, are kept. Pages that were deleted
    cannot be extracted again. Also deleted are the permanent redirects of candidates with nothing scheduled (the next
    fetch is redirected, and stores it again), and the progress of finished backfills (a repeated one starts over).
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
    """Return the condition that a candidate was finished before a time; its `due_at` is then that of its outcome."""
    unfinished = or_(CANDIDATES.c.state == State.PENDING, CANDIDATES.c.due_at >= before)
    return ~exists().where(CANDIDATES.c.id == candidate_id, unfinished)


def _idle(before: datetime) -> ColumnElement[bool]:
    """Return the condition that a host has no pending candidate and no pause, slot or lease later than a time."""
    times = (HOSTS.c.next_turn, HOSTS.c.closed_until, HOSTS.c.lease_until)
    return and_(HOSTS.c.due_at.is_(None), HOSTS.c.lease_token.is_(None), *(at < before for at in times))


def _pages(database: Database, before: datetime, *, dry_run: bool) -> Iterator[Pruned]:
    """Delete the pages of finished candidates in order of their fetch; yield what each step deleted."""
    after: tuple[datetime, int] | None = None
    while rows := database.read(_old_pages, before, after):
        ids = [row.id for row in rows if row.finished]
        if ids and not dry_run:
            database.write(_delete, PAGES, ids)
        yield Pruned(pages=len(ids), page_bytes=sum(row.size for row in rows if row.finished))
        after = rows[-1].fetched_at, rows[-1].id


def _old_pages(connection: Connection, before: datetime, after: tuple[datetime, int] | None) -> list[Any]:
    """Return the next batch of pages from before a time, each with its size and whether its candidate is finished."""
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
    """Delete events in order of their ids, up to the first one at or after a time."""
    # The time of a "fetched" event is that of the fetch, which is earlier than that of its neighbours.
    in_order = select(EVENTS.c.id, EVENTS.c.at).where(EVENTS.c.what != "fetched")
    after, end = 0, database.read(first_id_since, in_order, before)
    while rows := database.read(_events_between, before, after=after, end=end):
        ids = [row.id for row in rows if row.finished]
        if ids and not dry_run:
            database.write(_delete, EVENTS, ids)
        yield Pruned(events=len(ids))
        after = rows[-1].id


def _events_between(connection: Connection, before: datetime, *, after: int, end: int) -> list[Any]:
    """Return the next batch of events after one id and before another, each with whether its candidate is finished."""
    query = select(EVENTS.c.id, _finished(EVENTS.c.candidate_id, before=before).label("finished"))
    span = query.where(EVENTS.c.id > after, EVENTS.c.id < end)
    return list(connection.execute(span.order_by(EVENTS.c.id).limit(BATCH)))


def _delete(connection: Connection, table: Table, ids: list[int]) -> None:
    """Delete pages or events by id, unless their candidate has become pending since the ids were read."""
    candidate_id = PAGES.c.candidate_id if table is PAGES else EVENTS.c.candidate_id
    pending = exists().where(CANDIDATES.c.id == candidate_id, CANDIDATES.c.state == State.PENDING)
    connection.execute(delete(table).where(table.c.id.in_(ids), not_(pending)))


def _moves(database: Database, before: datetime, *, dry_run: bool) -> Iterator[Pruned]:
    """Delete redirects in order of their URLs; yield what each step deleted."""
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
    """Return the condition that a redirect belongs to candidates only, all finished before a time and none scheduled.

    Redirects of feeds, sitemaps and archives are kept: they are few and used at every poll.
    """
    first = CANDIDATES.c.url == MOVES.c.url
    other = and_(ADDRESSES.c.url == MOVES.c.url, ADDRESSES.c.candidate_id == CANDIDATES.c.id)
    planned = or_(CANDIDATES.c.state == State.PENDING, CANDIDATES.c.due_at >= before, CANDIDATES.c.look_at.is_not(None))
    known = or_(exists().where(first), exists().where(other))
    return and_(known, not_(exists().where(first, planned)), not_(exists().where(other, planned)))


def _places(database: Database, before: datetime, *, dry_run: bool) -> Iterator[Pruned]:
    """Delete the progress of finished backfills, one backfill after the other."""
    for name in database.read(_done_backfills, before):
        if dry_run:
            yield Pruned(places=database.read(_count, BACKFILL_PLACES, BACKFILL_PLACES.c.backfill == name))
            continue
        while step := database.write(_delete_places, name, before):
            yield Pruned(places=step)


def _done_backfills(connection: Connection, before: datetime) -> list[str]:
    """Return the names of backfills that were finished before a time and have no pending candidate."""
    done = select(BACKFILLS.c.name).where(BACKFILLS.c.finished_at < before).order_by(BACKFILLS.c.name)
    return [name for name in connection.execute(done).scalars().all() if not _has_pending(connection, name)]


def _has_pending(connection: Connection, name: str) -> bool:
    # The literal condition of the partial index, without which SQLite does not use it.
    marked = select(CANDIDATES.c.id).where(text("state = 'pending' AND batch <> ''")).limit(1)
    return connection.execute(marked.where(CANDIDATES.c.batch == backfill_batch(name))).first() is not None


def _delete_places(connection: Connection, name: str, before: datetime) -> int:
    """Delete a batch of a backfill's places, if it is still finished; return how many."""
    # The row lock keeps another process from starting the backfill again between this query and the deletion.
    done = select(BACKFILLS.c.name).where(BACKFILLS.c.name == name, BACKFILLS.c.finished_at < before)
    if connection.execute(done.with_for_update()).first() is None:
        return 0
    return _delete_some(connection, BACKFILL_PLACES, BACKFILL_PLACES.c.backfill == name)


def _count(connection: Connection, table: Table, old: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(old)).scalar_one())


def _delete_some(connection: Connection, table: Table, old: ColumnElement[bool]) -> int:
    """Delete a batch of the rows that meet a condition; return how many."""
    (key,) = table.primary_key.columns
    keys = connection.execute(select(key).where(old).limit(BATCH)).scalars().all()
    if keys:
        connection.execute(delete(table).where(key.in_(keys), old))
    return len(keys)
