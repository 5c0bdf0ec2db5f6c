"""Version 0007: the index for full-text search, and the articles that are not in it yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the index, empty at first, and put every article into the table of those that it lacks."""
    op.create_table(
        "search_queue",
        sa.Column("article_id", KEY, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("article_id", name="pk_search_queue"),
    )
    if op.get_bind().dialect.name == "sqlite":
        # No text is stored twice (content=''). Words and pairs of words are terms, so that no positions are needed.
        op.execute(
            "CREATE VIRTUAL TABLE search_texts USING fts5"
            "(terms, content='', detail=none, columnsize=0, tokenize=\"ascii tokenchars '_=^'\")"
        )
    else:
        op.execute("CREATE TABLE search_texts (article_id BIGINT PRIMARY KEY, terms TSVECTOR NOT NULL)")
        op.execute("CREATE INDEX ix_search_texts_terms ON search_texts USING gin (terms)")
        # Estimates need the statistics of many words: a common one is looked up in another way than a rare one.
        op.execute("ALTER TABLE search_texts ALTER COLUMN terms SET STATISTICS 1000")
    op.execute("INSERT INTO search_queue (article_id) SELECT id FROM articles")
