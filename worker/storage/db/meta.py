"""The table `meta`: which store this is, whether a copy into it is complete, and values kept by name."""

from __future__ import annotations

import uuid
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from worker.errors import StoreError
from worker.storage.db.schema import META
from worker.storage.db.sql import add_missing, upsert

# The table `meta`: single remarks about the whole store, by name.


_READ = select(META.c.value).where(META.c.key == bindparam("name"))
_WRITE = upsert(META, lambda new: new.on_conflict_do_update(index_elements=["key"], set_={"value": new.excluded.value}))


def read_meta(connection: Connection, name: str) -> str | None:
    """Return what is noted under a name, None where nothing is."""
    value: str | None = connection.execute(_READ, {"name": name}).scalar()
    return value


def write_meta(connection: Connection, name: str, value: str) -> None:
    """Note something under a name, in the place of what was."""
    connection.execute(_WRITE.on(connection), {"key": name, "value": value})


def delete_meta(connection: Connection, *names: str) -> None:
    """Let go of what is noted under names."""
    connection.execute(delete(META).where(META.c.key.in_(names)))


IDENTITY: Final = "store"
"""A random name, given once and moved along: every copy of a store has it."""
COPIED_FROM: Final = "being moved from"
"""The identity of the store that is being moved into this one; it never leaves the store it stands in."""


def ensure_identity(connection: Connection) -> str:
    """Give a store a name that is the same however its URL is written; return the one it has."""
    add_missing(connection, META, [{"key": IDENTITY, "value": str(uuid.uuid4())}])  # it keeps the one it has
    return read_meta(connection, IDENTITY) or ""


def identity_of(connection: Connection) -> str | None:
    """Return the name a store was given, None where it has none yet."""
    return read_meta(connection, IDENTITY)


def copied_from(connection: Connection) -> str | None:
    """Return the identity of the store whose move into this one is not finished, None where there is no such move."""
    return read_meta(connection, COPIED_FROM)


def begin_copy(connection: Connection, identity: str) -> None:
    """Mark a store that holds nothing as one that another is being moved into."""
    connection.execute(delete(META))
    write_meta(connection, COPIED_FROM, identity)


def end_copy(connection: Connection) -> None:
    """Take the mark away: everything has arrived."""
    delete_meta(connection, COPIED_FROM)


def require_complete(connection: Connection) -> None:
    """Raise StoreError where a move into the store was not finished, so that only a part of it is there."""
    if copied_from(connection) is not None:
        raise StoreError(
            "a move into this store is not finished: wait for it to end, or where it was broken off, run "
            "`corpus-worker migrate-store FROM TO` again"
        )
