"""Leases: which candidate a worker gets next, and how it keeps or gives back what it has."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    Select,
    bindparam,
    case,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)

from worker.models import Claim, Page, Text, Validators
from worker.ports import Scope
from worker.storage.codec import content_from
from worker.storage.columns import EPOCH, UtcTime
from worker.storage.dialect import is_sqlite
from worker.storage.queue import add_event
from worker.storage.tables import CANDIDATES, HOSTS, PAGES

EVERYTHING = Scope()
PENDING = CANDIDATES.c.state == literal_column("'pending'")
"""A candidate without an outcome; a literal, since SQLite uses a partial index only for its own words."""
AT = bindparam("now", type_=UtcTime())
UNLEASED = or_(CANDIDATES.c.lease_until.is_(None), CANDIDATES.c.lease_until <= AT)

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


def _first_due_of(host: ColumnElement[str]) -> ScalarSelect[Any]:
    waiting = select(CANDIDATES.c.due_at).where(CANDIDATES.c.lane == host, PENDING)
    return waiting.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1).scalar_subquery()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a lease says: since when, until when, for whom."""

    now: datetime
    until: datetime
    worker: str


def claim(connection: Connection, *, lease: Lease, limit: int, scope: Scope = EVERYTHING) -> list[Claim]:
    """Lease due candidates: contents already here first, then one of each host that is ready."""
    rows = _due_contents(connection, scope, now=lease.now, limit=limit)
    if len(rows) < limit:
        rows += _due_pages(connection, scope, now=lease.now, limit=limit - len(rows))
    return _leased(connection, rows, lease) if rows else []


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
    """Return how many candidates are pending, and how many of them could be claimed but for their host's next turn."""
    statements, named = _SHAPES[_shape(scope)], _named(scope)
    waiting = connection.execute(statements.waiting, named).scalar_one()
    due = connection.execute(statements.due, {"now": now, **named}).scalar_one()
    return waiting, due


def has_due(connection: Connection, *, now: datetime, scope: Scope = EVERYTHING) -> bool:
    """Return whether `pending` would count anything as due, without counting."""
    statements = _SHAPES[_shape(scope)]
    return connection.execute(statements.any_due, {"now": now, **_named(scope)}).first() is not None


def next_due(connection: Connection, *, now: datetime) -> datetime | None:
    """Return when the earliest candidate can be claimed, None if nothing is pending."""
    contents = select(CANDIDATES.c.due_at).where(CANDIDATES.c.lane.is_(None), PENDING, UNLEASED)
    first = contents.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    lease_ends = select(func.min(CANDIDATES.c.lease_until)).where(
        CANDIDATES.c.lease_until.is_not(None), CANDIDATES.c.lane.is_(None)
    )
    times = (
        connection.execute(first, {"now": now}).scalar(),
        connection.execute(lease_ends).scalar(),
        connection.execute(select(func.min(HOSTS.c.ready_at))).scalar(),
    )
    return min((time for time in times if time is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statements:
    """The statements for one shape of scope, made once: making them anew costs more than running them."""

    waiting: Select[int]
    due: Select[int]
    any_due: Select[int]
    contents: Select[Any]
    ready: Select[str]
    firsts: Select[Any]


def _statements(*, by_source: bool, by_batch: bool) -> _Statements:
    within = (PENDING, *([_OF_SOURCES] if by_source else []), *(_OF_BATCH if by_batch else []))
    due = (*within, CANDIDATES.c.due_at <= AT, UNLEASED)
    of_host = select(CANDIDATES.c.id).where(*due, CANDIDATES.c.lane == HOSTS.c.host).correlate(HOSTS)
    first = of_host.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1).scalar_subquery()
    ready = select(HOSTS.c.host).where(HOSTS.c.ready_at <= AT)
    if by_source or by_batch:
        ready = ready.where(of_host.exists())
    contents = select(CANDIDATES).where(*due, CANDIDATES.c.lane.is_(None))
    return _Statements(
        waiting=select(func.count()).select_from(CANDIDATES).where(*within),
        due=select(func.count()).select_from(CANDIDATES).where(*due, _OPEN),
        any_due=select(CANDIDATES.c.id).where(*due, _OPEN).limit(1),
        contents=contents.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True),
        ready=ready.order_by(HOSTS.c.ready_at, HOSTS.c.host)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True),
        firsts=select(CANDIDATES)
        .where(CANDIDATES.c.id.in_(select(first).where(HOSTS.c.host.in_(bindparam("hosts", expanding=True)))))
        .with_for_update(skip_locked=True),
    )


_OF_SOURCES = CANDIDATES.c.source.in_(bindparam("sources", expanding=True))
_OF_BATCH = (CANDIDATES.c.batch == bindparam("batch"), CANDIDATES.c.batch != literal_column("''"))
_CLOSED = select(HOSTS.c.host).where(HOSTS.c.closed_until > AT)
_OPEN = or_(CANDIDATES.c.lane.is_(None), CANDIDATES.c.lane.not_in(_CLOSED))
_SHAPES = {
    (by_source, by_batch): _statements(by_source=by_source, by_batch=by_batch)
    for by_source in (False, True)
    for by_batch in (False, True)
}


def _shape(scope: Scope) -> tuple[bool, bool]:
    return bool(scope.sources), bool(scope.batch)


def _named(scope: Scope) -> dict[str, Any]:
    names = {"sources": sorted(scope.sources), "batch": scope.batch}
    return {name: value for name, value in names.items() if value}


def _due_contents(connection: Connection, scope: Scope, *, now: datetime, limit: int) -> list[Row[Any]]:
    asked = {"now": now, "limit": limit, **_named(scope)}
    return list(connection.execute(_SHAPES[_shape(scope)].contents, asked))


def _due_pages(connection: Connection, scope: Scope, *, now: datetime, limit: int) -> list[Row[Any]]:
    """Return the first candidate of each ready host, the host that has been ready longest first."""
    statements, named = _SHAPES[_shape(scope)], _named(scope)
    hosts = connection.execute(statements.ready, {"now": now, "limit": limit, **named}).scalars().all()
    if not hosts:
        return []
    place = {host: number for number, host in enumerate(hosts)}
    rows = connection.execute(statements.firsts, {"now": now, "hosts": hosts, **named}).all()
    return sorted(rows, key=lambda row: place[row.lane])


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
    page = connection.execute(_PAYLOAD, {"candidate": row.id, "sha256": row.payload_sha256}).one()
    return content_from(page.form, page.described, page.body, page.fetched_at)


def _claim_from(row: Row[Any], token: str, until: datetime, payload: Page | Text | None) -> Claim:
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
    )


def _ordered(claims: Sequence[Claim]) -> list[Claim]:
    return sorted(claims, key=lambda held: held.id)


def _by_host(claims: Sequence[Claim]) -> list[Claim]:
    return sorted((held for held in claims if held.payload is None), key=lambda held: held.host)
