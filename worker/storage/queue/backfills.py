"""The progress of each backfill: the places it reads (sitemaps, archive pages) and what each gave.

Everything is written as it is found, so a backfill that is stopped or killed resumes where it was. A lease on the
backfill's row keeps two workers from running the same one.
"""

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
from worker.storage.db.schema import CANDIDATES, METADATA, partial_index
from worker.storage.db.sql import upsert
from worker.storage.queue.candidates import LOW_PRIORITY, EnqueueOptions
from worker.storage.queue.intake import enqueue_with

_WAITING = "looked_at IS NULL"

BACKFILLS = Table(
    "backfills",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("begun_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("lease_until", UtcTime),
    Column("worker", Text),
)
"""One row for each backfill ever started; the lease says which worker runs it."""

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
    partial_index("ix_backfill_places_waiting", "backfill", "id", where=_WAITING),
)
"""The places of each backfill in the order they were found; `looked_at` is null until a place was read to its end.

`position` is how far a place that was interrupted has been read; `digest` recognises places of the same content.
"""

_P = BACKFILL_PLACES.c
_ADD_BACKFILL = upsert(BACKFILLS, lambda new: new.on_conflict_do_nothing(index_elements=["name"]))
_ADD = upsert(BACKFILL_PLACES, lambda new: new.on_conflict_do_nothing(index_elements=["backfill", "url"]))
_NAMED = BACKFILLS.c.name == bindparam("backfill")
_NOW = bindparam("now", type_=UtcTime())
_FREE = or_(BACKFILLS.c.lease_until.is_(None), BACKFILLS.c.lease_until <= _NOW, BACKFILLS.c.worker == bindparam("by"))
_ACQUIRE = update(BACKFILLS).where(_NAMED, _FREE).values(lease_until=bindparam("until"), worker=bindparam("by"))


def state(connection: Connection, name: str) -> BackfillProgress:
    """Return the progress of a backfill; an empty one if it was never started."""
    row = connection.execute(select(BACKFILLS).where(_NAMED), {"backfill": storable(name)}).one_or_none()
    if row is None:
        return BackfillProgress(name=name)
    waiting, failed = func.coalesce(func.sum(_count_where(_P.looked_at.is_(None))), 0), _count_where(_P.error != "")
    sums = [func.coalesce(func.sum(column), 0) for column in (_P.found, _P.new, _P.left_out, failed)]
    counted = select(func.count(), waiting, *sums).where(_P.backfill == storable(name))
    places, waits, found, new, left_out, unread = map(int, connection.execute(counted).one())
    return BackfillProgress(
        name=name, begun_at=row.begun_at, finished_at=row.finished_at, looked=places - waits, waiting=waits,
        unread=unread, found=found, new=new, left_out=left_out,
    )  # fmt: skip


def _count_where(condition: Any) -> Any:
    return case((condition, 1), else_=0)


def acquire(connection: Connection, name: str, *, now: datetime, until: datetime, worker: str) -> bool:
    """Lease a backfill for this worker; return False if another worker holds the lease."""
    connection.execute(_ADD_BACKFILL.on(connection), {"name": storable(name), "begun_at": now})
    wanted = {"backfill": storable(name), "now": now, "until": until, "by": worker}
    return connection.execute(_ACQUIRE, wanted).rowcount == 1


def release(connection: Connection, name: str, *, worker: str) -> None:
    """Give up this worker's lease on a backfill; nothing happens if another worker has it."""
    own = update(BACKFILLS).where(_NAMED, BACKFILLS.c.worker == bindparam("by"))
    connection.execute(own.values(lease_until=None, worker=None), {"backfill": storable(name), "by": worker})


def unfinished(connection: Connection, *, now: datetime) -> tuple[BackfillStatus, ...]:
    """Return every backfill with unread places or pending candidates, by name."""
    # Worded like the partial index on batches: SQLite uses that index only for exactly this condition.
    by_batch = select(CANDIDATES.c.batch, func.count()).where(text("state = 'pending' AND batch <> ''"))
    waiting = {row[0]: int(row[1]) for row in connection.execute(by_batch.group_by(CANDIDATES.c.batch))}
    found = []
    for row in connection.execute(select(BACKFILLS).order_by(BACKFILLS.c.name)).all():
        pending = waiting.get(backfill_batch(row.name), 0)
        if row.finished_at is None or pending:
            held = row.lease_until is not None and row.lease_until > now
            progress = state(connection, row.name)
            found.append(BackfillStatus(state=progress, pending=pending, worker=row.worker if held else ""))
    return tuple(found)


