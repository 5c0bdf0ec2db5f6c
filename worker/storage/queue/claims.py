"""Leases: which candidate a worker gets next, and how it keeps or gives back what it has."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)

from worker.models import Claim, Page, Text, Validators
from worker.ports import Scope
from worker.storage.db.codec import EPOCH, MICROSECOND, UtcTime, content_from
from worker.storage.db.schema import CANDIDATES, HOSTS, PAGES
from worker.storage.db.sql import is_sqlite, least
from worker.storage.queue.candidates import add_event, former_of

# The queue as statements: what waits, what is due, and what comes first of each host.


EVERYTHING = Scope()
IS_PENDING = CANDIDATES.c.state == literal_column("'pending'")
"""A candidate without an outcome; a literal, since SQLite uses a partial index only for its own words."""
HIGH = CANDIDATES.c.precedence == literal_column("0")
LOW = CANDIDATES.c.precedence == literal_column("1")
"""What comes first of a host, and what comes after; each has an index of its own."""
YIELD_TIME = timedelta(minutes=1)
"""For how long who gives way waits for somebody to take what is news: nobody may be there to do so."""
AT = bindparam("now", type_=UtcTime())
IS_UNLEASED = or_(CANDIDATES.c.lease_until.is_(None), CANDIDATES.c.lease_until <= AT)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatements:
    """The statements for one shape of scope, made once: making them anew costs more than running them."""

    waiting: Select[int]
    due: Select[int]
    any_due: Select[bool]
    contents: Select[Any]
    old_contents: Select[Any]
    ready: Select[str]
    firsts: Select[Any]


def _statements(*, by_source: bool, by_batch: bool, yields_to_live: bool) -> QueueStatements:
    within = (IS_PENDING, *([_OF_SOURCES] if by_source else []), *(_OF_BATCH if by_batch else []))
    due = (*within, CANDIDATES.c.due_at <= AT, IS_UNLEASED)
    of_host = select(CANDIDATES.c.id).where(*due, CANDIDATES.c.lane == HOSTS.c.host).correlate(HOSTS)
    first = of_host.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    ready = select(HOSTS.c.host).where(HOSTS.c.ready_at <= AT)
    if by_source or by_batch:
        ready = ready.where(of_host.exists())
    if yields_to_live:
        ready = ready.where(not_(_RECENT_HIGH_PRIORITY.exists()))
    contents = select(CANDIDATES).where(*due, CANDIDATES.c.lane.is_(None))
    contents = contents.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(bindparam("limit"))
    # A source or a batch has an index of its own, in which news and the past stand together.
    apart = not (by_source or by_batch)
    return QueueStatements(
        waiting=select(func.count()).select_from(CANDIDATES).where(*within),
        due=_counted(select(func.count()).select_from(CANDIDATES).where(*due, _OPEN), apart=apart),
        any_due=_any_due(due, first) if apart else select(exists().where(*due, _OPEN)),
        contents=(contents.where(HIGH) if apart else contents).with_for_update(skip_locked=True),
        old_contents=contents.where(LOW).with_for_update(skip_locked=True),
        ready=ready.order_by(HOSTS.c.ready_at, HOSTS.c.host)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True),
        firsts=select(CANDIDATES)
        .where(
            CANDIDATES.c.id.in_(_either(first, apart=apart).where(HOSTS.c.host.in_(bindparam("hosts", expanding=True))))
        )
        .with_for_update(skip_locked=True),
    )


def _either(first: Select[Any], *, apart: bool) -> Select[Any]:
    """Return the query for what `first` finds among the news, or else in the past."""
    if not apart:
        return select(first.scalar_subquery().label("id"))
    return select(func.coalesce(*(first.where(each).scalar_subquery() for each in (HIGH, LOW))).label("id"))


def _any_due(due: Sequence[ColumnElement[bool]], first: Select[Any]) -> Select[bool]:
    """Return the query whether anything is due, which asks the hosts that call and are open, not the whole queue."""
    contents = select(CANDIDATES.c.id).where(*due, CANDIDATES.c.lane.is_(None))
    # The first condition in the words of the partial index of hosts that call.
    calling = select(HOSTS.c.host).where(HOSTS.c.due_at.is_not(None), HOSTS.c.due_at <= AT, HOSTS.c.closed_until <= AT)
    # No EXISTS: for one, PostgreSQL reads everything that is due once instead of looking up a host's first.
    found = calling.where(func.coalesce(*(first.where(each).scalar_subquery() for each in (HIGH, LOW))).is_not(None))
    return select(or_(*(contents.where(each).exists() for each in (HIGH, LOW)), found.exists()))


def _counted(count: Select[Any], *, apart: bool) -> Select[Any]:
    return select(count.where(HIGH).scalar_subquery() + count.where(LOW).scalar_subquery()) if apart else count


_RECENT_HIGH_PRIORITY = (
    select(CANDIDATES.c.id)
    .where(CANDIDATES.c.lane == HOSTS.c.host, IS_PENDING, HIGH, CANDIDATES.c.due_at <= AT)
    .where(CANDIDATES.c.due_at > AT - literal_column(str(YIELD_TIME // MICROSECOND)))
    .correlate(HOSTS)
)
_OF_SOURCES = CANDIDATES.c.source.in_(bindparam("sources", expanding=True))
_OF_BATCH = (CANDIDATES.c.batch == bindparam("batch"), CANDIDATES.c.batch != literal_column("''"))
# In the words of the partial index of hosts that were ever closed: no other host is read.
_CLOSED = select(HOSTS.c.host).where(HOSTS.c.closed_until > literal_column("0"), HOSTS.c.closed_until > AT)
_OPEN = or_(CANDIDATES.c.lane.is_(None), CANDIDATES.c.lane.not_in(_CLOSED))
_SHAPES = {
    shape: _statements(by_source=shape[0], by_batch=shape[1], yields_to_live=shape[2])
    for shape in product((False, True), repeat=3)
}


def statements_for(scope: Scope) -> QueueStatements:
    """Return the statements for a scope."""
    return _SHAPES[bool(scope.sources), bool(scope.batch), scope.yields_to_live]


def scope_parameters(scope: Scope) -> dict[str, Any]:
    """Return the names that these statements ask for."""
    names = {"sources": sorted(scope.sources), "batch": scope.batch}
    return {name: value for name, value in names.items() if value}


_LEASE_CANDIDATE = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"))
    .values(
        lease_token=bindparam("token"),
        lease_until=bindparam("until"),
        worker=bindparam("by"),
        attempts=CANDIDATES.c.attempts + 1,
        expiries=CANDIDATES.c.expiries + bindparam("expired"),
    )
)
_LEASE_HOST = (
    update(HOSTS)
    .where(HOSTS.c.host == bindparam("lane"))
    .values(lease_token=bindparam("token"), lease_until=bindparam("until"))
)
_PAYLOAD = select(PAGES).where(PAGES.c.candidate_id == bindparam("candidate"), PAGES.c.sha256 == bindparam("sha256"))
_MINE = CANDIDATES.c.lease_token == bindparam("token")
_EXTEND_CANDIDATE = update(CANDIDATES).where(CANDIDATES.c.id == bindparam("candidate"), _MINE)
_EXTEND_HOST = update(HOSTS).where(HOSTS.c.host == bindparam("lane"), HOSTS.c.lease_token == bindparam("token"))
_RELEASE = _EXTEND_CANDIDATE.values(lease_token=None, lease_until=None, worker=None, attempts=CANDIDATES.c.attempts - 1)
_LOCK_HOST = select(HOSTS.c.host).where(HOSTS.c.host == bindparam("lane")).with_for_update()


def _first_due_of(host: ColumnElement[str]) -> ColumnElement[Any]:
    waiting = select(CANDIDATES.c.due_at).where(CANDIDATES.c.lane == host, IS_PENDING)
    first = waiting.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    news, past = (first.where(each).scalar_subquery() for each in (HIGH, LOW))
    return least(func.coalesce(news, past), func.coalesce(past, news))


_HOST_IS_MINE = HOSTS.c.lease_token == bindparam("token")
_FREE_HOST = (
    update(HOSTS)
    .where(HOSTS.c.host == bindparam("lane"))
    .values(
        due_at=_first_due_of(bindparam("lane")),
        lease_until=case((_HOST_IS_MINE, bindparam("epoch", EPOCH, UtcTime())), else_=HOSTS.c.lease_until),
        lease_token=case((_HOST_IS_MINE, null()), else_=HOSTS.c.lease_token),
    )
)
_SET_NEXT_DUE = update(HOSTS).where(HOSTS.c.host == bindparam("lane")).values(due_at=_first_due_of(bindparam("lane")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a lease says: since when, until when, for whom."""

    now: datetime
    until: datetime
    worker: str


