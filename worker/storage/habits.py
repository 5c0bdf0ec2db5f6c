"""What is remembered of the habits of sources, and what became of their pages: rows and JSON, both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, Executable, Row, bindparam, select

from worker.models import Alarm, Habits, Harvest, Learned, Sums
from worker.storage.codec import clean, to_json
from worker.storage.columns import EPOCH, MICROSECOND
from worker.storage.dialect import Insert, upsert
from worker.storage.habit_tables import HABITS, HARVESTS
from worker.storage.rows import Values

_KEYS = np.dtype("<i8")
_SUMS = tuple(each.name for each in fields(Sums))


def _replacing(key: str) -> Any:
    def finish(statement: Insert) -> Executable:
        written = {column.name: column for column in statement.excluded if column.name != key}
        return statement.on_conflict_do_update(index_elements=[key], set_=written)

    return finish


_KEEP = upsert(HABITS, _replacing("source"))
_KEEP_HARVEST = upsert(HARVESTS, _replacing("source"))
_HARVEST = select(HARVESTS.c.sums).where(HARVESTS.c.source == bindparam("source"))
TOLD = tuple(column for column in HABITS.c if column.name not in {"source", "entries"})
"""Every column of use to people."""


def keep(connection: Connection, source: str, learned: Learned) -> None:
    """Write what polls have taught about a source."""
    connection.execute(_KEEP.on(connection), {"source": clean(source), **_values(learned)})


def learned_from(row: Row[Any], *, entries: bytes = b"") -> Learned:
    """Return what polls have taught about a source, from a row that may have found nothing to join."""
    if row.plan is None:
        return Learned()
    return Learned(
        plan=row.plan,
        failing_since=row.failing_since,
        fault=row.fault,
        gaps=row.gaps,
        gap_at=row.gap_at,
        habits=habits_from_json(row.habits),
        alarms=_alarms(row.alarms),
        entries=tuple(np.frombuffer(entries, _KEYS).tolist()),
    )


def harvest(connection: Connection, source: str) -> Harvest:
    """Return what became of a source's pages."""
    kept = connection.execute(_HARVEST, {"source": clean(source)}).scalar()
    return harvest_from_json(kept) if kept else Harvest()


def keep_harvest(connection: Connection, source: str, gathered: Harvest) -> None:
    """Write what became of a source's pages."""
    connection.execute(_KEEP_HARVEST.on(connection), {"source": clean(source), "sums": harvest_to_json(gathered)})


def habits_to_json(habits: Habits) -> str:
    """Return the habits as JSON, with four significant digits of each sum."""
    facts = {each.name: _plain(getattr(habits, each.name)) for each in fields(habits)}
    return to_json({name: value for name, value in facts.items() if value})


def habits_from_json(text: str) -> Habits:
    """Return what `habits_to_json` was given; what it does not know any more is left out."""
    facts = json.loads(text) if text else {}
    return Habits(
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
    )


def harvest_to_json(gathered: Harvest) -> str:
    """Return a harvest as JSON."""
    return to_json(
        {
            "usual": [round(getattr(gathered.usual, name), 4) for name in _SUMS],
            "recent": [round(getattr(gathered.recent, name), 4) for name in _SUMS],
            "language": clean(gathered.language),
            "votes": gathered.votes,
        }
    )


def harvest_from_json(text: str) -> Harvest:
    """Return what `harvest_to_json` was given."""
    facts = json.loads(text)
    return Harvest(
        usual=_sums(facts["usual"]), recent=_sums(facts["recent"]), language=facts["language"], votes=facts["votes"]
    )


def _values(learned: Learned) -> Values:
    return {
        "plan": clean(learned.plan),
        "failing_since": learned.failing_since,
        "fault": clean(learned.fault),
        "gaps": learned.gaps,
        "gap_at": learned.gap_at,
        "habits": habits_to_json(learned.habits),
        "alarms": to_json([[each.what, _plain(each.since), clean(each.detail)] for each in learned.alarms]),
        "entries": np.array(learned.entries, dtype=_KEYS).tobytes(),
    }


def _alarms(text: str) -> tuple[Alarm, ...]:
    told = json.loads(text) if text else []
    return tuple(Alarm(what=what, since=_at(since), detail=detail) for what, since, detail in told)


def _sums(values: list[float]) -> Sums:
    known: Mapping[str, float] = dict(zip(_SUMS, map(float, values), strict=False))
    return Sums(**known)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return (value - EPOCH) // MICROSECOND
    if isinstance(value, timedelta):
        return value // MICROSECOND
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _at(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _at(microseconds)


def _span(microseconds: int | None) -> timedelta | None:
    return None if microseconds is None else timedelta(microseconds=microseconds)
