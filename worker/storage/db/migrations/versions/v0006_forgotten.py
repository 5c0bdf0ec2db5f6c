"""Version 0006: what was forgotten and must not come back."""

from __future__ import annotations

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table of tombstones."""