def claim(
    connection: Connection, *, now: datetime, lease: timedelta, limit: int, worker: str, scope: Scope = EVERYTHING
) -> list[Claim]:
    """Lease due candidates: contents already here first, then one of each host that is ready and not leased.

    What is from the past comes after the news: of one host, and where it is here already after everything else.
    """
    rows = _due_contents(connection, scope, now=now, limit=limit)
    if len(rows) < limit:
        rows += _due_pages(connection, scope, now=now, limit=limit - len(rows))
    if len(rows) < limit and scope == EVERYTHING:
        rows += _due_contents(connection, scope, now=now, limit=limit - len(rows), past=True)
    return _leased(connection, rows, Lease(now=now, until=now + lease, worker=worker)) if rows else []


def extend(connection: Connection, claims: Sequence[Claim], *, until: datetime) -> None:
    """Prolong leases that are still held."""
    candidates = [{"candidate": held.id, "token": held.token} for held in _ordered(claims)]
    hosts = [{"lane": held.host, "token": held.token} for held in _by_host(claims)]
    if candidates:
        connection.execute(_EXTEND_CANDIDATE.values(lease_until=until), candidates)
    if hosts:
        connection.execute(_EXTEND_HOST.values(lease_until=until), hosts)


def release(connection: Connection, claims: Sequence[Claim]) -> None:
    """Give back claims that were not worked on, as if they had never been made."""
    candidates = [{"candidate": held.id, "token": held.token} for held in _ordered(claims)]
    if candidates:
        connection.execute(_RELEASE, candidates)
    for held in _by_host(claims):
        free_host(connection, held.host, held.token)


