"""Who works on the store at the moment: told from the leases and, on a server, from the names of connections.

A worker on a server gives its connections its name (`application_name`), which every role can read in
`pg_stat_activity`: there is nothing to keep up to date, and who dies vanishes with their connections. Behind a
connection pooler a connection may outlive whom it was named after, so there nobody gives it a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine, Table, bindparam, event, func, select, text, update

from worker.storage.db.codec import EPOCH, Duration, UtcTime
from worker.storage.db.schema import CANDIDATES, HOSTS, SOURCES
from worker.storage.db.sql import greatest, is_sqlite
from worker.storage.queue.backfills import BACKFILLS
from worker.storage.queue.claims import free_host

DAEMON: Final = "run"
_SIGN: Final = "corpus-worker"
_LONGEST: Final = 63
"""Bytes of an `application_name` that a server keeps (NAMEDATALEN - 1)."""
_LONGEST_COMMAND: Final = len("reprocess")
_SIGNED: Final = text(
    "SELECT DISTINCT application_name FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE :sign ORDER BY application_name"
)
_IS_DIRECT: Final = text("SELECT pg_backend_pid() = :pid")
_SIGN_HERE: Final = "SELECT set_config('application_name', %s, false) WHERE pg_backend_pid() = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """One worker: how many candidates and sources it holds, until when at the latest, and as what it is connected.

    `command` is empty where only its leases are known, `until` the moment of the question where it holds nothing.
    """

    name: str
    candidates: int
    sources: int
    until: datetime
    command: str = ""

    def __str__(self) -> str:
        """Tell who it is and what it holds, in one line."""
        held = f"{self.candidates} candidates, {self.sources} sources" if self.candidates or self.sources else "idle"
        return f"{self.name} ({self.command}, {held})" if self.command else f"{self.name} ({held})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedWorker:
    """One worker that has the store on a server open for work: the command it is, and its name, cut where too long."""

    command: str
    name: str


def lease_holders(connection: Connection, *, now: datetime) -> tuple[WorkerRecord, ...]:
    """Return every worker with a live lease, by name."""
    candidates, sources = _leases(connection, CANDIDATES, now), _leases(connection, SOURCES, now)
    return tuple(
        WorkerRecord(
            name=name,
            candidates=candidates[name][0] if name in candidates else 0,
            sources=sources[name][0] if name in sources else 0,
            until=max(leases[name][1] for leases in (candidates, sources) if name in leases),
        )
        for name in sorted({*candidates, *sources})
    )


def _leases(connection: Connection, table: Table, now: datetime) -> dict[str, tuple[int, datetime]]:
    live = (
        select(table.c.worker, func.count().label("held"), func.max(table.c.lease_until).label("until"))
        .where(table.c.lease_until.is_not(None), table.c.lease_until > now, table.c.worker.is_not(None))
        .group_by(table.c.worker)
    )
    return {row.worker: (row.held, row.until) for row in connection.execute(live)}


def working(connection: Connection, *, now: datetime) -> tuple[WorkerRecord, ...]:
    """Return every worker with a live lease and every one that is connected for work, by name."""
    commands = {caller.name: caller.command for caller in connected(connection)}
    holders = [replace(each, command=commands.pop(_cut(each.name), "")) for each in lease_holders(connection, now=now)]
    idle = [WorkerRecord(name=name, candidates=0, sources=0, until=now, command=commands[name]) for name in commands]
    return tuple(sorted([*holders, *idle], key=lambda each: each.name))


def connected(connection: Connection) -> tuple[ConnectedWorker, ...]:
    """Return the workers that have this store open for work, by command and name; none are told of a file."""
    if is_sqlite(connection):
        return ()
    names = connection.execute(_SIGNED, {"sign": f"{_SIGN} % %"}).scalars()
    signatures = [name.removeprefix(f"{_SIGN} ").partition(" ") for name in names]
    return tuple(ConnectedWorker(command=command, name=name) for command, _, name in signatures)


def daemons(connection: Connection) -> str:
    """Return the names of the daemons that are connected, separated by commas."""
    return ", ".join(caller.name for caller in connected(connection) if caller.command == DAEMON)


def is_direct(connection: Connection) -> bool:
    """Whether no connection pooler stands between, which would hide who is connected."""
    pid = _pid(connection.connection.dbapi_connection)
    return pid is not None and bool(connection.execute(_IS_DIRECT, {"pid": pid}).scalar_one())


def name_connections(engine: Engine, *, command: str, worker: str) -> None:
    """Give every connection to a server a worker's name, from its next use on."""
    signature = f"{_SIGN} {command[:_LONGEST_COMMAND]} {_cut(worker)}"

    def sign(driver: Any, record: Any, _proxy: object) -> None:
        if record.info.get(_SIGN) != signature:
            _signed(driver, signature)
            record.info[_SIGN] = signature

    event.listen(engine, "checkout", sign)


def _signed(driver: Any, signature: str) -> None:
    """Name one connection of the driver's, unless a pooler passes it on to others."""
    if (pid := _pid(driver)) is None:
        return
    with driver.cursor() as cursor:
        cursor.execute(_SIGN_HERE, (signature, pid))
    driver.commit()  # a name is taken back with the transaction that gave it


