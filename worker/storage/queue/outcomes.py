"""The end of the work on one candidate, what the queue says from then on, and the recheck at a given age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, select, update

from worker.models import Article, Claim, HistoryEvent, Outcome, Page, State, Validators
from worker.storage.db.codec import UtcTime, content_sha256, storable, storable_or_none, to_json
from worker.storage.db.schema import CANDIDATES, FALLBACKS, PAGES, Values
from worker.storage.queue import addresses, contents
from worker.storage.queue.addresses import ENDED
from worker.storage.queue.candidates import (
    LOW_PRIORITY,
    SAVE_PAGE,
    WITH_ARTICLE,
    add_events,
    former_to_json,
    lane_of,
    page_row,
)
from worker.storage.queue.claims import free_host
from worker.storage.queue.contents import drop_fallback
from worker.storage.queue.intake import switched_values, wake_hosts
from worker.storage.queue.sources import count_outcome

RECHECKED = (State.STORED, State.REVISED, State.UNCHANGED)
"""What is looked at again at given ages: copies are not, since another text stands for them."""

_HAS_FALLBACK = exists().where(FALLBACKS.c.candidate_id == CANDIDATES.c.id).label("has_fallback")
_CANDIDATE = (
    select(CANDIDATES, _HAS_FALLBACK, addresses.HAS_SEVERAL, contents.HAS_WAITING)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .with_for_update(of=CANDIDATES)
)
_SAVED_PAGE = select(PAGES.c.id).where(
    PAGES.c.candidate_id == bindparam("candidate"), PAGES.c.sha256 == bindparam("sha256")
)
WRITTEN = ("state", "reason", "detail", "due_at", "article_id", "done_token", "etag", "last_modified", "body_sha256",
           "look_at", "looks", "former")  # fmt: skip
_COMPLETE = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .values(lease_token=None, lease_until=None, worker=None, **{name: bindparam(name) for name in WRITTEN})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedCandidate:
    """A candidate as its lease is checked: still held, or ended before by this very lease."""

    row: Row[Any]
    ended: bool


def lock_candidate(connection: Connection, claim: Claim) -> LockedCandidate | None:
    """Lock the candidate of a claim; None where somebody else has claimed it since."""
    row = connection.execute(_CANDIDATE, {"candidate": claim.id}).one_or_none()
    if row is None or claim.token not in {row.lease_token, row.done_token}:
        return None
    return LockedCandidate(row=row, ended=row.lease_token != claim.token)


def finish(
    connection: Connection,
    claim: Claim,
    outcome: Outcome,
    *,
    now: datetime,
    page: Page | None = None,
    recheck_at: datetime | None = None,
) -> Outcome | None:
    """Write an outcome that stores no article, and keep the page; None where the lease was lost meanwhile.

    Returns the outcome that holds: pending where another address of the candidate is tried next.
    """
    held = lock_candidate(connection, claim)
    if held is None:
        return None
    if held.ended:
        return Outcome(state=State(held.row.state), reason=held.row.reason, detail=held.row.detail)
    if outcome.state is not State.UNCHANGED and not outcome.is_failed_recheck:
        save_page(connection, claim.id, page, now=now)
    return complete(connection, held.row, outcome, Completion(now=now, page=page, recheck_at=recheck_at))


def save_page(connection: Connection, candidate_id: int, page: Page | None, *, now: datetime) -> int | None:
    """Keep the body of a page once, and return its row's id."""
    if page is None or page.not_modified:
        return None
    values = page_row(candidate_id, page, now=now)
    connection.execute(SAVE_PAGE.on(connection), values)
    return saved_page_id(connection, candidate_id, values["sha256"])


