"""The addresses (URLs) seen for each candidate: who named each, how its last try ended, which one is tried next.

The candidate's own row holds the address that is tried next or was tried last. A candidate seen at a single address
has no rows in this table; as soon as a second address is seen, every address of the candidate has a row.

The publisher's own addresses come before those named by strangers (other sites), because only the publisher decides
where its pages are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Row,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    case,
    delete,
    exists,
    select,
    update,
)

from worker.models import Article, Authority, Candidate, Outcome, SeenAddress, State
from worker.storage.db.codec import ID_TYPE, UtcTime, storable
from worker.storage.db.schema import CANDIDATES, METADATA, WITH_ARTICLE, Values
from worker.storage.db.sql import among, upsert
from worker.urls import same_site

MAX_ADDRESSES: Final = 20
"""How many addresses are kept of a candidate; a stranger's is dropped to make room for one of the publisher's.

Chosen, not measured: many more than a page has in earnest (mobile, AMP, print, tracking), and few enough that a hostile
site cannot make one candidate grow without end.
"""
ENDED: Final = (State.FAILED, State.REJECTED, State.BLOCKED)
"""The states in which an address is not tried again."""
FINAL_REASONS: Final = ("rights",)
"""Reasons for which no other address is tried either: the page itself says that the article may not be used."""
UNTRIED: Final = ""
"""The state of an address that was never tried."""
ELSEWHERE: Final = "elsewhere"
"""The reason stored for an address that led to a page of another site."""

ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("candidate_id", ID_TYPE, ForeignKey("candidates.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("state", Text, nullable=False, default=UNTRIED),
    Column("reason", Text, nullable=False, default=""),
    Column("tried_at", UtcTime),
    UniqueConstraint("candidate_id", "url"),
    Index("ix_addresses_url", "url"),
)
"""The addresses of candidates that have more than one.

`state` and `reason` are those of the last try. `authority` says who named the address (publisher, stranger or
operator); `source` and `reference` are the first place that named it with this authority.
"""

_A = ADDRESSES.c
_OF_CANDIDATE = _A.candidate_id == bindparam("candidate")
_ALL = select(ADDRESSES).where(_OF_CANDIDATE).order_by(_A.id)
_ADD = upsert(ADDRESSES, lambda new: new.on_conflict_do_nothing(index_elements=["candidate_id", "url"]))
_RECORD_ATTEMPT = (
    update(ADDRESSES)
    .where(_OF_CANDIDATE, _A.url == bindparam("address"))
    .values(state=bindparam("as_state"), reason=bindparam("for_reason"), tried_at=bindparam("now", type_=UtcTime()))
)
HAS_SEVERAL: Final = exists().where(_A.candidate_id == CANDIDATES.c.id).label("has_several")
"""A column of a query on candidates: whether the candidate has rows here, and so more than one address."""


def has_untried_address() -> ColumnElement[bool]:
    """Return the condition that a candidate has an address, beside its current one, that may still be tried."""
    others = (_A.candidate_id == CANDIDATES.c.id, _A.url != CANDIDATES.c.url)
    return exists().where(*others, _A.state.in_([UNTRIED, State.PENDING.value]))


def authority_of(row: Row[Any]) -> Authority:
    """Return who named a candidate's address."""
    if row.authority:
        return Authority(row.authority)
    # Rows of an older version have no authority: derive it from the reference, which is a file or a page's URL.
    if "://" not in row.reference:
        return Authority.OPERATOR
    return Authority.PUBLISHER if same_site(row.reference, row.url) else Authority.STRANGER


def rows_of(connection: Connection, candidate_id: int) -> Sequence[Row[Any]]:
    """Return the rows of a candidate's addresses, in the order they were seen."""
    return connection.execute(_ALL, {"candidate": candidate_id}).all()


def seen_addresses(connection: Connection, row: Row[Any]) -> tuple[SeenAddress, ...]:
    """Return every address of a candidate, for people; `row` is its row of the candidates table."""
    rows = rows_of(connection, row.id)
    if not rows:
        return (_only_address(row),)
    return tuple(
        SeenAddress(
            url=each.url,
            source=each.source,
            reference=each.reference,
            authority=Authority(each.authority),
            seen_at=each.seen_at,
            state=each.state,
            reason=each.reason,
            tried_at=each.tried_at,
            current=each.url == row.url,
        )
        for each in rows
    )


