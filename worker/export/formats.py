"""The export formats: JSON Lines, CSV, text files, Parquet, WARC. A format is a function and one line in `FORMATS`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final, Protocol

from worker.errors import UsageError
from worker.export.columns import ExportColumn, row_of, to_json_values
from worker.export.outputs import (
    COMPRESSIONS,
    compression_of,
    local_path,
    open_export,
    open_export_folder,
    shown_output,
)
from worker.export.parquet import require_pyarrow, write_parquet
from worker.export.warc import write_warc
from worker.models import Page, Selection, StoredArticle
from worker.models.base import dataclass


class ExportableCorpus(Protocol):
    """What an export reads: `worker.storage` implements it."""

    def texts(self, selection: Selection) -> Iterable[StoredArticle]:
        """Return the selected texts, ordered by id."""
        ...


class CorpusWithPages(Protocol):
    """What an export of pages reads: `worker.storage` implements it."""

    def pages(self, texts: Iterable[StoredArticle]) -> Iterable[Page]:
        """Return the kept pages that the texts were extracted from."""
        ...


def _as_they_are(_corpus: object, texts: Iterable[StoredArticle]) -> Iterable[Any]:
    return texts


def _pages_of(corpus: CorpusWithPages, texts: Iterable[StoredArticle]) -> Iterable[Any]:
    return corpus.pages(texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """A format: `write` writes items into a binary file, or `write_folder` into a folder, and returns how many.

    `items_of` returns the items of the selected texts: these themselves, unless the format is made of something else
    (`noun`). `streams`: it can go to standard output. `compressible`: a name may end in `.gz` or `.zst`. A format that
    compresses by itself has the `ending` that the names of its files need.
    """

    write: Callable[[Iterable[Any], Sequence[ExportColumn], BinaryIO], int] | None = None
    write_folder: Callable[[Iterable[Any], Path], int] | None = None
    items_of: Callable[[Any, Iterable[StoredArticle]], Iterable[Any]] = _as_they_are
    noun: str = "text"
    streams: bool = False
    compressible: bool = False
    ending: str = ""


def require_output(name: str, output: str | None) -> None:
    """Raise UsageError if a format cannot be written to this output; None is standard output."""
    form = FORMATS[name]
    output = None if output == "-" else output
    if form.write_folder:
        if output is None or local_path(output) is None:
            raise UsageError(f"{name} goes into a folder; name a new or empty one with --output DIR")
    elif output is None and not form.streams:
        raise UsageError(f"{name} goes into a file; name one with --output FILE")
    elif output and form.ending and not (output.lower().endswith(form.ending) or output.startswith("/dev/")):
        raise UsageError(
            f"{shown_output(output)}: {name} is compressed already; name a file that ends in {form.ending}"
        )
    elif output and not form.ending and compression_of(output) and not form.compressible:
        endings = " or ".join(COMPRESSIONS)
        raise UsageError(f"{shown_output(output)}: {name} is not compressed again; name a file without {endings}")


def write_export(name: str, items: Iterable[Any], columns: Sequence[ExportColumn], output: str | None) -> int:
    """Write items in a format, completely or not at all, and return how many.

    `output` is a path, a URL, or None for standard output. Raises UsageError if it cannot be written.
    """
    require_output(name, output)
    form = FORMATS[name]
    if form.write_folder:
        with open_export_folder(local_path(output or "") or Path()) as folder:
            return form.write_folder(items, folder)
    if form.write is None:
        raise TypeError(f"format {name} has no writer")
    if name == "parquet":
        require_pyarrow("parquet")
    with open_export(output, compress=not form.ending) as file:
        return form.write(items, columns, file)


# Lines: JSON Lines (one object a line), and CSV (RFC 4180, with a header; lists as JSON).


def _write_jsonl(texts: Iterable[StoredArticle], columns: Sequence[ExportColumn], file: BinaryIO) -> int:
    count = 0
    for text in texts:
        line = json.dumps(to_json_values(row_of(text, columns)), ensure_ascii=False)
        file.write(line.encode() + b"\n")
        count += 1
    return count


def _write_csv(texts: Iterable[StoredArticle], columns: Sequence[ExportColumn], file: BinaryIO) -> int:
    count = 0
    line = io.StringIO(newline="")
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    for text in texts:
        writer.writerow([_cell(value) for value in to_json_values(row_of(text, columns)).values()])
        file.write(line.getvalue().encode())
        line.seek(0)
        line.truncate()
        count += 1
    file.write(line.getvalue().encode())  # the header of an empty corpus
    return count


_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t")
"""Spreadsheets take a cell that begins so for a formula, and run it."""


def _cell(value: object) -> object:
    """Return the form of a value in CSV: an apostrophe comes before what a spreadsheet would run as a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA_SIGNS):
        return f"'{value}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else value


# Text: one file for each article, in the form of the seed corpus (the title on the first line, then the text).


def _write_texts(texts: Iterable[StoredArticle], folder: Path) -> int:
    return sum(_write_one(text, folder) for text in texts)


def file_name(stored: StoredArticle) -> str:
    """Return the file name of an article: its id and the first 16 hexadecimal digits of its text's SHA-256."""
    return f"{stored.id:03d}_{stored.article.sha256[:16]}.txt"


def _write_one(stored: StoredArticle, place: Path) -> int:
    """Write the file of one article and return 1, for counting."""
    body = f"{stored.article.title}\n{stored.article.text}\n"
    (place / file_name(stored)).write_text(body, encoding="utf-8", newline="\n")
    return 1


# WARC: the kept pages that the texts were extracted from.


def _write_pages(pages: Iterable[Page], _columns: Sequence[ExportColumn], file: BinaryIO) -> int:
    return write_warc(pages, file)


FORMATS: Final[Mapping[str, ExportFormat]] = MappingProxyType(
    {
        "jsonl": ExportFormat(write=_write_jsonl, streams=True, compressible=True),
        "csv": ExportFormat(write=_write_csv, streams=True, compressible=True),
        "text": ExportFormat(write_folder=_write_texts),
        "parquet": ExportFormat(write=write_parquet),
        "warc": ExportFormat(write=_write_pages, items_of=_pages_of, noun="page", streams=True, ending=".warc.gz"),
    }
)
"""The formats by name; the command's choices and the tests are made from this table."""


def format_of(output: str) -> str:
    """Return the format that the ending of a name asks for, `jsonl` if it is of none."""
    bare = output.lower().removesuffix(".gz").removesuffix(".zst")
    return next((name for name in FORMATS if bare.endswith(f".{name}")), "jsonl")
