"""The workers on a store, from their leases and, on PostgreSQL, from the names of their connections.

On PostgreSQL a worker gives its connections its own name (`application_name`), which every role can read in
`pg_stat_activity`. So there is no list to maintain: the entry of a dead process disappears with its connections. Behind
a connection pooler a connection may outlive the worker, so there connections get no name.

This module also prepares the queue for a new worker: it repairs what crashes and wrong clocks leave (leases of dead
workers, times in the future), and makes the candidates of paused sources wait.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, bindparam, event, exists, func, select, text, update

from worker.logs import log
from worker.models.base import counted, dataclass
from worker.storage.db.codec import EPOCH, Duration, UtcTime, to_json
from worker.storage.db.migrate import read_meta, write_meta
from worker.storage.db.schema import CANDIDATES, HOSTS, SOURCES
from worker.storage.db.sql import greatest, is_sqlite
from worker.storage.queue.addresses import ADDRESSES
from worker.storage.queue.backfills import BACKFILLS
from worker.storage.queue.claims import HELD, IS_HELD, IS_PENDING, free_host, set_next_due

DAEMON_COMMAND: Final = "run"
"""The command whose process is the daemon."""
_NAME_PREFIX: Final = "corpus-worker"
_MAX_NAME_BYTES: Final = 63
"""The bytes of an `application_name` that PostgreSQL keeps (NAMEDATALEN - 1)."""
_MAX_COMMAND_BYTES: Final = len("reprocess")
_WORKER_NAMES: Final = text(
    "SELECT DISTINCT application_name FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE :sign ORDER BY application_name"
)
_IS_DIRECT: Final = text("SELECT pg_backend_pid() = :pid")
_SET_NAME: Final = "SELECT set_config('application_name', %s, false) WHERE pg_backend_pid() = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """One worker: how many candidates and sources it has leased, until when at the latest, and its command.

    `command` is empty if only leases of the worker are known; `until` is the time of the call if it has no leases.
    `ended` is true if the process is known to have ended without freeing its leases.
    """

    name: str
    candidates: int
    sources: int
    until: datetime
    command: str = ""
    ended: bool = False

    def __str__(self) -> str:
        """Return the worker and what it holds as one line."""
        held = f"{counted(self.candidates, 'candidate')}, {counted(self.sources, 'source')}"
        held = held if self.candidates or self.sources else "idle"
        if self.ended:
            return f"{self.name} (has ended; it left {held})"
        return f"{self.name} ({self.command}, {held})" if self.command else f"{self.name} ({held})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedWorker:
    """A worker connected to a PostgreSQL store: its command, and its name (shortened if it is long)."""

    command: str
    name: str


def lease_holders(connection: Connection, *, now: datetime) -> tuple[WorkerRecord, ...]:
    """Return every worker with a live lease, by name."""
    candidates, sources = _count_leases(connection, CANDIDATES, now), _count_leases(connection, SOURCES, now)
    return tuple(
        WorkerRecord(
            name=name,
            candidates=candidates[name][0] if name in candidates else 0,
            sources=sources[name][0] if name in sources else 0,
            until=max(leases[name][1] for leases in (candidates, sources) if name in leases),
        )
        for name in sorted({*candidates, *sources})
    )


def _count_leases(connection: Connection, table: Table, now: datetime) -> dict[str, tuple[int, datetime]]:
    """Return the number of live leases of each worker in one table, and the last end of them."""
    live = (
        select(table.c.worker, func.count().label("held"), func.max(table.c.lease_until).label("until"))
        .where(table.c.lease_until.is_not(None), table.c.lease_until > now, table.c.worker.is_not(None))
        .group_by(table.c.worker)
    )
    return {row.worker: (row.held, row.until) for row in connection.execute(live)}


def active_workers(connection: Connection, *, now: datetime) -> tuple[WorkerRecord, ...]:
    """Return every worker that has a live lease or is connected, by name."""
    commands = {each.name: each.command for each in connected_workers(connection)}
    holders = [
        replace(each, command=commands.pop(_shorten(each.name), "")) for each in lease_holders(connection, now=now)
    ]
    idle = [WorkerRecord(name=name, candidates=0, sources=0, until=now, command=commands[name]) for name in commands]
    return tuple(sorted([*holders, *idle], key=lambda each: each.name))


def connected_workers(connection: Connection) -> tuple[ConnectedWorker, ...]:
    """Return the workers that have this store open for work, by command and name; always empty for SQLite."""
    if is_sqlite(connection):
        return ()
    names = connection.execute(_WORKER_NAMES, {"sign": f"{_NAME_PREFIX} % %"}).scalars()
    parts = [name.removeprefix(f"{_NAME_PREFIX} ").partition(" ") for name in names]
    return tuple(ConnectedWorker(command=command, name=name) for command, _, name in parts)


def daemons(connection: Connection) -> str:
    """Return the names of the daemons that are connected, separated by commas."""
    return ", ".join(each.name for each in connected_workers(connection) if each.command == DAEMON_COMMAND)


def is_direct(connection: Connection) -> bool:
    """Return whether the connection goes to the server directly; a pooler would hide who is connected."""
    pid = _server_pid(connection.connection.dbapi_connection)
    return pid is not None and bool(connection.execute(_IS_DIRECT, {"pid": pid}).scalar_one())


def name_connections(engine: Engine, *, command: str, worker: str) -> None:
    """Give every connection of an engine a worker's name, from its next use on."""
    name = f"{_NAME_PREFIX} {command[:_MAX_COMMAND_BYTES]} {_shorten(worker)}"

    def set_name(driver: Any, record: Any, _proxy: object) -> None:
        if record.info.get(_NAME_PREFIX) != name:
            _set_connection_name(driver, name)
            record.info[_NAME_PREFIX] = name

    event.listen(engine, "checkout", set_name)


