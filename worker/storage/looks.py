"""Looking again, at given ages, at what is stored already."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from worker.models import Event, State
from worker.storage.columns import UtcTime
from worker.storage.events import add_events
from worker.storage.former import WITH_ARTICLE, remembered
from worker.storage.intake import THE_PAST
from worker.storage.queue import wake_hosts
from worker.storage.tables import CANDIDATES

_DUE = (
    select(CANDIDATES)
    .where(
        CANDIDATES.c.look_at.is_not(None),
        CANDIDATES.c.look_at <= bindparam("now", type_=UtcTime()),
        CANDIDATES.c.state.in_(WITH_ARTICLE),
    )
    .order_by(CANDIDATES.c.look_at, CANDIDATES.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_QUEUE = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .values(
        state=State.PENDING,
        reason="",
        detail="",
        lane=CANDIDATES.c.host,
        precedence=THE_PAST,
        due_at=bindparam("now", type_=UtcTime()),
        attempts=0,
        look_at=None,
        former=bindparam("as_before"),
    )
)


def queue_rechecks(connection: Connection, *, now: datetime, limit: int) -> int:
    """Queue articles that have reached the age at which they are looked at again; return how many.

    They wait behind the news of their hosts.
    """
    rows = connection.execute(_DUE, {"now": now, "limit": limit}).all()
    if not rows:
        return 0
    queued = [{"candidate": row.id, "now": now, "as_before": remembered(row, by_age=True)} for row in rows]
    connection.execute(_QUEUE, queued)
    for row in rows:
        add_events(connection, row.id, [Event(at=now, what="queued", detail="old enough to be looked at again")])
    wake_hosts(connection, {row.host for row in rows}, now=now)
    return len(rows)
