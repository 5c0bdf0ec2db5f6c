"""Who works on the store at the moment, told from the leases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, func, select

from worker.storage.tables import CANDIDATES, SOURCES


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """One worker with live leases: how many candidates and sources it holds, and until when at the latest."""

    name: str
    candidates: int
    sources: int
    until: datetime


def workers(connection: Connection, *, now: datetime) -> tuple[WorkerRecord, ...]:
    """Return every worker with a live lease, by name."""
    candidates, sources = _leases(connection, CANDIDATES, now), _leases(connection, SOURCES, now)
    return tuple(
        WorkerRecord(
            name=name,
            candidates=candidates[name][0] if name in candidates else 0,
            sources=sources[name][0] if name in sources else 0,
            until=max(leases[name][1] for leases in (candidates, sources) if name in leases),
        )
        for name in sorted({*candidates, *sources})
    )


def _leases(connection: Connection, table: Table, now: datetime) -> dict[str, tuple[int, datetime]]:
    live = (
        select(table.c.worker, func.count().label("held"), func.max(table.c.lease_until).label("until"))
        .where(table.c.lease_until.is_not(None), table.c.lease_until > now, table.c.worker.is_not(None))
        .group_by(table.c.worker)
    )
    return {row.worker: (row.held, row.until) for row in connection.execute(live)}
