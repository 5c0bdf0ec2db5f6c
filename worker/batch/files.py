"""The files of `dedupe`: those of the input, with their rows in one form, and those of the result.

The rows of all files have one order, that of the files and of the rows in each. It is the order in which the online
worker would have seen them.
"""

from __future__ import annotations

import errno
import glob
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import reduce
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, Final

import daft
import pyarrow as pa
import pyarrow.parquet as pq
from daft import DataFrame, DataType, Expression, Schema, col, lit
from daft.exceptions import DaftCoreException
from daft.io.sink import DataSink, WriteResult
from daft.recordbatch import MicroPartition

from worker.errors import SourceError, UsageError
from worker.files.atomic import atomic_folder
from worker.models import IndexParameters
from worker.models.base import dataclass
from worker.sources.entries import one_line
from worker.sources.files.article_files import numbered_lines, opened_lines
from worker.sources.files.columns import INDEX_KEY, USUAL_NAMES, find_columns, is_table_of_result

PARQUET, JSON_LINES = "parquet", "jsonl"
_ENDINGS: Final = {
    ".parquet": PARQUET,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".jsonl.gz": JSON_LINES,
    ".ndjson.gz": JSON_LINES,
    ".jsonl.zst": JSON_LINES,
    ".ndjson.zst": JSON_LINES,
}
_LONGEST_MESSAGE: Final = 300  # characters of an engine's message that are shown; the cause is in the first of them
_SHOWN_LENGTH: Final = 60  # characters of a damaged line that are shown, beside file and line on a terminal
_LONGEST_LINE: Final = 1_000_000_000  # bytes; only a damaged file has longer lines, and they are shown as damaged
_COLOURS: Final = re.compile(r"\x1b\[\d{0,3}m")
PLACE: Final = "corpus_worker_place"
"""The column with the file that a row is from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFiles:
    """Neighbouring files of one form and one schema; `columns` is the name of each column by what it holds."""

    form: str
    paths: tuple[str, ...]
    schema: Schema
    columns: dict[str, str]


def find_inputs(inputs: Sequence[str]) -> list[InputFiles]:
    """Return the files of all inputs, in order: files, folders, glob patterns, or URLs that the engine can list.

    Raises UsageError if there is none, or one without a text, and SourceError if one cannot be read.
    """
    paths = list(dict.fromkeys(path for each in inputs for path in _paths(each)))
    described = [_describe(path) for path in paths]
    found = []
    for _, same in groupby(described, key=lambda each: (each.form, str(each.schema))):
        files = list(same)
        found.append(
            InputFiles(
                form=files[0].form,
                paths=tuple(path for each in files for path in each.paths),
                schema=files[0].schema,
                columns=files[0].columns,
            )
        )
    return found


def _paths(given: str) -> list[str]:
    """Return the files of one input, sorted by name; local ones absolute, since a cluster works in other folders."""
    is_local = "://" not in given
    place = str(Path(given).absolute()) if is_local else given
    is_pattern = glob.has_magic(place)
    if not is_pattern and (Path(place).is_file() if is_local else _form(place)):
        if _form(place) is None:
            raise UsageError(f"{given}: is neither Parquet nor JSON lines; its name must end in {', '.join(_ENDINGS)}")
        return [place]
    if is_local and not is_pattern and not Path(place).is_dir():
        raise UsageError(f"{given}: there is no such file or folder")
    pattern = place if is_pattern else place.rstrip("/") + "/**"
    with engine_errors(given):
        # `Path.glob` takes no absolute pattern.
        local = glob.glob(pattern, recursive=True) if is_local else None  # noqa: PTH207
        listed = daft.from_glob_path(pattern).to_pydict()["path"] if local is None else local
    beside = defaultdict[str, list[str]](list)
    for each in listed:
        folder, _, name = each.rpartition("/")
        beside[folder].append(name)
    tables = {f"{at}/{name}" for at, names in beside.items() for name in names if is_table_of_result(name, names)}
    found = [each for each in sorted(listed) if _form(each) is not None and each not in tables]
    if not found:
        raise UsageError(f"{given}: no file there ends in {', '.join(_ENDINGS)}")
    return found


def _form(path: str) -> str | None:
    name = PurePosixPath(path).name.lower()
    return next((form for ending, form in _ENDINGS.items() if name.endswith(ending) and name[0] not in "._"), None)


def _describe(path: str) -> InputFiles:
    """Return the form, schema and columns of one file."""
    form = _form(path) or PARQUET
    if "://" not in path and Path(path).stat().st_size == 0:
        raise SourceError(f"{path}: is empty; remove it")
    with engine_errors(path, files=[path]):
        schema = _read(form, [path]).schema()
    names = [name for name in schema.column_names() if name != PLACE]
    return InputFiles(form=form, paths=(path,), schema=schema, columns=find_columns(names, where=path))


def _read(form: str, paths: Sequence[str]) -> DataFrame:
    if form == PARQUET:
        return daft.read_parquet(list(paths), file_path_column=PLACE)
    return daft.read_json(list(paths), file_path_column=PLACE)


def read_rows(found: Sequence[InputFiles]) -> DataFrame:
    """Return the rows of all files as one frame of columns with fixed names and types; missing ones are null."""
    frames = [
        _read(files.form, files.paths).select(col(PLACE), *_standard_columns(files.columns, files.schema))
        for files in found
    ]
    return reduce(DataFrame.concat, frames)


def _standard_columns(columns: dict[str, str], schema: Schema) -> Iterator[Expression]:
    """Yield a column for each thing that one may hold; times come as a time, or as text that is read later."""
    for role in USUAL_NAMES:
        name = columns.get(role)
        kind = schema[name].dtype if name else None
        if role in {"published_at", "fetched_at"}:
            is_time = kind is not None and (kind.is_timestamp() or kind.is_date())
            yield _as_type(name if is_time else None, DataType.timestamp("us", "UTC")).alias(role)
            yield _as_type(None if is_time else name, DataType.string()).alias(f"{role}_text")
        else:
            yield _as_type(name, DataType.string()).alias(role)


def _as_type(name: str | None, wanted: DataType) -> Expression:
    return (lit(None) if name is None else col(name)).cast(wanted)


@contextmanager
def engine_errors(place: str, *, files: Sequence[str] = ()) -> Iterator[None]:
    """Turn an error of the engine inside the block into a SourceError of one line that names the place.

    The engine names neither file nor line of damaged JSON lines, so the first one in `files` is looked for and named.

    A full disk is no error of what is read: it is left to the caller, who knows where is written.
    """
    try:
        yield
    except (DaftCoreException, OSError) as exc:
        if getattr(exc, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
            raise
        lines = [line for line in _COLOURS.sub("", str(exc)).splitlines() if line.strip()]
        if "JSON" in str(exc) and (damaged := next(filter(None, map(_damaged_line, files)), "")):
            raise SourceError(damaged) from exc
        said = one_line((lines or [type(exc).__name__])[-1])[:_LONGEST_MESSAGE]  # above it may be a cluster's traceback
        raise SourceError(f"{place}: cannot be read ({said})") from exc


def _damaged_line(path: str) -> str:
    """Return file, number and text of the first line that is no JSON object, as an error; empty if there is none.

    Empty lines come last: they are no damage, but the engine does not read a file with any.
    """
    blank = 0
    if _form(path) != JSON_LINES or "://" in path:
        return ""
    with suppress(OSError, SourceError), opened_lines(Path(path)) as opened:
        if opened.peek(1)[:1] == b"[":  # one array, which the engine reads as well
            return ""
        for number, line in numbered_lines(opened, _LONGEST_LINE):
            if not line.strip():
                blank = blank or number
            elif not _is_object(line):
                text = one_line(line.decode(errors="replace"))
                shown = f"{text[:_SHOWN_LENGTH]}{'…' * (len(text) > _SHOWN_LENGTH)}"
                return f"{path}: line {number:,} cannot be read: it is no JSON object ({shown}); correct or remove it"
    return (
        f"{path}: line {blank:,} is empty, and the engine reads no such file; remove its empty lines" if blank else ""
    )


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.removeprefix(b"\xef\xbb\xbf")), dict)
    except (ValueError, RecursionError):
        return False


# The result: texts in files of bounded size, the members of clusters in one file.


@contextmanager
def output_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `target` when the block succeeds."""
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(target.absolute()) as made:
            yield made
    except OSError as exc:
        raise UsageError(f"{target}: cannot be written: {exc.strerror or exc}; name another --out") from exc