def saved_page_id(connection: Connection, candidate_id: int, sha256: str | None) -> int | None:
    """Return the row's id of a body kept for a candidate, None where there is none."""
    page_id: int | None = connection.execute(_SAVED_PAGE, {"candidate": candidate_id, "sha256": sha256}).scalar()
    return page_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What goes with an outcome: the page and the article there were, and when to look at it again at the earliest."""

    now: datetime
    page: Page | None = None
    article: Article | None = None
    recheck_at: datetime | None = None


def complete(connection: Connection, row: Row[Any], outcome: Outcome, ending: Completion) -> Outcome:
    """End the lease of a candidate with an outcome, tell its history, and let the next of its host come.

    Where the candidate has another address to try, the outcome is that of the address alone: see `addresses`. Returns
    the outcome that holds.
    """
    now, page = ending.now, ending.page
    turn = _next_address(connection, row, outcome, ending)
    tried, outcome = outcome, _pending_if_untried(row, outcome, turn, now=now)
    values: Values = {
        "candidate": row.id,
        "state": outcome.state,
        "reason": storable(outcome.reason),
        "detail": storable(outcome.detail),
        "due_at": outcome.retry_at or now,
        "article_id": outcome.article or row.article_id,
        "done_token": row.lease_token,
        **_response_values(row, None if outcome.is_failed_recheck else page),
        **_recheck_values(row, outcome, ending),
    }
    connection.execute(_COMPLETE, values)
    fetched = [] if page is None else [HistoryEvent(at=page.fetched_at, what="fetched", detail=_fetched(page))]
    what = "postponed" if outcome.state is State.PENDING else outcome.state
    detail = ": ".join(part for part in (outcome.reason, outcome.detail) if part)
    add_events(connection, row.id, [*fetched, HistoryEvent(at=now, what=what, detail=detail)])
    if outcome.state is not State.PENDING and row.has_fallback:
        drop_fallback(connection, row.id)
    if turn is not None:
        _switch_to(connection, row, turn, outcome, now=now)
    elif row.has_waiting and outcome.state is not State.PENDING:
        _start_next_content(connection, row, outcome, now=now)
    if row.lane is not None:
        _free_hosts(connection, row, turn, now=now)
        count_outcome(connection, row, outcome, ending.article)
    return tried if tried.article else outcome


def _next_address(connection: Connection, row: Row[Any], outcome: Outcome, ending: Completion) -> Row[Any] | None:
    """Note how a try of one of several addresses ended, and return the one to try next, if it is its turn."""
    if row.lane is None or not row.has_several:
        return None
    addresses.record_attempt(connection, row, outcome, ending.article, now=ending.now)
    if outcome.is_failed_recheck:
        return None
    rows = addresses.all_of(connection, row.id)
    return addresses.next_address(rows, row, outcome, elsewhere=addresses.is_elsewhere(row, ending.article))


def _pending_if_untried(row: Row[Any], outcome: Outcome, turn: Row[Any] | None, *, now: datetime) -> Outcome:
    if turn is None or outcome.state not in {*ENDED, State.PENDING}:
        return outcome
    soon = outcome.state in ENDED or turn.state == addresses.UNTRIED
    return Outcome(
        state=State.PENDING,
        reason=outcome.reason,
        detail=f"{row.url}: {outcome.state}: {outcome.detail}; the next address is {turn.url}",
        retry_at=now if soon else outcome.retry_at,
    )


def _switch_to(connection: Connection, row: Row[Any], turn: Row[Any], outcome: Outcome, *, now: datetime) -> None:
    """Let a candidate wait for another of its addresses; what it had become stays, should that one give nothing."""
    values = switched_values(turn.url, addresses.authority_of(row), now=outcome.retry_at or now)
    if outcome.state is State.PENDING:
        values |= {"reason": storable(outcome.reason), "detail": storable(outcome.detail)}
        values |= {} if turn.state == addresses.UNTRIED else {"attempts": row.attempts}
    else:
        values |= {"former": _outcome_to_json(row, outcome), "look_at": None}
    connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == row.id).values(**values))


def _start_next_content(connection: Connection, row: Row[Any], outcome: Outcome, *, now: datetime) -> None:
    """Let a candidate wait for the next of its contents; what it had become stays, should that one give nothing."""
    values = contents.take_next(connection, row.id, now=now)
    if values is not None:
        values |= {"state": State.PENDING, "former": _outcome_to_json(row, outcome), "look_at": None}
        connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == row.id).values(**values))
        add_events(connection, row.id, [HistoryEvent(at=now, what="queued", detail="the next content of this address")])


def _outcome_to_json(row: Row[Any], outcome: Outcome) -> str:
    if (outcome.article or row.article_id) is None or outcome.state not in WITH_ARTICLE:
        return ""
    return to_json({"state": outcome.state, "reason": outcome.reason, "detail": outcome.detail, "by_age": False})


def _free_hosts(connection: Connection, row: Row[Any], turn: Row[Any] | None, *, now: datetime) -> None:
    """End the lease on a host, and wake that of the next address: in the order in which all take hosts."""
    other = lane_of(turn.url) if turn is not None else row.lane
    if other < row.lane:
        wake_hosts(connection, {other}, now=now)
    free_host(connection, row.lane, row.lease_token)
    if other > row.lane:
        wake_hosts(connection, {other}, now=now)


def _recheck_values(row: Row[Any], outcome: Outcome, ending: Completion) -> Values:
    if outcome.state is State.PENDING:
        return {"look_at": None, "looks": row.looks, "former": row.former}
    seen_the_same = outcome.state is State.UNCHANGED or outcome.is_failed_recheck
    recheck_at = ending.recheck_at if outcome.state in RECHECKED else None
    return {"look_at": recheck_at, "looks": row.looks + 1 if seen_the_same else 0, "former": ""}


def _response_values(row: Row[Any], page: Page | None) -> Values:
    if page is None or (page.not_modified and page.validators == Validators()):
        return {"etag": row.etag, "last_modified": row.last_modified, "body_sha256": row.body_sha256}
    return {
        "etag": storable_or_none(page.validators.etag),
        "last_modified": storable_or_none(page.validators.last_modified),
        "body_sha256": row.body_sha256 if page.not_modified else content_sha256(page),
    }


def _fetched(page: Page) -> str:
    took = round(page.elapsed.total_seconds() * 1000)
    moved = f", from {page.final_url}" if page.final_url != page.url else ""
    return f"status {page.status}, {len(page.body)} bytes, {took} ms{moved}"


# Looking again, at given ages, at what is stored already.


_DUE_RECHECKS = (
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
_QUEUE_RECHECK = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .values(
        state=State.PENDING,
        reason="",
        detail="",
        lane=CANDIDATES.c.host,
        precedence=LOW_PRIORITY,
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
    rows = connection.execute(_DUE_RECHECKS, {"now": now, "limit": limit}).all()
    if not rows:
        return 0
    queued = [{"candidate": row.id, "now": now, "as_before": former_to_json(row, by_age=True)} for row in rows]
    connection.execute(_QUEUE_RECHECK, queued)
    for row in rows:
        add_events(connection, row.id, [HistoryEvent(at=now, what="queued", detail="old enough to be looked at again")])
    wake_hosts(connection, {row.host for row in rows}, now=now)
    return len(rows)
