"""The queue: which candidates a worker claims next, and how it extends or releases its leases.

A claim leases a candidate and, if the candidate is to be fetched, its host as well, so that one host serves one fetch
at a time. `hosts.due_at` holds when the first candidate of a host is due: a claim finds the due hosts by it, and reads
one candidate of each. High priority (live discovery) comes before low priority (backfills and rechecks).
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)

from worker.models import Claim, Page, Text, Validators
from worker.models.base import dataclass
from worker.ports import Scope
from worker.storage.db.codec import EPOCH, MICROSECOND, UtcTime, content_from
from worker.storage.db.schema import CANDIDATES, HOSTS, PAGES
from worker.storage.db.sql import is_sqlite, least
from worker.storage.queue.candidates import TAKEN_BATCH, add_event, former_of
from worker.storage.queue.hosts import share_out

# The statements on the queue.


EVERYTHING = Scope()
"""The scope that leaves nothing out."""
IS_PENDING = CANDIDATES.c.state == literal_column("'pending'")
"""A candidate without an outcome; a literal, because SQLite uses a partial index only for its exact condition."""
HELD: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""When a candidate of a paused source is due."""
HELD_FROM: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""From this due time on a candidate counts as held: `correct_times` may have moved it, after a clock that was wrong."""
IS_HELD: Final = CANDIDATES.c.due_at >= literal(HELD_FROM, UtcTime())
HIGH = CANDIDATES.c.precedence == literal_column("0")
LOW = CANDIDATES.c.precedence == literal_column("1")
"""The two priorities; each has a partial index of its own."""
YIELD_TIME = timedelta(minutes=1)
"""How long a run that gives way leaves a host with due news to the daemon; after that, no daemon seems to run."""
NOW = bindparam("now", type_=UtcTime())
IS_UNLEASED = or_(CANDIDATES.c.lease_until.is_(None), CANDIDATES.c.lease_until <= NOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatements:
    """The statements for one kind of scope; built once, because building them costs more than running them.

    `contents` are candidates whose content is here already, so that nothing is fetched; the rest wait for their host.
    """

    pending: Select[int]
    due: Select[int]
    any_due: Select[bool]
    contents: Select[Any]
    low_priority_contents: Select[Any]
    ready_hosts: Select[str]
    first_of_hosts: Select[Any]


def _statements(*, by_source: bool, by_batch: bool, yields_to_live: bool) -> QueueStatements:
    """Build the statements for scopes with or without sources and a batch, which give way to news or not."""
    within = (IS_PENDING, *([_OF_SOURCES] if by_source else []), *(_OF_BATCH if by_batch else []))
    due = (*within, CANDIDATES.c.due_at <= NOW, IS_UNLEASED)
    of_host = select(CANDIDATES.c.id).where(*due, CANDIDATES.c.lane == HOSTS.c.host).correlate(HOSTS)
    first = of_host.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    ready = select(HOSTS.c.host).where(HOSTS.c.ready_at <= NOW)
    if by_source or by_batch:
        ready = ready.where(of_host.exists())
    if yields_to_live:
        ready = ready.where(not_(_RECENT_HIGH_PRIORITY.exists()))
    ready = ready.order_by(HOSTS.c.ready_at, HOSTS.c.host).limit(bindparam("limit"))
    contents = select(CANDIDATES).where(*due, CANDIDATES.c.lane.is_(None))
    contents = contents.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(bindparam("limit"))
    # For the whole queue each priority has an index of its own; those of sources and batches hold both together.
    by_priority = not (by_source or by_batch)
    firsts = _first_by_priority(first, by_priority=by_priority)
    firsts = firsts.where(HOSTS.c.host.in_(bindparam("hosts", expanding=True)))
    return QueueStatements(
        pending=select(func.count()).select_from(CANDIDATES).where(*within),
        due=_count_by_priority(
            select(func.count()).select_from(CANDIDATES).where(*due, _ON_OPEN_HOST), by_priority=by_priority
        ),
        any_due=_any_due(due, first) if by_priority else select(exists().where(*due, _ON_OPEN_HOST)),
        contents=(contents.where(HIGH) if by_priority else contents).with_for_update(skip_locked=True),
        low_priority_contents=contents.where(LOW).with_for_update(skip_locked=True),
        ready_hosts=ready.with_for_update(skip_locked=True),
        first_of_hosts=select(CANDIDATES).where(CANDIDATES.c.id.in_(firsts)).with_for_update(skip_locked=True),
    )


def _first_by_priority(first: Select[Any], *, by_priority: bool) -> Select[Any]:
    """Return the query for what `first` finds with high priority, or else with low priority."""
    if not by_priority:
        return select(first.scalar_subquery().label("id"))
    return select(func.coalesce(*(first.where(each).scalar_subquery() for each in (HIGH, LOW))).label("id"))


def _any_due(due: Sequence[ColumnElement[bool]], first: Select[Any]) -> Select[bool]:
    """Return the query for whether anything is due; it reads the due hosts that are open, not the whole queue."""
    contents = select(CANDIDATES.c.id).where(*due, CANDIDATES.c.lane.is_(None))
    # The first condition is that of the partial index on hosts with a due time.
    due_hosts = select(HOSTS.c.host).where(
        HOSTS.c.due_at.is_not(None), HOSTS.c.due_at <= NOW, HOSTS.c.closed_until <= NOW
    )
    # Not EXISTS: PostgreSQL would plan it as one read of all due candidates instead of one index look-up a host.
    found = due_hosts.where(func.coalesce(*(first.where(each).scalar_subquery() for each in (HIGH, LOW))).is_not(None))
    return select(or_(*(contents.where(each).exists() for each in (HIGH, LOW)), found.exists()))


def _count_by_priority(count: Select[Any], *, by_priority: bool) -> Select[Any]:
    return select(count.where(HIGH).scalar_subquery() + count.where(LOW).scalar_subquery()) if by_priority else count


_RECENT_HIGH_PRIORITY = (
    select(CANDIDATES.c.id)
    .where(CANDIDATES.c.lane == HOSTS.c.host, IS_PENDING, HIGH, CANDIDATES.c.due_at <= NOW)
    .where(CANDIDATES.c.due_at > NOW - literal_column(str(YIELD_TIME // MICROSECOND)))
    .correlate(HOSTS)
)
_OF_SOURCES = CANDIDATES.c.source.in_(bindparam("sources", expanding=True))
_OF_BATCH = (CANDIDATES.c.batch == bindparam("batch"), CANDIDATES.c.batch != literal_column("''"))
# Worded like the partial index on hosts that were ever closed, so that no other host is read.
_CLOSED_HOSTS = select(HOSTS.c.host).where(HOSTS.c.closed_until > literal_column("0"), HOSTS.c.closed_until > NOW)
_ON_OPEN_HOST = or_(CANDIDATES.c.lane.is_(None), CANDIDATES.c.lane.not_in(_CLOSED_HOSTS))
_STATEMENTS = {
    shape: _statements(by_source=shape[0], by_batch=shape[1], yields_to_live=shape[2])
    for shape in product((False, True), repeat=3)
}


def statements_for(scope: Scope) -> QueueStatements:
    """Return the statements for the kind of a scope."""
    return _STATEMENTS[bool(scope.sources), bool(scope.batch), scope.yields_to_live]


def scope_parameters(scope: Scope) -> dict[str, Any]:
    """Return the parameters that a scope's statements have beside their own."""
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
_IS_MINE = CANDIDATES.c.lease_token == bindparam("token")
_EXTEND_CANDIDATE = update(CANDIDATES).where(CANDIDATES.c.id == bindparam("candidate"), _IS_MINE)
_EXTEND_HOST = update(HOSTS).where(HOSTS.c.host == bindparam("lane"), HOSTS.c.lease_token == bindparam("token"))
_RELEASE = _EXTEND_CANDIDATE.values(lease_token=None, lease_until=None, worker=None, attempts=CANDIDATES.c.attempts - 1)
_LOCK_HOST = select(HOSTS.c.host).where(HOSTS.c.host == bindparam("lane")).with_for_update()