_TEXTS_A_FILE: Final = 20_000
"""Texts in one file. Chosen, not measured: some tens of megabytes, which two writers have in memory several times."""
_ROWS_AT_ONCE: Final = 2_000  # of one row group, as `export` writes them


class _TextFiles(DataSink[int]):
    """Writes each batch of texts to a file named by the number of its first row, ordered by these numbers."""

    def __init__(self, folder: Path, parameters: IndexParameters) -> None:
        self._folder = folder
        self._metadata = {INDEX_KEY: json.dumps(asdict(parameters))}

    def schema(self) -> Schema:
        """Return the columns of the result: the number of texts in each file."""
        return _counts([]).schema()

    def write(self, micropartitions: Iterator[MicroPartition]) -> Iterator[WriteResult[int]]:
        """Write a file for each batch that has rows."""
        for batch in micropartitions:
            if len(batch):
                yield self._write_one(batch.to_arrow())

    def _write_one(self, table: Any) -> WriteResult[int]:
        table = table.sort_by("row").replace_schema_metadata(self._metadata)
        path = self._folder / f"texts-{table['row'][0].as_py():012d}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=_ROWS_AT_ONCE)
        return WriteResult(result=len(table), bytes_written=path.stat().st_size, rows_written=len(table))

    def finalize(self, write_results: list[WriteResult[int]]) -> MicroPartition:
        """Return the number of texts in each file."""
        return _counts([each.result for each in write_results])


def _counts(texts: list[int]) -> MicroPartition:
    return MicroPartition.from_arrow(pa.table({"texts": pa.array(texts, pa.int64())}))


def write_texts(texts: DataFrame, folder: Path, parameters: IndexParameters) -> int:
    """Write texts with their fingerprints to `texts-*.parquet`; return how many."""
    written = texts.into_batches(_TEXTS_A_FILE).write_sink(_TextFiles(folder, parameters))
    return sum(written.to_pydict()["texts"])


def write_members(members: DataFrame, folder: Path) -> None:
    """Write the members of clusters to `clusters.parquet`, in the order given."""
    schema = members.schema().to_pyarrow_schema()
    with pq.ParquetWriter(folder / "clusters.parquet", schema, compression="zstd") as file:
        for batch in members.to_arrow_iter():
            file.write_batch(batch.cast(schema))
