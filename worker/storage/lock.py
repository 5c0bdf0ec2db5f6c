"""One daemon at a time on one SQLite store: a lock the operating system gives back even after kill -9."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import StoreBusy, StoreError


class DaemonLock:
    """A file lock beside the store; the file says who holds it."""

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(store.name + ".daemon.lock")
        self._descriptor: int | None = None

    def take(self, owner: str) -> None:
        """Hold the lock until `give_back`; raises StoreBusy with what the other owner wrote about itself."""
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            message = f"lock file {self._path} cannot be opened ({error.strerror}): check the permissions of its folder"
            raise StoreError(message) from error
        self._descriptor = self._locked(descriptor, owner)

    def holder(self) -> str:
        """Return what the holder wrote about itself, or nothing where nobody holds the lock."""
        if self._descriptor is not None or not self._path.exists():
            return ""
        with self._path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return file.read(1000).decode("utf-8", "replace").strip() or "another process"
        return ""

    def give_back(self) -> None:
        """Let the next daemon in."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def _locked(self, descriptor: int, owner: str) -> int:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(descriptor)
            message = (
                f"another daemon works on this store: {holder}; stop it first, or give this one its own [store] url"
            )
            raise StoreBusy(message) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode("utf-8"), 0)
        return descriptor


@contextmanager
def without_daemon(store: Path | None, *, why: str) -> Iterator[None]:
    """Keep daemons off a SQLite store meanwhile, and tell them why; raises StoreBusy where one is at work on it."""
    if store is None:
        yield
        return
    lock = DaemonLock(store)
    lock.take(why)
    try:
        yield
    finally:
        lock.give_back()
