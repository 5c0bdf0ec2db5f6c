"""The export formats (JSON Lines, text files, Parquet), the fields they write, and their output files.

Files and folders are written atomically: they appear complete or not at all. `-` and `/dev/fd/N` are written as open
streams.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO

from worker.errors import UsageError
from worker.files.atomic import atomic_folder, open_output
from worker.models import ORIGIN_FIELDS, PAGE_FIELDS, Article, StoredArticle

if TYPE_CHECKING:
    import pyarrow as pa


# The fields of an article, with one order for all formats.


EXPORTED: Final = (
    "id", "url", "canonical_url", "source", "host", "title", "authors", "published_at", "published_at_from",
    "modified_at", "fetched_at", "language", "text", "words", "sha256", "cluster", "revision", "kind",
    *PAGE_FIELDS, "fields_from",
)  # fmt: skip
"""The fields that `export` writes."""
PREVIEWED: Final = (
    "url", "canonical_url", "host", "title", "authors", "published_at", "published_at_from", "modified_at", "language",
    "words", "rights", "sha256", "text", *PAGE_FIELDS, "fields_from",
)  # fmt: skip
"""The fields that `extract` prints of an article that is not stored."""


def exported_fields(stored: StoredArticle) -> dict[str, object]:
    """Return the values of the fields in `EXPORTED`, times as `datetime`."""
    values = _values(stored.article) | {"id": stored.id, "cluster": stored.cluster, "revision": stored.revision}
    return {name: values[name] for name in EXPORTED}


def previewed_fields(article: Article) -> dict[str, object]:
    """Return the values of the fields in `PREVIEWED`, times as `datetime`."""
    values = _values(article)
    return {name: values[name] for name in PREVIEWED}


def to_json_values(values: Mapping[str, object]) -> dict[str, object]:
    """Return values with each `datetime` replaced by ISO 8601 text with its offset."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _values(article: Article) -> dict[str, object]:
    """Return every field of an article that any output uses."""
    rights = article.rights
    return {
        "url": article.url,
        "canonical_url": article.canonical_url,
        "source": article.source,
        "host": article.host,
        "title": article.title,
        "authors": list(article.authors),
        "published_at": article.published_at,
        "published_at_from": article.published_at_from,
        "modified_at": article.modified_at,
        "fetched_at": article.fetched_at,
        "language": article.language,
        "text": article.text,
        "words": article.words,
        "sha256": article.sha256,
        "kind": article.kind.value,
        "lead": article.lead,
        "section": article.section,
        "tags": list(article.tags),
        "description": article.description,
        "image": article.image,
        "image_caption": article.image_caption,
        "fields_from": {name: article.fields_from.get(name) for name in ORIGIN_FIELDS},
        "rights": {
            "robots": list(rights.robots),
            "tdm_reservation": rights.tdm_reservation,
            "licence": rights.licence,
            "copyright_holder": rights.copyright_holder,
        },
    }


