"""Version 0004: more fields of an article (lead, section, tags, description, image)."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns, empty in existing rows."""
