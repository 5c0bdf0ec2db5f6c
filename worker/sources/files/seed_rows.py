"""Rows of seed files as seeds: which column holds what, and the readers of tables, Parquet and Arrow files.

`SeedReader.seed` makes a seed of the fields of a row. A reader of a form takes it, a `SeedFile` and the number of rows
to leave out, and yields one item for each further row. It raises SourceError for what ends the file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, field, replace
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from worker.charset import decode, nearly_utf8
from worker.dates.parsing import date_text, plausible_date, read_date
from worker.errors import SourceError, UsageError, install_hint
from worker.files.reading import note_progress, shown_path
from worker.models import Fingerprint, IndexParameters, Seed
from worker.models.base import dataclass
from worker.sources.entries import clean_title, one_line
from worker.sources.files.article_files import InputProblem, numbered_lines, opened_file, opened_lines
from worker.sources.files.columns import (
    INDEX_KEY,
    LONGEST_NAME,
    MAX_ROW_BYTES,
    address_of,
    find_columns,
    line_of,
    may_hold_text,
    text_of,
    values_of,
)

_FIELDS: Final = ("text", "title", "url", "date", "id", "language")
_ROLES: Final = MappingProxyType({"date": "published_at"})
"""The fields of a seed that `find_columns` calls otherwise."""
_INDEX_COLUMNS: Final = ("signature", "bands", "anchors", "shingles", "sha256")
_BATCH_BYTES, _MOST_ROWS = 4_000_000, 512
"""How much of a Parquet file is decoded at a time. Chosen, not measured: little beside the memory of the libraries."""
_MAX_UNCLOSED: Final = 20
"""After so many quotes that do not close, a table is given up: each costs another reading of up to MAX_ROW_BYTES."""
_HEAD: Final = 64_000  # bytes of a table that decide about its separator; a header line is far shorter


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFile:
    """A file of the seed corpus, or all text files of one folder; `name` is how `seeds list` shows it.

    `label` is the name relative to the configured path. `files` are the files in the order in which they are read, and
    `ending` is the key of their form in `FORMS`.
    """

    name: str
    label: str
    ending: str
    files: tuple[Path, ...]

    def stamp(self) -> str:
        """Return a hash of the files' names, sizes and times: the same as long as none was changed."""
        digest = hashlib.sha256()
        for path in self.files:
            try:
                found = path.stat()
                state = f"{found.st_size}\0{found.st_mtime_ns}"
            except OSError:  # deleted since, or a link to nowhere: the reader says so, and reads the others
                state = "gone"
            digest.update(f"{path.name}\0{state}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedReader:
    """Reads the rows of seed files. `columns` maps fields to column names, for those not found by a usual name.

    `zone` is the time zone of dates without one; `index` the parameters of fingerprints that can be used as they are.
    """

    now: datetime
    columns: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo = UTC
    index: IndexParameters | None = None

    def seed(self, file: SeedFile, row: int, values: Mapping[str, object], *, where: str) -> Seed | InputProblem:
        """Return the seed in the fields of a row; `where` names it in messages."""
        try:
            raw = text_of(values.get("text"))
        except SourceError as exc:
            return InputProblem(where=where, why=str(exc))
        if not raw.strip():
            return InputProblem(where=where, why="no text in this row")
        body = raw.encode("utf-8", "surrogatepass")
        identity, (url, problem) = values.get("id"), address_of(values.get("url"))
        if isinstance(identity, float) and identity.is_integer():  # pandas has whole numbers beside empty cells so
            identity = int(identity)
        return Seed(
            name=f"{file.label}#{row}",
            row=row,
            raw=raw,
            sha256=hashlib.sha256(body).hexdigest(),
            title=clean_title(line_of(values.get("title"))),
            url=url,
            published_at=plausible_date(self._date(values.get("date")), now=self.now),
            external_id=(str(identity) if isinstance(identity, int) else line_of(identity)) or None,
            language=line_of(values.get("language"))[:LONGEST_NAME],
            problem=problem and f"the seed is without its address: {problem}",
            place=where,
        )

    def _date(self, value: object) -> datetime | None:
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=self.zone)
        return read_date(date_text(value), zone=self.zone)

    def places(self, names: Sequence[str]) -> dict[str, str]:
        """Return which of the columns holds each field; raises SourceError if there is none for the text."""
        given = {_ROLES.get(wanted, wanted): name for wanted, name in self.columns.items()}
        try:
            found = find_columns(names, where="", given=given)
        except UsageError as exc:
            raise SourceError(f"{exc}; name it in [seeds.columns]") from exc
        return {wanted: found[_ROLES.get(wanted, wanted)] for wanted in _FIELDS if _ROLES.get(wanted, wanted) in found}


