"""Atomic writing of files and folders; every file this program writes for the user goes through this module.

A file is written in its target's folder under a random name, readable by its owner only. When it is complete and
synced to disk, it is renamed to its target. Symbolic links, pipes, sockets, devices and files of other users are never
written to: such targets raise OSError with the reason.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final, NoReturn, cast

PREFIX: Final = ".corpus-worker-"
"""Prefix of the names of temporary files; one is left behind only if the process is killed."""
# Names of open streams: a target of one of these is written to, not replaced.
_STANDARD_STREAMS: Final = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,6})")
_FILE_TYPES: Final = {
    stat.S_IFREG: "is a file",
    stat.S_IFDIR: "is a folder",
    stat.S_IFLNK: "is a link, and nothing is written through one",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}
_FSYNC_THREADS: Final = 16
"""Threads that sync a folder's files. Chosen, not measured: fsync waits for the disk, which accepts many at once."""
_REMOVALS: Final = 20  # attempts to delete a folder; a second one was enough where threads wrote into it
_ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)  # SIGINT raises KeyboardInterrupt and needs no help


@contextmanager
def open_output(target: Path) -> Iterator[BinaryIO]:
    """Yield a binary file: an atomic one, or the stream that `target` names (`-`, `/dev/stdout`, `/dev/fd/3`)."""
    descriptor = _descriptor(target)
    if descriptor is None:
        with atomic_file(target) as file:
            yield file
        return
    sys.stdout.flush()
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        yield stream


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file (its path is `file.name`) that replaces `target` when the block succeeds.

    Raises OSError if `target` must not be replaced or the file cannot be written.
    """
    require_replaceable(target)
    made = target.parent / random_name()
    with clean_up_on_signal():
        try:
            with open(made, "xb", opener=_open_private) as file:
                yield cast("BinaryIO", file)
                file.flush()
                _set_mode_and_sync(file.fileno(), target)
            made.rename(target)
            _fsync_path(target.parent)
        finally:
            with suppress(OSError):
                made.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` when the block succeeds.

    Raises OSError if `target` exists and is not an empty folder of this user.
    """
    mode = _require_empty_folder(target)
    with private_folder(target.parent) as private:
        yield private
        with ThreadPoolExecutor(_FSYNC_THREADS) as threads:  # many files sync in about the time of one
            for _ in threads.map(_fsync_path, private.rglob("*")):
                pass
        private.chmod(0o777 & ~_umask() if mode is None else mode)
        _require_empty_folder(target)
        private.rename(target)
        _fsync_path(target.parent)


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent` with mode 0700; it is deleted when the block ends, unless renamed by then."""
    made = parent / random_name()
    with clean_up_on_signal():
        made.mkdir(mode=0o700)
        try:
            yield made
        finally:
            # A thread that was abandoned may make another file in it meanwhile; it cannot when the folder is gone.
            for _ in range(_REMOVALS):
                shutil.rmtree(made, ignore_errors=True)
                if not made.exists():
                    break


def write_secret(target: Path, content: bytes) -> None:
    """Write a new file that only its owner can read; raises OSError if there is one, and for the folders of others."""
    _require_trusted_parents(target)
    with open(target, "xb", opener=_open_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(made: Path, target: Path) -> None:
    """Rename a complete file to `target`, with the permissions of the file it replaces, or else those of a new file."""
    with made.open("rb") as file:
        _set_mode_and_sync(file.fileno(), target)
    made.rename(target)
    _fsync_path(target.parent)


def require_replaceable(target: Path) -> int | None:
    """Return the permissions of the existing file `target`, None if there is none.

    Raises OSError if it is not a regular file, belongs to another user, or is reached through another user's link.
    """
    found = _checked_target(target, expected=stat.S_IFREG)
    return None if found is None else _permissions(found)


def _set_mode_and_sync(descriptor: int, target: Path) -> None:
    """Give a file the permissions of `target` (those of a new file if there is none) and sync it to disk."""
    mode = require_replaceable(target)
    os.fchmod(descriptor, 0o666 & ~_umask() if mode is None else mode)
    os.fsync(descriptor)


def _require_empty_folder(target: Path) -> int | None:
    """Return the permissions of the existing empty folder `target`, None if there is none.

    Raises OSError if it is not empty, not a folder of this user, or the current folder.
    """
    found = _checked_target(target, expected=stat.S_IFDIR)
    if found is None:
        return None
    if any(target.iterdir()):
        raise _refusal("is not empty")
    if target.samefile("."):
        raise _refusal("is the folder you are in, and it would be replaced")
    return _permissions(found)


def _checked_target(target: Path, *, expected: int) -> os.stat_result | None:
    """Return the status of `target`, None if it does not exist; raises OSError if it has another type than expected."""
    _require_trusted_parents(target)
    found = _lstat(target)
    if found is not None and stat.S_IFMT(found.st_mode) != expected:
        raise _refusal(_FILE_TYPES.get(stat.S_IFMT(found.st_mode), "is no ordinary file"))
    return found


def _require_trusted_parents(target: Path) -> None:
    """Raise OSError if a parent is a symbolic link of another user, as can be planted in a world-writable folder."""
    for parent in target.absolute().parents:
        found = _lstat(parent)
        if found is not None and stat.S_ISLNK(found.st_mode) and found.st_uid not in {0, os.geteuid()}:
            raise _refusal(f"is reached through {parent}, a link of another user")


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _permissions(found: os.stat_result) -> int:
    """Return the permission bits of a file; raises OSError if it belongs to another user."""
    if found.st_uid != os.geteuid():
        raise _refusal("belongs to another user")
    return found.st_mode & 0o777


def _refusal(why: str) -> OSError:
    """Return the error for a target that must not be written; `why` completes the sentence "it …"."""
    return OSError(errno.EPERM, f"it {why}")


def _descriptor(target: Path) -> int | None:
    """Return the file descriptor that a name such as `-` or `/dev/fd/3` denotes, None for an ordinary path."""
    numbered = _DESCRIPTOR.fullmatch(str(target))
    return int(numbered[1]) if numbered else _STANDARD_STREAMS.get(str(target))


def _open_private(name: str, flags: int) -> int:
    """Open a new file, readable by its owner only, without following a link (an `opener` for `open`)."""
    return os.open(name, flags | os.O_NOFOLLOW, 0o600)


def random_name() -> str:
    """Return a name that other users cannot guess, and so cannot create before us."""
    return PREFIX + secrets.token_hex(8)


def _fsync_path(path: Path) -> None:
    """Sync a file's content or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0o077)  # the umask can only be read by setting it; until it is restored, the strictest applies
    os.umask(mask)
    return mask


@contextmanager
def clean_up_on_signal() -> Iterator[None]:
    """Turn signals that would kill the process into SystemExit while the block runs, so that it can clean up.

    Only signals without a handler are affected, and only in the main thread, where Python allows to set handlers.
    """
    here = threading.current_thread() is threading.main_thread()
    ours = [number for number in _ENDING_SIGNALS if here and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _exit_on_signal)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Raise SystemExit so that `finally` blocks run; the same signal again is ignored."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
