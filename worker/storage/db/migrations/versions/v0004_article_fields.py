"""Version 0004: more fields of an article (lead, section, tags, description, image) and where each came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = ("lead", "section", "tags", "description", "image", "image_caption", "fields_from")


def upgrade() -> None:
    """Add the columns, empty in existing rows; neither database rewrites the table for that."""
    for name in COLUMNS:
        op.add_column("articles", sa.Column(name, sa.Text))