def free_host(connection: Connection, host: str, token: str) -> None:
    """End a lease on a host, and note when its next candidate is due."""
    if not is_sqlite(connection):
        # Locked by a statement of its own: the next one then sees what a waiting discoverer has committed.
        connection.execute(_LOCK_HOST, {"lane": host}).all()
    connection.execute(_FREE_HOST, {"lane": host, "token": token})


def pending(connection: Connection, *, now: datetime, scope: Scope = EVERYTHING) -> tuple[int, int]:
    """Return how many candidates are pending, and how many of them are due on hosts that are not closed."""
    statements, names = statements_for(scope), scope_parameters(scope)
    waiting = connection.execute(statements.waiting, names).scalar_one()
    due = connection.execute(statements.due, {"now": now, **names}).scalar_one()
    return waiting, due


def has_due(connection: Connection, *, now: datetime, scope: Scope = EVERYTHING) -> bool:
    """Return whether `pending` would count anything as due, without counting: quick on a long queue."""
    statements = statements_for(scope)
    return bool(connection.execute(statements.any_due, {"now": now, **scope_parameters(scope)}).scalar())


def next_due(connection: Connection, *, now: datetime) -> datetime | None:
    """Return when the earliest candidate can be claimed (may be past), None if nothing is pending."""
    contents = select(CANDIDATES.c.due_at).where(CANDIDATES.c.lane.is_(None), IS_PENDING, IS_UNLEASED)
    first = contents.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    firsts = (connection.execute(first.where(each), {"now": now}).scalar() for each in (HIGH, LOW))
    lease_ends = select(func.min(CANDIDATES.c.lease_until)).where(
        CANDIDATES.c.lease_until.is_not(None), CANDIDATES.c.lane.is_(None)
    )
    times = (
        *firsts,
        connection.execute(lease_ends).scalar(),
        connection.execute(select(func.min(HOSTS.c.ready_at))).scalar(),
    )
    return min((time for time in times if time is not None), default=None)


