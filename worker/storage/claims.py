"""Leases: which candidate a worker gets next, and how it keeps or gives back what it has."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select, update

from worker.models import Claim, Page, State, Text, Validators
from worker.ports import Scope
from worker.storage.codec import content_from
from worker.storage.columns import EPOCH
from worker.storage.queue import add_event
from worker.storage.tables import CANDIDATES, HOSTS, PAGES

EVERYTHING = Scope()
PENDING = CANDIDATES.c.state == State.PENDING
"""A candidate nobody has an outcome for; spelled as the partial index spells it."""


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
    return [_lease(connection, row, lease) for row in rows]


def extend(connection: Connection, claims: Sequence[Claim], *, until: datetime) -> None:
    """Prolong leases that are still held."""
    for held in _ordered(claims):
        mine = CANDIDATES.c.lease_token == held.token
        connection.execute(update(CANDIDATES).where(CANDIDATES.c.id == held.id, mine).values(lease_until=until))
    for held in _by_host(claims):
        mine = HOSTS.c.lease_token == held.token
        connection.execute(update(HOSTS).where(HOSTS.c.host == held.host, mine).values(lease_until=until))


def release(connection: Connection, claims: Sequence[Claim]) -> None:
    """Give back claims that were not worked on, as if they had never been made."""
    for held in _ordered(claims):
        connection.execute(
            update(CANDIDATES)
            .where(CANDIDATES.c.id == held.id, CANDIDATES.c.lease_token == held.token)
            .values(lease_token=None, lease_until=None, worker=None, attempts=CANDIDATES.c.attempts - 1)
        )
    for held in _by_host(claims):
        free_host(connection, held.host, held.token)


def free_host(connection: Connection, host: str, token: str) -> None:
    """End a lease on a host, and note when its next candidate is due."""
    # The row is locked by a statement of its own: the next one then sees what a waiting discoverer has committed.
    connection.execute(select(HOSTS.c.host).where(HOSTS.c.host == host).with_for_update()).all()
    earliest = (
        select(CANDIDATES.c.due_at)
        .where(CANDIDATES.c.lane == host, PENDING)
        .order_by(CANDIDATES.c.due_at, CANDIDATES.c.id)
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(update(HOSTS).where(HOSTS.c.host == host).values(due_at=earliest))
    mine = HOSTS.c.lease_token == token
    connection.execute(update(HOSTS).where(HOSTS.c.host == host, mine).values(lease_token=None, lease_until=EPOCH))


def pending(connection: Connection, *, now: datetime, scope: Scope = EVERYTHING) -> tuple[int, int]:
    """Return how many candidates are pending, and how many of them could be claimed but for their host's next turn."""
    waiting = select(func.count()).select_from(CANDIDATES).where(PENDING, *_within(scope))
    closed = select(HOSTS.c.host).where(HOSTS.c.closed_until > now)
    open_lane = or_(CANDIDATES.c.lane.is_(None), CANDIDATES.c.lane.not_in(closed))
    due = waiting.where(CANDIDATES.c.due_at <= now, _unleased(now), open_lane)
    return connection.execute(waiting).scalar_one(), connection.execute(due).scalar_one()


def next_due(connection: Connection, *, now: datetime) -> datetime | None:
    """Return when the earliest candidate can be claimed, None if nothing is pending."""
    contents = select(CANDIDATES.c.due_at).where(CANDIDATES.c.lane.is_(None), PENDING, _unleased(now))
    leased = select(func.min(CANDIDATES.c.lease_until)).where(
        CANDIDATES.c.lane.is_(None), PENDING, CANDIDATES.c.lease_until.is_not(None)
    )
    times = (
        connection.execute(contents.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)).scalar(),
        connection.execute(leased).scalar(),
        connection.execute(select(func.min(HOSTS.c.ready_at))).scalar(),
    )
    return min((time for time in times if time is not None), default=None)


def _unleased(now: datetime) -> ColumnElement[bool]:
    return or_(CANDIDATES.c.lease_until.is_(None), CANDIDATES.c.lease_until <= now)


def _within(scope: Scope) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if scope.sources:
        conditions.append(CANDIDATES.c.source.in_(sorted(scope.sources)))
    if scope.batch:
        conditions += [CANDIDATES.c.batch == scope.batch, CANDIDATES.c.batch != ""]
    return conditions


def _due(scope: Scope, *, now: datetime) -> Select[Any]:
    return select(CANDIDATES).where(PENDING, CANDIDATES.c.due_at <= now, _unleased(now), *_within(scope))


def _due_contents(connection: Connection, scope: Scope, *, now: datetime, limit: int) -> list[Row[Any]]:
    due = _due(scope, now=now).where(CANDIDATES.c.lane.is_(None))
    first = due.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(limit)
    return list(connection.execute(first.with_for_update(skip_locked=True)))


def _due_pages(connection: Connection, scope: Scope, *, now: datetime, limit: int) -> list[Row[Any]]:
    """Return the first candidate of each ready host, the host that has been ready longest first."""
    ready = select(HOSTS.c.host).where(HOSTS.c.ready_at <= now)
    if scope != EVERYTHING:
        ready = ready.where(_due(scope, now=now).where(CANDIDATES.c.lane == HOSTS.c.host).exists())
    longest = ready.order_by(HOSTS.c.ready_at, HOSTS.c.host).limit(limit).with_for_update(skip_locked=True)
    hosts = connection.execute(longest).scalars().all()
    rows = (_first_of_host(connection, host, scope, now=now) for host in hosts)
    return [row for row in rows if row is not None]


def _first_of_host(connection: Connection, host: str, scope: Scope, *, now: datetime) -> Row[Any] | None:
    due = _due(scope, now=now).where(CANDIDATES.c.lane == host)
    first = due.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    return connection.execute(first.with_for_update(skip_locked=True)).one_or_none()


def _lease(connection: Connection, row: Row[Any], lease: Lease) -> Claim:
    token = secrets.token_hex(8)
    expired = row.lease_token is not None
    held = {"lease_token": token, "lease_until": lease.until}
    counted = {"attempts": row.attempts + 1, "expiries": row.expiries + int(expired)}
    connection.execute(
        update(CANDIDATES).where(CANDIDATES.c.id == row.id).values(**held, **counted, worker=lease.worker)
    )
    if expired:
        add_event(connection, row.id, at=lease.now, what="expired", detail=f"the lease of {row.worker} ran out")
    if row.lane is not None:
        connection.execute(update(HOSTS).where(HOSTS.c.host == row.lane).values(**held))
    return _claim_from(row, token, lease.until, _payload(connection, row))


def _payload(connection: Connection, row: Row[Any]) -> Page | Text | None:
    if row.lane is not None:
        return None
    kept = select(PAGES).where(PAGES.c.candidate_id == row.id, PAGES.c.sha256 == row.payload_sha256)
    page = connection.execute(kept).one()
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
