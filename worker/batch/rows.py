"""The rows of JSON files, as the engine gets them from us: what is damaged is a row that says so.

The engine's own reader ends the run at the first damaged line, and says neither file nor line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa
from daft import Schema
from daft.file.file_io import open_file
from daft.io.source import DataSource, DataSourceTask
from daft.recordbatch import RecordBatch

from worker.dates.parsing import date_text
from worker.errors import SourceError, UsageError
from worker.files.reading import open_regular, shown_path
from worker.sources.files.article_files import UNREADABLE, as_lines, decompressed, why_unread
from worker.sources.files.columns import MAX_ROW_BYTES, USUAL_NAMES, find_columns, line_of, text_of
from worker.sources.files.json_lines import MAX_TRIED, json_rows, read_members

PLACE: Final = "corpus_worker_place"
"""The column with the file that a row is from."""
ROW_FIELDS: Final = pa.schema(
    [(PLACE, pa.large_string()), ("at", pa.large_string()), ("json", pa.large_binary()), ("ended", pa.large_string())]
)
"""The columns of a row of JSON: `at` is its place in the file, `json` the row itself; of a file that could not be read
to its end, the last one has neither, but says in `ended` why."""
_ROWS, _BYTES = 1 << 14, 64_000_000
"""How much is read at a time. Chosen: some hundred calls of our functions, and little beside what these take."""
_MOST_TASKS: Final = 1_000  # for one input: each costs the engine about a millisecond of processor time
_READ_AHEAD: Final = 8_000_000  # bytes of a remote file; chosen: a request takes as long as some megabytes


class JsonFiles(DataSource):
    """The rows of JSON files in the order of the files."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    @property
    def name(self) -> str:
        """Return the name of the source."""
        return "JSON files"

    @property
    def schema(self) -> Schema:
        """Return the columns of a row."""
        return Schema.from_pyarrow_schema(ROW_FIELDS)

    async def get_tasks(self, _pushdowns: Any) -> AsyncIterator[DataSourceTask]:
        """Yield tasks that read some of the files each."""
        files = -(-len(self._paths) // _MOST_TASKS)
        for first in range(0, len(self._paths), files):
            yield _JsonTask(self._paths[first : first + files])


class _JsonTask(DataSourceTask):
    """Reads some files, one after another."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    @property
    def schema(self) -> Schema:
        """Return the columns of a row."""
        return Schema.from_pyarrow_schema(ROW_FIELDS)

    async def read(self) -> AsyncIterator[RecordBatch]:
        """Yield the rows of the files."""
        for table in json_tables(self._paths):
            yield RecordBatch.from_arrow_table(table)


def json_tables(paths: Iterable[str]) -> Iterator[Any]:
    """Yield the rows of JSON files in the order of the files, as many at a time as fit into little memory."""
    rows, size = list[Mapping[str, object]](), 0
    for row in (row for path in paths for row in _rows_of(path)):
        rows.append(row)
        size += len(row.get("json", b""))
        if len(rows) == _ROWS or size > _BYTES:
            yield pa.Table.from_pylist(rows, ROW_FIELDS)
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, ROW_FIELDS)


def _rows_of(path: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, and at last why it could not be read to its end."""
    place, tried, is_article = {PLACE: shown_path(path)}, 0, False
    try:
        with (
            closing(opened_input(path)) as raw,
            closing(as_lines(decompressed(raw, PurePosixPath(path).name))) as lines,
        ):
            for tried, (kind, number, row) in enumerate(json_rows(lines, MAX_ROW_BYTES), 1):
                yield {**place, "at": f"{kind} {number}", "json": row}
                is_article = is_article or _is_article(row)
                if not is_article and tried >= MAX_TRIED:
                    raise SourceError(f"no text in the first {MAX_TRIED} rows, so the rest was not read")
        if not tried:
            raise SourceError("no rows in it; remove it")
    except UNREADABLE as exc:
        if isinstance(exc, FileNotFoundError):  # it was there: another machine has no such folder
            raise
        yield {**place, "ended": why_unread(exc)}


def opened_input(path: str) -> Any:
    """Return an input file opened for reading, by the engine if it is on another machine."""
    return open_file(path, "rb", _READ_AHEAD) if "://" in path else open_regular(Path(path))


def _is_article(row: bytes) -> bool:
    try:
        text_of(values_of_json(row)[0]["text"])
    except SourceError:
        return False
    return True


def values_of_json(row: bytes) -> tuple[dict[str, Any], str]:
    """Return the values of a row of JSON by what they hold, and what was wrong with it all the same.

    Raises SourceError if it is damaged or has no text.
    """
    members, wrong = read_members(row, MAX_ROW_BYTES)
    columns = _columns_of(tuple(members))
    found = {role: members[columns[role]] if role in columns else None for role in USUAL_NAMES}
    times = {f"{name}_text": date_text(found[name]) for name in ("published_at", "fetched_at")}
    lines = {name: _as_line(found[name]) for name in USUAL_NAMES if name not in {"text", "url"}}
    return {
        **lines,
        "text": found["text"],
        "url": found["url"],
        "published_at": None,
        "fetched_at": None,
        **times,
    }, wrong


@lru_cache(maxsize=1000)
def _columns_of(names: tuple[str, ...]) -> Mapping[str, str]:
    try:
        return find_columns(names, where="")
    except UsageError as exc:
        raise SourceError(str(exc)) from exc


def _as_line(value: object) -> str | None:
    """Return a value as one line of text; None if it has none."""
    if isinstance(value, float) and value.is_integer():  # pandas has whole numbers beside empty cells so
        value = int(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (str(value) if is_number else line_of(value)) or None
