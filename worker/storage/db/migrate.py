"""Creates the store's tables, migrates those of an older version, and checks the privileges of a PostgreSQL role.

A new store gets the tables of the code (`METADATA`); for an older one, Alembic runs the scripts in
`migrations/versions`, which lead to the same tables. Only commands that write to the store may migrate it. The table
`meta`, named values about the whole store, is read and written here as well.
"""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, MetaData, bindparam, delete, event, inspect, select, text
from sqlalchemy.exc import OperationalError

from worker.errors import StoreBusy, StoreError, StoreMissing
from worker.storage.db.database import Database, exponential_waits
from worker.storage.db.engine import HAS_NO_TABLES, MISSING_STORE, connect
from worker.storage.db.errors import UPGRADE_COMMAND, describe_url, find_pg_error, remedy_of, schema_permission_error
from worker.storage.db.locks import without_daemon
from worker.storage.db.schema import META, METADATA
from worker.storage.db.sql import add_missing, is_sqlite, lock_keys, upsert

# The table `meta`, a key-value table about the whole store.
#
# It holds the store's identity, the mark of an unfinished copy into this store, and the progress of long commands.


_READ = select(META.c.value).where(META.c.key == bindparam("name"))
_WRITE = upsert(META, lambda new: new.on_conflict_do_update(index_elements=["key"], set_={"value": new.excluded.value}))


def read_meta(connection: Connection, name: str) -> str | None:
    """Return the value of a key, None if it has none."""
    value: str | None = connection.execute(_READ, {"name": name}).scalar()
    return value


def write_meta(connection: Connection, name: str, value: str) -> None:
    """Set the value of a key."""
    connection.execute(_WRITE.on(connection), {"key": name, "value": value})


def delete_meta(connection: Connection, *names: str) -> None:
    """Delete keys; those without a value are ignored."""
    connection.execute(delete(META).where(META.c.key.in_(names)))


IDENTITY: Final = "store"
"""Key of the store's identity: a random name, made with the store and copied along, so that all its copies have it."""
COPIED_FROM: Final = "being moved from"
"""Key of the mark of an unfinished copy: its value is the origin's identity. It is never copied to another store."""

FORGOTTEN_PAGES_LEFT: Final = "forgotten, but not yet overwritten"
"""Key of the mark that free pages of a SQLite file may still hold something that was forgotten (`forget`)."""


def ensure_identity(connection: Connection) -> str:
    """Return the identity of a store, and give it one if it has none."""
    add_missing(connection, META, [{"key": IDENTITY, "value": str(uuid.uuid4())}])  # no effect if it has one
    return read_meta(connection, IDENTITY) or ""


def identity_of(connection: Connection) -> str | None:
    """Return the identity of a store, None if it has none: an older program made it."""
    return read_meta(connection, IDENTITY)


def copied_from(connection: Connection) -> str | None:
    """Return the identity of the store that is being copied into this one, None if there is no unfinished copy."""
    return read_meta(connection, COPIED_FROM)


def begin_copy(connection: Connection, identity: str) -> None:
    """Mark an empty store as the target of an unfinished copy of the store with this identity."""
    connection.execute(delete(META))
    write_meta(connection, COPIED_FROM, identity)


def end_copy(connection: Connection) -> None:
    """Remove the mark: the copy is complete."""
    delete_meta(connection, COPIED_FROM)


def require_complete(connection: Connection) -> None:
    """Raise StoreError if a copy into this store is unfinished, so that only a part of its rows is there."""
    if copied_from(connection) is not None:
        raise StoreError(
            "a move into this store is not finished: wait for it to end, or if it was interrupted, run "
            "`corpus-worker migrate-store FROM TO` again"
        )


REINDEXED: Final = "reindexed up to article"
"""Key of the progress of `reprocess --dedupe`, which makes the near-duplicate index again."""


def require_finished(connection: Connection) -> None:
    """Raise StoreError if a rebuild of the index is running or was interrupted."""
    done = read_meta(connection, REINDEXED)
    if done is not None:
        raise StoreError(
            f"the store's index is being rebuilt, up to article {done} so far: wait for `corpus-worker reprocess "
            "--dedupe` to end, or run it again if it was interrupted"
        )


VERSIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
"""Every schema version this program knows, oldest first; each is a script in `migrations/versions`."""
MIGRATION_KEY = 0x636F72707573
"""The key of the advisory lock of a migration: any number that is used for no other lock ("corpus" in ASCII)."""
MIGRATIONS = Path(__file__).with_name("migrations")
UPGRADE_PATIENCE = timedelta(minutes=5)
"""How long `upgrade-store` waits for tables in use. Chosen, not measured: longer than any transaction of a worker."""
LOCK_TIMEOUT = timedelta(seconds=1)
"""How long a migration waits for its table locks in one try: every other transaction waits behind it meanwhile."""
MILLISECOND = timedelta(milliseconds=1)  # the unit of PostgreSQL's lock_timeout
_CREATE_VERSION: Final = text(
    "CREATE TABLE IF NOT EXISTS alembic_version "
    "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
_SET_VERSION: Final = text("INSERT INTO alembic_version (version_num) VALUES (:version)")
MAX_LISTED = 5  # chosen: sessions named in a message, which is one line
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
"""The first schema of the search path that exists, those that the role may use first.

`current_schemas` lists only the latter, so the setting `search_path` is read as well.
"""
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
    """Create the tables of a new store, or migrate those of an older version.

    Raises StoreError for a store of a newer version, and StoreBusy if others keep using tables that have to be changed.
    With `create` off nothing is changed: raises StoreMissing for a database without a store, StoreError for an older
    version.
    """
    if not database.is_sqlite:
        schema = database.read(_schema)
        database.error_context = replace(database.error_context, schema=schema)
    version = database.read(version_of, database)
    if version is None:
        database.read(_require_schema_privilege, database)
        if not create:
            lack = HAS_NO_TABLES if database.is_sqlite else MISSING_STORE
            raise StoreMissing(f"store {describe_url(database.url)} {lack}")
        database.write(_create, database)
    elif version != VERSIONS[-1]:
        if not create:
            raise outdated_error(database.url, version)
        with without_daemon(database.path, why="changing the store's tables"):
            _upgrade_when_idle(database)


def upgrade_store(url: str) -> tuple[str, str]:
    """Migrate an older store; return its schema version before and after. Raises like `bring_up_to_date`."""
    with closing(connect(url, create=False)) as database:
        database.patience = UPGRADE_PATIENCE
        before = database.read(version_of, database)
        bring_up_to_date(database, create=before is not None)
        return before or VERSIONS[-1], VERSIONS[-1]


def outdated_error(url: URL, version: str) -> StoreError:
    """Return the error for a store with an older schema, for commands that must not migrate it."""
    return StoreError(
        f"store {describe_url(url)} has schema {version}, and this program needs {VERSIONS[-1]}: stop the workers, "
        f"then run `{UPGRADE_COMMAND}`"
    )


def version_of(connection: Connection, database: Database) -> str | None:
    """Return the schema version of a store, None for an empty database.

    Raises StoreError for a version that this program does not know, and for a SQLite database of another program.
    """
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        _refuse_other_program(tables, database)
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found not in VERSIONS:
        raise StoreError(
            f"store {describe_url(database.url)} was written by a newer corpus-worker "
            f"(schema {found}, this one knows up to {VERSIONS[-1]}): upgrade corpus-worker"
        )
    return found


def _schema(connection: Connection) -> str:
    """Return the PostgreSQL schema of the tables: the first schema of the search path that exists."""
    found = connection.execute(_FIRST_SCHEMA).scalar()
    if found is None:
        raise StoreError(
            "the search_path names no schema that exists: correct it, in the url or in the role's settings, or create "
            "the schema with CREATE SCHEMA"
        )
    return str(found)


def _require_schema_privilege(connection: Connection, database: Database) -> None:
    """Raise StoreError if the role has too few rights on the schema: a store may be there that the role cannot see."""
    if database.is_sqlite:
        return
    needed = "USAGE" if database.error_context.only_reads else "CREATE"
    query = text("SELECT has_schema_privilege(current_schema(), :needed)")
    if not connection.execute(query, {"needed": needed}).scalar():
        raise schema_permission_error(database.error_context)


def _refuse_other_program(tables: list[str], database: Database) -> None:
    """Raise StoreError if a SQLite file has tables of another program; on a server they may share a schema."""
    if tables and database.is_sqlite:
        raise StoreError(
            f"store {describe_url(database.url)} is the database of another program "
            f"(it has a table {tables[0]}): choose another [store] url"
        )


def _upgrade_when_idle(database: Database) -> None:
    """Migrate as soon as no other session uses the tables; between the tries, transactions of others can run."""
    for wait in chain(exponential_waits(database.patience), [None]):
        try:
            database.write(_try_upgrade, database)
        except _InUse as error:
            why = database.read(_describe_users)
            if wait is None or not _wait(database, wait, why):
                raise StoreBusy(f"store {describe_url(database.url)}: {why}", retry=True) from error
        else:
            return


def _wait(database: Database, wait: timedelta, why: str) -> bool:
    database.log_wait(why, wait)
    return database.pause(wait)


class _InUse(Exception):
    """Another session uses a table that has to be changed."""


def _try_upgrade(connection: Connection, database: Database) -> None:
    """Migrate, or raise _InUse if the table locks cannot be had within LOCK_TIMEOUT."""
    if not database.is_sqlite:
        # A session that waits for a table lock blocks all later ones, so this one must not wait for long.
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT // MILLISECOND}"))
    try:
        _upgrade(connection, database)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == "55P03":
            raise _InUse from error
        raise


def _describe_users(connection: Connection) -> str:
    """Return a message that names the sessions which use the store's tables, the oldest transactions first."""
    found = [] if is_sqlite(connection) else connection.execute(_HOLDERS, {"migration": MIGRATION_KEY}).all()
    names = ", ".join(f"{row.name or 'unnamed'} (pid {row.pid})" for row in found[:MAX_LISTED])
    more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    users = f", now {names}{more}" if names else ""
    return f"the store's tables have to be changed, and other sessions use them{users}: stop them, or wait"


@event.listens_for(METADATA, "before_create")
def _limit_indexes(_metadata: MetaData, connection: Connection, **_: object) -> None:
    """Give the partial indexes their condition. As an argument it would load all of SQLAlchemy's PostgreSQL support."""
    dialect = connection.dialect.name
    for index in (index for table in METADATA.tables.values() for index in table.indexes if dialect in index.info):
        index.dialect_options[dialect]["where"] = text(index.info[dialect])


def _create(connection: Connection, database: Database) -> None:
    """Make the tables of a new store as they are now, without the migrations: Alembic takes a third of a second."""
    # Two processes may open a new store at the same time: the second one waits here and finds the tables made.
    lock_keys(connection, [MIGRATION_KEY])
    if version_of(connection, database) is not None:
        _upgrade(connection, database)
        return
    METADATA.create_all(connection)
    connection.execute(_CREATE_VERSION)
    connection.execute(_SET_VERSION, {"version": VERSIONS[-1]})
    ensure_identity(connection)


def _upgrade(connection: Connection, database: Database) -> None:
    """Run the missing migrations inside the transaction of a connection."""
    lock_keys(connection, [MIGRATION_KEY])
    if version_of(connection, database) == VERSIONS[-1]:
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    ensure_identity(connection)


# The privileges of the PostgreSQL role, checked when a store is opened for work: a missing one is reported then, and
# not by a statement that fails hours later.


_PRIVILEGES: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
# These queries return what is missing, so that a role with every privilege gets no row.
_MISSING_ON_TABLES: Final = text(
    "SELECT t.name, r.kind FROM unnest(CAST(:tables AS text[])) AS t (name) "
    "CROSS JOIN unnest(CAST(:rights AS text[])) AS r (kind) "
    "WHERE NOT has_table_privilege(to_regclass(quote_ident(t.name)), r.kind)"
)
# The CASE keeps the planner from calling has_sequence_privilege for a relation that is no sequence, which is an error.
_MISSING_ON_SEQUENCES: Final = text(
    "SELECT s.oid::regclass::text FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a' "
    "AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass "
    "WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') ELSE false END "
    "AND d.refobjid = ANY (SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(:tables AS text[])) AS t (name)) "
    "ORDER BY 1"
)
_CURRENT_ROLE: Final = text("SELECT current_user, current_schema()")


def require_privileges(database: Database) -> None:
    """Raise StoreError if the role lacks a privilege on a table or sequence, with the GRANT to run. No-op on SQLite."""
    if not database.is_sqlite and (lack := database.read(_describe_missing)):
        raise StoreError(f"store {describe_url(database.url)}: {lack}")


def _describe_missing(connection: Connection) -> str:
    """Return which privileges the role lacks and the GRANT to run; empty if it has them all."""
    lacks = missing_privileges(connection)
    if not lacks:
        return ""
    user, schema = connection.execute(_CURRENT_ROLE).one()
    words = f"permission denied: the role {user} lacks {'; '.join(lacks)}"
    known = find_pg_error("42501", words)
    remedy = remedy_of(known, words, {"user": user, "schema": schema}) if known else ""
    return f"{words}; {remedy}"


def missing_privileges(connection: Connection) -> tuple[str, ...]:
    """Return the privileges that the role lacks on the store's tables and sequences, as `INSERT, UPDATE on hosts`."""
    tables = sorted((*METADATA.tables, "search_texts"))
    lacking = connection.execute(_MISSING_ON_TABLES, {"tables": tables, "rights": list(_PRIVILEGES)}).all()
    by_tables: dict[str, list[str]] = {}
    for right in _PRIVILEGES:
        if some := [table for table, kind in lacking if kind == right]:
            by_tables.setdefault(_listed(some, tables), []).append(right)
    missing = [f"{', '.join(rights)} on {some}" for some, rights in by_tables.items()]
    sequences = connection.execute(_MISSING_ON_SEQUENCES, {"tables": tables}).scalars().all()
    return (*missing, f"USAGE on {', '.join(sequences)}") if sequences else tuple(missing)


def _listed(some: list[str], every: list[str]) -> str:
    return "every table" if len(some) == len(every) else ", ".join(sorted(some))
