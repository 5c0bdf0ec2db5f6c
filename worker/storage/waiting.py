"""The queue as statements: what waits, what is due, and what comes first of each host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, exists, func, literal_column, not_, or_, select

from worker.ports import Scope
from worker.storage.columns import MICROSECOND, UtcTime
from worker.storage.tables import CANDIDATES, HOSTS

EVERYTHING = Scope()
PENDING = CANDIDATES.c.state == literal_column("'pending'")
"""A candidate without an outcome; a literal, since SQLite uses a partial index only for its own words."""
NEWS = CANDIDATES.c.precedence == literal_column("0")
PAST = CANDIDATES.c.precedence == literal_column("1")
"""What comes first of a host, and what comes after; each has an index of its own."""
WAY_GIVEN = timedelta(minutes=1)
"""For how long who gives way waits for somebody to take what is news: nobody may be there to do so."""
AT = bindparam("now", type_=UtcTime())
UNLEASED = or_(CANDIDATES.c.lease_until.is_(None), CANDIDATES.c.lease_until <= AT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The statements for one shape of scope, made once: making them anew costs more than running them."""

    waiting: Select[int]
    due: Select[int]
    any_due: Select[bool]
    contents: Select[Any]
    old_contents: Select[Any]
    ready: Select[str]
    firsts: Select[Any]


def _statements(*, by_source: bool, by_batch: bool, gives_way: bool) -> Statements:
    within = (PENDING, *([_OF_SOURCES] if by_source else []), *(_OF_BATCH if by_batch else []))
    due = (*within, CANDIDATES.c.due_at <= AT, UNLEASED)
    of_host = select(CANDIDATES.c.id).where(*due, CANDIDATES.c.lane == HOSTS.c.host).correlate(HOSTS)
    first = of_host.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(1)
    ready = select(HOSTS.c.host).where(HOSTS.c.ready_at <= AT)
    if by_source or by_batch:
        ready = ready.where(of_host.exists())
    if gives_way:
        ready = ready.where(not_(_NEWS_OF_LATE.exists()))
    contents = select(CANDIDATES).where(*due, CANDIDATES.c.lane.is_(None))
    contents = contents.order_by(CANDIDATES.c.due_at, CANDIDATES.c.id).limit(bindparam("limit"))
    # A source or a batch has an index of its own, in which news and the past stand together.
    apart = not (by_source or by_batch)
    return Statements(
        waiting=select(func.count()).select_from(CANDIDATES).where(*within),
        due=_counted(select(func.count()).select_from(CANDIDATES).where(*due, _OPEN), apart=apart),
        any_due=_any_due(due, first) if apart else select(exists().where(*due, _OPEN)),
        contents=(contents.where(NEWS) if apart else contents).with_for_update(skip_locked=True),
        old_contents=contents.where(PAST).with_for_update(skip_locked=True),
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
    return select(func.coalesce(*(first.where(each).scalar_subquery() for each in (NEWS, PAST))).label("id"))


def _any_due(due: Sequence[ColumnElement[bool]], first: Select[Any]) -> Select[bool]:
    """Return the query whether anything is due, which asks the hosts that call and are open, not the whole queue."""
    contents = select(CANDIDATES.c.id).where(*due, CANDIDATES.c.lane.is_(None))
    # The first condition in the words of the partial index of hosts that call.
    calling = select(HOSTS.c.host).where(HOSTS.c.due_at.is_not(None), HOSTS.c.due_at <= AT, HOSTS.c.closed_until <= AT)
    # No EXISTS: for one, PostgreSQL reads everything that is due once instead of looking up a host's first.
    found = calling.where(func.coalesce(*(first.where(each).scalar_subquery() for each in (NEWS, PAST))).is_not(None))
    return select(or_(*(contents.where(each).exists() for each in (NEWS, PAST)), found.exists()))


def _counted(count: Select[Any], *, apart: bool) -> Select[Any]:
    return select(count.where(NEWS).scalar_subquery() + count.where(PAST).scalar_subquery()) if apart else count


_NEWS_OF_LATE = (
    select(CANDIDATES.c.id)
    .where(CANDIDATES.c.lane == HOSTS.c.host, PENDING, NEWS, CANDIDATES.c.due_at <= AT)
    .where(CANDIDATES.c.due_at > AT - literal_column(str(WAY_GIVEN // MICROSECOND)))
    .correlate(HOSTS)
)
_OF_SOURCES = CANDIDATES.c.source.in_(bindparam("sources", expanding=True))
_OF_BATCH = (CANDIDATES.c.batch == bindparam("batch"), CANDIDATES.c.batch != literal_column("''"))
# In the words of the partial index of hosts that were ever closed: no other host is read.
_CLOSED = select(HOSTS.c.host).where(HOSTS.c.closed_until > literal_column("0"), HOSTS.c.closed_until > AT)
_OPEN = or_(CANDIDATES.c.lane.is_(None), CANDIDATES.c.lane.not_in(_CLOSED))
_SHAPES = {
    shape: _statements(by_source=shape[0], by_batch=shape[1], gives_way=shape[2])
    for shape in product((False, True), repeat=3)
}


def statements_for(scope: Scope) -> Statements:
    """Return the statements for a scope."""
    return _SHAPES[bool(scope.sources), bool(scope.batch), scope.gives_way]


def named(scope: Scope) -> dict[str, Any]:
    """Return the names that these statements ask for."""
    names = {"sources": sorted(scope.sources), "batch": scope.batch}
    return {name: value for name, value in names.items() if value}
