"""Who works on the store at the moment: told from the leases and, on a server, from the names of connections.

A worker on a server gives its connections its name (`application_name`), which every role can read in
`pg_stat_activity`: there is nothing to keep up to date, and who dies vanishes with their connections. Behind a
connection pooler a connection may outlive whom it was named after, so there nobody gives it a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, event, func, select, text

from worker.storage.db.schema import CANDIDATES, SOURCES
from worker.storage.db.sql import is_sqlite

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
