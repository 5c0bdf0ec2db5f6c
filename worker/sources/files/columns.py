"""Find the columns of a table of articles (Parquet, CSV, JSON Lines) under their usual names, and read their values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from worker.charset import decode_plain, nearly_utf8
from worker.errors import SourceError, UsageError
from worker.sources.entries import named_value, one_line
from worker.urls import resolve

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
MAX_TEXT_BYTES: Final = 10_000_000  # far above any article; a larger text is none. Chosen, not measured
MAX_ROW_BYTES: Final = 2 * MAX_TEXT_BYTES  # beside the text there may be its page
LONGEST_NAME: Final = 80  # characters; a longer cell in the first row is a text. Chosen, not measured
_OWN_SCHEMES: Final = ("seed:", "file:")  # what `export` writes for texts that are of no web page
_SHOWN: Final = 20  # column names in a message: enough to find the right one


def find_columns(names: Iterable[str], *, where: str, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the name of each column that a table has, by what it holds (a key of `USUAL_NAMES`).

    Capital letters, blanks around a name and the form of its diacritics make no difference. Names in `given` come
    before the usual ones. `where` is the file, for messages. Raises UsageError if a given column is missing, or if
    there is no text.
    """
    present, at = list(names), where and f"{where}: "
    by_key = {_key(name): name for name in reversed(present)}
    found = {
        role: next(by_key[name] for name in usual if name in by_key)
        for role, usual in USUAL_NAMES.items()
        if any(name in by_key for name in usual)
    }
    for role, name in (given or {}).items():
        if _key(name) not in by_key:
            raise UsageError(f"{at}there is no column {name!r} ({role}); found {_listed(present)}")
        found[role] = name if name in present else by_key[_key(name)]
    if "text" not in found:
        usual = ", ".join(USUAL_NAMES["text"])
        raise UsageError(f"{at}no column holds the text ({usual}); found {_listed(present)}")
    return {role: found[role] for role in USUAL_NAMES if role in found}


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


# Values, as a row has them.


def text_of(value: object) -> str:
    """Return a value as text: bytes decoded, a list as paragraphs, nothing as an empty text.

    Raises SourceError for what is no text, and for one of more than MAX_TEXT_BYTES.
    """
    text = _string(value)
    if text is None:
        raise SourceError(f"no text in this row but {named_value(value)}")
    if len(text) * 4 > MAX_TEXT_BYTES and len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise SourceError(f"the text is larger than {MAX_TEXT_BYTES:,} bytes; split it")
    return text


def _string(value: object) -> str | None:
    if isinstance(value, bytes):
        return nearly_utf8(value) or decode_plain(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "\n".join(value)
    return value if isinstance(value, str) else "" if value is None else None


def line_of(value: object) -> str:
    """Return a value as one line of text; empty for what is no text."""
    return one_line((_string(value) or "")[:MAX_TEXT_BYTES])


def address_of(value: object) -> tuple[str, str]:
    """Return the address in a row, "" for none, and what is wrong with one that cannot be used."""
    url = line_of(value)
    is_empty = not value or isinstance(value, str | bytes) or str(value) == "nan"  # as pandas has it
    if url.startswith(_OWN_SCHEMES) or (not url and is_empty):
        return "", ""
    if not url.lower().startswith(("http://", "https://")):
        return "", f"{one_line(url or str(value))[:LONGEST_NAME]!r} is no web address (http:// or https://)"
    try:
        resolve(url)
    except SourceError as exc:
        return "", str(exc)
    scheme, _, rest = url.partition(":")
    return f"{scheme.lower()}:{rest}", ""


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