def shown_name(path: Path) -> str:
    """Return the name of a seed file in the store: relative to the working folder if it is below, else absolute."""
    whole, here = os.path.abspath(path), os.getcwd()  # noqa: PTH100, PTH109 - symbolic links stay as they are written
    is_below = whole == here or whole.startswith(here.rstrip("/") + "/")
    return shown_path(os.path.relpath(whole, here) if is_below else whole)


# Tables with a header.


class _TableLines:
    """The lines of a table as text; `record` are those since `begin`, numbered from `first`; `go_back` repeats them."""

    def __init__(self, opened: BinaryIO, head: bytes) -> None:
        self.record, self.first = list[str](), 1
        self.ended = False
        self._again: list[str] = []
        self._fallback = decode(head).charset if nearly_utf8(head) is None else "utf-8"
        self._lines = (self._decoded(line) for _, line in numbered_lines(opened, MAX_ROW_BYTES))

    def _decoded(self, line: bytes) -> str:
        text = nearly_utf8(line)
        return line.decode(self._fallback, "replace") if text is None else text

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.record.append(line)
        return line

    def begin(self) -> None:
        """Begin a record."""
        self.first += len(self.record)
        self.record = []

    def go_back(self) -> None:
        """Read the lines of this record again, but for the first one."""
        self._again += reversed(self.record[1:])
        del self.record[1:]
        self.ended = False


def read_table(reader: SeedReader, file: SeedFile, start: int) -> Iterator[Seed | InputProblem]:
    """Yield the seed in each row of a table with a header; empty lines are no rows."""
    with opened_lines(file.files[0]) as opened:
        head = opened.peek(_HEAD)
        if b"\r" in head.partition(b"\n")[0].rstrip(b"\r"):
            raise SourceError("its lines end with CR alone; save it with LF or CR LF")
        lines = _TableLines(opened, head)
        rows = _table_rows(lines, "\t" if file.ending == ".tsv" else _separator(head))
        header = next(rows, None) or []
        if not header:
            return
        places = _header_places(reader, header)
        for row, cells in enumerate(rows, 1):
            if row <= start:
                continue
            where = f"{file.name}, line {lines.first}"
            if cells is None:
                yield InputProblem(where=where, why="a quote does not close; the row was left out")
            elif len(cells) <= places["text"]:
                yield InputProblem(where=where, why=f"{len(cells)} cells where the header has {len(header)}")
            else:
                values = {name: cells[at] for name, at in places.items() if at < len(cells)}
                yield reader.seed(file, row, values, where=where)


def _table_rows(lines: _TableLines, separator: str) -> Iterator[list[str] | None]:
    """Yield the cells of each row, None for a row with a quote that does not close."""
    csv.field_size_limit(MAX_ROW_BYTES)
    width, unclosed = 0, 0
    rows = csv.reader(lines, delimiter=separator)
    while True:
        lines.begin()
        try:
            cells = next(rows, None)
        except csv.Error:
            cells = [""] * (width + 1)
        if cells is None:
            return
        if (
            len(lines.record) > 1
            and width
            and (len(cells) != width or (lines.ended and _is_unclosed(lines.record, separator)))
        ):
            unclosed += 1
            if unclosed > _MAX_UNCLOSED:
                raise SourceError(f"more than {_MAX_UNCLOSED} quotes do not close; the rest was not read: correct it")
            lines.go_back()
            rows = csv.reader(lines, delimiter=separator)
            yield None
        elif cells and (width or cells[0].strip().lower() != "sep="):  # Excel's line that names the separator
            width = width or len(cells)
            yield cells


def _is_unclosed(record: Sequence[str], separator: str) -> bool:
    """Return whether the last lines of a table end inside a quote."""
    try:
        return not list(csv.reader(record, delimiter=separator, strict=True))
    except csv.Error as exc:
        return "unexpected end" in str(exc)


def _separator(head: bytes) -> str:
    first = head.split(b"\n", 1)[0]
    return max(",;\t|", key=lambda mark: first.count(mark.encode()))


def _header_places(reader: SeedReader, header: Sequence[str]) -> dict[str, int]:
    """Return the position of the column of each field; raises SourceError if the first row is no header."""
    try:
        return {wanted: header.index(name) for wanted, name in reader.places(header).items()}
    except SourceError as exc:
        is_data = any(len(name) > LONGEST_NAME or name.strip().isdigit() or "://" in name for name in header)
        if not is_data or reader.columns:
            raise
        raise SourceError(
            f"no header: the first line holds {one_line(', '.join(header))[:LONGEST_NAME]!r}; put one with the names "
            "of the columns above it, such as title,text"
        ) from exc


# Parquet and Arrow: columns in batches. pyarrow is an extra.


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as exc:
        raise SourceError(f"reading it needs pyarrow: {install_hint('parquet')}") from exc
    return pyarrow