def _only_address(row: Row[Any]) -> SeenAddress:
    """Return the one address of a candidate that has no rows in the addresses table."""
    tried = row.lane is None or row.state != State.PENDING or row.attempts > 0
    return SeenAddress(
        url=row.url,
        source=row.source,
        reference=row.reference,
        authority=authority_of(row),
        seen_at=row.discovered_at,
        state=row.state if tried else UNTRIED,
        reason=row.reason,
        current=True,
    )


def rows_of_many(connection: Connection, candidates: Sequence[int]) -> dict[int, list[Row[Any]]]:
    """Return the address rows of several candidates by candidate id; candidates without rows are left out."""
    found: dict[int, list[Row[Any]]] = {}
    query = select(ADDRESSES).where(among(_A.candidate_id, "candidates")).order_by(_A.id)
    for each in connection.execute(query, {"candidates": candidates}) if candidates else ():
        found.setdefault(each.candidate_id, []).append(each)
    return found


def add(
    connection: Connection, row: Row[Any], named: Sequence[Candidate], seen: Sequence[Row[Any]], *, now: datetime
) -> list[Candidate]:
    """Save addresses named for a known candidate, and return the new ones.

    `row` is the candidate's row, `seen` are its address rows. An address that only strangers had named becomes the
    publisher's when the publisher names it; if its last try had ended for good, it counts as new.
    """
    known = {each.url: each for each in seen}
    if not known and all(storable(each.url) == row.url for each in named):
        return []
    first = [] if known else [_current_row(row)]
    urls = {*known, row.url}
    fresh: dict[str, Candidate] = {}
    again: list[Candidate] = []
    for each in named:
        url = storable(each.url)
        if url not in urls:
            fresh.setdefault(url, each)
        elif url in known and each.authority.is_own and known[url].authority == Authority.STRANGER:
            _claim_for_publisher(connection, row.id, each)
            again += [each] if known[url].state in ENDED else []
    spare = [each for each in known.values() if each.url != row.url]
    accepted = _make_room(connection, spare, fresh.values(), free=MAX_ADDRESSES - len(urls))
    rows = [*first, *(address_row(row.id, each, now=now) for each in accepted)] if accepted else []
    if rows:
        connection.execute(_ADD.on(connection), rows)
    return accepted + again


def reopen(connection: Connection, candidate_id: int, candidate: Candidate, *, now: datetime) -> None:
    """Mark an address as untried because it was requested again; add it if it is missing, even above the limit."""
    if rows_of(connection, candidate_id):
        connection.execute(_ADD.on(connection), address_row(candidate_id, candidate, now=now))
        untried = {"as_state": UNTRIED, "for_reason": "", "now": None}
        connection.execute(_RECORD_ATTEMPT, {"candidate": candidate_id, "address": storable(candidate.url), **untried})


def address_row(candidate_id: int, candidate: Candidate, *, now: datetime) -> Values:
    """Return the row of an address that has not been tried yet."""
    return {
        "candidate_id": candidate_id,
        "url": storable(candidate.url),
        "source": storable(candidate.source),
        "reference": storable(candidate.reference),
        "authority": candidate.authority.value,
        "seen_at": now,
        "state": UNTRIED,
        "reason": "",
        "tried_at": None,
    }


def save_all(connection: Connection, found: Iterable[tuple[int, Sequence[Candidate]]], *, now: datetime) -> None:
    """Save the addresses of new candidates that were named with more than one; `found` holds (candidate id, named)."""
    rows = [address_row(number, each, now=now) for number, named in found for each in _distinct(named)[:MAX_ADDRESSES]]
    if rows:
        connection.execute(_ADD.on(connection), rows)


def _distinct(named: Sequence[Candidate]) -> list[Candidate]:
    """Return one candidate for each address, the publisher's first."""
    once: dict[str, Candidate] = {}
    for each in sorted(named, key=lambda each: not each.authority.is_own):
        once.setdefault(storable(each.url), each)
    return list(once.values())


