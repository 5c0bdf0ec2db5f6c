"""The book of hosts: whose turn is when, who is left alone, and every robots.txt."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, literal, select

from worker.ports import HostStanding, RobotsRecord
from worker.storage.codec import clean
from worker.storage.columns import EPOCH, Span, UtcTime
from worker.storage.database import Database
from worker.storage.dialect import greatest, insert_into
from worker.storage.tables import HOSTS, ROBOTS


class StoredHostBook:
    """`HostBook` on the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, host: str, *, now: datetime, delay: timedelta) -> datetime:
        """Take the host's next turn and return when it starts, now or later; the turn after it is `delay` later."""
        return self._database.write(_reserve, host, now=now, delay=delay)

    def standing(self, host: str) -> HostStanding:
        """Return how the host has been answering."""
        return self._database.read(_standing, host)

    def note(self, standing: HostStanding) -> None:
        """Remember how the host has been answering; candidates of a closed host are not claimed until it opens."""
        self._database.write(_note, standing)

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return what is known of the robots.txt of an origin."""
        return self._database.read(_robots, origin)

    def keep_robots(self, record: RobotsRecord) -> None:
        """Remember a robots.txt."""
        self._database.write(_keep_robots, record)


def _reserve(connection: Connection, host: str, *, now: datetime, delay: timedelta) -> datetime:
    insert = insert_into(connection, HOSTS).values(host=clean(host), next_turn=now + delay)
    # One statement: two workers that ask together get two turns, because the second waits for the row.
    after = greatest(HOSTS.c.next_turn, literal(now, UtcTime())) + literal(delay, Span())
    taken = insert.on_conflict_do_update(index_elements=["host"], set_={"next_turn": after})
    following: datetime = connection.execute(taken.returning(HOSTS.c.next_turn)).scalar_one()
    return following - delay


def _standing(connection: Connection, host: str) -> HostStanding:
    row = connection.execute(select(HOSTS).where(HOSTS.c.host == clean(host))).one_or_none()
    if row is None:
        return HostStanding(host=host)
    closed_until = None if row.closed_until == EPOCH else row.closed_until
    return HostStanding(host=host, failures=row.failures, closed_until=closed_until)


def _note(connection: Connection, standing: HostStanding) -> None:
    values = {"failures": standing.failures, "closed_until": standing.closed_until or EPOCH}
    insert = insert_into(connection, HOSTS).values(host=clean(standing.host), **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["host"], set_=values))


def _robots(connection: Connection, origin: str) -> RobotsRecord | None:
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


def _keep_robots(connection: Connection, record: RobotsRecord) -> None:
    values = {
        "checked_at": record.checked_at,
        "status": record.status,
        "body": record.body,
        "good_at": record.good_at,
        "error": clean(record.error),
    }
    insert = insert_into(connection, ROBOTS).values(origin=clean(record.origin), **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["origin"], set_=values))