def _due_contents(
    connection: Connection, scope: Scope, *, now: datetime, limit: int, past: bool = False
) -> list[Row[Any]]:
    asked = {"now": now, "limit": limit, **scope_parameters(scope)}
    statements = statements_for(scope)
    return list(connection.execute(statements.old_contents if past else statements.contents, asked))


def _due_pages(connection: Connection, scope: Scope, *, now: datetime, limit: int) -> list[Row[Any]]:
    """Return the first candidate of each ready host, the host that has been ready longest first."""
    statements, names = statements_for(scope), scope_parameters(scope)
    hosts = connection.execute(statements.ready, {"now": now, "limit": limit, **names}).scalars().all()
    if not hosts:
        return []
    place = {host: number for number, host in enumerate(hosts)}
    rows = connection.execute(statements.firsts, {"now": now, "hosts": hosts, **names}).all()
    _clear_due(connection, set(hosts) - {row.lane for row in rows})
    return sorted(rows, key=lambda row: place[row.lane])


def _clear_due(connection: Connection, hosts: set[str]) -> None:
    """Let hosts that called for nothing call no more: they would stand in front of all others, claim after claim.

    A candidate that waited for its host, and whose content somebody then brought, leaves such a call behind.
    """
    if hosts:
        connection.execute(_SET_NEXT_DUE, [{"lane": host} for host in sorted(hosts)])


def _leased(connection: Connection, rows: Sequence[Row[Any]], lease: Lease) -> list[Claim]:
    tokens = [secrets.token_hex(8) for _ in rows]
    held = [
        {"candidate": row.id, "token": token, "until": lease.until, "by": lease.worker, "expired": int(_expired(row))}
        for row, token in zip(rows, tokens, strict=True)
    ]
    connection.execute(_LEASE_CANDIDATE, held)
    for row in rows:
        if _expired(row):
            add_event(connection, row.id, at=lease.now, what="expired", detail=f"the lease of {row.worker} ran out")
    hosts = [
        {"lane": row.lane, "token": token, "until": lease.until}
        for row, token in zip(rows, tokens, strict=True)
        if row.lane is not None
    ]
    if hosts:
        connection.execute(_LEASE_HOST, hosts)
    return [
        _claim_from(row, token, lease.until, _payload(connection, row)) for row, token in zip(rows, tokens, strict=True)
    ]


def _expired(row: Row[Any]) -> bool:
    return row.lease_token is not None


def _payload(connection: Connection, row: Row[Any]) -> Page | Text | None:
    if row.lane is not None:
        return None
    page = connection.execute(_PAYLOAD, {"candidate": row.id, "sha256": row.payload_sha256}).one_or_none()
    if page is None:  # pruned in the same moment: it is fetched, or ends with the reason why it cannot be
        return None
    return content_from(page.form, page.described, page.body, page.fetched_at)


def _claim_from(row: Row[Any], token: str, until: datetime, payload: Page | Text | None) -> Claim:
    former, by_age = former_of(row)
    return Claim(
        id=row.id,
        url=row.url,
        canonical_url=row.canonical_url,
        source=row.source,
        host=row.host,
        attempts=row.attempts + 1,
        lease_until=until,
        token=token,
        title=row.title,
        published_at=row.published_at,
        modified_at=row.modified_at,
        external_id=row.external_id,
        payload=payload,
        # Without an article a 304 would help nobody: such a page is asked for in full.
        validators=Validators(etag=row.etag, last_modified=row.last_modified) if row.article_id else Validators(),
        known_sha256=row.body_sha256,
        known_article=row.article_id,
        discovered_at=row.discovered_at,
        previous_outcome=former,
        is_scheduled_recheck=by_age,
        lease_expired=_expired(row),
        from_backfill=bool(row.precedence),
    )


def _ordered(claims: Sequence[Claim]) -> list[Claim]:
    return sorted(claims, key=lambda held: held.id)


def _by_host(claims: Sequence[Claim]) -> list[Claim]:
    return sorted((held for held in claims if held.payload is None), key=lambda held: held.host)
