"""Whether the files of an open SQLite store are still those that were opened.

SQLite does not look: it goes on reading and writing a file that was deleted or moved away, or whose disk has gone,
and everything written is lost with the last process that has it open.
"""

from __future__ import annotations

from pathlib import Path

from worker.errors import StoreError

_FileId = tuple[int, int]


class Ground:
    """Remembers which files a store was opened in. They are not opened for that: to close one would drop the locks."""

    def __init__(self, store: Path, *, name: str) -> None:
        self._store = store
        self._name = name
        self._id: _FileId | None = None
        self._beside: dict[Path, _FileId] = {}

    def note(self) -> None:
        """Remember what is there, right after a connection was opened."""
        self._id = self._id or _id_of(self._store)
        found = ((path, _id_of(path)) for path in (Path(f"{self._store}-wal"), Path(f"{self._store}-shm")))
        self._beside = {path: number for path, number in found if number is not None}

    def require(self, *, in_use: bool) -> None:
        """Raise StoreError where the store is not there any more; `in_use` while a connection has its log open."""
        if self._id is None:
            return
        found = _id_of(self._store)
        if found is None:
            raise StoreError(
                f"store {self._name} is gone: its file was deleted or moved, or its disk is away; nothing is stored "
                "until it is back; to begin a new store, stop the worker and start it anew",
                retry=True,
            )
        if found != self._id:
            raise StoreError(
                f"store {self._name} was replaced by another file while it was open, and nothing is stored: stop the "
                f"worker, remove {self._store.name}-wal and {self._store.name}-shm, which belong to the file it had, "
                "and start it anew",
                retry=True,
            )
        if in_use and not self._beside:
            self.note()  # a store that is being made has no log until somebody writes to it
        for path, number in self._beside.items() if in_use else ():
            if _id_of(path) != number:
                raise StoreError(
                    f"store {self._name}: {path.name} was deleted or replaced while it was open; stop everything that "
                    "works on the store, which writes back what is left of it, and check with `corpus-worker audit`",
                    retry=True,
                )


def _id_of(path: Path) -> _FileId | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
