"""State per source: its polls, its publishing statistics, and the outcomes of its pages.

`claim_poll` leases a source to one worker, and `save_poll` ends that lease with what the poll has found.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Executable, Integer, Row, Table, Text, bindparam, or_, select, update

from worker.models import (
    FILTERED,
    Alarm,
    Article,
    DecayingSums,
    Outcome,
    OutcomeStats,
    Poll,
    PollHistory,
    PublishingStats,
    SourceState,
    State,
    Validators,
)
from worker.schedule.drift import PageOutcome, add_outcome
from worker.storage.db.codec import EPOCH, MICROSECOND, PackedBytes, UtcTime, storable, storable_or_none, to_json
from worker.storage.db.schema import ARTICLES, METADATA, SOURCES, Values
from worker.storage.db.sql import Insert, upsert

HABITS = Table(
    "habits",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("plan", Text, nullable=False, default=""),
    Column("failing_since", UtcTime),
    Column("fault", Text, nullable=False, default=""),
    Column("gaps", Integer, nullable=False, default=0),
    Column("gap_at", UtcTime),
    Column("habits", Text, nullable=False, default=""),
    Column("alarms", Text, nullable=False, default=""),
    Column("entries", PackedBytes, nullable=False, default=b""),
)
"""Statistics about the polls of each source, written at the end of each poll.

`plan` names the rule that set the next poll, `fault` the class of error since `failing_since`. `gaps` counts the polls
that shared no entry with the one before; the last was at `gap_at`. `habits` and `alarms` are JSON, `entries` the 64-bit
keys of the entries in the last poll.
"""

HARVESTS = Table(
    "harvests",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("sums", Text, nullable=False),
)
"""The outcomes of each source's pages: decaying sums as JSON, written with each outcome."""


# Publishing statistics and outcome statistics, to rows and JSON and back.


_KEY = struct.Struct("<q")
_SUM_NAMES = tuple(each.name for each in fields(DecayingSums))


def _replacing(key: str) -> Any:
    """Return the rest of an upsert statement that replaces every other column of the row with the same key."""

    def finish(statement: Insert) -> Executable:
        written = {column.name: column for column in statement.excluded if column.name != key}
        return statement.on_conflict_do_update(index_elements=[key], set_=written)

    return finish


_SAVE_LEARNED = upsert(HABITS, _replacing("source"))
_SAVE_OUTCOMES = upsert(HARVESTS, _replacing("source"))
_OUTCOMES = select(HARVESTS.c.sums).where(HARVESTS.c.source == bindparam("source"))
STATS_COLUMNS = tuple(column for column in HABITS.c if column.name not in {"source", "entries"})
"""The columns that `status` shows: all but the entries of the last poll."""


def save_learned(connection: Connection, source: str, learned: PollHistory) -> None:
    """Save what polls have shown about a source."""
    connection.execute(_SAVE_LEARNED.on(connection), {"source": storable(source), **_learned_values(learned)})


def learned_from(row: Row[Any], *, entries: bytes = b"") -> PollHistory:
    """Return what polls have shown about a source; the row's columns are null if nothing was saved yet."""
    if row.plan is None:
        return PollHistory()
    return PollHistory(
        plan=row.plan,
        failing_since=row.failing_since,
        fault=row.fault,
        gaps=row.gaps,
        gap_at=row.gap_at,
        publishing_stats=publishing_from_json(row.habits),
        alarms=_alarms(row.alarms),
        entries=tuple(key for (key,) in _KEY.iter_unpack(entries)),
    )


def outcome_stats(connection: Connection, source: str) -> OutcomeStats:
    """Return the outcome statistics of a source's pages."""
    kept = connection.execute(_OUTCOMES, {"source": storable(source)}).scalar()
    return outcomes_from_json(kept) if kept else OutcomeStats()


def save_outcome_stats(connection: Connection, source: str, stats: OutcomeStats) -> None:
    """Save the outcome statistics of a source's pages."""
    connection.execute(_SAVE_OUTCOMES.on(connection), {"source": storable(source), "sums": outcomes_to_json(stats)})


def publishing_to_json(stats: PublishingStats) -> str:
    """Return publishing statistics as JSON; sums are rounded, and values that are empty or zero left out."""
    facts = {each.name: _to_json_value(getattr(stats, each.name)) for each in fields(stats)}
    return to_json({name: value for name, value in facts.items() if value})


