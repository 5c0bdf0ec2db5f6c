"""Pages that gave no article, for people: which they are, what was fetched, and storing one after all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, exists, func, select, update

from worker.errors import StoreError
from worker.models import HistoryEvent, Page, State, Text
from worker.models.browsing import RejectedList, RejectedPage
from worker.storage.db.codec import content_from
from worker.storage.db.schema import CANDIDATES, EVENTS, PAGES
from worker.storage.db.sql import among
from worker.storage.queue.candidates import TAKEN_BATCH, add_events
from worker.storage.queue.intake import wake_hosts

EVENTS_AT_ONCE: Final = 20_000
"""Events in which rejections are looked for. Measured in a store of a million texts: 20 ms of processor time."""
MAX_PARTS: Final = 5
"""Such parts read for one page. Chosen: a list is filled although hardly a page is rejected, and stays quick."""
_LATER = EVENTS.alias("later")
_REJECTIONS: Final[Select[Any]] = (
    # Pages that are still rejected, each at its latest rejection alone.
    select(EVENTS.c.id.label("event"), CANDIDATES.c.id, CANDIDATES.c.reason)
    .join(CANDIDATES, CANDIDATES.c.id == EVENTS.c.candidate_id)
    .where(EVENTS.c.id < bindparam("before"), EVENTS.c.id >= bindparam("floor"), EVENTS.c.what == State.REJECTED)
    .where(CANDIDATES.c.state == State.REJECTED)
    .where(
        ~exists().where(
            _LATER.c.candidate_id == EVENTS.c.candidate_id,
            _LATER.c.id > EVENTS.c.id,
            _LATER.c.what == State.REJECTED,
        )
    )
    .order_by(EVENTS.c.id.desc())
)
_TAKEN: Final = "a person asked to store it after all; it was rejected: "
"""The beginning of the event with which a page is taken; the reason and the sentence that rejected it follow."""
_TAKEN_EVENT: Final[Select[Any]] = (
    select(EVENTS.c.detail)
    .where(EVENTS.c.candidate_id == bindparam("candidate"), EVENTS.c.detail.startswith(_TAKEN))
    .order_by(EVENTS.c.id.desc())
    .limit(1)
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
    end = int(connection.execute(select(func.coalesce(func.max(EVENTS.c.id), 0))).scalar_one()) + 1
    newest = _rejections(connection, end)
    place, found = min(end, before or end), list[Row[Any]]()
    for _ in range(MAX_PARTS):
        rows = newest if place == end else _rejections(connection, place)
        place = max(0, place - EVENTS_AT_ONCE)
        found += [row for row in rows if not reason or row.reason == reason]
        if len(found) >= limit or place <= 1:
            break
    rest = found[limit - 1].event if len(found) >= limit else place
    return RejectedList(
        pages=_rejected_pages(connection, [row.id for row in found[:limit]]),
        reasons=_ranked(Counter(row.reason for row in newest)),
        are_reasons_of_all=end <= EVENTS_AT_ONCE,
        before=rest if rest > 1 else None,
    )


def _rejections(connection: Connection, before: int) -> Sequence[Row[Any]]:
    """Return the pages whose latest rejection is in a part of the history, and that are still rejected."""
    return connection.execute(_REJECTIONS, {"before": before, "floor": before - EVENTS_AT_ONCE}).all()


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _rejected_pages(connection: Connection, ids: Sequence[int]) -> tuple[RejectedPage, ...]:
    """Return rejected pages in the order of these ids."""
    query = _REJECTED_CANDIDATES.where(among(CANDIDATES.c.id, "ids"))
    rows = {row.id: row for row in connection.execute(query, {"ids": ids})}
    return tuple(_rejected_page(rows[each]) for each in ids)


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
    asked = f"{_TAKEN}{row.reason}: {row.detail}"
    add_events(connection, candidate, [HistoryEvent(at=now, what="queued", detail=asked)])
    if not kept:
        wake_hosts(connection, {row.host}, now=now)
    return kept is not None


def leave(connection: Connection, candidate: int, *, now: datetime) -> None:
    """Reject a page again that a person has taken, if it still waits; raises StoreError for any other."""
    waits = (CANDIDATES.c.state == State.PENDING) & (CANDIDATES.c.batch == TAKEN_BATCH)
    is_free = CANDIDATES.c.lease_token.is_(None) & (CANDIDATES.c.id == candidate)
    row = connection.execute(select(CANDIDATES.c.id).where(waits, is_free).with_for_update()).one_or_none()
    taken = connection.execute(_TAKEN_EVENT, {"candidate": candidate}).scalar_one_or_none()
    if row is None or taken is None:
        raise StoreError(f"candidate {candidate} does not wait any more: it is being stored, or was stored")
    reason, _, detail = taken.removeprefix(_TAKEN).partition(": ")
    values = {"state": State.REJECTED, "batch": "", "due_at": now, "reason": reason, "detail": detail}
    connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == candidate).values(**values, payload_sha256=None))
    add_events(connection, candidate, [HistoryEvent(at=now, what=State.REJECTED, detail=f"{reason}: {detail}")])
