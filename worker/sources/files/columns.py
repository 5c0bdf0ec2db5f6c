"""Find the columns of a table of articles (Parquet, CSV, JSON Lines) under their usual names; read Arrow's values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from worker.errors import UsageError

INDEX_KEY: Final = b"corpus_worker.index"
"""The key of a Parquet file's metadata under which the index parameters of its fingerprint columns are, as JSON."""
USUAL_NAMES: Final = MappingProxyType(
    {
        "text": ("text", "content", "body", "maintext"),
        "title": ("title",),
        "url": ("url", "link"),
        "canonical_url": ("canonical_url",),
        "published_at": ("published_at", "published", "date", "timestamp"),
        "published_at_from": ("published_at_from",),
        "fetched_at": ("fetched_at",),
        "id": ("id",),
        "source": ("source",),
        "host": ("host",),
        "language": ("language",),
        "kind": ("kind",),
    }
)
"""The names of a column by what it holds, the preferred one first; those of `export` are among them."""
_TABLES: Final = MappingProxyType({"clusters.parquet": "report.json", "removed.parquet": "changed-"})
"""The tables without texts that `dedupe` and `release` write, each with how the name of a file beside it begins."""
_SHOWN: Final = 20  # column names in a message: enough to find the right one


def find_columns(names: Iterable[str], *, where: str, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the name of each column that a table has, by what it holds (a key of `USUAL_NAMES`).

    Capital letters, blanks around a name and the form of its diacritics make no difference. Names in `given` come
    before the usual ones. `where` is the file, for messages. Raises UsageError if a given column is missing, or if
    there is no text.
    """
    present = list(names)
    by_key = {_key(name): name for name in reversed(present)}
    found = {
        role: next(by_key[name] for name in usual if name in by_key)
        for role, usual in USUAL_NAMES.items()
        if any(name in by_key for name in usual)
    }
    for role, name in (given or {}).items():
        if _key(name) not in by_key:
            raise UsageError(f"{where}: there is no column {name!r} ({role}); found {_listed(present)}")
        found[role] = name if name in present else by_key[_key(name)]
    if "text" not in found:
        usual = ", ".join(USUAL_NAMES["text"])
        raise UsageError(f"{where}: no column holds the text ({usual}); found {_listed(present)}")
    return {role: found[role] for role in USUAL_NAMES if role in found}


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def is_table_of_result(name: str, beside: Iterable[str]) -> bool:
    """Return whether a file, among those `beside` it, is a table that `dedupe` or `release` wrote next to its texts."""
    companion = _TABLES.get(name)
    return companion is not None and any(other.startswith(companion) for other in beside)


def _listed(names: list[str]) -> str:
    """Return column names for a message."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + rest


# Columns of Arrow, which come from Parquet and Arrow files.


def may_hold_text(kind: object) -> bool:
    """Return whether values of a type of Arrow can be text: strings, bytes, or lists of them."""
    name = str(kind)
    return not name.startswith(("struct<", "map<")) and any(each in name for each in ("string", "binary", "null"))


def values_of(column: Any) -> list[Any]:
    """Return the values of a column as Python has them, times in microseconds."""
    import pyarrow as pa

    try:
        if pa.types.is_timestamp(column.type):  # Python has no nanoseconds, and may not know the time zone
            column = column.cast(pa.timestamp("us", column.type.tz and "UTC"), safe=False)
        return list(column.to_pylist())
    except (ValueError, OverflowError, KeyError):
        return [_value(each) for each in column]


def _value(scalar: Any) -> object:
    """Return a value; bytes for a text that is not UTF-8, and None for what Python cannot hold, as the year 12,000."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return bytes(scalar.as_buffer())
    except (ValueError, OverflowError, KeyError):
        return None
