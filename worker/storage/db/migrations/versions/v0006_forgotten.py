"""Version 0006: tombstones of what was forgotten, and an index by which articles can be removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AGAINST = "judged_against IS NOT NULL"


def upgrade() -> None:
    """Add the table, and an index of the articles that others were judged against."""
    op.create_table(
        "forgotten",
        sa.Column("id", KEY, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("candidate_id", KEY),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forgotten"),
        sa.UniqueConstraint("key", name="uq_forgotten_key"),
    )
    op.create_index("ix_forgotten_request", "forgotten", ["request"])
    op.create_index("ix_forgotten_candidate_id", "forgotten", ["candidate_id"])
    where = sa.text(AGAINST)
    op.create_index("ix_standings_against", "standings", ["judged_against"], sqlite_where=where, postgresql_where=where)
