"""A store of an older version is brought up to date when it is opened, with everything in it."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import create_engine, inspect, text

from tests.contract.storage.made import take_in
from worker.storage import Store
from worker.storage.migrate import VERSIONS

BACK_TO_THE_FIRST = """
    ALTER TABLE articles DROP COLUMN modified_at_from;
    DROP INDEX ix_candidates_counts;
    DROP INDEX ix_hosts_calling;
    DROP INDEX ix_hosts_closed;
    CREATE INDEX ix_candidates_state ON candidates (state, source);
    UPDATE alembic_version SET version_num = '0001'
"""


def test_a_store_of_the_first_version_keeps_everything(store_url: str, open_stores: Callable[[str], Store]) -> None:
    former = open_stores(store_url)
    take_in(former, "https://a.example/1", "một hai")
    take_in(former, "https://b.example/1", "hai một")
    books = former.reader.audit()
    former.close()
    made = _indexes(store_url)
    _run(store_url, BACK_TO_THE_FIRST)

    store = open_stores(store_url)

    assert store.reader.audit() == books
    assert [head.article.modified_at_from for head in store.reader.heads()] == [""]
    assert take_in(store, "https://c.example/1", "ba bốn năm").article
    assert _indexes(store_url) == made
    assert _version(store_url) == VERSIONS[-1]


def _run(url: str, statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements.split(";"):
            connection.execute(text(statement))
    engine.dispose()


def _indexes(url: str) -> set[str | None]:
    engine = create_engine(url)
    names = {index["name"] for table in ("candidates", "hosts") for index in inspect(engine).get_indexes(table)}
    engine.dispose()
    return names


def _version(url: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    return str(version)
