"""Reads the seed corpus: a folder of `NNN_<16 hex digits>.txt` files, with its sub-folders."""

from __future__ import annotations

import hashlib
import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from worker.charset import nearly_utf8
from worker.files.reading import open_regular
from worker.models import Seed

_NAME: Final = re.compile(r"\d+_[0-9a-f]{16}\.txt")
_MOST_BYTES: Final = 10_000_000

SAMPLE: Final = "sample"
"""The sub-folder that holds the seeds of the demonstration."""
SAMPLE_DIGESTS: Final = frozenset(
    {
        "289d76102012cee2",
        "bc821bbc5ba79dc3",
        "1be7b88eb74f8a0d",
        "1bf49670fe3a7844",
        "5c43a2e8cff98b78",
        "a80889a6fb491206",
        "d1666582db30e258",
        "a1d6040b0ce208fe",
        "353063fe98c5d0c8",
        "d9ab89bc39097be9",
        "4d5fd2b9ffdef099",
        "a95d2deb0b45c5eb",
    }
)
"""The first 16 hexadecimal digits of the SHA-256 of each seed of the demonstration."""


def read_seeds(folder: Path) -> Iterator[Seed | str]:
    """Yield every seed of a folder and its sub-folders in the order of their names.

    For each file that cannot be a seed a sentence is yielded instead. The sub-folder `sample` holds the invented texts
    of the demonstration: it is read only where it is named itself. Hidden folders and links to folders are left out.
    """
    refused: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=refused.append):
        left_out = {SAMPLE} if Path(place) == folder else set()
        folders[:] = sorted(name for name in folders if name not in left_out and not name.startswith("."))
        yield from (_read(Path(place, name)) for name in sorted(names) if name.endswith(".txt"))
    for error in refused:
        advice = "set [seeds] path" if Path(str(error.filename)) == folder else "check its permissions"
        yield f"{error.filename}: cannot be read: {error.strerror}; {advice}"


def sample_size(folder: Path) -> int:
    """Return how many seeds lie in the sub-folder `sample`, which is left out when the folder is read."""
    return sum(_NAME.fullmatch(path.name) is not None for path in (folder / SAMPLE).glob("*.txt"))


def _read(path: Path) -> Seed | str:
    if not _NAME.fullmatch(path.name):
        return f"{path}: not a seed's name; a seed is called NNN_<16 hex digits>.txt"
    if not path.is_file():
        return f"{path}: no ordinary file; remove it"
    try:
        with open_regular(path) as opened:
            body = opened.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            return f"{path}: larger than {_MOST_BYTES:,} bytes; split it"
        raw = nearly_utf8(body.removeprefix(BOM_UTF8))
    except OSError as exc:
        return f"{path}: cannot be read: {exc.strerror}"
    if raw is None:
        return f"{path}: not UTF-8 text; save it as UTF-8"
    if not raw.strip():
        return f"{path}: empty; remove it"
    return Seed(name=path.name, raw=raw, sha256=hashlib.sha256(body).hexdigest())