def publishing_from_json(text: str) -> PublishingStats:
    """Return what `publishing_to_json` was given; keys of other versions are ignored."""
    facts = json.loads(text) if text else {}
    return PublishingStats(
        looked_at=_time(facts.get("looked_at")),
        items=tuple(map(float, facts.get("items", ()))),
        hours=tuple(map(float, facts.get("hours", ()))),
        recent=float(facts.get("recent", 0)),
        expected=float(facts.get("expected", 0)),
        window=facts.get("window", 0),
        half_window=_span(facts.get("half_window")),
        new_at=_time(facts.get("new_at")),
        silence=_span(facts.get("silence")) or timedelta(0),
        arrivals=facts.get("arrivals", 0),
        empty=facts.get("empty", 0),
        read_at=_time(facts.get("read_at")),
        stopped_at=facts.get("stopped_at", ""),
        round_began=_time(facts.get("round_began")),
        fruitful=tuple(facts.get("fruitful", ())),
        idle=facts.get("idle", 0),
    )


def outcomes_to_json(stats: OutcomeStats) -> str:
    """Return outcome statistics as JSON."""
    return to_json(
        {
            "usual": [round(getattr(stats.usual, name), 4) for name in _SUM_NAMES],
            "recent": [round(getattr(stats.recent, name), 4) for name in _SUM_NAMES],
            "language": storable(stats.language),
            "votes": stats.votes,
        }
    )


def outcomes_from_json(text: str) -> OutcomeStats:
    """Return what `outcomes_to_json` was given."""
    facts = json.loads(text)
    return OutcomeStats(
        usual=_sums(facts["usual"]), recent=_sums(facts["recent"]), language=facts["language"], votes=facts["votes"]
    )


def _learned_values(learned: PollHistory) -> Values:
    return {
        "plan": storable(learned.plan),
        "failing_since": learned.failing_since,
        "fault": storable(learned.fault),
        "gaps": learned.gaps,
        "gap_at": learned.gap_at,
        "habits": publishing_to_json(learned.publishing_stats),
        "alarms": to_json([[each.what, _to_json_value(each.since), storable(each.detail)] for each in learned.alarms]),
        "entries": b"".join(map(_KEY.pack, learned.entries)),
    }


def _alarms(text: str) -> tuple[Alarm, ...]:
    alarms = json.loads(text) if text else []
    return tuple(Alarm(what=what, since=_at(since), detail=detail) for what, since, detail in alarms)


def _sums(values: list[float]) -> DecayingSums:
    # Not strict: a store of another version may have fewer or more sums.
    known: Mapping[str, float] = dict(zip(_SUM_NAMES, map(float, values), strict=False))
    return DecayingSums(**known)