def _set_connection_name(driver: Any, name: str) -> None:
    """Name one connection, unless a pooler shares it with others."""
    if (pid := _server_pid(driver)) is None:
        return
    with driver.cursor() as cursor:
        cursor.execute(_SET_NAME, (name, pid))
    driver.commit()  # a rollback would undo the name


def _server_pid(driver: Any) -> int | None:
    """Return the server process id that the connection was told at its start; a pooler gives a number of its own."""
    return getattr(getattr(driver, "info", None), "backend_pid", None)


def _shorten(worker: str) -> str:
    """Return a worker's name as its connections carry it: ASCII, a long host name cut so that the numbers remain."""
    name = worker.encode("ascii", "replace").decode("ascii")
    room = _MAX_NAME_BYTES - len(_NAME_PREFIX) - _MAX_COMMAND_BYTES - 2
    if len(name) <= room:
        return name
    host, numbers = re.split(r"(?=[/:])", name, maxsplit=1) if re.search("[/:]", name) else (name, "")
    return f"{host[: max(0, room - len(numbers) - 1)]}~{numbers}"[:room]


# Leases of dead workers.


IS_LEASED = CANDIDATES.c.lease_until.is_not(None)
"""Worded like the partial index, so that only leased candidates are read."""


def lease_owners(connection: Connection) -> frozenset[str]:
    """Return the names of the workers that hold leases, live or expired."""
    processing = select(CANDIDATES.c.worker).where(IS_LEASED, CANDIDATES.c.worker.is_not(None))
    polling = select(SOURCES.c.worker).where(SOURCES.c.worker.is_not(None))
    backfilling = select(BACKFILLS.c.worker).where(BACKFILLS.c.worker.is_not(None))
    return frozenset(connection.execute(processing.union(polling, backfilling)).scalars())


def reclaim(connection: Connection, workers: Iterable[str]) -> int:
    """Free every lease of these workers on candidates, hosts, sources and backfills; return how many candidates.

    The attempt of each candidate stays counted, since its page may have caused the crash.
    """
    dead = sorted(workers)
    # A subquery, because the ORDER BY below would make SQLite read all candidates.
    leased = select(CANDIDATES.c.id).where(IS_LEASED, CANDIDATES.c.worker.in_(dead))
    held = select(CANDIDATES.c.id, CANDIDATES.c.lane, CANDIDATES.c.lease_token).where(
        CANDIDATES.c.id.in_(leased), IS_LEASED, CANDIDATES.c.worker.in_(dead)
    )
    rows = connection.execute(held.order_by(CANDIDATES.c.id).with_for_update()).all()
    free = update(CANDIDATES).where(CANDIDATES.c.id.in_([row.id for row in rows]))
    connection.execute(free.values(lease_token=None, lease_until=None, worker=None))
    for lane, token in sorted((row.lane, row.lease_token) for row in rows if row.lane is not None):
        free_host(connection, lane, token)
    for table in (SOURCES, BACKFILLS):
        connection.execute(update(table).where(table.c.worker.in_(dead)).values(lease_until=None, worker=None))
    return len(rows)


# Repair of times written by a clock that ran ahead and was set back since.

CLOCK_TOLERANCE: Final = timedelta(minutes=1)
"""How far the clocks of several machines on one store may differ; chosen, not measured: NTP keeps to seconds."""
MAX_IDLE_TIME: Final = timedelta(days=1)
"""How long a store is believed to have lain unused. Chosen, not measured: whatever is older when a daemon starts is
deleted (`store.keep_pages`) that much later, until its next start; nothing is lost by that."""

