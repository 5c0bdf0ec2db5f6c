"""The store's schema: made, brought up to date, or refused because it is newer than this program."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from worker.errors import StoreError, StoreMissing
from worker.models import IndexParameters
from worker.storage.border import describe_url, no_rights
from worker.storage.database import Database
from worker.storage.dialect import lock_keys
from worker.storage.engine import MISSING
from worker.storage.index import require_parameters
from worker.storage.provenance import identify

VERSIONS = ("0001", "0002")
"""Every schema version this program knows, oldest first; each is a script in `migrations/versions`."""
MIGRATION_KEY = 0x636F72707573
MIGRATIONS = Path(__file__).with_name("migrations")


def bring_up_to_date(database: Database, *, create: bool = True) -> None:
    """Make the tables, or change those of an older version.

    Raises StoreError for a store from a newer version, and StoreMissing for a database without one where `create` is
    off.
    """
    version = database.read(version_of, database)
    if version is None and not create:
        database.read(_require_rights, database)
        raise StoreMissing(f"store {describe_url(database.url)} {MISSING}")
    if version != VERSIONS[-1]:
        database.write(_upgrade, database)


def agree_on_parameters(connection: Connection, parameters: IndexParameters) -> None:
    """Let a new store remember how its index is made; raises StoreError in one whose index was made otherwise."""
    lock_keys(connection, [MIGRATION_KEY])  # several may open a new store together
    require_parameters(connection, parameters)


def version_of(connection: Connection, database: Database) -> str | None:
    """Return the schema version of a store, None for an empty database; raises StoreError where it is unknown."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        _refuse_strangers(tables, database)
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found not in VERSIONS:
        raise StoreError(
            f"store {describe_url(database.url)} was written by a newer corpus-worker "
            f"(schema {found}, this one knows up to {VERSIONS[-1]}): upgrade corpus-worker"
        )
    return found


def _require_rights(connection: Connection, database: Database) -> None:
    """Raise StoreError where a store cannot be made for lack of rights: then there may be one that nobody sees."""
    if database.is_sqlite:
        return
    asked = text("SELECT current_schema() AS name, has_schema_privilege(current_schema(), 'CREATE') AS granted")
    schema = connection.execute(asked).one()
    if not schema.granted:
        raise no_rights(database.url, schema=schema.name or "public")


def _refuse_strangers(tables: list[str], database: Database) -> None:
    if tables and database.is_sqlite:
        raise StoreError(
            f"store {describe_url(database.url)} is the database of another program "
            f"(it has a table {tables[0]}): choose another [store] url"
        )


def _upgrade(connection: Connection, database: Database) -> None:
    # Two processes may open a new store together: whoever waited here finds the work done.
    lock_keys(connection, [MIGRATION_KEY])
    if version_of(connection, database) == VERSIONS[-1]:
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    identify(connection)
