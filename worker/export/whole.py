"""A file that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.errors import UsageError


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `target` when the block ends well; raises UsageError where it cannot."""
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(target)
    except OSError as exc:
        raise UsageError(f"{target}: cannot be written: {exc.strerror}; name another --output") from exc
    finally:
        with suppress(OSError):
            partial.unlink()