def _first_due_of(host: ColumnElement[str]) -> ColumnElement[Any]:
    """Return the expression for when the first pending candidate of a host is due; null if it has none."""
    waiting = select(CANDIDATES.c.due_at).where(CANDIDATES.c.lane == host, IS_PENDING)
    first = waiting.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    high, low = (first.where(each).scalar_subquery() for each in (HIGH, LOW))
    return least(func.coalesce(high, low), func.coalesce(low, high))


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
    """A lease to be written: its begin, its end, its worker."""

    now: datetime
    until: datetime
    worker: str


def claim(
    connection: Connection, *, now: datetime, lease: timedelta, limit: int, worker: str, scope: Scope = EVERYTHING
) -> list[Claim]:
    """Lease at most `limit` due candidates to a worker, for the duration `lease`.

    First come contents that are here already, then one candidate of each host that is due, open and not leased (of a
    host high priority before low), last contents of low priority.
    """
    rows = _due_contents(connection, scope, now=now, limit=limit)
    if len(rows) < limit:
        rows += _due_fetches(connection, scope, now=now, limit=limit - len(rows), worker=worker)
    if len(rows) < limit and scope == EVERYTHING:
        rows += _due_contents(connection, scope, now=now, limit=limit - len(rows), low_priority=True)
    return _lease_rows(connection, rows, Lease(now=now, until=now + lease, worker=worker)) if rows else []


def extend(connection: Connection, claims: Sequence[Claim], *, until: datetime) -> None:
    """Extend the leases of claims; a lease that was lost meanwhile is left alone."""
    candidates = [{"candidate": held.id, "token": held.token} for held in _by_id(claims)]
    hosts = [{"lane": held.host, "token": held.token} for held in _by_host(claims)]
    if candidates:
        connection.execute(_EXTEND_CANDIDATE.values(lease_until=until), candidates)
    if hosts:
        connection.execute(_EXTEND_HOST.values(lease_until=until), hosts)


