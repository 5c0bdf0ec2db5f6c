"""The tables of the store, but for those that a module of `queue` or `corpus` defines beside its own statements.

A change here needs a script in `migrations/versions`; `docs/store.md` describes each table for operators.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    case,
    column,
    text,
)

from worker.models import State
from worker.storage.db.codec import ID_TYPE, Duration, PackedBytes, PackedText, UtcTime
from worker.storage.db.sql import greatest

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables of the store. The rule for names lets a migration name a constraint alike on SQLite and PostgreSQL."""

Values = dict[str, Any]
"""One row to be written: values by column name."""


def partial_index(name: str, *columns: str, where: str, sqlite_where: str = "", unique: bool = False) -> Index:
    """Return an index of the rows that meet a condition."""
    # SQLite uses a partial index only for a query that contains the condition literally.
    return Index(name, *columns, unique=unique, info={"sqlite": sqlite_where or where, "postgresql": where})


def _standing_columns() -> tuple[Column[Any], ...]:
    """Return the columns that `standings` and its draft `rethought` share."""
    return (
        Column("cluster", ID_TYPE, ForeignKey("articles.id"), nullable=False, index=True),
        Column("head", Boolean, nullable=False),
        Column("relation", Text, nullable=False),
        Column("judged_against", ID_TYPE, ForeignKey("articles.id")),
        Column("jaccard", Float, nullable=False, default=0.0),
        Column("containment", Float, nullable=False, default=0.0),
        Column("shared_words", Integer, nullable=False, default=0),
    )


SOURCES = Table(
    "sources",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("due_at", UtcTime),
    Column("etag", Text),
    Column("last_modified", Text),
    Column("polled_at", UtcTime),
    Column("succeeded_at", UtcTime),
    Column("failures", Integer, nullable=False, default=0),
    Column("error", Text, nullable=False, default=""),
    Column("found", Integer, nullable=False, default=0),
    Column("interval", Duration),
    Column("lease_until", UtcTime),
    Column("worker", Text),
)
"""The state of polling, one row a source. The lease names the worker that polls it at the moment."""

