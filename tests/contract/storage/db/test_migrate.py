"""A store of an older version is migrated when it is opened, and keeps all its rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.contract.storage.factories import PARAMETERS, add_seed, seed, take_in
from tests.former_schemas import make_first, migrate_all
from worker.errors import StoreError
from worker.models import IndexParameters
from worker.storage.db.migrate import VERSIONS, upgrade_store
from worker.storage.store import Store, open_store


def test_a_store_of_the_first_version_keeps_everything(store_url: str, open_stores: Callable[[str], Store]) -> None:
    former = open_stores(store_url)
    take_in(former, "https://a.example/1", "một hai")
    take_in(former, "https://b.example/1", "hai một")
    add_seed(former, "1.txt", "sáu bảy")
    books = former.reader.audit()
    former.close()
    made = _indexes(store_url)
    make_first(store_url)

    store = open_stores(store_url)

    assert store.reader.audit() == books
    head, _ = (head.article for head in store.reader.heads())
    assert (head.modified_at_from, head.lead, head.tags, head.fields_from) == ("", None, (), {})
    assert store.seeds.known_seeds([seed("1.txt", "sáu bảy")]) == [True]
    assert [(file.name, file.stamp, file.rows, file.imported) for file in store.seeds.count_files()] == [
        ("seeds", "", 1, 1)
    ]
    assert store.reader.seed_places(3) == ("seeds/1.txt",)
    assert take_in(store, "https://c.example/1", "ba bốn năm").article
    assert _indexes(store_url) == made
    assert _version(store_url) == VERSIONS[-1]


@pytest.mark.parametrize("parameters", [None, PARAMETERS])
def test_an_older_store_is_not_migrated_by_commands_that_create_none(
    store_url: str, open_stores: Callable[[str], Store], parameters: IndexParameters | None
) -> None:
    open_stores(store_url)
    make_first(store_url)

    needed = f"has schema 0001, and this program needs {VERSIONS[-1]}"
    advice = f"{needed}: stop the workers, then run `corpus-worker upgrade-store`"
    with pytest.raises(StoreError, match=advice):
        open_store(store_url, parameters=parameters, create=False)

    assert _version(store_url) == "0001"
    assert upgrade_store(store_url) == ("0001", VERSIONS[-1])
    assert upgrade_store(store_url) == (VERSIONS[-1], VERSIONS[-1])
    open_store(store_url, parameters=parameters, create=False).close()


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


SERVER_SCHEMA = (
    """SELECT attrelid::regclass::text, attname, attnum, format_type(atttypid, atttypmod), attnotnull, attstattarget,
       attidentity, attgenerated, pg_get_expr(adbin, adrelid)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') AND attnum > 0 AND NOT attisdropped""",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    """SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "SELECT version_num FROM alembic_version",
)
"""What makes the schema of a store: columns, indexes, constraints, its version."""


@pytest.mark.postgresql
def test_tables_made_by_migration_equal_tables_made_at_once_on_a_server(empty_postgresql_url: str) -> None:
    described = []
    for make in (migrate_all, lambda url: open_store(url, parameters=PARAMETERS).close()):
        engine = create_engine(empty_postgresql_url)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        make(empty_postgresql_url)
        with engine.connect() as connection:
            described.append([set(connection.exec_driver_sql(query).all()) for query in SERVER_SCHEMA])
        engine.dispose()

    assert len(described[0][0]) > 100
    assert described[0] == described[1]