_FUTURE_COLUMNS: Final = (
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
_PAST_COLUMNS: Final = (
    (SOURCES, SOURCES.c.polled_at),
    (SOURCES, SOURCES.c.succeeded_at),
    (CANDIDATES, CANDIDATES.c.discovered_at),
)
_NOW, _BY = bindparam("now", type_=UtcTime()), bindparam("by", type_=Duration())
_CORRECT: Final = (
    *(
        update(table).where(column > _NOW).values({column: greatest(column - _BY, _NOW)})
        for table, column in _FUTURE_COLUMNS
    ),
    *(update(table).where(column > _NOW).values({column: _NOW}) for table, column in _PAST_COLUMNS),
)


def correct_times(connection: Connection, *, now: datetime) -> timedelta:
    """Correct times in the future after a clock that ran ahead; return by how much.

    The shift is how far the newest time of something that has happened (a poll, a discovery) lies ahead of `now`.
    Nothing is changed if that is a minute or less. Due times, leases and closures of hosts move back by the shift;
    polls and discoveries that lie ahead are set to now. The history keeps its times.
    """
    now = _trusted_now(connection, now)
    ahead = _newest_past_time(connection) - now
    if ahead <= CLOCK_TOLERANCE:
        return timedelta(0)
    for statement in _CORRECT:
        connection.execute(statement, {"now": now, "by": ahead})
    log.warning("store.times_mended", ahead_s=round(ahead.total_seconds()))
    return ahead


def believable_time(connection: Connection, *, now: datetime) -> datetime:
    """Return `now`, but at most `MAX_IDLE_TIME` after the newest time of something that has happened in the store.

    A clock may be a year ahead; a store that was not used for a year is taken for one of a wrong clock as well.
    """
    newest = _newest_past_time(connection)
    return now if newest == EPOCH else min(now, newest + MAX_IDLE_TIME)


def _trusted_now(connection: Connection, now: datetime) -> datetime:
    """Return `now`, or the server's time if that is later: then it is this machine's clock that is wrong."""
    if is_sqlite(connection):
        return now
    server_now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return max(now, server_now)


def _newest_past_time(connection: Connection) -> datetime:
    """Return the newest time of something that has happened; the epoch if nothing has."""
    polled = connection.execute(select(func.max(SOURCES.c.polled_at))).scalar()
    discovered = select(CANDIDATES.c.discovered_at).order_by(CANDIDATES.c.id.desc()).limit(1)
    return max(polled or EPOCH, connection.execute(discovered).scalar() or EPOCH)


# Candidates of paused sources: they wait until their source is resumed, or another one names them.


PAUSED_SOURCES: Final = "paused sources"
_WAITING_OF = (
    select(CANDIDATES.c.id, CANDIDATES.c.lane)
    .where(IS_PENDING, CANDIDATES.c.source == bindparam("of"), CANDIDATES.c.lane.is_not(None))
    .where(CANDIDATES.c.lease_token.is_(None))
)
_NAMED_BY_OTHERS = exists().where(
    ADDRESSES.c.candidate_id == CANDIDATES.c.id,
    ADDRESSES.c.source.not_in(bindparam("paused", expanding=True)),
)
# A batch was asked for by a person: a backfill, or targets of `ingest`. What has an outcome from before is a recheck.
_TO_HOLD = _WAITING_OF.where(~IS_HELD, CANDIDATES.c.batch == "", CANDIDATES.c.former == "", ~_NAMED_BY_OTHERS)
_TO_RESUME = _WAITING_OF.where(IS_HELD)
_SET_DUE = update(CANDIDATES).where(CANDIDATES.c.id == bindparam("candidate")).values(due_at=bindparam("at"))


def hold_paused(connection: Connection, paused: Sequence[str], *, now: datetime) -> int:
    """Make the pending candidates of paused sources wait, and those of resumed ones due; return how many changed.

    A candidate that another source has named as well does not wait; nor does one whose content is here.
    """
    before = frozenset(json.loads(read_meta(connection, PAUSED_SOURCES) or "[]"))
    names = {"paused": sorted(paused)}
    held = [row for each in names["paused"] for row in connection.execute(_TO_HOLD, {"of": each, **names})]
    resumed = [
        row for each in sorted(before.difference(paused)) for row in connection.execute(_TO_RESUME, {"of": each})
    ]
    dues = [{"candidate": row.id, "at": at} for rows, at in ((held, HELD), (resumed, now)) for row in rows]
    if dues:
        connection.execute(_SET_DUE, sorted(dues, key=lambda each: each["candidate"]))
        set_next_due(connection, {row.lane for row in (*held, *resumed)})
    if before != frozenset(paused):
        write_meta(connection, PAUSED_SOURCES, to_json(names["paused"]))
    return len(dues)
