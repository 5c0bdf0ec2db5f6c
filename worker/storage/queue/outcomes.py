"""Save the outcome of a claimed candidate, decide what it waits for next, and queue rechecks of old articles.

`finish` saves an outcome without an article, `corpus.settling.settle` one with an article; both end in `complete`.
A worker that has lost its lease cannot write: `lock_candidate` compares the claim's token with the stored one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, func, literal_column, select, update

from worker.models import Article, Claim, HistoryEvent, Outcome, Page, State, Validators
from worker.models.base import dataclass
from worker.storage.db.codec import UtcTime, content_sha256, storable, storable_or_none, to_json
from worker.storage.db.schema import CANDIDATES, FALLBACKS, PAGES, WITH_ARTICLE, Values
from worker.storage.db.sql import least
from worker.storage.queue import addresses, candidates
from worker.storage.queue.addresses import ENDED
from worker.storage.queue.candidates import (
    FORGOTTEN_REASON,
    LOW_PRIORITY,
    SAVE_PAGE,
    add_events,
    drop_fallback,
    erase,
    former_of,
    former_to_json,
    lane_of,
    page_row,
)
from worker.storage.queue.claims import free_host
from worker.storage.queue.hosts import tombstone_of
from worker.storage.queue.intake import switched_values, wake_hosts
from worker.storage.queue.sources import count_outcome

RECHECKED_STATES = (State.STORED, State.REVISED, State.UNCHANGED)
"""The states that are rechecked at given ages; duplicates are not, since another text is exported for them."""

_HAS_FALLBACK = exists().where(FALLBACKS.c.candidate_id == CANDIDATES.c.id).label("has_fallback")
_CANDIDATE = (
    select(CANDIDATES, _HAS_FALLBACK, addresses.HAS_SEVERAL, candidates.HAS_WAITING)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .with_for_update(of=CANDIDATES)
)
_SAVED_PAGE = select(PAGES.c.id).where(
    PAGES.c.candidate_id == bindparam("candidate"), PAGES.c.sha256 == bindparam("sha256")
)
_OUTCOME_COLUMNS = (
    "state", "reason", "detail", "due_at", "article_id", "done_token", "etag", "last_modified", "body_sha256",
    "look_at", "looks", "former",
)  # fmt: skip
_COMPLETE = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .values(lease_token=None, lease_until=None, worker=None, **{name: bindparam(name) for name in _OUTCOME_COLUMNS})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedCandidate:
    """The row of a candidate whose claim is valid; `ended` if this very claim has saved an outcome before.

    That happens when a commit succeeded but its answer was lost, and the call is repeated.
    """

    row: Row[Any]
    ended: bool


def lock_candidate(connection: Connection, claim: Claim) -> LockedCandidate | None:
    """Lock the candidate of a claim; None if another worker has claimed it since."""
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
    """Save an outcome without an article, and the page; return None if the lease was lost meanwhile.

    Otherwise return the candidate's outcome, which is pending if another address is tried next.
    """
    held = lock_candidate(connection, claim)
    if held is None:
        return None
    if held.ended:
        return Outcome(state=State(held.row.state), reason=held.row.reason, detail=held.row.detail)
    forgotten = tombstone_of(connection, addresses_of(page)) if page is not None else None
    if forgotten is not None:
        return refuse(connection, held.row, forgotten, now=now)
    if outcome.state is not State.UNCHANGED and not outcome.is_failed_recheck:
        save_page(connection, claim.id, page, now=now)
    return complete(connection, held.row, outcome, Completion(now=now, page=page, recheck_at=recheck_at))


def addresses_of(page: Page | None) -> set[str]:
    """Return every address at which a page was found; a forgotten one may redirect, or be redirected to."""
    return set() if page is None else {page.url, page.final_url, page.permanent_url or page.url}


def refuse(connection: Connection, row: Row[Any], tombstone: Row[Any], *, now: datetime) -> Outcome:
    """End a candidate that led to something forgotten, and store nothing of it; return the outcome.

    If it has an article from before, it keeps that; else it is erased, unless another of its addresses is tried next.
    """
    why = f"forgotten on {tombstone.at:%Y-%m-%d}: {tombstone.reason}"
    outcome = Outcome(state=State.BLOCKED, reason=FORGOTTEN_REASON, detail=why)
    former, _ = former_of(row)
    if row.article_id is not None and former is not None:
        detail = f"recheck failed: {FORGOTTEN_REASON}: {why}"
        outcome = replace(former, detail=detail, article=row.article_id, is_failed_recheck=True)
    ended = complete(connection, row, outcome, Completion(now=now))
    if ended.state is State.BLOCKED and row.article_id is None:
        erase(connection, row, request=tombstone.request, reason=tombstone.reason, now=now)
    return ended


def save_page(connection: Connection, candidate_id: int, page: Page | None, *, now: datetime) -> int | None:
    """Save the body of a page, unless the candidate has the same one already, and return its row's id."""
    if page is None or page.not_modified:
        return None
    values = page_row(candidate_id, page, now=now)
    connection.execute(SAVE_PAGE.on(connection), values)
    return saved_page_id(connection, candidate_id, values["sha256"])