def begin(connection: Connection, name: str, places: Sequence[tuple[str, str]], *, now: datetime, afresh: bool) -> None:
    """Save the places to begin with, as (kind, URL); `afresh` first deletes all progress of the backfill."""
    if afresh:
        connection.execute(delete(BACKFILL_PLACES).where(_P.backfill == storable(name)))
        again = update(BACKFILLS).where(_NAMED).values(begun_at=now, finished_at=None)
        connection.execute(again, {"backfill": storable(name)})
    _add(connection, name, places)


def _add(connection: Connection, name: str, places: Sequence[tuple[str, str]]) -> None:
    """Add places, given as (kind, URL), that the backfill does not have yet."""
    rows = [{"backfill": storable(name), "kind": kind, "url": storable(url)} for kind, url in places]
    if rows:
        connection.execute(_ADD.on(connection), rows)


def next_place(connection: Connection, name: str, *, after: int) -> BackfillPlace | None:
    """Return the first unread place with an id above `after`, None if there is none."""
    unread = select(BACKFILL_PLACES).where(_P.backfill == storable(name), _P.looked_at.is_(None), _P.id > after)
    row = connection.execute(unread.order_by(_P.id).limit(1)).one_or_none()
    return None if row is None else _place_from(row)


def _place_from(row: Row[Any]) -> BackfillPlace:
    # Counts from before an interruption are kept only if reading resumes at its position; otherwise it starts over.
    counts = {"found": row.found, "new": row.new, "left_out": row.left_out} if row.position else {}
    return BackfillPlace(id=row.id, kind=row.kind, url=row.url, position=row.position, **counts)


def save_candidates(
    connection: Connection,
    name: str,
    place: BackfillPlace,
    candidates: Sequence[Candidate],
    *,
    batch: str,
    now: datetime,
) -> BackfillPlace:
    """Enqueue candidates found at a place, and save its counts and position with them.

    The candidates have low priority (behind all news of their hosts) and are marked with `batch`. Returns the place
    with the new candidates counted.
    """
    _lock(connection, name)
    new = enqueue_with(connection, candidates, EnqueueOptions(now=now, batch=batch, precedence=LOW_PRIORITY))
    counted = replace(place, new=place.new + new)
    counts = {"found": counted.found, "new": counted.new, "left_out": counted.left_out, "position": counted.position}
    connection.execute(update(BACKFILL_PLACES).where(_P.id == place.id).values(**counts))
    return counted


def _lock(connection: Connection, name: str) -> None:
    """Lock the backfill's row, so that two writers of one backfill do not deadlock on each other's inserts."""
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
    """Mark a place as read and add the places it links to; return whether they were added.

    `digest` identifies the place's content (empty: nothing to compare). They are not added if another place of the
    backfill had the same digest: some archives answer every page number with the same page.
    """
    duplicates = select(_P.id).where(_P.backfill == storable(name), _P.digest == digest, _P.id != place.id).limit(1)
    is_new = not digest or connection.execute(duplicates).first() is None
    done = update(BACKFILL_PLACES).where(_P.id == place.id)
    connection.execute(done.values(looked_at=now, digest=digest, error=""))
    if is_new:
        _add(connection, name, follow)
    return is_new


def fail(connection: Connection, place: BackfillPlace, error: str, *, for_good: bool, now: datetime) -> None:
    """Save the error of a place; it stays unread, to be tried again, unless the error is `for_good`."""
    failed = update(BACKFILL_PLACES).where(_P.id == place.id)
    connection.execute(failed.values(looked_at=now if for_good else None, error=storable(error)))


def finish(connection: Connection, name: str, *, now: datetime) -> None:
    """Mark a backfill as finished: every place was read."""
    connection.execute(update(BACKFILLS).where(_NAMED).values(finished_at=now), {"backfill": storable(name)})


class BackfillStore(Repository):
    """`BackfillRegistry` on the store. Blocking."""

    state = reads(state)
    acquire = writes(acquire)
    release = writes(release)
    unfinished = reads(unfinished)
    begin = writes(begin)
    next_place = reads(next_place)
    save_candidates = writes(save_candidates)
    close = writes(close)
    fail = writes(fail)
    finish = writes(finish)
