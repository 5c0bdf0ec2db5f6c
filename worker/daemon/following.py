"""Notices that the configuration file was changed, so that sources can be followed without a signal."""

from __future__ import annotations

from pathlib import Path


class WatchedFile:
    """A file and what it looked like at the last look: by its time, its size and its number on the disk."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Return whether the file is another than at the last look, or was never looked at.

        A file that cannot be looked at has not changed: it may be about to be replaced.
        """
        now = self._look()
        if now is None or now == self._seen:
            return False
        self._seen = now
        return True

    def _look(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