def _to_json_value(value: object) -> object:
    """Return a value for JSON: times and durations in microseconds, numbers with six significant digits."""
    if isinstance(value, datetime):
        return (value - EPOCH) // MICROSECOND
    if isinstance(value, timedelta):
        return value // MICROSECOND
    if isinstance(value, tuple):
        return [_to_json_value(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _at(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _at(microseconds)


def _span(microseconds: int | None) -> timedelta | None:
    return None if microseconds is None else timedelta(microseconds=microseconds)


POLL_COLUMNS = (
    "due_at", "etag", "last_modified", "polled_at", "succeeded_at", "failures", "error", "found", "interval",
    "lease_until", "worker",
)  # fmt: skip
"""The columns of a source's row that a poll writes."""


def _replace_poll(statement: Insert) -> Executable:
    written = {name: statement.excluded[name] for name in POLL_COLUMNS}
    return statement.on_conflict_do_update(index_elements=["name"], set_=written)


_SAVE_POLL = upsert(SOURCES, _replace_poll)
_ADD_SOURCE = upsert(SOURCES, lambda new: new.on_conflict_do_nothing(index_elements=["name"]))
_NOW = bindparam("now", type_=UtcTime())
_FREE = or_(SOURCES.c.lease_until.is_(None), SOURCES.c.lease_until <= _NOW, SOURCES.c.worker == bindparam("by"))
_CLAIM = (
    update(SOURCES)
    .where(SOURCES.c.name == bindparam("source"), _FREE)
    .values(lease_until=bindparam("until"), worker=bindparam("by"))
)
# A last poll in the future means that the clock was set back since, so the due time is not reliable.
_CLAIM_IF_DUE = _CLAIM.where(or_(SOURCES.c.due_at.is_(None), SOURCES.c.due_at <= _NOW, SOURCES.c.polled_at > _NOW))


_BOTH = SOURCES.outerjoin(HABITS, HABITS.c.source == SOURCES.c.name)
STATES_QUERY = select(SOURCES, *STATS_COLUMNS).select_from(_BOTH).order_by(SOURCES.c.name)
"""The query whose rows `source_from` reads."""
_STATE = STATES_QUERY.add_columns(HABITS.c.entries).where(SOURCES.c.name == bindparam("source"))


def claim_poll(
    connection: Connection, source: str, *, now: datetime, lease: timedelta, worker: str, only_if_due: bool = True
) -> bool:
    """Lease a source to this worker until its poll is recorded or the lease ends.

    Return False if another worker holds the lease, or if the source is not due (another worker has just polled it).
    """
    connection.execute(_ADD_SOURCE.on(connection), {"name": storable(source)})
    wanted = {"source": storable(source), "now": now, "until": now + lease, "by": worker}
    return connection.execute(_CLAIM_IF_DUE if only_if_due else _CLAIM, wanted).rowcount == 1


def save_poll(connection: Connection, poll: Poll) -> None:
    """Save the result of a poll, and end its lease."""
    values = _poll_values(poll, source_state(connection, poll.source))
    connection.execute(_SAVE_POLL.on(connection), {"name": storable(poll.source), **values})
    save_learned(connection, poll.source, poll.learned)


def replan(connection: Connection, source: str, *, plan: str, due_at: datetime) -> None:
    """Give a source a new due time; `plan` identifies the schedule (changed in the settings) that it comes from."""
    connection.execute(update(SOURCES).where(SOURCES.c.name == storable(source)).values(due_at=due_at))
    connection.execute(update(HABITS).where(HABITS.c.source == storable(source)).values(plan=storable(plan)))


def make_due(connection: Connection, source: str, *, now: datetime) -> None:
    """Make a source due at once, whether it was ever polled or not."""
    connection.execute(_ADD_SOURCE.on(connection), {"name": storable(source)})
    connection.execute(update(SOURCES).where(SOURCES.c.name == storable(source)).values(due_at=now))


def source_state(connection: Connection, name: str) -> SourceState:
    """Return the state of a source; an empty one if it was never polled."""
    row = connection.execute(_STATE, {"source": storable(name)}).one_or_none()
    harvest = outcome_stats(connection, name)
    if row is None:
        return SourceState(name=name, outcome_stats=harvest)
    return replace(source_from(row), learned=learned_from(row, entries=row.entries or b""), outcome_stats=harvest)


def source_states(connection: Connection) -> tuple[SourceState, ...]:
    """Return the state of every source, by name, without what only the next poll needs."""
    return tuple(source_from(row) for row in connection.execute(STATES_QUERY))


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
        learned=learned_from(row),
    )


def _poll_values(poll: Poll, before: SourceState) -> Values:
    """Return the new values of a source's row after a poll; `before` is its state until then.

    A failed poll, and a 304 without validators, keep the validators there are.
    """
    keeps_validators = bool(poll.error) or (poll.not_modified and poll.validators == Validators())
    validators = before.validators if keeps_validators else poll.validators
    return {
        "due_at": poll.due_at,
        "etag": storable_or_none(validators.etag),
        "last_modified": storable_or_none(validators.last_modified),
        "polled_at": poll.polled_at,
        "succeeded_at": before.succeeded_at if poll.error else poll.polled_at,
        "failures": before.failures + 1 if poll.error else 0,
        "error": storable(poll.error),
        "found": poll.found,
        "interval": poll.interval or before.interval,
        "lease_until": None,
        "worker": None,
    }


# Outcome statistics, updated in the transaction that saves the outcome of a page.


_COUNTED = frozenset({State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED, State.REJECTED, State.BLOCKED})
_HOST_OF_ARTICLE = select(ARTICLES.c.host).where(ARTICLES.c.id == bindparam("article"))


def count_outcome(connection: Connection, row: Row[Any], outcome: Outcome, article: Article | None) -> None:
    """Count the outcome of a page that was fetched for the first time.

    Failures are not counted, nor what a filter keeps out: they say nothing about what the source offers.
    """
    if outcome.state not in _COUNTED or outcome.reason == FILTERED or row.article_id is not None:
        return
    page = PageOutcome(state=outcome.state, useful=_is_useful(connection, outcome, article), article=article)
    before = outcome_stats(connection, row.source)
    save_outcome_stats(connection, row.source, add_outcome(before, page))


def _is_useful(connection: Connection, outcome: Outcome, article: Article | None) -> bool:
    """Return whether a page gave a text that its site had not given before."""
    if outcome.state in {State.STORED, State.REVISED}:
        return True
    best = outcome.verdict.best if outcome.verdict else None
    if outcome.state is not State.DUPLICATE or best is None or article is None:
        return False
    return bool(connection.execute(_HOST_OF_ARTICLE, {"article": best.article}).scalar() != article.host)