def read_parquet(reader: SeedReader, file: SeedFile, start: int) -> Iterator[Seed | InputProblem]:
    """Yield the seed in each row of a Parquet file; a damaged row group is one problem, and the next one is read."""
    pa = _pyarrow()
    with opened_file(file.files[0]), _arrow_errors(pa, "is no readable Parquet file"):
        table = pa.parquet.ParquetFile(str(file.files[0]))
    with table:
        schema, done = table.schema_arrow, 0
        wanted = _Columns(reader, file, schema)
        for number in range(table.num_row_groups):
            group = table.metadata.row_group(number)
            first, done = done, done + group.num_rows
            if done <= start:
                continue
            rows = max(1, min(_MOST_ROWS, _BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)))
            batches = table.iter_batches(rows, row_groups=[number], columns=wanted.names, use_threads=False)
            try:
                with _arrow_errors(pa, f"row group {number + 1} is damaged"):
                    yield from wanted.seeds(batches, first, start)
            except SourceError as exc:
                lost = done - max(wanted.row, start)
                why = f"{exc}; its other {lost:,} rows are left out"
                yield InputProblem(where=f"{file.name}, row {wanted.row + 1}", why=why, lost=lost)


def count_parquet_rows(path: Path) -> int | None:
    """Return the number of rows in a Parquet file; None if it cannot be read."""
    try:
        pa = _pyarrow()
        with _arrow_errors(pa, ""):
            return int(pa.parquet.read_metadata(str(path)).num_rows)
    except SourceError:
        return None


def read_arrow(reader: SeedReader, file: SeedFile, start: int) -> Iterator[Seed | InputProblem]:
    """Yield the seed in each row of an Arrow file or stream, as Hugging Face's `save_to_disk` writes them."""
    pa = _pyarrow()
    import pyarrow.ipc

    with opened_file(file.files[0]) as opened, _arrow_errors(pa, "is no readable Arrow file"):
        is_file = opened.read(6) == b"ARROW1"
        opened.seek(0)
        table = (pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream)(opened)
        batches = map(table.get_batch, range(table.num_record_batches)) if is_file else table
        yield from _Columns(reader, file, table.schema).seeds(batches, 0, start)


@contextmanager
def _arrow_errors(pa: Any, what: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        raise SourceError(f"{what} ({one_line(str(exc))[:200]})") from exc


class _Columns:
    """The columns of a file that hold fields of seeds, and its fingerprint columns if they can be used as they are."""

    def __init__(self, reader: SeedReader, file: SeedFile, schema: Any) -> None:
        self.row = 0
        self._reader, self._file = reader, file
        self._places = reader.places(schema.names)
        for name in self._places.values():
            if schema.names.count(name) > 1:
                raise SourceError(f"{schema.names.count(name)} columns are called {name!r}; rename all but one")
        if not may_hold_text(kind := schema.field(self._places["text"]).type):
            why = f"holds {str(kind)[:LONGEST_NAME]}, no text; name another in [seeds.columns]"
            raise SourceError(f"the column {self._places['text']!r} {why}")
        self._indexed = reader.index is not None and set(_INDEX_COLUMNS) <= set(schema.names) and (
            _parameters_in(schema.metadata or {}) == asdict(reader.index)
        )  # fmt: skip

    @property
    def names(self) -> list[str]:
        """The names of the columns to read."""
        return list(dict.fromkeys((*self._places.values(), *(_INDEX_COLUMNS if self._indexed else ()))))

    def seeds(self, batches: Iterable[Any], first: int, start: int) -> Iterator[Seed | InputProblem]:
        """Yield the rows of batches whose first row comes after `first` others, but for the first `start` of all."""
        self.row = first
        for batch in batches:
            note_progress()
            skipped = min(max(0, start - self.row), batch.num_rows)
            self.row += skipped
            columns = {name: values_of(batch.column(name).slice(skipped)) for name in self.names}
            for at in range(batch.num_rows - skipped):
                self.row += 1
                values = {wanted: columns[name][at] for wanted, name in self._places.items()}
                seed = self._reader.seed(self._file, self.row, values, where=f"{self._file.name}, row {self.row}")
                yield self._with_fingerprint(seed, columns, at) if self._indexed and isinstance(seed, Seed) else seed

    def _with_fingerprint(self, seed: Seed, columns: Mapping[str, Sequence[Any]], at: int) -> Seed:
        values = [columns[name][at] for name in _INDEX_COLUMNS]
        if None in values or values[-1] != seed.sha256:
            return seed
        sign, bands, anchors, shingles, _ = values
        made = Fingerprint(signature=sign, bands=tuple(bands), anchors=tuple(anchors), shingles=shingles)
        return replace(seed, fingerprint=made)


def _parameters_in(metadata: Mapping[bytes, bytes]) -> object:
    try:
        return json.loads(metadata.get(INDEX_KEY, b"null"))
    except ValueError:
        return None
