"""The end of the work on one candidate: is the lease still held, and what the ledger says from now on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, select, update

from worker.models import Article, Claim, Event, Outcome, Page, State, Validators
from worker.storage import addresses, contents
from worker.storage.addresses import ENDED
from worker.storage.bodies import KEEP_PAGE, page_row
from worker.storage.claims import free_host
from worker.storage.codec import clean, clean_or_none, digest, to_json
from worker.storage.events import add_events
from worker.storage.fallbacks import drop_fallback
from worker.storage.former import WITH_ARTICLE
from worker.storage.harvests import count_outcome
from worker.storage.intake import lane_of
from worker.storage.naming import turned
from worker.storage.queue import wake_hosts
from worker.storage.rows import Values
from worker.storage.tables import CANDIDATES, FALLBACKS, PAGES

LOOKED_AT_AGAIN = (State.STORED, State.REVISED, State.UNCHANGED)
"""What is looked at again at given ages: copies are not, since another text stands for them."""

_HAS_FALLBACK = exists().where(FALLBACKS.c.candidate_id == CANDIDATES.c.id).label("has_fallback")
_CANDIDATE = (
    select(CANDIDATES, _HAS_FALLBACK, addresses.HAS_SEVERAL, contents.HAS_WAITING)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .with_for_update(of=CANDIDATES)
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
) -> Outcome | None:
    """Write an outcome that stores no article, and keep the page; None where the lease was lost meanwhile.

    Returns the outcome that holds: pending where another address of the candidate is tried next.
    """
    held = hold(connection, claim)
    if held is None:
        return None
    if held.ended:
        return Outcome(state=State(held.row.state), reason=held.row.reason, detail=held.row.detail)
    if outcome.state is not State.UNCHANGED and not outcome.in_vain:
        keep_page(connection, claim.id, page, now=now)
    return close(connection, held.row, outcome, Ending(now=now, page=page, look_at=look_at))


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


def close(connection: Connection, row: Row[Any], outcome: Outcome, ending: Ending) -> Outcome:
    """End the lease of a candidate with an outcome, tell its history, and let the next of its host come.

    Where the candidate has another address to try, the outcome is that of the address alone: see `addresses`. Returns
    the outcome that holds.
    """
    now, page = ending.now, ending.page
    turn = _next_address(connection, row, outcome, ending)
    tried, outcome = outcome, _while_others_wait(row, outcome, turn, now=now)
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
        drop_fallback(connection, row.id)
    if turn is not None:
        _turn_to(connection, row, turn, outcome, now=now)
    elif row.has_waiting and outcome.state is not State.PENDING:
        _go_on_with_content(connection, row, outcome, now=now)
    if row.lane is not None:
        _free_hosts(connection, row, turn, now=now)
        count_outcome(connection, row, outcome, ending.article)
    return tried if tried.article else outcome


def _next_address(connection: Connection, row: Row[Any], outcome: Outcome, ending: Ending) -> Row[Any] | None:
    """Note how a try of one of several addresses ended, and return the one to try next, if it is its turn."""
    if row.lane is None or not row.has_several:
        return None
    addresses.note_try(connection, row, outcome, ending.article, now=ending.now)
    if outcome.in_vain:
        return None
    rows = addresses.all_of(connection, row.id)
    return addresses.next_of(rows, row, outcome, elsewhere=addresses.is_elsewhere(row, ending.article))


def _while_others_wait(row: Row[Any], outcome: Outcome, turn: Row[Any] | None, *, now: datetime) -> Outcome:
    if turn is None or outcome.state not in {*ENDED, State.PENDING}:
        return outcome
    soon = outcome.state in ENDED or turn.state == addresses.UNTRIED
    return Outcome(
        state=State.PENDING,
        reason=outcome.reason,
        detail=f"{row.url}: {outcome.state}: {outcome.detail}; the next address is {turn.url}",
        retry_at=now if soon else outcome.retry_at,
    )


def _turn_to(connection: Connection, row: Row[Any], turn: Row[Any], outcome: Outcome, *, now: datetime) -> None:
    """Let a candidate wait for another of its addresses; what it had become stays, should that one give nothing."""
    values = turned(turn.url, addresses.authority_of(row), now=outcome.retry_at or now)
    if outcome.state is State.PENDING:
        values |= {"reason": clean(outcome.reason), "detail": clean(outcome.detail)}
        values |= {} if turn.state == addresses.UNTRIED else {"attempts": row.attempts}
    else:
        values |= {"former": _standing(row, outcome), "look_at": None}
    connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == row.id).values(**values))


def _go_on_with_content(connection: Connection, row: Row[Any], outcome: Outcome, *, now: datetime) -> None:
    """Let a candidate wait for the next of its contents; what it had become stays, should that one give nothing."""
    values = contents.take_next(connection, row.id, now=now)
    if values is not None:
        values |= {"state": State.PENDING, "former": _standing(row, outcome), "look_at": None}
        connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == row.id).values(**values))
        add_events(connection, row.id, [Event(at=now, what="queued", detail="the next content of this address")])


def _standing(row: Row[Any], outcome: Outcome) -> str:
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
