"""Takes a store back to a former version of its schema, as an older program would have left it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import create_engine, text

from worker.models import PAGE_FIELDS
from worker.storage.db.engine import connect
from worker.storage.db.migrate import _upgrade

_SEEDS_OF_FILES: Final = (
    "CREATE TABLE newer AS SELECT id, name, sha256, raw, article_id, imported_at FROM seeds",
    "DROP TABLE seeds",
    "DROP TABLE seed_files",
    """CREATE TABLE seeds (
        id {key} CONSTRAINT pk_seeds PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, raw {bytes} NOT NULL,
        article_id BIGINT NOT NULL CONSTRAINT fk_seeds_article_id_articles REFERENCES articles (id),
        imported_at BIGINT NOT NULL, CONSTRAINT uq_seeds_name_sha256 UNIQUE (name, sha256)
    )""",
    "CREATE INDEX ix_seeds_article_id ON seeds (article_id)",
    "INSERT INTO seeds SELECT id, name, sha256, coalesce(raw, {no_bytes}), article_id, imported_at FROM newer",
    "DROP TABLE newer",
)
_BACK_TO_THE_THIRD: Final = (
    "DROP TABLE forgotten",
    "DROP INDEX ix_standings_against",
    "DROP TABLE search_texts",
    "DROP TABLE search_queue",
    *(f"ALTER TABLE articles DROP COLUMN {name}" for name in (*PAGE_FIELDS, "fields_from")),
    *_SEEDS_OF_FILES,
    "UPDATE alembic_version SET version_num = '0003'",
)
_BACK_TO_THE_SECOND: Final = (
    *_BACK_TO_THE_THIRD,
    "DROP TABLE addresses",
    "DROP TABLE contents",
    "ALTER TABLE candidates DROP COLUMN authority",
    "UPDATE alembic_version SET version_num = '0002'",
)
_BACK_TO_THE_FIRST: Final = (
    *_BACK_TO_THE_SECOND,
    "ALTER TABLE articles DROP COLUMN modified_at_from",
    "DROP INDEX ix_candidates_counts",
    "DROP INDEX ix_hosts_calling",
    "DROP INDEX ix_hosts_closed",
    "CREATE INDEX ix_candidates_state ON candidates (state, source)",
    "UPDATE alembic_version SET version_num = '0001'",
)


def make_first(url: str) -> None:
    """Take a store back to version 0001."""
    _go_back(url, _BACK_TO_THE_FIRST)


def make_second(url: str) -> None:
    """Take a store back to version 0002."""
    _go_back(url, _BACK_TO_THE_SECOND)


def _go_back(url: str, statements: Sequence[str]) -> None:
    engine = create_engine(url)
    sqlite = {"key": "INTEGER", "bytes": "BLOB", "no_bytes": "x''"}
    words = sqlite if url.startswith("sqlite") else {"key": "BIGSERIAL", "bytes": "BYTEA", "no_bytes": "''"}
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement.format(**words)))
    engine.dispose()


def migrate_all(url: str) -> None:
    """Make a store by all the scripts, as a store of the first version is brought up to date."""
    database = connect(url)
    database.write(_upgrade, database)
    database.close()
