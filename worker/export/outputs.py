"""Where an export goes: a file, a folder, standard output, or an object of a remote store that fsspec knows.

A file, a folder or an object is there completely or not at all. A name that ends in `.gz` or `.zst` is compressed.
"""

from __future__ import annotations

import gzip
import io
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

from worker.errors import UsageError, install_hint
from worker.files.atomic import atomic_folder, clean_up_on_signal, open_output, random_name

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:://|::)")
COMPRESSIONS: Final = (".gz", ".zst")


def local_path(output: str) -> Path | None:
    """Return the path that an output names on this machine; None for a URL of a remote store."""
    if output.lower().startswith("file://"):
        return Path(unquote(urlsplit(output).path))
    return None if _URL.match(output) else Path(output)


def shown_output(output: str) -> str:
    """Return an output as it is printed: passwords in a URL are masked."""
    from worker.config.load import mask_url

    return output if local_path(output) is not None else mask_url(output)


def compression_of(output: str) -> str:
    """Return the ending that compresses a file of this name, empty if none does."""
    return next((ending for ending in COMPRESSIONS if output.lower().endswith(ending)), "")


@contextmanager
def open_export(output: str | None, *, compress: bool = True) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `output` when the block succeeds; None and `-` are standard output.

    With `compress`, what is written is compressed as the name says. Raises UsageError if it cannot be written.
    """
    if output is None or output == "-":
        sys.stdout.flush()
        yield cast("BinaryIO", sys.stdout.buffer)
        return
    path = local_path(output)
    opened = _remote_object(output) if path is None else _local_file(path)
    with opened as file, _compressing(file, output if compress else "") as stream:
        yield stream


@contextmanager
def open_export_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `target` when the block succeeds; raises UsageError if it cannot be written."""
    _require_folder(target)
    with _as_usage_error(str(target), "folder"), atomic_folder(target) as made:
        yield made


@contextmanager
def _local_file(target: Path) -> Iterator[BinaryIO]:
    _require_folder(target)
    with _as_usage_error(str(target), "--output"), open_output(target) as file:
        yield file


def _require_folder(target: Path) -> None:
    """Raise UsageError if the folder that a target is in is missing: a mistyped path makes no folders."""
    with suppress(PermissionError):  # what follows reports it
        if not target.parent.exists():
            raise UsageError(f"{target}: there is no folder {target.parent}; make it first")


@contextmanager
def _as_usage_error(target: str, other: str) -> Iterator[None]:
    """Turn an OSError of the block into a UsageError that names the target, and what else to name."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of our output has stopped, which is no error of ours
    except OSError as exc:
        raise UsageError(f"{target}: cannot be written: {exc.strerror or exc}; name another {other}") from exc


def _compressing(file: BinaryIO, name: str) -> AbstractContextManager[BinaryIO]:
    """Return a stream that compresses into a file as its name says, with the same bytes at any time."""
    match compression_of(name):
        case ".gz":
            return cast("BinaryIO", gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0))
        case ".zst":
            import zstandard

            return zstandard.ZstdCompressor(write_checksum=True).stream_writer(file, closefd=False)
    return nullcontext(file)


# Remote stores. The object is written under a random name and then moved, since not every store has a commit.


@contextmanager
def _remote_object(url: str) -> Iterator[BinaryIO]:
    """Yield a file that becomes the object at a URL when the block succeeds; raises UsageError if it does not."""
    fs, path = _remote_store(url)
    folder, slash, _ = path.rpartition("/")
    made = f"{folder}{slash}{random_name()}"
    with clean_up_on_signal():
        try:
            with _RemoteFile(url, _of_remote(url, fs.open, made, "wb")) as file:
                yield cast("BinaryIO", file)
            _of_remote(url, fs.mv, made, path)
        except BaseException:
            with suppress(Exception):  # the first error is the one to report
                fs.rm(made)
            raise


def _remote_store(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL and the path in it; raises UsageError if there is none."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise UsageError(f"{shown_output(url)}: a remote output needs fsspec: {install_hint('remote')}") from None
    found: tuple[Any, str] = _of_remote(url, url_to_fs, url)
    if not found[1].rstrip("/") or url.endswith("/"):
        raise UsageError(f"{shown_output(url)}: names no file; add its name to --output")
    return found


def _of_remote(url: str, call: Any, *args: Any) -> Any:
    """Return the result of a call to a remote store; whatever it raises becomes a UsageError with the URL."""
    try:
        return call(*args)
    except Exception as exc:  # stores raise the errors of their own client libraries
        why = " ".join(str(getattr(exc, "strerror", "") or exc).split()) or type(exc).__name__
        raise UsageError(f"{shown_output(url)}: cannot be written: {why}; check the URL and the credentials") from exc


class _RemoteFile(io.RawIOBase):
    """A file of a remote store whose errors are UsageErrors."""

    def __init__(self, url: str, file: Any) -> None:
        super().__init__()
        self._url = url
        self._file = file

    def writable(self) -> bool:
        """Return true: it is only written."""
        return True

    def write(self, data: Any) -> int:
        """Write all of the data."""
        return int(_of_remote(self._url, self._file.write, data))

    def close(self) -> None:
        """End the upload."""
        if not self.closed:
            super().close()
            _of_remote(self._url, self._file.close)
