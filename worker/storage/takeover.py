"""Leases whose owner is known to be dead: they are given back at once instead of running out."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select, update

from worker.storage.backfills import BACKFILLS
from worker.storage.claims import free_host
from worker.storage.tables import CANDIDATES, SOURCES

LEASED = CANDIDATES.c.lease_until.is_not(None)
"""In the words of the partial index: nothing but leased candidates is read."""


def holders(connection: Connection) -> frozenset[str]:
    """Return the names of the workers that hold leases, live or run out."""
    named = select(CANDIDATES.c.worker).where(LEASED, CANDIDATES.c.worker.is_not(None))
    leading = select(SOURCES.c.worker).where(SOURCES.c.worker.is_not(None))
    going_back = select(BACKFILLS.c.worker).where(BACKFILLS.c.worker.is_not(None))
    return frozenset(connection.execute(named.union(leading, going_back)).scalars())


def take_over(connection: Connection, workers: Iterable[str]) -> int:
    """Free every lease of these workers; the attempt stays counted, as the page may be what killed them.

    Returns how many candidates are free again; sources that were being polled, and backfills, are free as well.
    """
    dead = sorted(workers)
    # The order alone would make SQLite read all candidates.
    leased = select(CANDIDATES.c.id).where(LEASED, CANDIDATES.c.worker.in_(dead))
    theirs = select(CANDIDATES.c.id, CANDIDATES.c.lane, CANDIDATES.c.lease_token).where(
        CANDIDATES.c.id.in_(leased), LEASED, CANDIDATES.c.worker.in_(dead)
    )
    rows = connection.execute(theirs.order_by(CANDIDATES.c.id).with_for_update()).all()
    free = update(CANDIDATES).where(CANDIDATES.c.id.in_([row.id for row in rows]))
    connection.execute(free.values(lease_token=None, lease_until=None, worker=None))
    for lane, token in sorted((row.lane, row.lease_token) for row in rows if row.lane is not None):
        free_host(connection, lane, token)
    for leading in (SOURCES, BACKFILLS):
        connection.execute(update(leading).where(leading.c.worker.in_(dead)).values(lease_until=None, worker=None))
    return len(rows)
