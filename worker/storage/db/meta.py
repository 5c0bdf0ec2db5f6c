"""The table `meta`, a key-value table about the whole store.

It holds the store's identity, the mark of an unfinished copy into this store, and the progress of long commands.
"""

from __future__ import annotations

import uuid
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from worker.errors import StoreError
from worker.storage.db.schema import META
from worker.storage.db.sql import add_missing, upsert

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
