"""The end of the work on one candidate: is the lease still held, and what the ledger says from now on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, select, update

from worker.models import Article, Claim, Event, Outcome, Page, State, Validators
from worker.storage import fallbacks, harvests
from worker.storage.claims import free_host
from worker.storage.codec import clean, clean_or_none, digest
from worker.storage.fallbacks import FALLBACKS
from worker.storage.queue import KEEP_PAGE, add_events, page_row
from worker.storage.rows import Values
from worker.storage.tables import CANDIDATES, PAGES

LOOKED_AT_AGAIN = (State.STORED, State.REVISED, State.UNCHANGED)
"""What is looked at again at given ages: copies are not, since another text stands for them."""

_HAS_FALLBACK = exists().where(FALLBACKS.c.candidate_id == CANDIDATES.c.id).label("has_fallback")
_CANDIDATE = (
    select(CANDIDATES, _HAS_FALLBACK).where(CANDIDATES.c.id == bindparam("candidate")).with_for_update(of=CANDIDATES)
)
_KEPT_PAGE = select(PAGES.c.id).where(
    PAGES.c.candidate_id == bindparam("candidate"), PAGES.c.sha256 == bindparam("sha256")
)
WRITTEN = ("state", "reason", "detail", "due_at", "article_id", "done_token", "etag", "last_modified", "body_sha256",
           "look_at", "looks", "former")  # fmt: skip
_CLOSE = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .values(lease_token=None, lease_until=None, worker=None, **{name: bindparam(name) for name in WRITTEN})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A candidate as its lease is checked: still held, or ended before by this very lease."""

    row: Row[Any]
    ended: bool


def hold(connection: Connection, claim: Claim) -> Hold | None:
    """Lock the candidate of a claim; None where somebody else has claimed it since."""
    row = connection.execute(_CANDIDATE, {"candidate": claim.id}).one_or_none()
    if row is None or claim.token not in {row.lease_token, row.done_token}:
        return None
    return Hold(row=row, ended=row.lease_token != claim.token)


def finish(
    connection: Connection,
    claim: Claim,
    outcome: Outcome,
    *,
    now: datetime,
    page: Page | None = None,
    look_at: datetime | None = None,
) -> bool:
    """Write an outcome that stores no article; False where the lease was lost meanwhile."""
    held = hold(connection, claim)
    if held is None:
        return False
    if not held.ended:
        if outcome.state is not State.UNCHANGED and not outcome.in_vain:
            keep_page(connection, claim.id, page, now=now)
        close(connection, held.row, outcome, Ending(now=now, page=page, look_at=look_at))
    return True


def keep_page(connection: Connection, candidate_id: int, page: Page | None, *, now: datetime) -> int | None:
    """Keep the body of a page once, and return its row's id."""
    if page is None or page.not_modified:
        return None
    values = page_row(candidate_id, page, now=now)
    connection.execute(KEEP_PAGE.on(connection), values)
    return kept_page(connection, candidate_id, values["sha256"])


def kept_page(connection: Connection, candidate_id: int, sha256: str | None) -> int | None:
    """Return the row's id of a body kept for a candidate, None where there is none."""
    page_id: int | None = connection.execute(_KEPT_PAGE, {"candidate": candidate_id, "sha256": sha256}).scalar()
    return page_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What goes with an outcome: the page and the article there were, and when to look at it again at the earliest."""

    now: datetime
    page: Page | None = None
    article: Article | None = None
    look_at: datetime | None = None


def close(connection: Connection, row: Row[Any], outcome: Outcome, ending: Ending) -> None:
    """End the lease of a candidate with an outcome, tell its history, and let the next of its host come."""
    now, page = ending.now, ending.page
    values: Values = {
        "candidate": row.id,
        "state": outcome.state,
        "reason": clean(outcome.reason),
        "detail": clean(outcome.detail),
        "due_at": outcome.retry_at or now,
        "article_id": outcome.article or row.article_id,
        "done_token": row.lease_token,
        **_seen(row, None if outcome.in_vain else page),
        **_looking_again(row, outcome, ending),
    }
    connection.execute(_CLOSE, values)
    fetched = [] if page is None else [Event(at=page.fetched_at, what="fetched", detail=_fetched(page))]
    what = "postponed" if outcome.state is State.PENDING else outcome.state
    detail = ": ".join(part for part in (outcome.reason, outcome.detail) if part)
    add_events(connection, row.id, [*fetched, Event(at=now, what=what, detail=detail)])
    if outcome.state is not State.PENDING and row.has_fallback:
        fallbacks.drop(connection, row.id)
    if row.lane is not None:
        free_host(connection, row.lane, row.lease_token)
        harvests.count(connection, row, outcome, ending.article)


def _looking_again(row: Row[Any], outcome: Outcome, ending: Ending) -> Values:
    if outcome.state is State.PENDING:
        return {"look_at": None, "looks": row.looks, "former": row.former}
    seen_the_same = outcome.state is State.UNCHANGED or outcome.in_vain
    look_at = ending.look_at if outcome.state in LOOKED_AT_AGAIN else None
    return {"look_at": look_at, "looks": row.looks + 1 if seen_the_same else 0, "former": ""}


def _seen(row: Row[Any], page: Page | None) -> Values:
    if page is None or (page.not_modified and page.validators == Validators()):
        return {"etag": row.etag, "last_modified": row.last_modified, "body_sha256": row.body_sha256}
    return {
        "etag": clean_or_none(page.validators.etag),
        "last_modified": clean_or_none(page.validators.last_modified),
        "body_sha256": row.body_sha256 if page.not_modified else digest(page),
    }


def _fetched(page: Page) -> str:
    took = round(page.elapsed.total_seconds() * 1000)
    moved = f", from {page.final_url}" if page.final_url != page.url else ""
    return f"status {page.status}, {len(page.body)} bytes, {took} ms{moved}"
