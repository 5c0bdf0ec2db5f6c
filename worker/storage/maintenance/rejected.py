"""Pages that gave no article, for people: which they are, what was fetched, and storing one after all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, exists, func, select, update

from worker.errors import StoreError
from worker.models import HistoryEvent, Page, State, Text
from worker.models.browsing import RejectedList, RejectedPage
from worker.storage.db.codec import content_from
from worker.storage.db.schema import CANDIDATES, EVENTS, PAGES
from worker.storage.db.sql import among, batched
from worker.storage.queue.candidates import TAKEN_BATCH, add_events
from worker.storage.queue.intake import wake_hosts

ROWS_AT_ONCE: Final = 500  # candidates looked up in one query
EVENTS_AT_ONCE: Final = 20_000
"""Events in which rejections are looked for. Measured in a store of a million texts: 20 ms of processor time."""
MAX_PARTS: Final = 5
"""Such parts read for one page. Chosen: a list is filled although hardly a page is rejected, and stays quick."""
_REJECTIONS: Final[Select[Any]] = select(EVENTS.c.id, EVENTS.c.candidate_id, EVENTS.c.detail).where(
    EVENTS.c.id < bindparam("before"), EVENTS.c.id >= bindparam("floor"), EVENTS.c.what == State.REJECTED
)
_HAS_PAGE = exists().where(PAGES.c.candidate_id == CANDIDATES.c.id).label("is_kept")
_REJECTED_CANDIDATES: Final[Select[Any]] = select(
    CANDIDATES.c.id, CANDIDATES.c.url, CANDIDATES.c.source, CANDIDATES.c.title, CANDIDATES.c.state,
    CANDIDATES.c.reason, CANDIDATES.c.detail, CANDIDATES.c.due_at, CANDIDATES.c.article_id, _HAS_PAGE,
)  # fmt: skip
_NEWEST_PAGE: Final[Select[Any]] = (
    select(PAGES).where(PAGES.c.candidate_id == bindparam("candidate")).order_by(PAGES.c.id.desc()).limit(1)
)


def rejected_list(connection: Connection, *, before: int | None, reason: str, limit: int) -> RejectedList:
    """Return rejected pages, the latest first, from events with ids below `before`; `reason` chooses some of them.

    There may be fewer than `limit`, and still more: a bounded part of the history is read.
    """
    place = int(connection.execute(select(func.coalesce(func.max(EVENTS.c.id), 0))).scalar_one()) + 1
    place = min(place, before or place)
    found: dict[int, RejectedPage] = {}
    reasons: Counter[str] = Counter()
    for _ in range(MAX_PARTS):
        bounds = {"before": place, "floor": place - EVENTS_AT_ONCE}
        events = connection.execute(_REJECTIONS.order_by(EVENTS.c.id.desc()), bounds).all()
        place = max(0, place - EVENTS_AT_ONCE)
        reasons.update(event.detail.partition(":")[0] for event in events)
        wanted = [event for event in events if not reason or event.detail.startswith(f"{reason}:")]
        for event, page in _still_rejected(connection, wanted):
            if page.candidate not in found:
                found[page.candidate] = page
                if len(found) == limit:
                    return RejectedList(pages=tuple(found.values()), reasons=_ranked(reasons), before=event)
        if place <= 1:
            break
    return RejectedList(pages=tuple(found.values()), reasons=_ranked(reasons), before=place if place > 1 else None)


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _still_rejected(connection: Connection, events: Sequence[Row[Any]]) -> Iterator[tuple[int, RejectedPage]]:
    """Yield the event and the page of each candidate that is still rejected, in the order of the events."""
    for part in batched(events, ROWS_AT_ONCE):
        ids = {"ids": [event.candidate_id for event in part]}
        query = _REJECTED_CANDIDATES.where(among(CANDIDATES.c.id, "ids"), CANDIDATES.c.state == State.REJECTED)
        rows = {row.id: row for row in connection.execute(query, ids)}
        yield from (
            (event.id, _rejected_page(rows[event.candidate_id])) for event in part if event.candidate_id in rows
        )


def _rejected_page(row: Row[Any]) -> RejectedPage:
    return RejectedPage(
        candidate=row.id,
        url=row.url,
        source=row.source,
        title=row.title,
        reason=row.reason,
        detail=row.detail,
        at=row.due_at,  # of a finished candidate: when it was finished
        is_kept=row.is_kept,
        article=row.article_id,
    )


def rejected_page(connection: Connection, candidate: int) -> tuple[RejectedPage, State, Page | Text | None] | None:
    """Return a page as if it was rejected, its state now, and its newest kept content; None for an unknown one."""
    row = connection.execute(_REJECTED_CANDIDATES.where(CANDIDATES.c.id == candidate)).one_or_none()
    if row is None:
        return None
    kept = connection.execute(_NEWEST_PAGE, {"candidate": candidate}).one_or_none()
    content = content_from(kept.form, kept.described, kept.body, kept.fetched_at) if kept else None
    return _rejected_page(row), State(row.state), content


def take(connection: Connection, candidate: int, *, now: datetime) -> bool:
    """Queue a rejected page to be stored after all; return whether its kept page is used, else it is fetched again.

    Raises StoreError if the candidate is unknown or not rejected.
    """
    query = select(CANDIDATES).where(CANDIDATES.c.id == candidate, CANDIDATES.c.state == State.REJECTED)
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        raise StoreError(f"candidate {candidate} is not rejected: nothing is to be taken after all")
    kept = connection.execute(_NEWEST_PAGE, {"candidate": candidate}).one_or_none()
    queued = (
        update(CANDIDATES)
        .where(CANDIDATES.c.id == candidate)
        .values(
            state=State.PENDING,
            lane=None if kept else row.host,
            batch=TAKEN_BATCH,
            due_at=now,
            payload_sha256=kept.sha256 if kept else None,
            body_sha256=None,  # otherwise the same bytes as before would end the candidate as unchanged
            attempts=0,
            reason="",
            detail="",
        )
    )
    connection.execute(queued)
    asked = f"a person asked to store it after all; it was rejected: {row.reason}: {row.detail}"
    add_events(connection, candidate, [HistoryEvent(at=now, what="queued", detail=asked)])
    if not kept:
        wake_hosts(connection, {row.host}, now=now)
    return kept is not None
