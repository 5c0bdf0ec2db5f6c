"""The store's schema: made, brought up to date, or refused because it is newer than this program."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from pathlib import Path

from sqlalchemy import URL, Connection, inspect, text
from sqlalchemy.exc import OperationalError

from worker.errors import StoreBusy, StoreError, StoreMissing
from worker.models import IndexParameters
from worker.storage.border import describe_url, no_rights
from worker.storage.database import Database
from worker.storage.dialect import is_sqlite, lock_keys
from worker.storage.engine import MISSING, connect
from worker.storage.index import require_parameters
from worker.storage.lock import without_daemon
from worker.storage.patience import growing_waits
from worker.storage.provenance import identify
from worker.storage.sqlstates import UPGRADE

VERSIONS = ("0001", "0002", "0003")
"""Every schema version this program knows, oldest first; each is a script in `migrations/versions`."""
MIGRATION_KEY = 0x636F72707573
MIGRATIONS = Path(__file__).with_name("migrations")
UPGRADE_PATIENCE = timedelta(minutes=5)
LOCK_TIMEOUT = timedelta(seconds=1)
"""How long a change of tables waits for its turn at most, since meanwhile everybody else waits for it."""
MILLISECOND = timedelta(milliseconds=1)
MOST_TOLD = 5
_FIRST_SCHEMA = text(r"""
    SELECT nspname
    FROM unnest(
        current_schemas(false)::text[] || regexp_split_to_array(
            replace(replace(current_setting('search_path'), '"$user"', current_user), '"', ''), '\s*,\s*'
        )
    ) WITH ORDINALITY AS path (name, place)
    JOIN pg_namespace ON nspname IN (name, lower(name))
    ORDER BY place LIMIT 1
""")
"""Those that the role may use come first; the search path holds those as well that it may not."""
_HOLDERS = text("""
    SELECT pid, application_name AS name
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND pid IN (
        SELECT held.pid
        FROM pg_locks held
        JOIN pg_database ON pg_database.oid = held.database AND datname = current_database()
        LEFT JOIN pg_class ON pg_class.oid = held.relation
        LEFT JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE granted AND (
            nspname = current_schema()
            OR locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = :migration
        )
    )
    ORDER BY xact_start NULLS LAST, pid
""")


def bring_up_to_date(database: Database, *, create: bool = True) -> None:
    """Make the tables, or change those of an older version.

    Raises StoreError for a store from a newer version, StoreBusy where others keep working on the tables that have to
    be changed, and where `create` is off StoreMissing for a database without a store, StoreError for an older one.
    """
    if not database.is_sqlite:
        schema = database.read(_schema)
        database.standpoint = replace(database.standpoint, schema=schema)
    version = database.read(version_of, database)
    if version is None:
        database.read(_require_rights, database)
        if not create:
            raise StoreMissing(f"store {describe_url(database.url)} {MISSING}")
        database.write(_upgrade, database)
    elif version != VERSIONS[-1]:
        if not create:
            raise outdated(database.url, version)
        with without_daemon(database.path, why="changing the store's tables"):
            _change(database)


def upgrade_store(url: str) -> tuple[str, str]:
    """Change the tables of an older store; return its version before and now. Raises StoreError as above."""
    with closing(connect(url, create=False)) as database:
        database.patience = UPGRADE_PATIENCE
        before = database.read(version_of, database)
        bring_up_to_date(database, create=before is not None)
        return before or VERSIONS[-1], VERSIONS[-1]


def outdated(url: URL, version: str) -> StoreError:
    """Return the error of a store with an older schema, for those who may not change it beside running workers."""
    return StoreError(
        f"store {describe_url(url)} has schema {version}, and this program needs {VERSIONS[-1]}: stop the workers, "
        f"then run `{UPGRADE}`"
    )


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


def _schema(connection: Connection) -> str:
    """Return the schema that the tables are in or would be made in: the first of the search path that exists."""
    found = connection.execute(_FIRST_SCHEMA).scalar()
    if found is None:
        raise StoreError(
            "the search_path names no schema that exists: correct it, in the url or in the role's settings, or make "
            "the schema with CREATE SCHEMA"
        )
    return str(found)


def _require_rights(connection: Connection, database: Database) -> None:
    """Raise StoreError where a store cannot be made for lack of rights: then there may be one that nobody sees."""
    if database.is_sqlite:
        return
    needed = "USAGE" if database.standpoint.only_reads else "CREATE"
    asked = text("SELECT has_schema_privilege(current_schema(), :needed)")
    if not connection.execute(asked, {"needed": needed}).scalar():
        raise no_rights(database.standpoint)


def _refuse_strangers(tables: list[str], database: Database) -> None:
    if tables and database.is_sqlite:
        raise StoreError(
            f"store {describe_url(database.url)} is the database of another program "
            f"(it has a table {tables[0]}): choose another [store] url"
        )


def _change(database: Database) -> None:
    """Change the tables as soon as nobody has them in use, and let others get through between the tries."""
    for wait in chain(growing_waits(database.patience), [None]):
        try:
            database.write(_change_soon, database)
        except _InUse as error:
            why = database.read(_in_use)
            if wait is None or not _waited(database, wait, why):
                raise StoreBusy(f"store {describe_url(database.url)}: {why}", retry=True) from error
        else:
            return


def _waited(database: Database, wait: timedelta, why: str) -> bool:
    database.tell_waiting(why, wait)
    return database.pause(wait)


class _InUse(Exception):
    """Somebody has tables in use that have to be changed."""


def _change_soon(connection: Connection, database: Database) -> None:
    if not database.is_sqlite:
        # Everybody who comes later queues behind who waits for a lock on a table: so nobody waits for long.
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT // MILLISECOND}"))
    try:
        _upgrade(connection, database)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == "55P03":
            raise _InUse from error
        raise


def _in_use(connection: Connection) -> str:
    """Return who has the store's tables in use, those first who have had them for longest, and what to do."""
    found = [] if is_sqlite(connection) else connection.execute(_HOLDERS, {"migration": MIGRATION_KEY}).all()
    who = ", ".join(f"{row.name or 'unnamed'} (pid {row.pid})" for row in found[:MOST_TOLD])
    more = f" and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    told = f", now {who}{more}" if who else ""
    return f"the store's tables have to be changed, and somebody has them in use{told}: stop them, or wait"


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
