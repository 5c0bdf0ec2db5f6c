"""What a crash or a wrong clock left behind: leases of dead workers, and times that lie in the future."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection, bindparam, func, select, update

from worker.storage.db.codec import EPOCH, Duration, UtcTime
from worker.storage.db.schema import CANDIDATES, HOSTS, SOURCES
from worker.storage.db.sql import greatest, is_sqlite
from worker.storage.queue.backfills import BACKFILLS
from worker.storage.queue.claims import free_host

IS_LEASED = CANDIDATES.c.lease_until.is_not(None)
"""In the words of the partial index: nothing but leased candidates is read."""


def lease_owners(connection: Connection) -> frozenset[str]:
    """Return the names of the workers that hold leases, live or run out."""
    named = select(CANDIDATES.c.worker).where(IS_LEASED, CANDIDATES.c.worker.is_not(None))
    leading = select(SOURCES.c.worker).where(SOURCES.c.worker.is_not(None))
    going_back = select(BACKFILLS.c.worker).where(BACKFILLS.c.worker.is_not(None))
    return frozenset(connection.execute(named.union(leading, going_back)).scalars())


def reclaim(connection: Connection, workers: Iterable[str]) -> int:
    """Free every lease of these workers; the attempt stays counted, as the page may be what killed them.

    Returns how many candidates are free again; sources that were being polled, and backfills, are free as well.
    """
    dead = sorted(workers)
    # The order alone would make SQLite read all candidates.
    leased = select(CANDIDATES.c.id).where(IS_LEASED, CANDIDATES.c.worker.in_(dead))
    theirs = select(CANDIDATES.c.id, CANDIDATES.c.lane, CANDIDATES.c.lease_token).where(
        CANDIDATES.c.id.in_(leased), IS_LEASED, CANDIDATES.c.worker.in_(dead)
    )
    rows = connection.execute(theirs.order_by(CANDIDATES.c.id).with_for_update()).all()
    free = update(CANDIDATES).where(CANDIDATES.c.id.in_([row.id for row in rows]))
    connection.execute(free.values(lease_token=None, lease_until=None, worker=None))
    for lane, token in sorted((row.lane, row.lease_token) for row in rows if row.lane is not None):
        free_host(connection, lane, token)
    for leading in (SOURCES, BACKFILLS):
        connection.execute(update(leading).where(leading.c.worker.in_(dead)).values(lease_until=None, worker=None))
    return len(rows)


# Mends a store whose times were written by a clock that ran ahead and was set back since.


log = structlog.get_logger()

TOLERANCE: Final = timedelta(minutes=1)
"""How far the clocks of several machines on one store may differ."""

_AHEAD: Final = (
    (HOSTS, HOSTS.c.next_turn),
    (HOSTS, HOSTS.c.closed_until),
    (HOSTS, HOSTS.c.lease_until),
    (HOSTS, HOSTS.c.due_at),
    (SOURCES, SOURCES.c.due_at),
    (SOURCES, SOURCES.c.lease_until),
    (BACKFILLS, BACKFILLS.c.lease_until),
    (CANDIDATES, CANDIDATES.c.due_at),
    (CANDIDATES, CANDIDATES.c.lease_until),
    (CANDIDATES, CANDIDATES.c.look_at),
)
_PAST: Final = (
    (SOURCES, SOURCES.c.polled_at),
    (SOURCES, SOURCES.c.succeeded_at),
    (CANDIDATES, CANDIDATES.c.discovered_at),
)
_NOW, _BY = bindparam("now", type_=UtcTime()), bindparam("by", type_=Duration())
_CORRECT: Final = (
    *(update(table).where(column > _NOW).values({column: greatest(column - _BY, _NOW)}) for table, column in _AHEAD),
    *(update(table).where(column > _NOW).values({column: _NOW}) for table, column in _PAST),
)


def correct_times(connection: Connection, *, now: datetime) -> timedelta:
    """Move what lies ahead back by as far as the newest time that must be past lies ahead; return that.

    What was written last tells how far the clock was ahead. Nothing is changed where that is a minute or less. History
    keeps its times, but for the discovery of candidates and the polls of sources: those told of the clock.
    """
    now = _latest(connection, now)
    ahead = _newest(connection) - now
    if ahead <= TOLERANCE:
        return timedelta(0)
    for statement in _CORRECT:
        connection.execute(statement, {"now": now, "by": ahead})
    log.warning("store.times_mended", ahead_s=round(ahead.total_seconds()))
    return ahead


def _latest(connection: Connection, now: datetime) -> datetime:
    """Return what the server says where this machine's clock is behind: then it is this one that is wrong."""
    if is_sqlite(connection):
        return now
    told: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return max(now, told)


def _newest(connection: Connection) -> datetime:
    """Return the newest time of something that has happened."""
    polled = connection.execute(select(func.max(SOURCES.c.polled_at))).scalar()
    last = select(CANDIDATES.c.discovered_at).order_by(CANDIDATES.c.id.desc()).limit(1)
    return max(polled or EPOCH, connection.execute(last).scalar() or EPOCH)
