"""The one door for input files: ordinary files alone, read on threads that may be left behind where a file hangs."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, ParamSpec, TypeVar, cast

from worker.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE: Final = timedelta(minutes=1)
"""How long a file may give nothing at all."""
_LOOK_EVERY: Final = timedelta(seconds=1)
_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_ordinary(path: Path) -> BinaryIO:
    """Open a file for reading; raises OSError, without having touched it, where it is a pipe, a device or the like."""
    _require_ordinary(path.stat())  # first: merely to open a device may do something
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        _require_ordinary(os.fstat(descriptor))
        return cast("BinaryIO", io.BufferedReader(_Minded(descriptor, "rb"), 65_536))
    except BaseException:
        os.close(descriptor)
        raise


def _require_ordinary(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "of another kind")
        raise OSError(errno.EINVAL, f"it is {kind}, no ordinary file")


class _Minded(io.FileIO):
    """A file that notes each of its reads."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = super().readinto(buffer)
        note_progress()
        return count or 0


class _Reader(threading.Thread):
    """A thread for one blocking call, which ends with the process even where the call never returns."""

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__(target=run, name="input", daemon=True)
        self.last = time.monotonic()

    @property
    def still(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self.last)


def note_progress() -> None:
    """Note that the reading on this thread has come on."""
    thread = threading.current_thread()
    if isinstance(thread, _Reader):
        thread.last = time.monotonic()


async def aside(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a call that reads files returns; cancelled, or where it hangs, it is left behind on its thread.

    Raises SourceError where nothing came for as long as PATIENCE.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if told.done():
            return
        if error is None:
            told.set_result(cast("T", result))
        else:
            told.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = call(*args, **kwargs)
        except BaseException as exc:  # noqa: BLE001 - it is the caller's
            error = exc
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    reader = _Reader(run)
    reader.start()
    try:
        while not (await asyncio.wait({told}, timeout=min(_LOOK_EVERY, PATIENCE).total_seconds()))[0]:
            if reader.still >= PATIENCE:
                raise SourceError(f"nothing could be read for {PATIENCE.total_seconds():.0f} seconds; check the disk")
        return told.result()
    finally:
        told.cancel()
