"""The end of the work on one candidate: is the lease still held, and what the ledger says from now on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from worker.models import Claim, Outcome, Page, State, Validators
from worker.storage.claims import free_host
from worker.storage.codec import clean, clean_or_none, digest
from worker.storage.dialect import insert_into
from worker.storage.queue import Values, add_event, page_row
from worker.storage.tables import CANDIDATES, PAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A candidate as its lease is checked: still held, or ended before by this very lease."""

    row: Row[Any]
    ended: bool


def hold(connection: Connection, claim: Claim) -> Hold | None:
    """Lock the candidate of a claim; None where somebody else has claimed it since."""
    mine = select(CANDIDATES).where(CANDIDATES.c.id == claim.id).with_for_update()
    row = connection.execute(mine).one_or_none()
    if row is None or claim.token not in {row.lease_token, row.done_token}:
        return None
    return Hold(row=row, ended=row.lease_token != claim.token)


def finish(connection: Connection, claim: Claim, outcome: Outcome, *, now: datetime, page: Page | None = None) -> bool:
    """Write an outcome that stores no article; False where the lease was lost meanwhile."""
    held = hold(connection, claim)
    if held is None:
        return False
    if not held.ended:
        if outcome.state is not State.UNCHANGED:
            keep_page(connection, claim.id, page, now=now)
        close(connection, held.row, outcome, now=now, page=page)
    return True


def keep_page(connection: Connection, candidate_id: int, page: Page | None, *, now: datetime) -> int | None:
    """Keep the body of a page once, and return its row's id."""
    if page is None or page.not_modified:
        return None
    values = page_row(candidate_id, page, now=now)
    insert = insert_into(connection, PAGES).on_conflict_do_nothing(index_elements=["candidate_id", "sha256"])
    connection.execute(insert, values)
    kept = select(PAGES.c.id).where(PAGES.c.candidate_id == candidate_id, PAGES.c.sha256 == values["sha256"])
    page_id: int = connection.execute(kept).scalar_one()
    return page_id


def close(connection: Connection, row: Row[Any], outcome: Outcome, *, now: datetime, page: Page | None = None) -> None:
    """End the lease of a candidate with an outcome, tell its history, and let the next of its host come."""
    values: Values = {
        "state": outcome.state,
        "reason": clean(outcome.reason),
        "detail": clean(outcome.detail),
        "due_at": outcome.retry_at or now,
        "article_id": outcome.article or row.article_id,
        "lease_token": None,
        "lease_until": None,
        "worker": None,
        "done_token": row.lease_token,
        **_seen(page),
    }
    connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == row.id).values(**values))
    if page is not None:
        add_event(connection, row.id, at=page.fetched_at, what="fetched", detail=_fetched(page))
    what = "postponed" if outcome.state is State.PENDING else outcome.state
    detail = ": ".join(part for part in (outcome.reason, outcome.detail) if part)
    add_event(connection, row.id, at=now, what=what, detail=detail)
    if row.lane is not None:
        free_host(connection, row.lane, row.lease_token)


def _seen(page: Page | None) -> Values:
    if page is None:
        return {}
    validators = {
        "etag": clean_or_none(page.validators.etag),
        "last_modified": clean_or_none(page.validators.last_modified),
    }
    if page.not_modified:
        return {} if page.validators == Validators() else validators
    return {**validators, "body_sha256": digest(page)}


def _fetched(page: Page) -> str:
    took = round(page.elapsed.total_seconds() * 1000)
    moved = f", from {page.final_url}" if page.final_url != page.url else ""
    return f"status {page.status}, {len(page.body)} bytes, {took} ms{moved}"