@contextmanager
def open_export(target: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `target` when the block succeeds; raises UsageError if it cannot be written."""
    with _as_usage_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_output(target) as file:
            yield file


@contextmanager
def open_export_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `target` when the block succeeds; raises UsageError if it cannot be written."""
    with _as_usage_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(target) as made:
            yield made


@contextmanager
def _as_usage_error(target: Path) -> Iterator[None]:
    """Turn an OSError of the block into a UsageError that names the target."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of our output has stopped, which is no error of ours
    except OSError as exc:
        raise UsageError(f"{target}: cannot be written: {exc.strerror or exc}; name another --output") from exc


# JSON Lines: one object a line.


def write_jsonl(articles: Iterable[StoredArticle], target: Path | None) -> int:
    """Write articles to a file, or to standard output where `target` is None; return how many.

    The file is written atomically. Raises UsageError if it cannot be written.
    """
    count = 0
    with _lines(target) as stream:
        for stored in articles:
            stream.write(json.dumps(to_json_values(exported_fields(stored)), ensure_ascii=False) + "\n")
            count += 1
    return count


@contextmanager
def _lines(target: Path | None) -> Iterator[TextIO]:
    """Yield the text stream to write lines to: a file written atomically, or standard output."""
    if target is None:
        yield sys.stdout
        return
    with open_export(target) as file:
        stream = TextIOWrapper(file, encoding="utf-8", newline="\n")
        yield stream
        stream.detach()  # flushes; `open_export` closes the file


# Text: one file for each article, in the form of the seed corpus (the title on the first line, then the text).


def write_text(articles: Iterable[StoredArticle], target: Path | None) -> int:
    """Write one file for each article into a new or empty folder; return how many.

    The folder is written atomically. Raises UsageError if none is given, if it is not empty or cannot be written.
    """
    if target is None:
        raise UsageError("text goes into a folder; name a new or empty one with --output DIR")
    with open_export_folder(target) as made:
        return sum(_write_one(stored, made) for stored in articles)


def file_name(stored: StoredArticle) -> str:
    """Return the file name of an article: its id and the first 16 hexadecimal digits of its text's SHA-256."""
    return f"{stored.id:03d}_{stored.article.sha256[:16]}.txt"


def _write_one(stored: StoredArticle, place: Path) -> int:
    """Write the file of one article and return 1, for counting."""
    body = f"{stored.article.title}\n{stored.article.text}\n"
    (place / file_name(stored)).write_text(body, encoding="utf-8", newline="\n")
    return 1


# Apache Parquet: one row for each article, with typed columns. pyarrow is an optional dependency.


ROWS_AT_ONCE: Final = 2_000
"""Rows of one row group: a few megabytes of text, which bounds memory for a corpus of any size."""
# Parquet types by field. All other fields are strings, but `authors` and `tags` are lists of strings, and `fields_from`
# is a struct of strings.
_NUMBERS: Final = {"id": "int64", "cluster": "int64", "words": "int32", "revision": "int32"}
_TIMES: Final = frozenset({"published_at", "modified_at", "fetched_at"})
_NULLABLE: Final = frozenset({"published_at", "modified_at", *PAGE_FIELDS} - {"tags"})


def write_parquet(articles: Iterable[StoredArticle], target: Path | None) -> int:
    """Write articles to a Parquet file (zstd); return how many.

    The file is written atomically. Raises UsageError if no file is given, pyarrow is missing, or the file cannot be
    written.
    """
    if target is None:
        raise UsageError("parquet goes into a file; name one with --output FILE")
    schema = _schema()
    from pyarrow import RecordBatch, Table
    from pyarrow.parquet import ParquetWriter

    count = 0
    with open_export(target) as file, ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in _groups(articles):
            batch = RecordBatch.from_pylist(rows, schema=schema)
            writer.write_table(Table.from_batches([batch]), row_group_size=ROWS_AT_ONCE)
            count += len(rows)
    return count


def _groups(articles: Iterable[StoredArticle]) -> Iterator[list[dict[str, object]]]:
    """Yield the rows of one row group after another."""
    left = iter(articles)
    while rows := [exported_fields(stored) for stored in islice(left, ROWS_AT_ONCE)]:
        yield rows


def _schema() -> pa.Schema:
    """Return the columns: `EXPORTED` in order, times as UTC timestamps in microseconds."""
    try:
        import pyarrow as pa
    except ImportError:
        raise UsageError('parquet needs pyarrow: run `pip install "corpus-worker[parquet]"`') from None
    kinds = {name: pa.type_for_alias(number) for name, number in _NUMBERS.items()}
    kinds |= dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC"))
    text = pa.string()
    kinds |= dict.fromkeys(("authors", "tags"), pa.list_(text))
    kinds["fields_from"] = pa.struct([(name, text) for name in ORIGIN_FIELDS])
    return pa.schema([pa.field(name, kinds.get(name, text), nullable=name in _NULLABLE) for name in EXPORTED])
