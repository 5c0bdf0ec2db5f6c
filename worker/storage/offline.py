"""Sends kept pages through extraction again, without a fetch: they become the content of their candidates."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, update

from worker.models import State
from worker.storage.columns import UtcTime
from worker.storage.database import Database
from worker.storage.tables import CANDIDATES, PAGES

BATCH: Final = 500
AGAIN: Final = (State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED, State.REJECTED)

_NEWEST_PAGE = (
    select(func.max(PAGES.c.id).label("page"))
    .join(CANDIDATES, CANDIDATES.c.id == PAGES.c.candidate_id)
    .where(PAGES.c.candidate_id > bindparam("after"), CANDIDATES.c.state.in_(AGAIN))
    .group_by(PAGES.c.candidate_id)
    .order_by(PAGES.c.candidate_id)
    .limit(BATCH)
)
_PAGES = select(PAGES.c.candidate_id, PAGES.c.sha256).where(PAGES.c.id.in_(_NEWEST_PAGE)).order_by(PAGES.c.candidate_id)
_QUEUE = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"), CANDIDATES.c.lease_token.is_(None))
    .values(
        state=State.PENDING,
        lane=None,
        batch=bindparam("batch"),
        due_at=bindparam("now", type_=UtcTime()),
        payload_sha256=bindparam("sha256"),
        attempts=0,
        reason="",
        detail="",
    )
)


def queue_kept_pages(database: Database, *, now: datetime, batch: str = "") -> int:
    """Make finished candidates whose page was kept pending again, with that page as their content; return how many.

    `batch` marks them for a `Scope`.
    """
    total, last = 0, 0
    while queued := database.write(_queue_some, after=last, now=now, batch=batch):
        total, last = total + len(queued), queued[-1]
    return total


def _queue_some(connection: Connection, *, after: int, now: datetime, batch: str) -> list[int]:
    pages = connection.execute(_PAGES, {"after": after}).all()
    if pages:
        rows = [{"candidate": page.candidate_id, "sha256": page.sha256, "now": now, "batch": batch} for page in pages]
        connection.execute(_QUEUE, rows)
    return [page.candidate_id for page in pages]
