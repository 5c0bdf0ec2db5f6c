"""What is remembered of hosts: the next request, failures, robots.txt, redirects, repeated paragraphs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Column, Connection, Executable, Integer, Table, Text, bindparam, case, delete, select

from worker.ports import HostHealth, RobotsRecord
from worker.storage.db.codec import EPOCH, Duration, PackedBytes, UtcTime, storable
from worker.storage.db.database import Repository, reads, writes
from worker.storage.db.schema import HOSTS, METADATA, MOVES, ROBOTS
from worker.storage.db.sql import Insert, greatest, upsert


def _turn_taken(statement: Insert) -> Executable:
    # One statement: two workers that ask together get two turns, because the second waits for the row.
    now, delay = bindparam("now", type_=UtcTime()), bindparam("delay", type_=Duration())
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
_SAVE_STANDING = upsert(HOSTS, _replaced("host", "failures", "closed_until"))
_SAVE_MOVED = upsert(MOVES, _replaced("url", "target"))
_SAVE_ROBOTS = upsert(ROBOTS, _replaced("origin", "checked_at", "status", "body", "good_at", "error"))


def reserve(
    connection: Connection, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None
) -> datetime:
    """Take the host's next turn and return when it starts, now or later; the turn after it is `delay` later.

    A turn that was missed is named with `instead_of`: where nobody has taken one after it, it moves to `now`.
    """
    missed = EPOCH if instead_of is None else instead_of + delay
    asked = {"host": storable(host), "next_turn": now + delay, "now": now, "delay": delay, "missed": missed}
    following: datetime = connection.execute(_RESERVE.on(connection), asked).scalar_one()
    return following - delay


def health_of(connection: Connection, host: str) -> HostHealth:
    """Return how the host has been answering."""
    row = connection.execute(select(HOSTS).where(HOSTS.c.host == storable(host))).one_or_none()
    if row is None:
        return HostHealth(host=host)
    closed_until = None if row.closed_until == EPOCH else row.closed_until
    return HostHealth(host=host, failures=row.failures, closed_until=closed_until)


def save_health(connection: Connection, standing: HostHealth) -> None:
    """Remember how the host has been answering; candidates of a closed host are not claimed until it opens."""
    closed_until = standing.closed_until or EPOCH
    values = {"host": storable(standing.host), "failures": standing.failures, "closed_until": closed_until}
    connection.execute(_SAVE_STANDING.on(connection), values)


def robots(connection: Connection, origin: str) -> RobotsRecord | None:
    """Return what is known of the robots.txt of an origin."""
    row = connection.execute(select(ROBOTS).where(ROBOTS.c.origin == storable(origin))).one_or_none()
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


def save_robots(connection: Connection, record: RobotsRecord) -> None:
    """Remember a robots.txt."""
    values = {
        "origin": storable(record.origin),
        "checked_at": record.checked_at,
        "status": record.status,
        "body": record.body,
        "good_at": record.good_at,
        "error": storable(record.error),
    }
    connection.execute(_SAVE_ROBOTS.on(connection), values)


def redirect_of(connection: Connection, url: str) -> str | None:
    """Return where a URL has moved for good, as far as is known."""
    return connection.execute(select(MOVES.c.target).where(MOVES.c.url == storable(url))).scalar()


def save_redirect(connection: Connection, url: str, target: str | None) -> None:
    """Remember where a URL has moved for good; None: forget it."""
    if target is None:
        connection.execute(delete(MOVES).where(MOVES.c.url == storable(url)))
        return
    connection.execute(_SAVE_MOVED.on(connection), {"url": storable(url), "target": storable(target)})


class HostStore(Repository):
    """`HostBook` on the store."""

    reserve = writes(reserve)
    health_of = reads(health_of)
    save_health = writes(save_health)
    robots = reads(robots)
    save_robots = writes(save_robots)
    redirect_of = reads(redirect_of)
    save_redirect = writes(save_redirect)


# What was counted of each host's paragraphs, one packed row a host.


HOST_PARAGRAPHS = Table(
    "host_paragraphs",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("articles", Integer, nullable=False),
    Column("counts", PackedBytes, nullable=False),
)
"""How often each paragraph stood in the articles of a host: pairs of a signed 64-bit key and a 32-bit count."""

_PAIR = struct.Struct("<qI")


def _replace_counts(statement: Insert) -> Executable:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["host"], set_={"articles": new.articles, "counts": new.counts}
    )


_SAVE_COUNTS = upsert(HOST_PARAGRAPHS, _replace_counts)


def paragraphs(connection: Connection, host: str) -> tuple[int, Mapping[int, int]]:
    """Return how many articles of the host were counted, and in how many of them each paragraph key stood."""
    wanted = select(HOST_PARAGRAPHS).where(HOST_PARAGRAPHS.c.host == storable(host))
    row = connection.execute(wanted).one_or_none()
    return (0, {}) if row is None else (row.articles, dict(_PAIR.iter_unpack(row.counts)))


def keep_paragraphs(connection: Connection, host: str, articles: int, counts: Mapping[int, int]) -> None:
    """Replace what is remembered of a host."""
    packed = b"".join(_PAIR.pack(key, count) for key, count in sorted(counts.items()))
    connection.execute(_SAVE_COUNTS.on(connection), {"host": storable(host), "articles": articles, "counts": packed})


class ParagraphStore(Repository):
    """How often each paragraph stood in the articles of a host. Blocking: call it through Offload.

    What is counted and what is boilerplate is decided by pure functions of the extractor; the store only remembers.
    """

    paragraphs = reads(paragraphs)
    keep_paragraphs = writes(keep_paragraphs)
