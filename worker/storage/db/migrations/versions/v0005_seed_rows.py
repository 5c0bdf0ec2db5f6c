"""Version 0005: seeds that are rows of a file."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add what a seed corpus of many rows needs."""
