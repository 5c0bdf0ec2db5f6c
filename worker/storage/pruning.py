"""Retention: lets go of old raw pages and histories, never of a text of the corpus or of a candidate's outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, delete, exists, func, select

from worker.models import State
from worker.storage.database import Database
from worker.storage.tables import CANDIDATES, EVENTS, PAGES, ROBOTS

BATCH: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows were let go of, or would be."""

    pages: int
    events: int
    robots: int


def prune(database: Database, *, older_than: datetime, dry_run: bool = False) -> Pruned:
    """Delete raw pages, events and robots.txt files from before a time, in small steps beside running work.

    What a pending candidate needs stays. Pages that are gone cannot be extracted again.
    """
    counts = {
        table.name: database.read(_count, query) if dry_run else _delete(database, table, query)
        for table, query in _old(older_than)
    }
    return Pruned(pages=counts["pages"], events=counts["events"], robots=counts["robots"])


def _old(older_than: datetime) -> tuple[tuple[Table, Select[Any]], ...]:
    def finished(candidate_id: Any) -> Any:
        return ~exists().where(CANDIDATES.c.id == candidate_id, CANDIDATES.c.state == State.PENDING)

    return (
        (PAGES, select(PAGES.c.id).where(PAGES.c.fetched_at < older_than, finished(PAGES.c.candidate_id))),
        (EVENTS, select(EVENTS.c.id).where(EVENTS.c.at < older_than, finished(EVENTS.c.candidate_id))),
        (ROBOTS, select(ROBOTS.c.origin).where(ROBOTS.c.checked_at < older_than)),
    )


def _count(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())


def _delete(database: Database, table: Table, query: Select[Any]) -> int:
    total = 0
    while step := database.write(_delete_some, table, query):
        total += step
    return total


def _delete_some(connection: Connection, table: Table, query: Select[Any]) -> int:
    (key,) = table.primary_key.columns
    keys = connection.execute(query.limit(BATCH)).scalars().all()
    if keys:
        connection.execute(delete(table).where(key.in_(keys)))
    return len(keys)
