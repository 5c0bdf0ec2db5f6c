"""The table `meta`: single remarks about the whole store, by name."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select

from worker.storage.dialect import upsert
from worker.storage.tables import META

_NOTED = select(META.c.value).where(META.c.key == bindparam("name"))
_NOTE = upsert(META, lambda new: new.on_conflict_do_update(index_elements=["key"], set_={"value": new.excluded.value}))


def noted(connection: Connection, name: str) -> str | None:
    """Return what is noted under a name, None where nothing is."""
    value: str | None = connection.execute(_NOTED, {"name": name}).scalar()
    return value


def note(connection: Connection, name: str, value: str) -> None:
    """Note something under a name, in the place of what was."""
    connection.execute(_NOTE.on(connection), {"key": name, "value": value})


def forget(connection: Connection, *names: str) -> None:
    """Let go of what is noted under names."""
    connection.execute(delete(META).where(META.c.key.in_(names)))