def saved_page_id(connection: Connection, candidate_id: int, sha256: str | None) -> int | None:
    """Return the id of a candidate's saved body, None if there is none with this digest."""
    page_id: int | None = connection.execute(_SAVED_PAGE, {"candidate": candidate_id, "sha256": sha256}).scalar()
    return page_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What is saved with an outcome: the page, the article, and when to recheck it at the earliest."""

    now: datetime
    page: Page | None = None
    article: Article | None = None
    recheck_at: datetime | None = None


def complete(connection: Connection, row: Row[Any], outcome: Outcome, completion: Completion) -> Outcome:
    """Save an outcome, end the leases of the candidate and its host, and write its history; return the outcome.

    If the candidate has another address to try, the outcome is saved for this address only, and the candidate becomes
    pending (see `addresses`); likewise if another of its contents waits.
    """
    now, page = completion.now, completion.page
    following = _next_address(connection, row, outcome, completion)
    tried, outcome = outcome, _pending_if_untried(row, outcome, following, now=now)
    values: Values = {
        "candidate": row.id,
        "state": outcome.state,
        "reason": storable(outcome.reason),
        "detail": storable(outcome.detail),
        "due_at": outcome.retry_at or now,
        "article_id": outcome.article or row.article_id,
        "done_token": row.lease_token,
        **_response_values(row, None if outcome.is_failed_recheck else page),
        **_recheck_values(row, outcome, completion),
    }
    connection.execute(_COMPLETE, values)
    fetched = [] if page is None else [HistoryEvent(at=page.fetched_at, what="fetched", detail=_describe_fetch(page))]
    what = "postponed" if outcome.state is State.PENDING else outcome.state
    detail = ": ".join(part for part in (outcome.reason, outcome.detail) if part)
    add_events(connection, row.id, [*fetched, HistoryEvent(at=now, what=what, detail=detail)])
    if outcome.state is not State.PENDING and row.has_fallback:
        drop_fallback(connection, row.id)
    if following is not None:
        _switch_to(connection, row, following, outcome, now=now)
    elif row.has_waiting and outcome.state is not State.PENDING:
        _start_next_content(connection, row, outcome, now=now)
    if row.lane is not None:
        _free_hosts(connection, row, following, now=now)
        count_outcome(connection, row, outcome, completion.article)
    return tried if tried.article else outcome


def _next_address(connection: Connection, row: Row[Any], outcome: Outcome, completion: Completion) -> Row[Any] | None:
    """Save the outcome of one of several addresses, and return the address to try next, None if there is none."""
    if row.lane is None or not row.has_several:
        return None
    addresses.record_attempt(connection, row, outcome, completion.article, now=completion.now)
    if outcome.is_failed_recheck:
        return None
    rows = addresses.rows_of(connection, row.id)
    return addresses.next_address(rows, row, outcome, elsewhere=addresses.is_elsewhere(row, completion.article))


def _pending_if_untried(row: Row[Any], outcome: Outcome, following: Row[Any] | None, *, now: datetime) -> Outcome:
    """Return the outcome of a candidate that failed at one address: pending while another one is to be tried."""
    if following is None or outcome.state not in {*ENDED, State.PENDING}:
        return outcome
    soon = outcome.state in ENDED or following.state == addresses.UNTRIED
    return Outcome(
        state=State.PENDING,
        reason=outcome.reason,
        detail=f"{row.url}: {outcome.state}: {outcome.detail}; the next address is {following.url}",
        retry_at=now if soon else outcome.retry_at,
    )


def _switch_to(connection: Connection, row: Row[Any], following: Row[Any], outcome: Outcome, *, now: datetime) -> None:
    """Queue a candidate for another of its addresses; its outcome is restored if that one gives nothing."""
    values = switched_values(following.url, addresses.authority_of(row), now=outcome.retry_at or now)
    if outcome.state is State.PENDING:
        values |= {"reason": storable(outcome.reason), "detail": storable(outcome.detail)}
        values |= {} if following.state == addresses.UNTRIED else {"attempts": row.attempts}
    else:
        values |= {"former": _outcome_to_json(row, outcome), "look_at": None}
    connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == row.id).values(**values))


def _start_next_content(connection: Connection, row: Row[Any], outcome: Outcome, *, now: datetime) -> None:
    """Queue a candidate for the next of its contents; its outcome is restored if that one gives nothing."""
    values = candidates.take_next(connection, row.id, now=now)
    if values is not None:
        values |= {"state": State.PENDING, "former": _outcome_to_json(row, outcome), "look_at": None}
        connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == row.id).values(**values))
        add_events(connection, row.id, [HistoryEvent(at=now, what="queued", detail="the next content of this address")])


def _outcome_to_json(row: Row[Any], outcome: Outcome) -> str:
    """Return an outcome with an article as the JSON that `former_of` reads; empty without an article."""
    if (outcome.article or row.article_id) is None or outcome.state not in WITH_ARTICLE:
        return ""
    return to_json({"state": outcome.state, "reason": outcome.reason, "detail": outcome.detail, "by_age": False})


def _free_hosts(connection: Connection, row: Row[Any], following: Row[Any] | None, *, now: datetime) -> None:
    """End the lease on a host and wake the host of the next address, in sorted order, which prevents deadlocks."""
    other = lane_of(following.url) if following is not None else row.lane
    if other < row.lane:
        wake_hosts(connection, {other}, now=now)
    free_host(connection, row.lane, row.lease_token)
    if other > row.lane:
        wake_hosts(connection, {other}, now=now)


def _recheck_values(row: Row[Any], outcome: Outcome, completion: Completion) -> Values:
    """Return when the candidate is rechecked, and the number of rechecks in a row (`looks`) that found no change.

    That robots.txt forbids it counts as such: it is asked again after longer and longer pauses.
    """
    if outcome.state is State.PENDING:
        return {"look_at": None, "looks": row.looks, "former": row.former}
    seen_the_same = outcome.state is State.UNCHANGED or outcome.is_failed_recheck or outcome.reason == "robots"
    recheck_at = completion.recheck_at if outcome.state in RECHECKED_STATES else None
    return {"look_at": recheck_at, "looks": row.looks + 1 if seen_the_same else 0, "former": ""}


def _response_values(row: Row[Any], page: Page | None) -> Values:
    """Return the validators and the body's digest for the next conditional request.

    Without a response, or after a 304 without validators, the stored ones stay.
    """
    if page is None or (page.not_modified and page.validators == Validators()):
        return {"etag": row.etag, "last_modified": row.last_modified, "body_sha256": row.body_sha256}
    return {
        "etag": storable_or_none(page.validators.etag),
        "last_modified": storable_or_none(page.validators.last_modified),
        "body_sha256": row.body_sha256 if page.not_modified else content_sha256(page),
    }


def _describe_fetch(page: Page) -> str:
    """Return a fetch as text for the history: status, size, duration and redirect."""
    ms = round(page.elapsed.total_seconds() * 1000)
    redirected = f", from {page.final_url}" if page.final_url != page.url else ""
    return f"status {page.status}, {len(page.body)} bytes, {ms} ms{redirected}"


# Rechecks of stored articles, at given ages.


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
_OTHERS = CANDIDATES.alias("others")
_FIRST_OF_LOW_PRIORITY = (
    select(_OTHERS.c.due_at)
    .where(_OTHERS.c.lane == CANDIDATES.c.host)
    .where(_OTHERS.c.state == literal_column("'pending'"), _OTHERS.c.precedence == literal_column("1"))
    .order_by(_OTHERS.c.due_at, _OTHERS.c.id)
    .limit(1)
    .scalar_subquery()
)
_NOW = bindparam("now", type_=UtcTime())
_AHEAD_OF_THEM = least(func.coalesce(_FIRST_OF_LOW_PRIORITY - literal_column("1"), _NOW), _NOW)
"""Before whatever has low priority on the host: what strangers name, or a long backfill, must not put off a recheck."""
_QUEUE_RECHECK = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .values(
        state=State.PENDING,
        reason="",
        detail="",
        lane=CANDIDATES.c.host,
        precedence=LOW_PRIORITY,
        due_at=_AHEAD_OF_THEM,
        attempts=0,
        look_at=None,
        former=bindparam("as_before"),
    )
)


def queue_rechecks(connection: Connection, *, now: datetime, limit: int) -> int:
    """Queue at most `limit` articles that have reached the age of their next recheck; return how many.

    They wait behind the news of their hosts, and before whatever else has low priority.
    """
    rows = connection.execute(_DUE_RECHECKS, {"now": now, "limit": limit}).all()
    if not rows:
        return 0
    # Each goes before all that wait, so the one that is due longest goes last.
    queued = [{"candidate": r.id, "now": now, "as_before": former_to_json(r, by_age=True)} for r in reversed(rows)]
    connection.execute(_QUEUE_RECHECK, queued)
    for row in rows:
        add_events(connection, row.id, [HistoryEvent(at=now, what="queued", detail="old enough to be looked at again")])
    wake_hosts(connection, {row.host for row in rows}, now=now)
    return len(rows)
