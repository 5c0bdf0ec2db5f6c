"""Which files are those of a SQLite store, so that nothing else is ever written over them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite adds to the name of a database for the files beside it."""
_LOGS: Final = {"-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"), "-journal": (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",)}
"""What SQLite's own logs begin with."""


def file_of(url: URL) -> Path | None:
    """Return the file of a SQLite database; None in memory or on a server."""
    name = url.database
    return Path(name) if url.get_backend_name() == "sqlite" and name and name != ":memory:" else None


def is_store_file(url: str, path: Path) -> bool:
    """Whether a path names a file of the store at a URL, whether or not that can be opened."""
    try:
        store = file_of(make_url(url))
    except ArgumentError:
        return False
    return store is not None and belongs(path, store)


def belongs(path: Path, store: Path) -> bool:
    """Whether a path names a database's own file, one that SQLite keeps beside it, or a lock."""
    try:
        place, own = path.resolve(), store.resolve()
        is_lock = place.name.startswith(f"{own.name}.") and place.name.endswith(".lock")
        beside = is_lock or place.name.removeprefix(own.name) in {"", *BESIDE}
        return (place.parent == own.parent and beside) or (path.exists() and store.exists() and path.samefile(store))
    except OSError:  # no file can have such a name
        return False


def left_log(path: Path) -> Path | None:
    """Return a log of SQLite that lies beside a path: it would be read into whatever file gets that name."""
    for ending, beginnings in _LOGS.items():
        log = path.with_name(path.name + ending)
        try:
            if log.is_file():
                with log.open("rb") as file:
                    if file.read(8).startswith(beginnings):
                        return log
        except OSError:
            return log
    return None
