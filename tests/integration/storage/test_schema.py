"""Migrations create the schema of the code, and every script is listed in VERSIONS."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from tests.contract.storage.factories import PARAMETERS
from tests.former_schemas import migrate_all
from worker.storage.db.migrate import MIGRATIONS, VERSIONS
from worker.storage.db.schema import METADATA
from worker.storage.store import open_store


def test_migrations_create_the_tables_of_the_code(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'corpus.db'}"
    migrate_all(url)
    engine = create_engine(url)

    with engine.connect() as connection:
        checks = {"compare_type": True, "compare_server_default": True, "include_name": is_of_the_code}
        context = MigrationContext.configure(connection, opts=checks)
        differences = compare_metadata(context, METADATA)

    assert differences == []
    engine.dispose()


def test_tables_made_by_migration_equal_tables_made_at_once(tmp_path: Path) -> None:
    migrated, made = tmp_path / "migrated.db", tmp_path / "made.db"
    migrate_all(f"sqlite:///{migrated}")
    open_store(f"sqlite:///{made}", parameters=PARAMETERS).close()

    assert statements(migrated) == statements(made)


def test_every_migration_script_is_known_by_number() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

    assert tuple(reversed(found)) == VERSIONS


def is_of_the_code(name: str | None, kind: str, _parents: object) -> bool:
    """Whether SQLAlchemy knows a table: the index of full-text search is of a kind that it cannot describe."""
    return kind != "table" or not str(name).startswith("search_texts")


def statements(path: Path) -> set[tuple[str, ...]]:
    """Return what made each table and index; the order of a table's constraints has no meaning."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        names = {name for name in inspect(connection).get_table_names() if is_of_the_code(name, "table", None)}
        names |= {name for name in inspect(connection).get_table_names() if name == "search_texts"}
        names -= {"sqlite_sequence"}
        rows = connection.exec_driver_sql("SELECT name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    engine.dispose()
    made = ("".join(row.sql.split()).replace('"', "").removesuffix(")") for row in rows if row.tbl_name in names)
    return {tuple(sorted(each.replace(",CONSTRAINT", "CONSTRAINT").split("CONSTRAINT"))) for each in made}
