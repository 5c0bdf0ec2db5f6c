"""Apache Parquet: one row for each text, with typed columns; a file, or shards of a bounded size.

pyarrow is an optional dependency, so it is imported where it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from worker.errors import UsageError, install_hint
from worker.export.columns import ExportColumn
from worker.models import ORIGIN_FIELDS, StoredArticle

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE: Final = 2_000
"""Rows of one row group at most: a few megabytes of articles, which bounds memory for a corpus of any size."""
TEXT_AT_ONCE: Final = 16_000_000
"""Bytes of text after which a row group ends, whatever its rows: long texts need no more memory than many."""
# Columns whose values repeat: a dictionary makes these smaller, and would only cost time in the others.
_REPEATED: Final = (
    "source",
    "host",
    "published_at_from",
    "language",
    "kind",
    "tdm_reservation",
    "first_host",
    "relation",
)
_TABLE_ROWS, _TABLE_TEXT = 200, 1_000_000
"""Texts, and their characters, that are held as Python objects at once: chosen, some megabytes."""
_READ_AT_ONCE: Final = 1 << 20  # bytes hashed at once: chosen, any size from some kilobytes on is as quick


def require_pyarrow(what: str) -> None:
    """Raise UsageError if pyarrow is not installed; `what` needs it."""
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise UsageError(f"{what} needs pyarrow: {install_hint('parquet')}") from None


def arrow_schema(columns: Sequence[ExportColumn]) -> pa.Schema:
    """Return the columns as an Arrow schema, times as UTC timestamps in microseconds."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
        "origins": pa.struct([(name, pa.string()) for name in ORIGIN_FIELDS]),
    }
    return pa.schema([pa.field(each.name, types[each.type], nullable=each.nullable) for each in columns])


def arrow_tables(
    texts: Iterable[StoredArticle], columns: Sequence[ExportColumn], seen: Callable[[StoredArticle], None] | None = None
) -> Iterator[pa.Table]:
    """Yield the texts as tables of a bounded size, in order; `seen` is called with each text."""
    import pyarrow as pa

    schema = arrow_schema(columns)
    for group in _groups(texts):
        if seen:
            for text in group:
                seen(text)
        arrays = [
            pa.array([column.value(text) for text in group], field.type)
            for column, field in zip(columns, schema, strict=True)
        ]
        yield pa.Table.from_arrays(arrays, schema=schema)


def _groups(texts: Iterable[StoredArticle]) -> Iterator[list[StoredArticle]]:
    """Yield lists of a few texts, or of one long text."""
    group: list[StoredArticle] = []
    size = 0
    for text in texts:
        group.append(text)
        size += len(text.article.text)
        if len(group) >= _TABLE_ROWS or size >= _TABLE_TEXT:
            yield group
            group, size = [], 0
    if group:
        yield group


