"""How far each backfill has come: the places it looks at, kept with what they gave, so that any end is a pause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Row,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)

from worker.models import BackfillPlace, BackfillProgress, BackfillStatus, Candidate, backfill_batch
from worker.storage.db.codec import ID_TYPE, UtcTime, storable
from worker.storage.db.database import Repository, reads, writes
from worker.storage.db.schema import CANDIDATES, METADATA
from worker.storage.db.sql import upsert
from worker.storage.queue.candidates import LOW_PRIORITY, EnqueueOptions
from worker.storage.queue.intake import enqueue_with

_WAITING = text("looked_at IS NULL")

BACKFILLS = Table(
    "backfills",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("begun_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("lease_until", UtcTime),
    Column("worker", Text),
)
"""Every backfill ever begun; the lease says which worker is at it."""

BACKFILL_PLACES = Table(
    "backfill_places",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("backfill", Text, ForeignKey("backfills.name"), nullable=False),
    Column("url", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("looked_at", UtcTime),
    Column("position", BigInteger, nullable=False, default=0),
    Column("found", Integer, nullable=False, default=0),
    Column("new", Integer, nullable=False, default=0),
    Column("left_out", Integer, nullable=False, default=0),
    Column("digest", Text, nullable=False, default=""),
    Column("error", Text, nullable=False, default=""),
    UniqueConstraint("backfill", "url"),
    Index("ix_backfill_places_waiting", "backfill", "id", postgresql_where=_WAITING, sqlite_where=_WAITING),
)
"""The places of a backfill in the order they were met; one that was not looked at yet waits."""

_P = BACKFILL_PLACES.c
_ADD_BACKFILL = upsert(BACKFILLS, lambda new: new.on_conflict_do_nothing(index_elements=["name"]))
_ADD = upsert(BACKFILL_PLACES, lambda new: new.on_conflict_do_nothing(index_elements=["backfill", "url"]))
_NAMED = BACKFILLS.c.name == bindparam("backfill")
_NOW = bindparam("now", type_=UtcTime())
_FREE = or_(BACKFILLS.c.lease_until.is_(None), BACKFILLS.c.lease_until <= _NOW, BACKFILLS.c.worker == bindparam("by"))
_LEAD = update(BACKFILLS).where(_NAMED, _FREE).values(lease_until=bindparam("until"), worker=bindparam("by"))


def state(connection: Connection, name: str) -> BackfillProgress:
    """Return how far a backfill has come; an empty state for one never begun."""
    row = connection.execute(select(BACKFILLS).where(_NAMED), {"backfill": storable(name)}).one_or_none()
    if row is None:
        return BackfillProgress(name=name)
    waiting, failed = func.coalesce(func.sum(_one_where(_P.looked_at.is_(None))), 0), _one_where(_P.error != "")
    sums = [func.coalesce(func.sum(column), 0) for column in (_P.found, _P.new, _P.left_out, failed)]
    counted = select(func.count(), waiting, *sums).where(_P.backfill == storable(name))
    places, waits, found, new, left_out, unread = map(int, connection.execute(counted).one())
    return BackfillProgress(
        name=name, begun_at=row.begun_at, finished_at=row.finished_at, looked=places - waits, waiting=waits,
        unread=unread, found=found, new=new, left_out=left_out,
    )  # fmt: skip


def _one_where(condition: Any) -> Any:
    return case((condition, 1), else_=0)


def lead(connection: Connection, name: str, *, now: datetime, until: datetime, worker: str) -> bool:
    """Make this worker the one that is at a backfill; False where another is."""
    connection.execute(_ADD_BACKFILL.on(connection), {"name": storable(name), "begun_at": now})
    wanted = {"backfill": storable(name), "now": now, "until": until, "by": worker}
    return connection.execute(_LEAD, wanted).rowcount == 1


def leave(connection: Connection, name: str, *, worker: str) -> None:
    """Let another worker go on, if this one is still at it."""
    own = update(BACKFILLS).where(_NAMED, BACKFILLS.c.worker == bindparam("by"))
    connection.execute(own.values(lease_until=None, worker=None), {"backfill": storable(name), "by": worker})


def under_way(connection: Connection, *, now: datetime) -> tuple[BackfillStatus, ...]:
    """Return every backfill that has places to look at or candidates that wait, by name."""
    # In the words of the partial index of batches, which the count would not use else.
    marked = select(CANDIDATES.c.batch, func.count()).where(text("state = 'pending' AND batch <> ''"))
    waiting = {row[0]: int(row[1]) for row in connection.execute(marked.group_by(CANDIDATES.c.batch))}
    standings = []
    for row in connection.execute(select(BACKFILLS).order_by(BACKFILLS.c.name)).all():
        pending = waiting.get(backfill_batch(row.name), 0)
        if row.finished_at is None or pending:
            held = row.lease_until is not None and row.lease_until > now
            progress = state(connection, row.name)
            standings.append(BackfillStatus(state=progress, pending=pending, worker=row.worker if held else ""))
    return tuple(standings)


def begin(connection: Connection, name: str, places: Sequence[tuple[str, str]], *, now: datetime, afresh: bool) -> None:
    """Note the places (kind and URL) to begin with, forgetting `afresh` all that was looked at before."""
    if afresh:
        connection.execute(delete(BACKFILL_PLACES).where(_P.backfill == storable(name)))
        again = update(BACKFILLS).where(_NAMED).values(begun_at=now, finished_at=None)
        connection.execute(again, {"backfill": storable(name)})
    _add(connection, name, places)


def _add(connection: Connection, name: str, places: Sequence[tuple[str, str]]) -> None:
    rows = [{"backfill": storable(name), "kind": kind, "url": storable(url)} for kind, url in places]
    if rows:
        connection.execute(_ADD.on(connection), rows)


def next_place(connection: Connection, name: str, *, after: int) -> BackfillPlace | None:
    """Return the first place that waits behind the one with this id."""
    waits = select(BACKFILL_PLACES).where(_P.backfill == storable(name), _P.looked_at.is_(None), _P.id > after)
    row = connection.execute(waits.order_by(_P.id).limit(1)).one_or_none()
    return None if row is None else _place_from(row)


def _place_from(row: Row[Any]) -> BackfillPlace:
    # What was counted before a break counts only where reading goes on from there.
    counts = {"found": row.found, "new": row.new, "left_out": row.left_out} if row.position else {}
    return BackfillPlace(id=row.id, kind=row.kind, url=row.url, position=row.position, **counts)


def take(
    connection: Connection,
    name: str,
    place: BackfillPlace,
    candidates: Sequence[Candidate],
    *,
    batch: str,
    now: datetime,
) -> BackfillPlace:
    """Write candidates of a place into the ledger, with its counts and position.

    They wait behind all news of their hosts, marked with `batch`. Returns the place with the new ones counted.
    """
    _lock(connection, name)
    new = enqueue_with(connection, candidates, EnqueueOptions(now=now, batch=batch, precedence=LOW_PRIORITY))
    taken = replace(place, new=place.new + new)
    counts = {"found": taken.found, "new": taken.new, "left_out": taken.left_out, "position": taken.position}
    connection.execute(update(BACKFILL_PLACES).where(_P.id == place.id).values(**counts))
    return taken


def _lock(connection: Connection, name: str) -> None:
    """Keep a second writer of the same backfill waiting: their inserts would cross."""
    connection.execute(select(BACKFILLS.c.name).where(_NAMED).with_for_update(), {"backfill": storable(name)}).all()


def close(
    connection: Connection,
    name: str,
    place: BackfillPlace,
    follow: Sequence[tuple[str, str]],
    *,
    digest: str,
    now: datetime,
) -> bool:
    """End the look at a place and note those it leads to; where another gave the very same, it leads nowhere.

    `digest` stands for what it gave; empty: nothing to compare. Returns whether the places were noted.
    """
    same = select(_P.id).where(_P.backfill == storable(name), _P.digest == digest, _P.id != place.id).limit(1)
    leads = not digest or connection.execute(same).first() is None
    done = update(BACKFILL_PLACES).where(_P.id == place.id)
    connection.execute(done.values(looked_at=now, digest=digest, error=""))
    if leads:
        _add(connection, name, follow)
    return leads


def fail(connection: Connection, place: BackfillPlace, error: str, *, for_good: bool, now: datetime) -> None:
    """Note what went wrong at a place; it goes on waiting unless that is `for_good`."""
    failed = update(BACKFILL_PLACES).where(_P.id == place.id)
    connection.execute(failed.values(looked_at=now if for_good else None, error=storable(error)))


def finish(connection: Connection, name: str, *, now: datetime) -> None:
    """Note that everything was looked at."""
    connection.execute(update(BACKFILLS).where(_NAMED).values(finished_at=now), {"backfill": storable(name)})


class BackfillStore(Repository):
    """`BackfillBook` on the store."""

    state = reads(state)
    lead = writes(lead)
    leave = writes(leave)
    under_way = reads(under_way)
    begin = writes(begin)
    next_place = reads(next_place)
    take = writes(take)
    close = writes(close)
    fail = writes(fail)
    finish = writes(finish)
