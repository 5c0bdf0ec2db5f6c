"""The tables about the habits of sources, beside the one about their polls."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table, Text

from worker.storage.columns import PackedBytes, UtcTime
from worker.storage.metadata import METADATA

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
"""What polls have taught about each source, written at the end of each poll.

`plan` says by what rule its next poll was set, `fault` in one word why it fails since `failing_since`; `gaps` counts
the polls that shared no entry with the one before, `gap_at` was the last. `habits` and `alarms` are JSON, `entries`
the 64-bit keys of what the last poll showed.
"""

HARVESTS = Table(
    "harvests",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("sums", Text, nullable=False),
)
"""What became of each source's pages: decaying sums as JSON, written with each outcome."""