class RowGroups:
    """Divides rows that come in tables of any size into row groups, which depend on the rows alone."""

    def __init__(self) -> None:
        self._waiting: list[pa.Table] = []
        self._rows = self._size = 0
        self.rows = self.text_bytes = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Add rows, and yield each row group that is complete."""
        from pyarrow import compute

        begin = 0
        sizes = compute.binary_length(table["text"]).to_pylist()
        self.rows += len(sizes)
        self.text_bytes += sum(sizes)
        for end, size in enumerate(sizes, 1):
            self._rows += 1
            self._size += size
            if self._rows >= ROWS_AT_ONCE or self._size >= TEXT_AT_ONCE:
                self._waiting.append(table.slice(begin, end - begin))
                yield from self.rest()
                begin = end
        if begin < len(sizes):
            self._waiting.append(table.slice(begin))

    def rest(self) -> Iterator[pa.Table]:
        """Yield the rows that are left, if there are any, as one row group."""
        import pyarrow as pa

        waiting, self._waiting = self._waiting, []
        self._rows = self._size = 0
        if waiting:
            yield pa.concat_tables(waiting).combine_chunks()


def parquet_options(columns: Sequence[str]) -> dict[str, object]:
    """Return the options of every Parquet writer; pages end by content, so that changed files share most of theirs."""
    return {
        "compression": "zstd",
        "use_dictionary": [name for name in columns if name in _REPEATED],
        "use_content_defined_chunking": True,
        "write_page_index": True,
    }


def write_parquet(texts: Iterable[StoredArticle], columns: Sequence[ExportColumn], file: BinaryIO) -> int:
    """Write texts to one file, and return how many."""
    from pyarrow.parquet import ParquetWriter

    schema = arrow_schema(columns)
    groups = RowGroups()
    with ParquetWriter(file, schema, **parquet_options(schema.names)) as writer:
        for table in arrow_tables(texts, columns):
            for group in groups.add(table):
                writer.write_table(group, row_group_size=group.num_rows)
        for group in groups.rest():
            writer.write_table(group, row_group_size=group.num_rows)
    return groups.rows


# Shards: the rows of one table in files of a bounded size.


class ShardedWriter:
    """Writes tables to `STEM-00000-of-0000N.parquet` in a folder; there is always one shard, if only an empty one.

    Shards and row groups depend on the rows alone, not on how they are divided into tables: so whoever writes the same
    rows has the same files. `opened` closes what is open when writing is given up.
    """

    def __init__(self, folder: Path, stem: str, schema: pa.Schema, shard_bytes: int, opened: ExitStack) -> None:
        self._folder = folder
        self._stem = stem
        self._schema = schema
        self._shard_bytes = shard_bytes
        self._opened = opened
        self._shards: list[tuple[Path, dict[str, Any]]] = []
        self._shard: _OpenShard | None = None
        self._groups = RowGroups()
        (folder / stem).parent.mkdir(exist_ok=True)

    @property
    def rows(self) -> int:
        """The number of rows that were added."""
        return self._groups.rows

    @property
    def text_bytes(self) -> int:
        """The size of their texts in UTF-8."""
        return self._groups.text_bytes

    def write(self, table: pa.Table) -> None:
        """Add rows."""
        for group in self._groups.add(table):
            self._write_group(group)

    def finish(self) -> dict[str, dict[str, Any]]:
        """Close the last shard, name all of them, and return the size, rows and SHA-256 of each by its name."""
        for group in self._groups.rest():
            self._write_group(group)
        if not self._shards:
            self._open_shard()
        self._close_shard()
        found = {}
        for number, (path, record) in enumerate(self._shards):
            name = f"{self._stem}-{number:05}-of-{len(self._shards):05}.parquet"
            path.rename(self._folder / name)
            found[name] = record
        return found

    def _open_shard(self) -> _OpenShard:
        """Return the shard that is being written; a new one, if there is none."""
        if self._shard is None:
            path = self._folder / f"{self._stem}-{len(self._shards):05}.part"
            self._shard = self._opened.enter_context(_OpenShard(path, self._schema))
        return self._shard

    def _write_group(self, group: pa.Table) -> None:
        """Write a row group, and end the shard if it is large enough."""
        shard = self._open_shard()
        shard.write_group(group)
        if shard.bytes >= self._shard_bytes:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shards.append((self._shard.path, self._shard.finish()))
            self._shard = None


class _OpenShard:
    """A Parquet file that is being written, and the hash of its content; pyarrow writes to it as to a file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        from pyarrow.parquet import ParquetWriter, SortingColumn

        self.path = path
        self.bytes = self._rows = 0
        self._digest = hashlib.sha256()
        self._file = path.open("xb")
        order = [SortingColumn(schema.get_field_index("id"))]
        try:
            self._writer = ParquetWriter(self, schema, sorting_columns=order, **parquet_options(schema.names))
        except BaseException:
            self._file.close()
            raise

    def write_group(self, group: pa.Table) -> None:
        """Write rows as one row group."""
        import pyarrow as pa

        self._writer.write_table(group, row_group_size=group.num_rows)
        self._rows += group.num_rows
        pa.default_memory_pool().release_unused()  # measured: without it, memory grows by 30 MB over 100 groups

    def finish(self) -> dict[str, Any]:
        """Complete the file, and return its size, rows and SHA-256."""
        self._writer.close()
        self._file.close()
        return {"bytes": self.bytes, "rows": self._rows, "sha256": self._digest.hexdigest()}

    def write(self, data: Any) -> int:
        """Write bytes, for pyarrow."""
        self._digest.update(data)
        self.bytes += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is closed."""

    @property
    def closed(self) -> bool:
        """Whether the file is complete or given up."""
        return self._file.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._file.closed:  # given up: what is written of it is deleted with its folder
            with suppress(Exception):
                self._writer.close()
            with suppress(OSError):
                self._file.close()


def file_record(path: Path) -> dict[str, Any]:
    """Return the size of a file, and the SHA-256 of its content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_AT_ONCE):
            digest.update(part)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}
