"""Polls of sources: one leader for each source at a time, and what each poll leaves behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Executable, Row, bindparam, or_, select, update

from worker.models import Poll, SourceState, Validators
from worker.storage import habits
from worker.storage.codec import clean, clean_or_none
from worker.storage.columns import UtcTime
from worker.storage.dialect import Insert, upsert
from worker.storage.habit_tables import HABITS
from worker.storage.rows import Values
from worker.storage.tables import SOURCES

POLLED = (
    "due_at", "etag", "last_modified", "polled_at", "succeeded_at", "failures", "error", "found", "interval",
    "lease_until", "worker",
)  # fmt: skip
"""What a poll writes of its source."""


def _newest(statement: Insert) -> Executable:
    written = {name: statement.excluded[name] for name in POLLED}
    return statement.on_conflict_do_update(index_elements=["name"], set_=written)


_KEEP_POLL = upsert(SOURCES, _newest)
_MEET = upsert(SOURCES, lambda new: new.on_conflict_do_nothing(index_elements=["name"]))
_NOW = bindparam("now", type_=UtcTime())
_FREE = or_(SOURCES.c.lease_until.is_(None), SOURCES.c.lease_until <= _NOW, SOURCES.c.worker == bindparam("by"))
_LEAD = (
    update(SOURCES)
    .where(SOURCES.c.name == bindparam("source"), _FREE)
    .values(lease_until=bindparam("until"), worker=bindparam("by"))
)
# A poll in the future means that the clock was set back since: the due time says nothing any more.
_LEAD_IF_DUE = _LEAD.where(or_(SOURCES.c.due_at.is_(None), SOURCES.c.due_at <= _NOW, SOURCES.c.polled_at > _NOW))


_BOTH = SOURCES.outerjoin(HABITS, HABITS.c.source == SOURCES.c.name)
STATES = select(SOURCES, *habits.TOLD).select_from(_BOTH).order_by(SOURCES.c.name)
"""What `source_from` takes rows of."""
_STATE = STATES.add_columns(HABITS.c.entries).where(SOURCES.c.name == bindparam("source"))


def lead_poll(
    connection: Connection, source: str, *, now: datetime, lease: timedelta, worker: str, only_if_due: bool = True
) -> bool:
    """Make this worker the one that polls a source until the poll is recorded or the lease ends.

    False where another worker is, or where the source is not due: another has just polled it.
    """
    connection.execute(_MEET.on(connection), {"name": clean(source)})
    wanted = {"source": clean(source), "now": now, "until": now + lease, "by": worker}
    return connection.execute(_LEAD_IF_DUE if only_if_due else _LEAD, wanted).rowcount == 1


def keep(connection: Connection, poll: Poll) -> None:
    """Write the end of a poll; it ends the lead as well."""
    values = _poll_values(poll, source_state(connection, poll.source))
    connection.execute(_KEEP_POLL.on(connection), {"name": clean(poll.source), **values})
    habits.keep(connection, poll.source, poll.learned)


def replan(connection: Connection, source: str, *, plan: str, due_at: datetime) -> None:
    """Give a source another due time, by a rule that was changed since its last poll."""
    connection.execute(update(SOURCES).where(SOURCES.c.name == clean(source)).values(due_at=due_at))
    connection.execute(update(HABITS).where(HABITS.c.source == clean(source)).values(plan=clean(plan)))


def source_state(connection: Connection, name: str) -> SourceState:
    """Return what is remembered of a source; an empty state for one never polled."""
    row = connection.execute(_STATE, {"source": clean(name)}).one_or_none()
    harvest = habits.harvest(connection, name)
    if row is None:
        return SourceState(name=name, harvest=harvest)
    return replace(source_from(row), learned=habits.learned_from(row, entries=row.entries or b""), harvest=harvest)


def source_states(connection: Connection) -> tuple[SourceState, ...]:
    """Return what is remembered of every source, by name, but for what only its next poll needs."""
    return tuple(source_from(row) for row in connection.execute(STATES))


def source_from(row: Row[Any]) -> SourceState:
    """Return the state in one row of `STATES`."""
    return SourceState(
        name=row.name,
        due_at=row.due_at,
        validators=Validators(etag=row.etag, last_modified=row.last_modified),
        polled_at=row.polled_at,
        succeeded_at=row.succeeded_at,
        failures=row.failures,
        error=row.error,
        found=row.found,
        interval=row.interval,
        learned=habits.learned_from(row),
    )


def _poll_values(poll: Poll, before: SourceState) -> Values:
    keeps_validators = bool(poll.error) or (poll.not_modified and poll.validators == Validators())
    validators = before.validators if keeps_validators else poll.validators
    return {
        "due_at": poll.due_at,
        "etag": clean_or_none(validators.etag),
        "last_modified": clean_or_none(validators.last_modified),
        "polled_at": poll.polled_at,
        "succeeded_at": before.succeeded_at if poll.error else poll.polled_at,
        "failures": before.failures + 1 if poll.error else 0,
        "error": clean(poll.error),
        "found": poll.found,
        "interval": poll.interval or before.interval,
        "lease_until": None,
        "worker": None,
    }
