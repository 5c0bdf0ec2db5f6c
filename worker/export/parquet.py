"""One row an article in an Apache Parquet file, with typed columns; pyarrow is an extra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import UsageError
from worker.export.fields import EXPORTED, exported
from worker.export.whole import opened
from worker.models import StoredArticle

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE: Final = 2_000
"""Rows of one group: a few megabytes of text, so that memory stays flat however large the corpus is."""
_NUMBERS: Final = {"id": "int64", "cluster": "int64", "words": "int32", "revision": "int32"}
_TIMES: Final = frozenset({"published_at", "modified_at", "fetched_at"})
_NULLABLE: Final = frozenset({"published_at", "modified_at"})


def write_parquet(articles: Iterable[StoredArticle], target: Path | None) -> int:
    """Write articles to a file; return how many.

    The file appears whole or not at all. Raises UsageError where no file is named, pyarrow is missing, or the file
    cannot be written.
    """
    if target is None:
        raise UsageError("parquet goes into a file; name one with --output FILE")
    schema = _schema()
    from pyarrow import RecordBatch, Table
    from pyarrow.parquet import ParquetWriter

    count = 0
    with opened(target) as file, ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in _groups(articles):
            batch = RecordBatch.from_pylist(rows, schema=schema)
            writer.write_table(Table.from_batches([batch]), row_group_size=ROWS_AT_ONCE)
            count += len(rows)
    return count


def _groups(articles: Iterable[StoredArticle]) -> Iterator[list[dict[str, object]]]:
    left = iter(articles)
    while rows := [exported(stored) for stored in islice(left, ROWS_AT_ONCE)]:
        yield rows


def _schema() -> pa.Schema:
    """Return the columns: the fields of `export` in their order, times as instants in UTC to the microsecond."""
    try:
        import pyarrow as pa
    except ImportError:
        raise UsageError('parquet needs pyarrow: run `pip install "corpus-worker[parquet]"`') from None
    kinds = {name: pa.type_for_alias(number) for name, number in _NUMBERS.items()}
    kinds |= dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC"))
    kinds["authors"] = pa.list_(pa.string())
    text = pa.string()
    return pa.schema([pa.field(name, kinds.get(name, text), nullable=name in _NULLABLE) for name in EXPORTED])