def _current_row(row: Row[Any]) -> Values:
    """Return the address row for a candidate's current address, made from the candidate's own row."""
    only = _only_address(row)
    return {
        "candidate_id": row.id,
        "url": row.url,
        "source": row.source,
        "reference": row.reference,
        "authority": only.authority.value,
        "seen_at": row.discovered_at,
        "state": only.state,
        "reason": only.reason,
        "tried_at": row.due_at if only.state in ENDED else None,
    }


def _claim_for_publisher(connection: Connection, candidate_id: int, candidate: Candidate) -> None:
    """Make a stranger's address the publisher's; if its last try had ended for good, it counts as untried."""
    values: Values = {
        "source": storable(candidate.source),
        "reference": storable(candidate.reference),
        "authority": candidate.authority.value,
        "state": case((_A.state.in_(ENDED), UNTRIED), else_=_A.state),
    }
    address = update(ADDRESSES).where(_OF_CANDIDATE, _A.url == bindparam("address"))
    connection.execute(address.values(**values), {"candidate": candidate_id, "address": storable(candidate.url)})


def _make_room(
    connection: Connection, known: Sequence[Row[Any]], fresh: Iterable[Candidate], *, free: int
) -> list[Candidate]:
    """Return the new addresses that fit; each of the publisher's beyond `free` evicts one of a stranger's.

    Evicted first: addresses whose last try ended for good, then the newest.
    """
    spare = [each for each in known if each.authority == Authority.STRANGER]
    spare.sort(key=lambda each: (each.state not in ENDED, -each.id))
    accepted, evicted = [], []
    for each in sorted(fresh, key=lambda each: not each.authority.is_own):
        if free > 0:
            free -= 1
        elif each.authority.is_own and spare:
            evicted.append(spare.pop(0).id)
        else:
            continue
        accepted.append(each)
    if evicted:
        connection.execute(delete(ADDRESSES).where(_A.id.in_(evicted)))
    return accepted


def record_attempt(
    connection: Connection, row: Row[Any], outcome: Outcome, article: Article | None, *, now: datetime
) -> None:
    """Save the outcome of a try on the address where it was made."""
    reason = ELSEWHERE if is_elsewhere(row, article) else storable(outcome.reason)
    named = {"candidate": row.id, "address": row.url, "as_state": outcome.state.value, "for_reason": reason, "now": now}
    connection.execute(_RECORD_ATTEMPT, named)


def is_elsewhere(row: Row[Any], article: Article | None) -> bool:
    """Return whether the article's canonical URL is on another site than the candidate's."""
    return article is not None and not same_site(article.canonical_url, row.canonical_url)


def next_address(rows: Sequence[Row[Any]], row: Row[Any], outcome: Outcome, *, elsewhere: bool) -> Row[Any] | None:
    """Return the address to try after the current one; None to stay with the outcome of the current one.

    The publisher's addresses come before those of strangers, untried ones before the others. After a temporary failure
    at the publisher's address, a stranger's is not tried instead. An article from a stranger's address, or from another
    site (`elsewhere`), may be any page: an untried address of the publisher's is still tried after it.
    """
    left = [each for each in rows if each.url != row.url and each.state in {UNTRIED, State.PENDING}]
    ended = outcome.state in ENDED
    tried = next((each.authority for each in rows if each.url == row.url), row.authority)
    doubtful = elsewhere or (outcome.state in WITH_ARTICLE and tried == Authority.STRANGER)
    if not (ended or doubtful or outcome.state is State.PENDING) or outcome.reason in FINAL_REASONS:
        return None
    if doubtful or (not ended and tried != Authority.STRANGER):
        left = [each for each in left if each.authority != Authority.STRANGER]
    if doubtful:
        left = [each for each in left if each.state == UNTRIED]
    return min(left, key=_try_order, default=None)


def _try_order(each: Row[Any]) -> tuple[Any, ...]:
    """Return the sort key: publisher's before strangers', untried before tried, then the longest ago."""
    tried = each.tried_at.timestamp() if each.tried_at else 0.0
    return each.authority == Authority.STRANGER, each.state != UNTRIED, tried, each.id
