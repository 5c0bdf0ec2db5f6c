"""The tables of the first schema about sources and sites: polls, statistics, backfills, redirects and robots.txt."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine


def define_sources(tables: sa.MetaData, *, key: TypeEngine[int]) -> None:
    """Add the tables to the metadata of version 0001; `key` is the type of its primary keys."""
    _define_polls(tables)
    _define_backfills(tables, key)
    _define_sites(tables)


def _define_polls(tables: sa.MetaData) -> None:
    sa.Table(
        "sources",
        tables,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("etag", sa.Text),
        sa.Column("last_modified", sa.Text),
        sa.Column("polled_at", sa.BigInteger),
        sa.Column("succeeded_at", sa.BigInteger),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("found", sa.Integer, nullable=False),
        sa.Column("interval", sa.BigInteger),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("worker", sa.Text),
    )
    sa.Table(
        "habits",
        tables,
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("failing_since", sa.BigInteger),
        sa.Column("fault", sa.Text, nullable=False),
        sa.Column("gaps", sa.Integer, nullable=False),
        sa.Column("gap_at", sa.BigInteger),
        sa.Column("habits", sa.Text, nullable=False),
        sa.Column("alarms", sa.Text, nullable=False),
        sa.Column("entries", sa.LargeBinary, nullable=False),
    )
    sa.Table(
        "harvests",
        tables,
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("sums", sa.Text, nullable=False),
    )


def _define_backfills(tables: sa.MetaData, key: TypeEngine[int]) -> None:
    sa.Table(
        "backfills",
        tables,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("worker", sa.Text),
    )
    sa.Table(
        "backfill_places",
        tables,
        sa.Column("id", key, primary_key=True),
        sa.Column("backfill", sa.Text, sa.ForeignKey("backfills.name"), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("looked_at", sa.BigInteger),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("found", sa.Integer, nullable=False),
        sa.Column("new", sa.Integer, nullable=False),
        sa.Column("left_out", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.UniqueConstraint("backfill", "url"),
        sa.Index(
            "ix_backfill_places_waiting",
            "backfill",
            "id",
            postgresql_where=sa.text("looked_at IS NULL"),
            sqlite_where=sa.text("looked_at IS NULL"),
        ),
    )


def _define_sites(tables: sa.MetaData) -> None:
    sa.Table(
        "moves",
        tables,
        sa.Column("url", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, nullable=False),
    )
    sa.Table(
        "robots",
        tables,
        sa.Column("origin", sa.Text, primary_key=True),
        sa.Column("checked_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("good_at", sa.BigInteger),
        sa.Column("error", sa.Text, nullable=False),
    )
