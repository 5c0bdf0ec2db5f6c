"""Version 0003: all URLs seen for a candidate, who named the first one, and several contents of a candidate."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column, empty in existing rows, and the tables; a candidate with one URL has no row in them."""
    op.add_column("candidates", sa.Column("authority", sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_table(
        "addresses",
        sa.Column("id", KEY, nullable=False),
        sa.Column("candidate_id", KEY, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("authority", sa.Text, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("tried_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_addresses"),
        sa.UniqueConstraint("candidate_id", "url", name="uq_addresses_candidate_id_url"),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_addresses_candidate_id_candidates"),
    )
    op.create_index("ix_addresses_url", "addresses", ["url"])
    op.create_table(
        "contents",
        sa.Column("id", KEY, nullable=False),
        sa.Column("candidate_id", KEY, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("published_at", sa.BigInteger),
        sa.Column("modified_at", sa.BigInteger),
        sa.Column("external_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_contents"),
        sa.UniqueConstraint("candidate_id", "reference", name="uq_contents_candidate_id_reference"),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_contents_candidate_id_candidates"),
    )
