"""The files of `dedupe`: those of the input, with their rows in one form, and those of the result.

The rows of all files have one order, that of the files and of the rows in each. It is the order in which the online
worker would have seen them.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import reduce
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, Final

import daft
import daft.functions as fn
import pyarrow as pa
import pyarrow.parquet as pq
from daft import DataFrame, DataType, Expression, Schema, col, lit
from daft.exceptions import DaftCoreException
from daft.io.sink import DataSink, WriteResult
from daft.recordbatch import MicroPartition

from worker.batch.rows import PLACE, ROW_FIELDS, JsonFiles, json_tables, opened_input
from worker.errors import SourceError, UsageError
from worker.files.reading import shown_path, walk_once
from worker.models import IndexParameters
from worker.models.base import counted, dataclass
from worker.sources.entries import one_line
from worker.sources.files.article_files import InputProblem
from worker.sources.files.columns import INDEX_KEY, LONGEST_NAME, USUAL_NAMES, find_columns, is_table_of_result
from worker.sources.files.seeds import describe_problem

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
_COLOURS: Final = re.compile(r"\x1b\[\d{0,3}m")
_SPECIAL: Final = re.compile(r"([*?\[\]{}\\])")  # what makes a name a pattern for the engine
_ROW_TYPES: Final = {field.name: DataType.from_arrow_type(field.type) for field in ROW_FIELDS}
_LISTED_OF_A_FILE: Final = 5  # problems with rows; chosen: what is wrong shows in a few of them
_MOST_PROBLEMS: Final = 10_000  # that are looked at for a list; chosen: far more than anybody reads
_TIMES: Final = frozenset({"published_at", "fetched_at"})
_FIRST, _LAST = (lit(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))
"""The times that Python has lie between these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFiles:
    """Neighbouring files of one form; of Parquet, `columns` is the name and type of each column by what it holds."""

    form: str
    paths: tuple[str, ...]
    columns: Mapping[str, tuple[str, DataType]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The files of all inputs in their order.

    `rows` is the number of rows that a Parquet file says it has. `problems` are those with files that are left out,
    or with one of their columns.
    """

    files: Sequence[InputFiles]
    count: int
    rows: Mapping[str, int]
    problems: Sequence[InputProblem]


def find_inputs(inputs: Sequence[str]) -> Inputs:
    """Return the files of all inputs: files, folders, glob patterns, or URLs that the engine can list.

    Raises UsageError if there is none, and SourceError if the engine does not reach one.
    """
    paths = list(dict.fromkeys(path for each in inputs for path in _paths(each)))
    problems, described, rows = list[InputProblem](), list[InputFiles](), dict[str, int]()
    for path in paths:
        if "://" not in path and not Path(path).exists():
            problems.append(InputProblem(where=shown_path(path), why="is a link to a file that is not there", lost=0))
            continue
        if _form(path) == JSON_LINES:
            described.append(InputFiles(form=JSON_LINES, paths=(path,), columns={}))
            continue
        try:
            columns, rows[path], ignored = _describe_parquet(path)
        except SourceError as exc:
            problems.append(InputProblem(where=shown_path(path), why=str(exc), lost=0))
        else:
            described.append(InputFiles(form=PARQUET, paths=(path,), columns=columns))
            problems += [InputProblem(where=path, why=each, lost=0) for each in ignored]
    groups = groupby(described, key=lambda each: (each.form, str(each.columns)))
    return Inputs(files=[_joined(list(same)) for _, same in groups], count=len(paths), rows=rows, problems=problems)


def _joined(same: Sequence[InputFiles]) -> InputFiles:
    return replace(same[0], paths=tuple(path for each in same for path in each.paths))


def _paths(given: str) -> list[str]:
    """Return the files of one input, sorted by name; local ones absolute, since a cluster works in other folders."""
    is_local = "://" not in given
    place = str(Path(given).absolute()) if is_local else given
    is_pattern = glob.has_magic(place) and not (is_local and Path(place).exists())
    if not is_pattern and (Path(place).is_file() if is_local else _form(place)):
        if _form(place) is None:
            raise UsageError(f"{given}: is neither Parquet nor JSON lines; its name must end in {', '.join(_ENDINGS)}")
        return [place]
    if is_local and not is_pattern and not Path(place).is_dir():
        raise UsageError(f"{given}: there is no such file or folder")
    listed = _listed(place, is_local=is_local, is_pattern=is_pattern)
    beside = defaultdict[str, list[str]](list)
    for each in listed:
        folder, _, name = each.rpartition("/")
        beside[folder].append(name)
    tables = {f"{at}/{name}" for at, names in beside.items() for name in names if is_table_of_result(name, names)}
    found = [each for each in sorted(listed) if _form(each) is not None and each not in tables]
    if not found:
        raise UsageError(f"{given}: no file there ends in {', '.join(_ENDINGS)}")
    return found


def _listed(place: str, *, is_local: bool, is_pattern: bool) -> list[str]:
    """Return all files in a folder, or that match a pattern."""
    if is_local and is_pattern:
        matched = glob.glob(place, recursive=True)  # noqa: PTH207 - `Path.glob` takes no absolute pattern
        return [each for each in matched if not Path(each).is_dir()]
    if is_local:
        return [os.path.join(at, name) for at, _folders, names in walk_once(place) for name in names]  # noqa: PTH118
    with engine_errors(place):
        return list(daft.from_glob_path(place if is_pattern else place.rstrip("/") + "/**").to_pydict()["path"])


def _form(path: str) -> str | None:
    name = PurePosixPath(path).name.lower()
    return next((form for ending, form in _ENDINGS.items() if name.endswith(ending) and name[0] not in "._"), None)


def _describe_parquet(path: str) -> tuple[dict[str, tuple[str, DataType]], int, list[str]]:
    """Return the columns of a Parquet file, its number of rows, and what is ignored of it.

    Raises SourceError if nothing of it can be read.
    """
    if shown_path(path) != path:
        raise SourceError("cannot be read: its name is not UTF-8; rename it")
    try:
        with engine_errors(path, passes=OSError), closing(opened_input(path)) as opened:
            table = pq.ParquetFile(opened)
            schema, rows = table.schema_arrow, table.metadata.num_rows
    except (pa.ArrowException, OSError) as exc:
        if "://" in path and not isinstance(exc, pa.ArrowException):
            raise SourceError(f"{path}: cannot be read ({one_line(str(exc))[:_LONGEST_MESSAGE]})") from exc
        said = getattr(exc, "strerror", None) or one_line(str(exc))[:_LONGEST_MESSAGE]
        raise SourceError(f"is no readable Parquet file ({said})") from exc
    try:
        found = find_columns(schema.names, where="")
    except UsageError as exc:
        raise SourceError(str(exc)) from exc
    columns, ignored = dict[str, tuple[str, DataType]](), list[str]()
    for role, name in found.items():
        kind, why = _usable_type(schema, name, role)
        if kind is not None:
            columns[role] = name, kind
        elif role == "text":
            raise SourceError(f"the column {name!r} {why}")
        else:
            ignored.append(f"the column {name!r} {why} and is ignored")
    return columns, rows, ignored


def _usable_type(schema: Any, name: str, role: str) -> tuple[DataType | None, str]:
    """Return the engine's type of a column if it can hold a role, or why not."""
    if (count := schema.names.count(name)) > 1:
        return None, f"is there {count} times"
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    try:
        found = DataType.from_arrow_type(kind)
    except Exception:  # noqa: BLE001 - the engine's errors of unknown types have several classes
        return None, f"holds {str(kind)[:LONGEST_NAME]}"
    is_text = found.is_string() or found.is_null() or found.is_binary() or found == DataType.list(DataType.string())
    is_value = found.is_numeric() or found.is_boolean() or pa.types.is_decimal(kind) or found.is_temporal()
    usable = is_text or (is_value and role != "text")
    return (found, "") if usable else (None, f"holds {str(kind)[:LONGEST_NAME]}, no text")


def read_rows(inputs: Inputs, *, on_cluster: bool) -> Iterator[DataFrame]:
    """Yield the rows of all files as frames of columns with fixed names and types; missing ones are null.

    There is one frame for a cluster. On one machine, those of JSON are small: the engine reads from a source of ours as
    fast as it can, whatever is done with the rows. Raises SourceError if all files are left out.
    """
    if not inputs.files:
        raise SourceError(describe_problem(inputs.problems[0]))
    frames = (
        frame.select(*_row_columns(files.form), *_standard_columns(files.columns))
        for files in inputs.files
        for frame in _read(files, on_cluster=on_cluster)
    )
    yield from [reduce(DataFrame.concat, frames)] if on_cluster else frames


def _read(files: InputFiles, *, on_cluster: bool) -> Iterator[DataFrame]:
    if files.form == PARQUET:
        yield _read_parquet(files)
    elif on_cluster:
        yield JsonFiles(files.paths).read()
    else:
        yield from map(daft.from_arrow, json_tables(files.paths))


def _read_parquet(files: InputFiles) -> DataFrame:
    return daft.read_parquet(
        [_SPECIAL.sub(r"\\\1", path) for path in files.paths],
        infer_schema=False,
        schema=dict(files.columns.values()),
        file_path_column=PLACE,
        ignore_corrupt_files=True,  # what is missing then is found by the number of rows
    )


def _row_columns(form: str) -> Iterator[Expression]:
    for name, kind in _ROW_TYPES.items():
        is_there = form == JSON_LINES or name == PLACE
        yield (col(name) if is_there else lit(None)).cast(kind).alias(name)


def _standard_columns(columns: Mapping[str, tuple[str, DataType]]) -> Iterator[Expression]:
    """Yield a column for each thing that one may hold; times come as a time, or as text that is read later."""
    nothing = lit(None), DataType.null()
    for role in USUAL_NAMES:
        name, kind = columns.get(role, (None, DataType.null()))
        column = lit(None) if name is None else col(name)
        if role in _TIMES:
            is_time = kind.is_timestamp() or kind.is_date()
            time = (column if is_time else lit(None)).cast(DataType.timestamp("us", "UTC"))
            yield fn.when((time >= _FIRST) & (time < _LAST), time).otherwise(lit(None)).alias(role)
            yield _as_text(*(nothing if is_time else (column, kind)), " ").alias(f"{role}_text")
        elif role == "text":
            is_binary = kind.is_binary()
            yield (column if is_binary else lit(None)).cast(DataType.binary()).alias("text_bytes")
            yield _as_text(*(nothing if is_binary else (column, kind)), "\n").alias(role)
        else:
            yield _as_text(column, kind, " ").alias(role)


def _as_text(column: Expression, kind: DataType, between: str) -> Expression:
    return fn.list_join(column, between) if kind.is_list() else column.cast(DataType.string())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRows:
    """How many rows there were, how many of them were left out, and what was wrong with rows and files, a line each."""

    rows: int
    left_out: int
    problems: Sequence[str]


def what_was_read(read: DataFrame, inputs: Inputs, total: int) -> ReadRows:
    """Return what was read, given the `total` rows as `ArticleReader` returns them, with their number as `row`."""
    first, damaged = _damaged_files(read, inputs)
    wrong = read.where(fn.not_null(col("problem")))
    by_kind = wrong.groupby("left_out").agg(fn.count(col("row")).alias("rows")).to_pydict()
    counts = dict(zip(by_kind["left_out"], by_kind["rows"], strict=True))
    some = wrong.sort("row").limit(_MOST_PROBLEMS).select("row", "place", "at", "problem", "left_out")
    lost = sum(each.lost for each in damaged)
    listed, seen = [describe_problem(each) for each in (*inputs.problems, *damaged)], Counter[str]()
    for row, place, at, problem, left_out in zip(*some.to_pydict().values(), strict=True):
        seen[place] += left_out is not None
        if left_out is None or seen[place] <= _LISTED_OF_A_FILE:
            at_row = f"row {row - first[place] + 1}" if place in first else at
            listed.append(f"{', '.join(filter(None, (place, at_row)))}: {problem}")
    rows_listed = sum(min(each, _LISTED_OF_A_FILE) for each in seen.values())
    if more := counts.get(True, 0) + counts.get(False, 0) - rows_listed:
        listed.append(f"{counted(more, 'more row')} with a problem")
    return ReadRows(
        rows=total - counts.get(None, 0) + lost, left_out=counts.get(True, 0) + lost, problems=tuple(listed)
    )


def _damaged_files(read: DataFrame, inputs: Inputs) -> tuple[dict[str, int], list[InputProblem]]:
    """Return the number of the first row of each Parquet file, and those files of which rows are missing.

    The engine leaves out what it cannot read, and says so in its log alone.
    """
    if not inputs.rows:
        return {}, []
    by_file = read.groupby("place").agg(col("row").min().alias("first"), fn.count(col("row")).alias("rows"))
    found = {place: (row, rows) for place, row, rows in zip(*by_file.to_pydict().values(), strict=True)}
    missing = {path: rows - found.get(path, (0, 0))[1] for path, rows in inputs.rows.items()}
    return {place: row for place, (row, _) in found.items() if place in inputs.rows}, [
        InputProblem(where=path, why=f"damaged; {counted(lost, 'row')} in it could not be read", lost=lost)
        for path, lost in missing.items()
        if lost > 0
    ]


@contextmanager
def engine_errors(place: str, *, passes: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn an error of the engine inside the block into a SourceError of one line that names the place.

    A full disk is no error of what is read: it is left to the caller, who knows where is written. So are errors of the
    classes that `passes` names.
    """
    try:
        yield
    except (DaftCoreException, OSError) as exc:
        is_full = getattr(exc, "errno", None) in {errno.ENOSPC, errno.EDQUOT}
        if is_full or (isinstance(exc, passes) and not isinstance(exc, DaftCoreException)):
            raise
        lines = [line for line in _COLOURS.sub("", str(exc)).splitlines() if line.strip()]
        said = one_line((lines or [type(exc).__name__])[-1])[:_LONGEST_MESSAGE]  # above it may be a cluster's traceback
        raise SourceError(f"{place}: cannot be read ({said})") from exc


# The result: texts in files of bounded size, the members of clusters in one file.


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
