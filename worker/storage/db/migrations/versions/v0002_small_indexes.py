"""Version 0002: the origin of an article's modification date, and smaller indexes for frequent queries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, empty in existing rows, and replace the index by state with one by source and state."""
    op.add_column("articles", sa.Column("modified_at_from", sa.Text, nullable=False, server_default=sa.text("''")))
    op.drop_index("ix_candidates_state", "candidates")
    op.create_index("ix_candidates_counts", "candidates", ["source", "state"])
    _index_hosts("ix_hosts_calling", ["due_at", "closed_until", "host"], where="due_at IS NOT NULL")
    _index_hosts("ix_hosts_closed", ["closed_until", "host"], where="closed_until > 0")


def _index_hosts(name: str, columns: list[str], *, where: str) -> None:
    op.create_index(name, "hosts", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
