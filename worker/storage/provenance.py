"""Which corpus a store holds, and whether all of it has arrived: two rows of `meta` that moves are told apart by."""

from __future__ import annotations

import uuid
from typing import Final

from sqlalchemy import Connection, delete

from worker.errors import StoreError
from worker.storage.dialect import add_missing
from worker.storage.meta import forget, note, noted
from worker.storage.tables import META

IDENTITY: Final = "store"
"""A random name, given once and moved along: every copy of a store has it."""
MARK: Final = "being moved from"
"""The identity of the store that is being moved into this one; it never leaves the store it stands in."""


def identify(connection: Connection) -> str:
    """Give a store a name that is the same however its URL is written; return the one it has."""
    add_missing(connection, META, [{"key": IDENTITY, "value": str(uuid.uuid4())}])  # it keeps the one it has
    return noted(connection, IDENTITY) or ""


def identity_of(connection: Connection) -> str | None:
    """Return the name a store was given, None where it has none yet."""
    return noted(connection, IDENTITY)


def origin_of(connection: Connection) -> str | None:
    """Return the identity of the store whose move into this one is not finished, None where there is no such move."""
    return noted(connection, MARK)


def begin_arriving(connection: Connection, identity: str) -> None:
    """Mark a store that holds nothing as one that another is being moved into."""
    connection.execute(delete(META))
    note(connection, MARK, identity)


def end_arriving(connection: Connection) -> None:
    """Take the mark away: everything has arrived."""
    forget(connection, MARK)


def require_whole(connection: Connection) -> None:
    """Raise StoreError where a move into the store was not finished, so that only a part of it is there."""
    if origin_of(connection) is not None:
        raise StoreError(
            "a move into this store is not finished: wait for it to end, or where it was broken off, run "
            "`corpus-worker migrate-store FROM TO` again"
        )
