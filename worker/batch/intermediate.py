"""Keeps the rows that one step computes for later ones, in files of a working folder: memory holds no step's result.

On one machine a step whose rows belong together (those of one key, of one article, of one group) takes them in parts,
one after another, so that the largest part decides what memory is needed. A cluster shuffles them by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial, reduce
from itertools import count, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import daft
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from daft import DataFrame, DataType, Expression, lit

_ROWS_A_PART: Final = 1 << 12  # as below
_WORDS_A_PART: Final = 1_200_000
"""Articles, and words of them, of which one machine handles the index keys or the texts at once: 100 MB or less."""
_MOST_PARTS: Final = 512  # files that are written at the same time: a process may have a thousand open
ROWS_A_FILE: Final = 1 << 16
"""Rows in each file of `keep_in_order` but the last. Chosen: what is known of so many articles, without their texts,
takes some tens of megabytes."""
_BYTES_WAITING: Final = 64_000_000  # of rows for many files, which get them in large pieces; chosen, not measured
_PART: Final = "corpus_worker_part"


class Intermediate:
    """The rows that were kept so far; each step has a folder of its own."""

    def __init__(self, folder: Path, *, on_cluster: bool) -> None:
        self._place = folder
        self._on_cluster = on_cluster
        self._steps = count()
        self._parts = 1

    def expect(self, *, articles: int, words: int) -> None:
        """Choose the number of parts for a corpus of that size."""
        if not self._on_cluster:
            self._parts = min(_MOST_PARTS, 1 + max(articles // _ROWS_A_PART, words // _WORDS_A_PART))

    def folder(self) -> Path:
        """Return the path of a new folder."""
        return self._place / f"{next(self._steps):03d}"

    def keep(self, *parts: DataFrame) -> DataFrame:
        """Compute rows once, and return them to be used several times."""
        return self.keep_all(parts)

    def keep_all(self, parts: Iterable[DataFrame]) -> DataFrame:
        """Compute the rows of all parts, one after another, and return them to be used several times."""
        if self._on_cluster:
            return keep_in_files(reduce(DataFrame.concat, parts), self.folder())
        return keep_in_order(parts, self.folder())

    def spread(self, parts: Iterable[DataFrame], by: Expression) -> Iterable[DataFrame]:
        """Return the rows of all parts in others, such that all with one value of `by` are in one."""
        return parts if self._parts == 1 else spread(parts, by % lit(self._parts), self.folder()).values()


def keep_in_order(parts: Iterable[DataFrame], folder: Path) -> DataFrame:
    """Write rows to files in their order, and return them as the engine reads them from there.

    There is at least one part; each is computed when those before it are written.
    """
    return keep_numbered((partial(_unchanged, part) for part in parts), folder)


def _unchanged(part: DataFrame, _before: int) -> DataFrame:
    return part


def keep_numbered(parts: Iterable[Callable[[int], DataFrame]], folder: Path) -> DataFrame:
    """Do what `keep_in_order` does with parts that are made of the number of rows before them."""
    folder.mkdir(exist_ok=True)
    schema = pa.schema([])

    def batches() -> Iterator[Any]:
        nonlocal schema
        before = 0
        for make in parts:
            part = make(before)
            schema = part.schema().to_pyarrow_schema()
            for batch in part.to_arrow_iter():
                before += len(batch)
                yield batch

    number = -1
    for number, pieces in groupby(_by_file(batches()), key=itemgetter(0)):
        with _part_file(folder, number, schema) as file:
            for _, rows in pieces:
                file.write_batch(rows)
    if number < 0:
        _part_file(folder, 0, schema).close()
    return daft.read_parquet(f"{folder}/*.parquet")


def _by_file(batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield batches of rows with the number of the file that each is for, divided where a file ends."""
    done = 0
    for batch in batches:
        rest = batch
        while len(rest):
            rows = rest.slice(0, ROWS_A_FILE - done % ROWS_A_FILE)
            yield done // ROWS_A_FILE, rows
            done, rest = done + len(rows), rest.slice(len(rows))


def file_of_rows(folder: Path, number: int) -> Path:
    """Return the file with a number in a folder of `keep_in_order`."""
    return folder / f"{number:06d}.parquet"


def _part_file(folder: Path, number: int, schema: Any) -> Any:
    # Without statistics: by these the engine skips rows of which two columns differ.
    return pq.ParquetWriter(file_of_rows(folder, number), schema, compression="zstd", write_statistics=False)


def spread(parts: Iterable[DataFrame], by: Expression, folder: Path) -> dict[int, DataFrame]:
    """Write the rows of all parts to a file for each value of an integer; return what is in each file.

    If there are no rows, there is one file with none of them.
    """
    folder.mkdir()
    files, waiting, size = dict[int, Any](), defaultdict[int, list[Any]](list), 0
    schema = pa.schema([])
    with ExitStack() as opened:

        def write() -> None:
            for value, batches in waiting.items():
                if value not in files:
                    files[value] = opened.enter_context(_part_file(folder, value, schema))
                files[value].write_table(pa.Table.from_batches(batches))
            waiting.clear()

        for part in parts:
            schema = part.schema().to_pyarrow_schema()
            for batch in part.with_column(_PART, by.cast(DataType.int64())).to_arrow_iter():
                for value, rows in _by_value(batch):
                    waiting[value].append(rows)
                    size += rows.nbytes
                if size > _BYTES_WAITING:
                    write()
                    size = 0
        if not files and not waiting:
            waiting[0].append(pa.RecordBatch.from_pylist([], schema))
        write()
    return {value: daft.read_parquet(str(file_of_rows(folder, value))) for value in sorted(files)}


def _by_value(batch: Any) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a batch with each value of the column `_PART`, without this column."""
    order = pc.sort_indices(batch.column(_PART))
    runs = pc.run_end_encode(batch.column(_PART).take(order))
    rows, ends = batch.drop_columns([_PART]).take(order), runs.run_ends.to_pylist()
    for value, start, stop in zip(runs.values.to_pylist(), [0, *ends], ends, strict=False):
        yield value, rows.slice(start, stop - start)


def keep_in_files(rows: DataFrame, folder: Path) -> DataFrame:
    """Return rows computed by a cluster in as few parts as they need; their order is lost.

    Tasks leave many parts without rows in memory, and a later step has a task for each of them: they would multiply
    with every step. An empty part makes no file, and small files are read by one task. No condition may reach the
    files: by their statistics the engine skips rows of which two columns differ.
    """
    schema = rows.schema().to_pyarrow_schema()
    paths = rows.write_parquet(str(folder), compression="zstd").to_pydict()["path"]
    return (daft.read_parquet(paths) if paths else daft.from_arrow(schema.empty_table())).collect()