_QUEUE = ("lane", "due_at", "id", "lease_until")
CANDIDATES = Table(
    "candidates",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("url", Text, nullable=False),
    Column("canonical_url", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("lane", Text),
    Column("batch", Text, nullable=False, default=""),
    Column("precedence", Integer, nullable=False, default=0),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("discovered_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("expiries", Integer, nullable=False, default=0),
    Column("lease_token", Text),
    Column("lease_until", UtcTime),
    Column("worker", Text),
    Column("done_token", Text),
    Column("title", Text),
    Column("published_at", UtcTime),
    Column("modified_at", UtcTime),
    Column("external_id", Text),
    Column("etag", Text),
    Column("last_modified", Text),
    Column("body_sha256", Text),
    Column("payload_sha256", Text),
    Column("article_id", ID_TYPE),
    Column("look_at", UtcTime),
    Column("looks", Integer, nullable=False, default=0),
    Column("former", Text, nullable=False, default=""),
    Column("authority", Text, nullable=False, server_default=text("''")),
    partial_index("ix_candidates_queue", *_QUEUE, where="state = 'pending' AND precedence = 0"),
    partial_index("ix_candidates_past", *_QUEUE, where="state = 'pending' AND precedence = 1"),
    partial_index("ix_candidates_batch", "batch", "lane", "due_at", where="state = 'pending' AND batch <> ''"),
    partial_index("ix_candidates_source", "source", "lane", "due_at", where="state = 'pending'"),
    partial_index("ix_candidates_leases", "lease_until", where="lease_until IS NOT NULL"),
    partial_index("ix_candidates_look", "look_at", where="look_at IS NOT NULL"),
    # The source comes first: SQLite keeps no statistics and would otherwise prefer this to the small queue indexes.
    Index("ix_candidates_counts", "source", "state"),
    Index("ix_candidates_url", "url"),
)
"""Everything ever discovered: queue and ledger in one. `lane` is the host that paces the fetch, NULL if the content is
stored already. `precedence` is 0 for live discovery, and 1 for what comes later on the same host: rechecks, and
behind them backfills and what strangers name.

`authority` says who named the URL (publisher, operator, stranger; empty in old rows); `addresses` holds further URLs.
`done_token` is the token of the last lease that ended with an outcome. It identifies the work of a commit whose
confirmation was lost, when that work is tried again. `look_at` is the time of the next recheck, `looks` the number of
rechecks in a row without news, `former` (JSON) the outcome that is restored if a recheck fails.
"""

CONTENTS = Table(
    "contents",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("candidate_id", ID_TYPE, ForeignKey("candidates.id"), nullable=False),
    Column("reference", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("title", Text),
    Column("published_at", UtcTime),
    Column("modified_at", UtcTime),
    Column("external_id", Text),
    UniqueConstraint("candidate_id", "reference"),
)
"""The latest content from each reference (line, record or file), for candidates with contents from several of them.

`waiting` marks a content that has not been processed yet.
"""

FALLBACKS = Table(
    "fallbacks",
    METADATA,
    Column("candidate_id", ID_TYPE, ForeignKey("candidates.id"), primary_key=True, autoincrement=False),
    Column("text", PackedText, nullable=False),
)
"""The full text that a feed contained for a pending candidate: it is used if the page cannot be fetched."""

EVENTS = Table(
    "events",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("candidate_id", ID_TYPE, ForeignKey("candidates.id"), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
)
"""The history of each candidate, for people (`why`). The discovery itself is in the candidate's own row."""

PAGES = Table(
    "pages",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("candidate_id", ID_TYPE, ForeignKey("candidates.id"), nullable=False),
    Column("sha256", Text, nullable=False),
    Column("form", Text, nullable=False),
    Column("described", Text, nullable=False),
    Column("fetched_at", UtcTime, nullable=False),
    Column("body", PackedBytes, nullable=False),
    UniqueConstraint("candidate_id", "sha256"),
    Index("ix_pages_fetched_at", "fetched_at"),
)
"""Raw bodies: `form` is `page` or `text`, `described` holds the other fields of the Page or Text as JSON."""

ARTICLES = Table(
    "articles",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("candidate_id", ID_TYPE, ForeignKey("candidates.id"), index=True),
    Column("page_id", ID_TYPE),
    Column("url", Text, nullable=False),
    Column("canonical_url", Text, nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("fetched_at", UtcTime, nullable=False),
    Column("words", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("authors", Text, nullable=False),
    Column("published_at", UtcTime),
    Column("published_at_from", Text, nullable=False),
    Column("modified_at", UtcTime),
    Column("external_id", Text),
    Column("rights", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("modified_at_from", Text, nullable=False, server_default=text("''")),
    Column("lead", Text),
    Column("section", Text),
    Column("tags", Text),
    Column("description", Text),
    Column("image", Text),
    Column("image_caption", Text),
    Column("fields_from", Text),
    Index("ix_articles_source", "source", "fetched_at"),
    sqlite_autoincrement=True,
)
"""Every text ever stored, with copies and old versions. Rows are written once and never changed.

There is one exception: when a page is extracted again and its text is the same, fields from `lead` on, and `authors`,
are filled in where the row has none. `tags` (a list) and `fields_from` (the origin of each field by name) are JSON.
"""

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("article_id", ID_TYPE, ForeignKey("articles.id"), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("verdict", Text, nullable=False),
)
"""Each verdict in full, as JSON. A new judgement of an article adds a row and keeps the old ones."""

STANDINGS = Table(
    "standings",
    METADATA,
    Column("article_id", ID_TYPE, ForeignKey("articles.id"), primary_key=True, autoincrement=False),
    *_standing_columns(),
    partial_index("uq_standings_head", "cluster", where="head", sqlite_where="head = 1", unique=True),
    Index("ix_standings_relation", "relation"),
    # To remove an article: the database looks for the rows that refer to it, in all columns that may.
    partial_index("ix_standings_against", "judged_against", where="judged_against IS NOT NULL"),
)
"""The current verdict on each article: its cluster (the id of the founding article), and whether it is the head."""

RETHOUGHT = Table(
    "rethought",
    METADATA,
    Column("article_id", ID_TYPE, ForeignKey("articles.id"), primary_key=True, autoincrement=False),
    *_standing_columns(),
    Column("verdict", Text, nullable=False),
    partial_index("uq_rethought_head", "cluster", where="head", sqlite_where="head = 1", unique=True),
)
"""The draft of a new judgement of all articles; its rows replace those of `standings` when it is complete."""

META = Table(
    "meta",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Keys and values about the whole store: its identity, and the progress of long-running commands."""

SEED_FILES = Table(
    "seed_files",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("stamp", Text, nullable=False),
    Column("rows", Integer, nullable=False, default=0),
    Column("refused", Integer, nullable=False, default=0),
    Column("finished_at", UtcTime),
)
"""The files of the seed corpus, one row a file or a folder of text files, and how many `rows` of it were read.

`stamp` identifies its state and the settings; it is empty for seeds of older versions, whose files are not known.
"""

SEEDS = Table(
    "seeds",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("raw", PackedText),
    Column("article_id", ID_TYPE, ForeignKey("articles.id"), nullable=False, index=True),
    Column("imported_at", UtcTime, nullable=False),
    Column("file_id", ID_TYPE, ForeignKey("seed_files.id"), index=True),
    Column("row", Integer),
    UniqueConstraint("sha256", "file_id", "article_id"),
)
"""Where each seed was found: its file, and its row or the `name` of its text file; several may share an article.

`raw` is the text as it was scraped, NULL if it is the article's own. `sha256` is the hash of the raw text.
"""

HOSTS = Table(
    "hosts",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("next_turn", UtcTime, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("closed_until", UtcTime, nullable=False, server_default="0"),
    Column("due_at", UtcTime),
    Column("lease_token", Text),
    Column("lease_until", UtcTime, nullable=False, server_default="0"),
    Column(
        "ready_at",
        UtcTime,
        Computed(
            case(
                (
                    column("due_at").is_not(None),
                    greatest(
                        column("due_at"),
                        column("lease_until"),
                        column("closed_until"),
                        column("next_turn") - text("1000000"),
                    ),
                ),
            ),
            persisted=True,
        ),
    ),
    Index("ix_hosts_ready", "ready_at", "host"),
    partial_index("ix_hosts_calling", "due_at", "closed_until", "host", where="due_at IS NOT NULL"),
    partial_index("ix_hosts_closed", "closed_until", "host", where="closed_until > 0"),
)
"""The pacing of each host, and the time from which one of its candidates can be claimed.

`due_at` is the earliest due time of the host's pending candidates. `next_turn` is the next slot of the rate limit,
`closed_until` the end of a circuit breaker's pause. The database computes `ready_at`, the time from which all of these
and the lease allow a claim (the slot with a second of tolerance): one index look-up finds work among any number of
hosts and candidates.
"""

ROBOTS = Table(
    "robots",
    METADATA,
    Column("origin", Text, primary_key=True),
    Column("checked_at", UtcTime, nullable=False),
    Column("status", Integer),
    Column("body", PackedBytes, nullable=False),
    Column("good_at", UtcTime),
    Column("error", Text, nullable=False),
)
"""The robots.txt of each origin, as last fetched; `good_at` is the time of the last successful fetch."""

MOVES = Table(
    "moves",
    METADATA,
    Column("url", Text, primary_key=True),
    Column("target", Text, nullable=False),
)
"""Permanent redirects: the target of each URL."""

MARKS = Table(
    "marks",
    METADATA,
    Column("pair", Text, primary_key=True),
    Column("low", Text, nullable=False, index=True),
    Column("high", Text, nullable=False, index=True),
    Column("decided", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)
"""Manual decisions about two canonical URLs. `pair` is a hash of both, as URLs may be too long for an index."""


WITH_ARTICLE = (State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED)
