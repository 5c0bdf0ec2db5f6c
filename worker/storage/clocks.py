"""Mends a store whose times were written by a clock that ran ahead and was set back since."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection, bindparam, func, select, update

from worker.storage.backfills import BACKFILLS
from worker.storage.columns import EPOCH, Span, UtcTime
from worker.storage.dialect import greatest, is_sqlite
from worker.storage.tables import CANDIDATES, HOSTS, SOURCES

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
_NOW, _BY = bindparam("now", type_=UtcTime()), bindparam("by", type_=Span())
_MEND: Final = (
    *(update(table).where(column > _NOW).values({column: greatest(column - _BY, _NOW)}) for table, column in _AHEAD),
    *(update(table).where(column > _NOW).values({column: _NOW}) for table, column in _PAST),
)


def mend_times(connection: Connection, *, now: datetime) -> timedelta:
    """Move what lies ahead back by as far as the newest time that must be past lies ahead; return that.

    What was written last tells how far the clock was ahead. Nothing is changed where that is a minute or less. History
    keeps its times, but for the discovery of candidates and the polls of sources: those told of the clock.
    """
    now = _latest(connection, now)
    ahead = _newest(connection) - now
    if ahead <= TOLERANCE:
        return timedelta(0)
    for statement in _MEND:
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