def _pid(driver: Any) -> int | None:
    """Return the server process a connection was promised: a pooler tells a number of its own."""
    return getattr(getattr(driver, "info", None), "backend_pid", None)


def _cut(worker: str) -> str:
    """Return a worker's name as connections carry it: in ASCII, a long host name cut so that the numbers remain."""
    name = worker.encode("ascii", "replace").decode("ascii")
    room = _LONGEST - len(_SIGN) - _LONGEST_COMMAND - 2
    if len(name) <= room:
        return name
    host, numbers = re.split(r"(?=[/:])", name, maxsplit=1) if re.search("[/:]", name) else (name, "")
    return f"{host[: max(0, room - len(numbers) - 1)]}~{numbers}"[:room]


# What a crash or a wrong clock left behind: leases of dead workers, and times that lie in the future.


IS_LEASED = CANDIDATES.c.lease_until.is_not(None)
"""In the words of the partial index: nothing but leased candidates is read."""


def lease_owners(connection: Connection) -> frozenset[str]:
    """Return the names of the workers that hold leases, live or run out."""
    named = select(CANDIDATES.c.worker).where(IS_LEASED, CANDIDATES.c.worker.is_not(None))
    leading = select(SOURCES.c.worker).where(SOURCES.c.worker.is_not(None))
    going_back = select(BACKFILLS.c.worker).where(BACKFILLS.c.worker.is_not(None))
    return frozenset(connection.execute(named.union(leading, going_back)).scalars())


def reclaim(connection: Connection, workers: Iterable[str]) -> int:
    """Free every lease of these workers; the attempt stays counted, as the page may be what killed them.

    Returns how many candidates are free again; sources that were being polled, and backfills, are free as well.
    """
    dead = sorted(workers)
    # The order alone would make SQLite read all candidates.
    leased = select(CANDIDATES.c.id).where(IS_LEASED, CANDIDATES.c.worker.in_(dead))
    theirs = select(CANDIDATES.c.id, CANDIDATES.c.lane, CANDIDATES.c.lease_token).where(
        CANDIDATES.c.id.in_(leased), IS_LEASED, CANDIDATES.c.worker.in_(dead)
    )
    rows = connection.execute(theirs.order_by(CANDIDATES.c.id).with_for_update()).all()
    free = update(CANDIDATES).where(CANDIDATES.c.id.in_([row.id for row in rows]))
    connection.execute(free.values(lease_token=None, lease_until=None, worker=None))
    for lane, token in sorted((row.lane, row.lease_token) for row in rows if row.lane is not None):
        free_host(connection, lane, token)
    for leading in (SOURCES, BACKFILLS):
        connection.execute(update(leading).where(leading.c.worker.in_(dead)).values(lease_until=None, worker=None))
    return len(rows)


# Mends a store whose times were written by a clock that ran ahead and was set back since.


log = structlog.get_logger()

TOLERANCE: Final = timedelta(minutes=1)
"""How far the clocks of several machines on one store may differ."""

_AHEAD: Final = (
    (HOSTS, HOSTS.c.next_turn),
    (HOSTS, HOSTS.c.closed_until),
    (HOSTS, HOSTS.c.lease_until),
    (HOSTS, HOSTS.c.due_at),
    (SOURCES, SOURCES.c.due_at),
    (SOURCES, SOURCES.c.lease_until),
    (BACKFILLS, BACKFILLS.c.lease_until),
    (CANDIDATES, CANDIDATES.c.due_at),
    (CANDIDATES, CANDIDATES.c.lease_until),
    (CANDIDATES, CANDIDATES.c.look_at),
)
_PAST: Final = (
    (SOURCES, SOURCES.c.polled_at),
    (SOURCES, SOURCES.c.succeeded_at),
    (CANDIDATES, CANDIDATES.c.discovered_at),
)
_NOW, _BY = bindparam("now", type_=UtcTime()), bindparam("by", type_=Duration())
_CORRECT: Final = (
    *(update(table).where(column > _NOW).values({column: greatest(column - _BY, _NOW)}) for table, column in _AHEAD),
    *(update(table).where(column > _NOW).values({column: _NOW}) for table, column in _PAST),
)


def correct_times(connection: Connection, *, now: datetime) -> timedelta:
    """Move what lies ahead back by as far as the newest time that must be past lies ahead; return that.

    What was written last tells how far the clock was ahead. Nothing is changed where that is a minute or less. History
    keeps its times, but for the discovery of candidates and the polls of sources: those told of the clock.
    """
    now = _latest(connection, now)
    ahead = _newest(connection) - now
    if ahead <= TOLERANCE:
        return timedelta(0)
    for statement in _CORRECT:
        connection.execute(statement, {"now": now, "by": ahead})
    log.warning("store.times_mended", ahead_s=round(ahead.total_seconds()))
    return ahead


def _latest(connection: Connection, now: datetime) -> datetime:
    """Return what the server says where this machine's clock is behind: then it is this one that is wrong."""
    if is_sqlite(connection):
        return now
    told: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return max(now, told)


def _newest(connection: Connection) -> datetime:
    """Return the newest time of something that has happened."""
    polled = connection.execute(select(func.max(SOURCES.c.polled_at))).scalar()
    last = select(CANDIDATES.c.discovered_at).order_by(CANDIDATES.c.id.desc()).limit(1)
    return max(polled or EPOCH, connection.execute(last).scalar() or EPOCH)