def release(connection: Connection, claims: Sequence[Claim]) -> None:
    """Release claims that were not worked on; the attempt is not counted."""
    candidates = [{"candidate": held.id, "token": held.token} for held in _by_id(claims)]
    if candidates:
        connection.execute(_RELEASE, candidates)
    for held in _by_host(claims):
        free_host(connection, held.host, held.token)


def free_host(connection: Connection, host: str, token: str) -> None:
    """End a lease on a host, and set when its next candidate is due."""
    if not is_sqlite(connection):
        # A separate statement: after the lock, the next one sees candidates that a concurrent `enqueue` committed.
        connection.execute(_LOCK_HOST, {"lane": host}).all()
    connection.execute(_FREE_HOST, {"lane": host, "token": token})


def pending(connection: Connection, *, now: datetime, scope: Scope = EVERYTHING) -> tuple[int, int]:
    """Return how many candidates are pending, and how many of them are due on hosts that are not closed."""
    waiting = connection.execute(statements_for(scope).pending, scope_parameters(scope)).scalar_one()
    return waiting, count_due(connection, now=now, scope=scope)


def count_due(connection: Connection, *, now: datetime, scope: Scope = EVERYTHING) -> int:
    """Return how many candidates are pending and due on hosts that are not closed."""
    due = connection.execute(statements_for(scope).due, {"now": now, **scope_parameters(scope)})
    return int(due.scalar_one())


def has_due(connection: Connection, *, now: datetime, scope: Scope = EVERYTHING) -> bool:
    """Return whether `pending` would count anything as due; fast however long the queue is."""
    statements = statements_for(scope)
    return bool(connection.execute(statements.any_due, {"now": now, **scope_parameters(scope)}).scalar())


def next_due(connection: Connection, *, now: datetime) -> datetime | None:
    """Return when the earliest candidate can be claimed (perhaps in the past), None if nothing is pending."""
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
    connection: Connection, scope: Scope, *, now: datetime, limit: int, low_priority: bool = False
) -> list[Row[Any]]:
    statements = statements_for(scope)
    query = statements.low_priority_contents if low_priority else statements.contents
    return list(connection.execute(query, {"now": now, "limit": limit, **scope_parameters(scope)}))


def _due_fetches(connection: Connection, scope: Scope, *, now: datetime, limit: int, worker: str) -> list[Row[Any]]:
    """Return the first candidate of each ready host, the host that has been ready longest first."""
    statements, names = statements_for(scope), scope_parameters(scope)
    values = {"now": now, "limit": limit, **names}
    by = worker if scope == EVERYTHING else None
    hosts = share_out(connection, statements.ready_hosts, values, worker=by)
    if not hosts:
        return []
    position = {host: number for number, host in enumerate(hosts)}
    rows = connection.execute(statements.first_of_hosts, {"now": now, "hosts": hosts, **names}).all()
    # A host keeps such a due time when the content of its waiting candidate comes in another way; it would block the
    # head of the queue.
    set_next_due(connection, set(hosts) - {row.lane for row in rows})
    return sorted(rows, key=lambda row: position[row.lane])


def set_next_due(connection: Connection, hosts: Collection[str]) -> None:
    """Set when the next candidate of each host is due."""
    if hosts:
        connection.execute(_SET_NEXT_DUE, [{"lane": host} for host in sorted(hosts)])


def _lease_rows(connection: Connection, rows: Sequence[Row[Any]], lease: Lease) -> list[Claim]:
    """Write the leases of candidates and of their hosts, and return the claims."""
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
    """Return whether a claimable candidate still carries a lease: then that lease has run out."""
    return row.lease_token is not None


def _payload(connection: Connection, row: Row[Any]) -> Page | Text | None:
    """Return the content that was given with a candidate; None if it is to be fetched."""
    if row.lane is not None:
        return None
    page = connection.execute(_PAYLOAD, {"candidate": row.id, "sha256": row.payload_sha256}).one_or_none()
    if page is None:  # pruned at this moment; the candidate is fetched, or fails with the reason
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
        # Without a stored article a 304 would be of no use, so the page is requested in full.
        validators=Validators(etag=row.etag, last_modified=row.last_modified) if row.article_id else Validators(),
        known_sha256=row.body_sha256,
        known_article=row.article_id,
        discovered_at=row.discovered_at,
        previous_outcome=former,
        is_scheduled_recheck=by_age,
        lease_expired=_expired(row),
        from_backfill=bool(row.precedence),
        is_taken=row.batch == TAKEN_BATCH,
    )


def _by_id(claims: Sequence[Claim]) -> list[Claim]:
    """Return claims in the order in which every transaction locks candidates; one order prevents deadlocks."""
    return sorted(claims, key=lambda held: held.id)


def _by_host(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims that hold a lease on their host, in the order in which every transaction locks hosts."""
    return sorted((held for held in claims if held.payload is None), key=lambda held: held.host)
