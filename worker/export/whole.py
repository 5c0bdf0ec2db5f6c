"""Where an export goes: files and folders that appear whole or not at all, and streams that are open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from worker.errors import UsageError
from worker.outputs import whole_folder, written


@contextmanager
def opened(target: Path) -> Iterator[BinaryIO]:
    """Give what to write a file into, which becomes `target` when the block ends well; raises UsageError."""
    with _translated(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with written(target) as file:
            yield file


@contextmanager
def folder(target: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes `target` when the block ends well; raises UsageError."""
    with _translated(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(target) as made:
            yield made


@contextmanager
def _translated(target: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads has seen enough
    except OSError as exc:
        raise UsageError(f"{target}: cannot be written: {exc.strerror or exc}; name another --output") from exc
