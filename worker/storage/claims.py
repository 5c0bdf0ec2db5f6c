"""Leases: which candidate a worker gets next, and how it keeps or gives back what it has."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    case,
    func,
    null,
    select,
    update,
)

from worker.models import Claim, Page, Text, Validators
from worker.ports import Scope
from worker.storage.codec import content_from
from worker.storage.columns import EPOCH, UtcTime
from worker.storage.dialect import is_sqlite, least
from worker.storage.events import add_event
from worker.storage.former import former_of
from worker.storage.tables import CANDIDATES, HOSTS, PAGES
from worker.storage.waiting import EVERYTHING, NEWS, PAST, PENDING, UNLEASED, named, statements_for

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
    waiting = select(CANDIDATES.c.due_at).where(CANDIDATES.c.lane == host, PENDING)
    first = waiting.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    news, past = (first.where(each).scalar_subquery() for each in (NEWS, PAST))
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
_CALL_AGAIN = update(HOSTS).where(HOSTS.c.host == bindparam("lane")).values(due_at=_first_due_of(bindparam("lane")))


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
    statements, names = statements_for(scope), named(scope)
    waiting = connection.execute(statements.waiting, names).scalar_one()
    due = connection.execute(statements.due, {"now": now, **names}).scalar_one()
    return waiting, due


def has_due(connection: Connection, *, now: datetime, scope: Scope = EVERYTHING) -> bool:
    """Return whether `pending` would count anything as due, without counting: quick on a long queue."""
    statements = statements_for(scope)
    return bool(connection.execute(statements.any_due, {"now": now, **named(scope)}).scalar())


def next_due(connection: Connection, *, now: datetime) -> datetime | None:
    """Return when the earliest candidate can be claimed (may be past), None if nothing is pending."""
    contents = select(CANDIDATES.c.due_at).where(CANDIDATES.c.lane.is_(None), PENDING, UNLEASED)
    first = contents.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    firsts = (connection.execute(first.where(each), {"now": now}).scalar() for each in (NEWS, PAST))
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
    asked = {"now": now, "limit": limit, **named(scope)}
    statements = statements_for(scope)
    return list(connection.execute(statements.old_contents if past else statements.contents, asked))


def _due_pages(connection: Connection, scope: Scope, *, now: datetime, limit: int) -> list[Row[Any]]:
    """Return the first candidate of each ready host, the host that has been ready longest first."""
    statements, names = statements_for(scope), named(scope)
    hosts = connection.execute(statements.ready, {"now": now, "limit": limit, **names}).scalars().all()
    if not hosts:
        return []
    place = {host: number for number, host in enumerate(hosts)}
    rows = connection.execute(statements.firsts, {"now": now, "hosts": hosts, **names}).all()
    _quiet(connection, set(hosts) - {row.lane for row in rows})
    return sorted(rows, key=lambda row: place[row.lane])


def _quiet(connection: Connection, hosts: set[str]) -> None:
    """Let hosts that called for nothing call no more: they would stand in front of all others, claim after claim.

    A candidate that waited for its host, and whose content somebody then brought, leaves such a call behind.
    """
    if hosts:
        connection.execute(_CALL_AGAIN, [{"lane": host} for host in sorted(hosts)])


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
        former=former,
        by_age=by_age,
        expired=_expired(row),
        past=bool(row.precedence),
    )


def _ordered(claims: Sequence[Claim]) -> list[Claim]:
    return sorted(claims, key=lambda held: held.id)


def _by_host(claims: Sequence[Claim]) -> list[Claim]:
    return sorted((held for held in claims if held.payload is None), key=lambda held: held.host)
