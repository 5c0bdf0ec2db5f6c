"""Finds where in a table a time begins: rows are numbered in the order they come, give or take several clocks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select


def first_since(connection: Connection, rows: Select[Any], since: datetime) -> int:
    """Return the id of the first row of a time or later, given ids and times; one past the last where all are older.

    The interval is halved, so that a few rows are read however many there are.
    """
    key, _ = rows.selected_columns
    last = connection.execute(rows.order_by(key.desc()).limit(1)).first()
    if last is None:
        return 0
    low, high = 0, last[0] + 1
    while low < high:
        middle = (low + high) // 2
        found, at = connection.execute(rows.where(key >= middle).order_by(key).limit(1)).one()
        if at < since:
            low = found + 1
        else:
            high = middle
    return int(low)
