"""Reads the seed corpus: a folder of `NNN_<16 hex digits>.txt` files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from worker.inputs import open_ordinary
from worker.models import Seed

_NAME: Final = re.compile(r"\d+_[0-9a-f]{16}\.txt")
_MOST_BYTES: Final = 10_000_000


def read_seeds(folder: Path) -> Iterator[Seed | str]:
    """Yield every seed of a folder in the order of its names, and a sentence for each file that cannot be one."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".txt")
    except OSError as exc:
        yield f"{folder}: cannot be read: {exc.strerror}; set [seeds] path"
        return
    for path in paths:
        yield _read(path)


def _read(path: Path) -> Seed | str:
    if not _NAME.fullmatch(path.name):
        return f"{path}: not a seed's name; a seed is called NNN_<16 hex digits>.txt"
    try:
        with open_ordinary(path) as opened:
            body = opened.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            return f"{path}: larger than {_MOST_BYTES:,} bytes; split it"
        raw = body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        return f"{path}: not UTF-8 text (byte {exc.start}); save it as UTF-8"
    except OSError as exc:
        return f"{path}: cannot be read: {exc.strerror}"
    if not raw.strip():
        return f"{path}: empty; remove it"
    return Seed(name=path.name, raw=raw, sha256=hashlib.sha256(body).hexdigest())
