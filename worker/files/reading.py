"""Reading of input files: regular files only, on daemon threads that are abandoned if a read hangs.

A read can hang forever on a network file system or a broken disk, and a blocked thread cannot be cancelled. Usage:
`await read_in_thread(parse, path)`, where `parse` opens its file with `open_regular`.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, ParamSpec, TypeVar, cast

from worker.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

P = ParamSpec("P")
T = TypeVar("T")

READ_TIMEOUT: Final = timedelta(minutes=1)
"""How long reading may make no progress. Chosen, not measured: longer than a disk takes to spin up."""
_CHECK_EVERY: Final = timedelta(seconds=1)  # precise enough beside a minute, and cheap
# What a path is if it is no regular file, for error messages.
_FILE_TYPES: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; raises OSError for a pipe, a device or the like, without opening it."""
    _require_regular(path.stat())  # before opening: opening a device can have side effects
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        _require_regular(os.fstat(descriptor))
        return cast("BinaryIO", io.BufferedReader(_ProgressFile(descriptor, "rb"), 65_536))
    except BaseException:
        os.close(descriptor)
        raise


def shown_path(path: str | Path) -> str:
    """Return a path as text that can be stored and printed; what is not UTF-8 in it is escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def walk_once(
    folder: str | Path, onerror: Callable[[OSError], object] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what `os.walk` yields, without hidden folders; links are followed, but each folder is there only once."""
    walked: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=onerror, followlinks=True):
        if (real := os.path.realpath(place)) in walked:  # by a link to a folder above or beside it
            folders.clear()
            continue
        walked.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield place, folders, names


def _require_regular(found: os.stat_result) -> None:
    """Raise OSError if a file's status is not that of a regular file."""
    if not stat.S_ISREG(found.st_mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(found.st_mode), "of another kind")
        raise OSError(errno.EINVAL, f"it is {kind}, no ordinary file")


class _ProgressFile(io.FileIO):
    """A file that calls `note_progress` after each read."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = super().readinto(buffer)
        note_progress()
        return count or 0


class _ReaderThread(threading.Thread):
    """A daemon thread for one blocking call: it does not keep the process alive if the call never returns."""

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__(target=run, name="input", daemon=True)
        self.last = time.monotonic()

    @property
    def idle_for(self) -> timedelta:
        """The time since the last progress."""
        return timedelta(seconds=time.monotonic() - self.last)


def note_progress() -> None:
    """Record that the reading on the current thread has made progress; does nothing on other threads."""
    thread = threading.current_thread()
    if isinstance(thread, _ReaderThread):
        thread.last = time.monotonic()


async def read_in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that reads files on its own thread and return its result.

    Raises SourceError after `READ_TIMEOUT` without progress. Then, and on cancellation, the thread is abandoned.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def set_result(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(cast("T", result))
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = call(*args, **kwargs)
        except BaseException as exc:  # noqa: BLE001 - raised again in the caller
            error = exc
        with suppress(RuntimeError):  # the loop is closed: no caller is waiting
            loop.call_soon_threadsafe(set_result, result, error)

    reader = _ReaderThread(run)
    reader.start()
    try:
        while not (await asyncio.wait({future}, timeout=min(_CHECK_EVERY, READ_TIMEOUT).total_seconds()))[0]:
            if reader.idle_for >= READ_TIMEOUT:
                raise SourceError(
                    f"nothing could be read for {READ_TIMEOUT.total_seconds():.0f} seconds; check the disk"
                )
        return future.result()
    finally:
        future.cancel()
