"""The history of each candidate, for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert

from worker.models import Event
from worker.storage.codec import clean
from worker.storage.tables import EVENTS

_ADD_EVENTS = insert(EVENTS)


def add_event(connection: Connection, candidate_id: int, *, at: datetime, what: str, detail: str = "") -> None:
    """Write one line of a candidate's history."""
    add_events(connection, candidate_id, [Event(at=at, what=what, detail=detail)])


def add_events(connection: Connection, candidate_id: int, events: Sequence[Event]) -> None:
    """Write lines of a candidate's history."""
    rows = [
        {"candidate_id": candidate_id, "at": each.at, "what": each.what, "detail": clean(each.detail)}
        for each in events
    ]
    connection.execute(_ADD_EVENTS, rows)
