"""The book of hosts: whose turn is when, who is left alone, and every robots.txt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Executable, bindparam, case, delete, select

from worker.ports import HostStanding, RobotsRecord
from worker.storage.codec import clean
from worker.storage.columns import EPOCH, Span, UtcTime
from worker.storage.database import Repository, reads, writes
from worker.storage.dialect import Insert, greatest, upsert
from worker.storage.tables import HOSTS, MOVES, ROBOTS


def _turn_taken(statement: Insert) -> Executable:
    # One statement: two workers that ask together get two turns, because the second waits for the row.
    now, delay = bindparam("now", type_=UtcTime()), bindparam("delay", type_=Span())
    missed = HOSTS.c.next_turn == bindparam("missed", type_=UtcTime())
    after = case((missed, now), else_=greatest(HOSTS.c.next_turn, now)) + delay
    taken = statement.on_conflict_do_update(index_elements=["host"], set_={"next_turn": after})
    return taken.returning(HOSTS.c.next_turn)


def _replaced(key: str, *columns: str) -> Callable[[Insert], Executable]:
    def finish(statement: Insert) -> Executable:
        values = {name: statement.excluded[name] for name in columns}
        return statement.on_conflict_do_update(index_elements=[key], set_=values)

    return finish


_RESERVE = upsert(HOSTS, lambda new: _turn_taken(new.values(host=bindparam("host"), next_turn=bindparam("next_turn"))))
_NOTE = upsert(HOSTS, _replaced("host", "failures", "closed_until"))
_KEEP_MOVED = upsert(MOVES, _replaced("url", "target"))
_KEEP_ROBOTS = upsert(ROBOTS, _replaced("origin", "checked_at", "status", "body", "good_at", "error"))


def reserve(
    connection: Connection, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None
) -> datetime:
    """Take the host's next turn and return when it starts, now or later; the turn after it is `delay` later.

    A turn that was missed is named with `instead_of`: where nobody has taken one after it, it moves to `now`.
    """
    missed = EPOCH if instead_of is None else instead_of + delay
    asked = {"host": clean(host), "next_turn": now + delay, "now": now, "delay": delay, "missed": missed}
    following: datetime = connection.execute(_RESERVE.on(connection), asked).scalar_one()
    return following - delay


def standing(connection: Connection, host: str) -> HostStanding:
    """Return how the host has been answering."""
    row = connection.execute(select(HOSTS).where(HOSTS.c.host == clean(host))).one_or_none()
    if row is None:
        return HostStanding(host=host)
    closed_until = None if row.closed_until == EPOCH else row.closed_until
    return HostStanding(host=host, failures=row.failures, closed_until=closed_until)


def note(connection: Connection, standing: HostStanding) -> None:
    """Remember how the host has been answering; candidates of a closed host are not claimed until it opens."""
    closed_until = standing.closed_until or EPOCH
    values = {"host": clean(standing.host), "failures": standing.failures, "closed_until": closed_until}
    connection.execute(_NOTE.on(connection), values)


def robots(connection: Connection, origin: str) -> RobotsRecord | None:
    """Return what is known of the robots.txt of an origin."""
    row = connection.execute(select(ROBOTS).where(ROBOTS.c.origin == clean(origin))).one_or_none()
    if row is None:
        return None
    return RobotsRecord(
        origin=row.origin,
        checked_at=row.checked_at,
        status=row.status,
        body=row.body,
        good_at=row.good_at,
        error=row.error,
    )


def keep_robots(connection: Connection, record: RobotsRecord) -> None:
    """Remember a robots.txt."""
    values = {
        "origin": clean(record.origin),
        "checked_at": record.checked_at,
        "status": record.status,
        "body": record.body,
        "good_at": record.good_at,
        "error": clean(record.error),
    }
    connection.execute(_KEEP_ROBOTS.on(connection), values)


def moved(connection: Connection, url: str) -> str | None:
    """Return where a URL has moved for good, as far as is known."""
    return connection.execute(select(MOVES.c.target).where(MOVES.c.url == clean(url))).scalar()


def keep_moved(connection: Connection, url: str, target: str | None) -> None:
    """Remember where a URL has moved for good; None: forget it."""
    if target is None:
        connection.execute(delete(MOVES).where(MOVES.c.url == clean(url)))
        return
    connection.execute(_KEEP_MOVED.on(connection), {"url": clean(url), "target": clean(target)})


class StoredHostBook(Repository):
    """`HostBook` on the store."""

    reserve = writes(reserve)
    standing = reads(standing)
    note = writes(note)
    robots = reads(robots)
    keep_robots = writes(keep_robots)
    moved = reads(moved)
    keep_moved = writes(keep_moved)
