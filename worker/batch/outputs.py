"""Writes the result of `dedupe`: the kept texts in files of bounded size, and the members of clusters in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Final

import daft
import pyarrow as pa
import pyarrow.parquet as pq
from daft import DataFrame, Schema
from daft.io.sink import DataSink, WriteResult
from daft.recordbatch import MicroPartition

from worker.models import IndexParameters

INDEX_PARAMETERS: Final = "corpus_worker.index"
"""The key of the files' metadata with the parameters of the fingerprints, as JSON."""
_TEXTS_A_FILE: Final = 100_000
"""Texts in one file. Chosen, not measured: some hundred megabytes, and a thousand files for 10⁸ texts."""
_ROWS_AT_ONCE: Final = 2_000  # of one row group, as `export` writes them


class _TextFiles(DataSink[int]):
    """Writes each batch of texts to a file named by the number of its first row, ordered by these numbers."""

    def __init__(self, folder: Path, parameters: IndexParameters) -> None:
        self._folder = folder
        self._metadata = {INDEX_PARAMETERS: json.dumps(asdict(parameters))}

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


def keep_in_order(rows: DataFrame, folder: Path) -> DataFrame:
    """Write rows to files of a working folder in their order, and return them as the engine reads them from there."""
    batches = rows.to_arrow_iter()
    batch = next(batches, None)
    for number in count():
        path = folder / f"{number:06d}.parquet"
        with pq.ParquetWriter(path, rows.schema().to_pyarrow_schema(), compression="zstd") as file:
            written = 0
            while batch is not None and written < _TEXTS_A_FILE:
                file.write_batch(batch)
                written += len(batch)
                batch = next(batches, None)
        if batch is None:
            break
    return daft.read_parquet(f"{folder}/*.parquet")
