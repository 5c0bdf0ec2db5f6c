"""Version 0001: the first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from worker.storage.db.migrations.first_sources import define_sources

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
READY_AT = "CASE WHEN (due_at IS NOT NULL) THEN {largest}(due_at, lease_until, closed_until, next_turn - 1000000) END"


def upgrade() -> None:
    """Create every table; the databases differ only in the name of the function for the largest of several values."""
    largest = "max" if op.get_bind().dialect.name == "sqlite" else "greatest"
    ready_at = sa.Computed(READY_AT.format(largest=largest), persisted=True)
    TABLES.tables["hosts"].append_column(sa.Column("ready_at", sa.BigInteger, ready_at))
    sa.Index("ix_hosts_ready", TABLES.tables["hosts"].c.ready_at, TABLES.tables["hosts"].c.host)
    TABLES.create_all(op.get_bind())


define_sources(TABLES, key=KEY)
sa.Table(
    "candidates",
    TABLES,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("canonical_url", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("lane", sa.Text),
    sa.Column("batch", sa.Text, nullable=False),
    sa.Column("precedence", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("discovered_at", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("expiries", sa.Integer, nullable=False),
    sa.Column("lease_token", sa.Text),
    sa.Column("lease_until", sa.BigInteger),
    sa.Column("worker", sa.Text),
    sa.Column("done_token", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("published_at", sa.BigInteger),
    sa.Column("modified_at", sa.BigInteger),
    sa.Column("external_id", sa.Text),
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
    sa.Column("body_sha256", sa.Text),
    sa.Column("payload_sha256", sa.Text),
    sa.Column("article_id", KEY),
    sa.Column("look_at", sa.BigInteger),
    sa.Column("looks", sa.Integer, nullable=False),
    sa.Column("former", sa.Text, nullable=False),
    sa.UniqueConstraint("canonical_url"),
    sa.Index(
        "ix_candidates_batch",
        "batch",
        "lane",
        "due_at",
        postgresql_where=sa.text("state = 'pending' AND batch <> ''"),
        sqlite_where=sa.text("state = 'pending' AND batch <> ''"),
    ),
    sa.Index(
        "ix_candidates_leases",
        "lease_until",
        postgresql_where=sa.text("lease_until IS NOT NULL"),
        sqlite_where=sa.text("lease_until IS NOT NULL"),
    ),
    sa.Index(
        "ix_candidates_look",
        "look_at",
        postgresql_where=sa.text("look_at IS NOT NULL"),
        sqlite_where=sa.text("look_at IS NOT NULL"),
    ),
    sa.Index(
        "ix_candidates_past",
        "lane",
        "due_at",
        "id",
        "lease_until",
        postgresql_where=sa.text("state = 'pending' AND precedence = 1"),
        sqlite_where=sa.text("state = 'pending' AND precedence = 1"),
    ),
    sa.Index(
        "ix_candidates_queue",
        "lane",
        "due_at",
        "id",
        "lease_until",
        postgresql_where=sa.text("state = 'pending' AND precedence = 0"),
        sqlite_where=sa.text("state = 'pending' AND precedence = 0"),
    ),
    sa.Index(
        "ix_candidates_source",
        "source",
        "lane",
        "due_at",
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    ),
    sa.Index("ix_candidates_state", "state", "source"),
    sa.Index("ix_candidates_url", "url"),
)
sa.Table(
    "fallbacks",
    TABLES,
    sa.Column("candidate_id", KEY, sa.ForeignKey("candidates.id"), primary_key=True, autoincrement=False),
    sa.Column("text", sa.LargeBinary, nullable=False),
)
sa.Table(
    "fingerprints",
    TABLES,
    sa.Column("article_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("bands", sa.LargeBinary, nullable=False),
    sa.Column("anchors", sa.LargeBinary, nullable=False),
    sa.Column("shingles", sa.Integer, nullable=False),
)
sa.Table(
    "hosts",
    TABLES,
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("next_turn", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("closed_until", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("due_at", sa.BigInteger),
    sa.Column("lease_token", sa.Text),
    sa.Column("lease_until", sa.BigInteger, nullable=False, server_default="0"),
)
sa.Table(
    "index_keys",
    TABLES,
    sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("article_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
sa.Table(
    "index_parameters",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("parameters", sa.JSON, nullable=False),
)
sa.Table(
    "marks",
    TABLES,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("low", sa.Text, nullable=False),
    sa.Column("high", sa.Text, nullable=False),
    sa.Column("decided", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index("ix_marks_low", "low"),
    sa.Index("ix_marks_high", "high"),
)
sa.Table(
    "meta",
    TABLES,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
sa.Table(
    "host_paragraphs",
    TABLES,
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("articles", sa.Integer, nullable=False),
    sa.Column("counts", sa.LargeBinary, nullable=False),
)
sa.Table(
    "articles",
    TABLES,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("candidate_id", KEY, sa.ForeignKey("candidates.id")),
    sa.Column("page_id", KEY),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("canonical_url", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("fetched_at", sa.BigInteger, nullable=False),
    sa.Column("words", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("authors", sa.Text, nullable=False),
    sa.Column("published_at", sa.BigInteger),
    sa.Column("published_at_from", sa.Text, nullable=False),
    sa.Column("modified_at", sa.BigInteger),
    sa.Column("external_id", sa.Text),
    sa.Column("rights", sa.Text, nullable=False),
    sa.Column("notes", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Index("ix_articles_candidate_id", "candidate_id"),
    sa.Index("ix_articles_canonical_url", "canonical_url"),
    sa.Index("ix_articles_source", "source", "fetched_at"),
    sqlite_autoincrement=True,
)
sa.Table(
    "events",
    TABLES,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("candidate_id", KEY, sa.ForeignKey("candidates.id"), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Index("ix_events_candidate_id", "candidate_id"),
)
sa.Table(
    "pages",
    TABLES,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("candidate_id", KEY, sa.ForeignKey("candidates.id"), nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("form", sa.Text, nullable=False),
    sa.Column("described", sa.Text, nullable=False),
    sa.Column("fetched_at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("candidate_id", "sha256"),
    sa.Index("ix_pages_fetched_at", "fetched_at"),
)
sa.Table(
    "decisions",
    TABLES,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("article_id", KEY, sa.ForeignKey("articles.id"), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Index("ix_decisions_article_id", "article_id"),
)
sa.Table(
    "rethought",
    TABLES,
    sa.Column("article_id", KEY, sa.ForeignKey("articles.id"), primary_key=True, autoincrement=False),
    sa.Column("cluster", KEY, sa.ForeignKey("articles.id"), nullable=False),
    sa.Column("head", sa.Boolean, nullable=False),
    sa.Column("relation", sa.Text, nullable=False),
    sa.Column("judged_against", KEY, sa.ForeignKey("articles.id")),
    sa.Column("jaccard", sa.Float, nullable=False),
    sa.Column("containment", sa.Float, nullable=False),
    sa.Column("shared_words", sa.Integer, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Index("ix_rethought_cluster", "cluster"),
    sa.Index(
        "uq_rethought_head",
        "cluster",
        unique=True,
        postgresql_where=sa.text("head"),
        sqlite_where=sa.text("head = 1"),
    ),
)
sa.Table(
    "seeds",
    TABLES,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("article_id", KEY, sa.ForeignKey("articles.id"), nullable=False),
    sa.Column("imported_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("name", "sha256"),
    sa.Index("ix_seeds_article_id", "article_id"),
)
sa.Table(
    "standings",
    TABLES,
    sa.Column("article_id", KEY, sa.ForeignKey("articles.id"), primary_key=True, autoincrement=False),
    sa.Column("cluster", KEY, sa.ForeignKey("articles.id"), nullable=False),
    sa.Column("head", sa.Boolean, nullable=False),
    sa.Column("relation", sa.Text, nullable=False),
    sa.Column("judged_against", KEY, sa.ForeignKey("articles.id")),
    sa.Column("jaccard", sa.Float, nullable=False),
    sa.Column("containment", sa.Float, nullable=False),
    sa.Column("shared_words", sa.Integer, nullable=False),
    sa.Index("ix_standings_cluster", "cluster"),
    sa.Index("ix_standings_relation", "relation"),
    sa.Index(
        "uq_standings_head",
        "cluster",
        unique=True,
        postgresql_where=sa.text("head"),
        sqlite_where=sa.text("head = 1"),
    ),
)
