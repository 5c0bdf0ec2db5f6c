"""Releases: a data set to publish, in the layout of the Hugging Face Hub, and its difference to an earlier release.

    DIR/README.md                         the card
    DIR/manifest.json                     every file with its SHA-256; counts, filters, configuration, versions
    DIR/data/train-00000-of-00002.parquet texts ordered by id
    DIR/delta/new-*.parquet               texts that the earlier release does not have
    DIR/delta/changed-*.parquet           texts of which a column differs
    DIR/delta/removed.parquet             ids that are no longer in it, each with the reason

The same store and options give the same bytes: nothing here depends on the time, the folder or the machine. Texts and
the earlier release are read side by side, a piece at a time.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from worker.errors import UsageError
from worker.export.card import ReleaseSummary, write_card
from worker.export.columns import ExportColumn
from worker.export.formats import ExportableCorpus
from worker.export.outputs import open_export_folder
from worker.export.parquet import (
    ShardedWriter,
    arrow_schema,
    arrow_tables,
    file_record,
    parquet_options,
    require_pyarrow,
)
from worker.models import Removal, State, StoredArticle
from worker.models.base import dataclass

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
_REMOVED: Final = "delta/removed.parquet"
_PIECE, _BUFFER = 500, 1 << 16
"""Rows of the earlier release that are in memory at once, and bytes read at once for a column. Measured: reading whole
row groups of 2,000 rows took 30 MB more, and was no quicker."""
_FIELD_NAMES: Final = {"sha256": "SHA-256", "bytes": "size", "rows": "number of rows"}
_ENTRIES: Final = {"store": (str, type(None)), "split": (str,), "texts": (int,), "bytes": (int,), "files": (dict,)}
_RECORD: Final = {"sha256": (str,), "bytes": (int,), "rows": (int,)}
"""The entries of a manifest, and of its record of a file with texts, that are read again, with their types."""
_TYPE_NAMES: Final = {
    (str, type(None)): "a text or null",
    (str,): "a text",
    (int,): "a whole number",
    (dict,): "an object",
}
LAYOUT: Final = 1
"""The version of this layout, in the manifest."""


class ReleasableCorpus(ExportableCorpus, Protocol):
    """What a release reads of the corpus: `worker.storage` implements it."""

    def removals(self, ids: Sequence[int]) -> Mapping[int, Removal]:
        """Return why each of these articles is exported no longer."""
        ...

    def refusals(self) -> Mapping[tuple[State, str], int]:
        """Return how many pages gave no article, by state and reason."""
        ...

    def unexported(self) -> int:
        """Return how many stored texts are not exported, because another text of their cluster is."""
        ...

    def identity(self) -> str | None:
        """Return the name of the store."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOptions:
    """The options of a release; `filters` and `configuration` are written to the manifest and the card as they are."""

    columns: Sequence[ExportColumn]
    split: str = "train"
    shard_bytes: int = 500_000_000
    title: str = "A corpus of news articles"
    since: Path | None = None
    filters: Mapping[str, object] = field(default_factory=dict)
    configuration: Mapping[str, object] = field(default_factory=dict)


def write_release(
    target: Path, corpus: ReleasableCorpus, texts: Iterable[StoredArticle], options: ReleaseOptions
) -> dict[str, Any]:
    """Write a release of these texts into a new or empty folder, and return its manifest.

    The folder is there completely or not at all. Raises UsageError if it cannot be written, if pyarrow is missing, or
    if `options.since` is no release of this store.
    """
    require_pyarrow("release")
    schema = arrow_schema(options.columns)
    previous = PreviousRelease.read(options.since, corpus.identity()) if options.since else None
    with open_export_folder(target) as made, ExitStack() as opened:
        summary = ReleaseSummary()

        def shards(stem: str) -> ShardedWriter:
            return ShardedWriter(made, stem, schema, options.shard_bytes, opened)

        data = shards(f"data/{options.split}")
        delta = None
        if previous:
            delta = DeltaWriter(made, previous, corpus, shards("delta/new"), shards("delta/changed"))
            opened.callback(delta.close)
        for table in arrow_tables(texts, options.columns, seen=summary.add):
            data.write(table)
            if delta:
                delta.compare(table)
        files = data.finish()
        manifest = _manifest(corpus, options, summary)
        manifest["text_bytes"] = data.text_bytes
        manifest["bytes"] = sum(each["bytes"] for each in files.values())
        manifest["delta"], changes = delta.finish() if delta else (None, {})
        _write_texts(made, manifest, files | changes)
    return manifest


def _write_texts(folder: Path, manifest: dict[str, Any], files: dict[str, dict[str, Any]]) -> None:
    """Write the card and the manifest of a release, and add the records of its files to the manifest."""
    (folder / CARD).write_text(write_card(manifest), encoding="utf-8", newline="\n")
    manifest["files"] = dict(sorted({**files, CARD: file_record(folder / CARD)}.items()))
    body = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    (folder / MANIFEST).write_text(body, encoding="utf-8", newline="\n")


def _manifest(corpus: ReleasableCorpus, options: ReleaseOptions, summary: ReleaseSummary) -> dict[str, Any]:
    """Return what the manifest says of the corpus; the files are added later."""
    refused: dict[str, dict[str, int]] = {}
    for (state, reason), pages in corpus.refusals().items():
        refused.setdefault(state.value, {})[reason or "unknown"] = pages
    return {
        "layout": LAYOUT,
        "title": options.title,
        "made_with": {"corpus-worker": version("corpus-worker"), "pyarrow": version("pyarrow")},
        "store": corpus.identity(),
        "split": options.split,
        "shard_bytes": options.shard_bytes,
        **summary.record(),
        "columns": [{"name": each.name, "type": each.type, "meaning": each.meaning} for each in options.columns],
        "filters": dict(options.filters),
        "configuration": dict(options.configuration),
        "not_exported": corpus.unexported(),
        "refused": refused,
    }


# The difference to an earlier release. Both are ordered by id, so they are merged like two sorted lists.


class PreviousRelease:
    """An earlier release: its manifest, and its texts in pieces, ordered by id."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any], digest: str) -> None:
        self.manifest = manifest
        self.digest = digest
        shards = sorted(name for name in manifest["files"] if name.startswith("data/"))
        self._pieces = _pieces([folder / name for name in shards])
        self._next: pa.Table | None = next(self._pieces, None)

    @classmethod
    def read(cls, folder: Path, store: str | None) -> Self:
        """Return the release in a folder; raises UsageError if it is not intact, or one of another store."""
        path = folder / MANIFEST
        try:
            body = path.read_bytes()
            manifest = json.loads(body)
            layout = manifest["layout"]
            odd = _odd_entry(manifest) if layout == LAYOUT else ""
            fault = _first_fault(folder, manifest) if layout == LAYOUT and not odd else ""
        except OSError as exc:
            why = exc.strerror or exc
            raise UsageError(
                f"{exc.filename or path}: cannot be read: {why}; name a folder that `release` wrote"
            ) from exc
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise UsageError(f"{path}: is no manifest of a release; name a folder that `release` wrote") from exc
        if layout != LAYOUT:
            raise UsageError(f"{path}: has layout {layout}, and this version reads {LAYOUT}: release without --since")
        if odd:
            raise UsageError(f"{path}: is damaged: {odd}; get that release again")
        if fault:
            raise UsageError(f"{path}: does not describe the files of that release ({fault}); get it again")
        if None not in (store, manifest["store"]) and store != manifest["store"]:
            raise UsageError(f"{folder}: is a release of another store, whose ids mean other texts; omit --since")
        return cls(folder, manifest, hashlib.sha256(body).hexdigest())

    def until(self, last: int | None) -> Iterator[pa.Table]:
        """Yield the texts that were not yielded yet, with ids up to `last`, or all of them for None."""
        while self._next is not None:
            ids = self._next["id"].to_pylist()
            end = len(ids) if last is None else bisect_right(ids, last)
            if end:
                yield self._next.slice(0, end)
            if end < len(ids):
                self._next = self._next.slice(end)
                return
            self._next = next(self._pieces, None)


def _odd_entry(manifest: Mapping[str, Any]) -> str:
    """Return what is wrong with the first entry that is read here and is missing or of another type, else empty."""
    for key, types in _ENTRIES.items():
        if key not in manifest:
            return f'"{key}" is missing'
        if not _is_one_of(manifest[key], types):
            return f'"{key}" has to be {_TYPE_NAMES[types]}'
    for name, record in manifest["files"].items():
        for key, types in _RECORD.items() if name.startswith("data/") else ():
            if not (isinstance(record, dict) and _is_one_of(record.get(key), types)):
                return f'the record of {name} in "files" has no {_FIELD_NAMES[key]}'
    return ""


def _is_one_of(value: object, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)  # to Python, a bool is an int


def _first_fault(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Return the first contradiction between a manifest and the files with the texts, empty if there is none."""
    from pyarrow.parquet import read_metadata

    named = {name: record for name, record in manifest["files"].items() if name.startswith("data/")}
    count = len(named)
    expected = {f"data/{manifest['split']}-{number:05}-of-{count:05}.parquet" for number in range(count)}
    present = {path.relative_to(folder).as_posix() for path in (folder / "data").rglob("*.parquet")}
    for names, wrong in (
        (named.keys() - present, "is missing"),
        (present - named.keys(), f"is not named by {MANIFEST}"),
        (named.keys() - expected, f"does not go with the other names and the split in {MANIFEST}"),
    ):
        if names:
            return f"{min(names)} {wrong}"
    if not count:
        return f"{MANIFEST} names no file with texts"
    for name, record in named.items():
        found = file_record(folder / name)
        found["rows"] = read_metadata(folder / name).num_rows if found["sha256"] == record["sha256"] else None
        if wrong := next((each for each in ("sha256", "bytes", "rows") if found[each] != record[each]), ""):
            return f"{name}: other {_FIELD_NAMES[wrong]}"
    sums = {"texts": "rows", "bytes": "bytes"}
    wrong = next((each for each, of in sums.items() if manifest[each] != sum(one[of] for one in named.values())), "")
    return f'"{wrong}" is not the sum of its files' if wrong else ""


def _pieces(paths: Sequence[Path]) -> Iterator[pa.Table]:
    """Yield the rows of Parquet files in order, some at a time."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    for path in paths:
        with ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_PIECE, use_threads=False):
                yield pa.Table.from_batches([batch])


class DeltaWriter:
    """Writes what turns an earlier release into this one: compare each table of this one in order, then finish."""

    def __init__(
        self,
        folder: Path,
        previous: PreviousRelease,
        corpus: ReleasableCorpus,
        new: ShardedWriter,
        changed: ShardedWriter,
    ) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        self._previous = previous
        self._corpus = corpus
        self._new = new
        self._changed = changed
        self._removed_path = folder / _REMOVED
        self._schema = pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False),
                pa.field("reason", pa.string(), nullable=False),
                pa.field("replaced_by", pa.int64()),
            ]
        )
        self._removed = ParquetWriter(self._removed_path, self._schema, **parquet_options(["reason"]))
        self._removals: Counter[str] = Counter()

    def compare(self, table: pa.Table) -> None:
        """Compare the next texts of this release with those of the earlier one up to the same id."""
        ids = table["id"].to_pylist()
        begin = 0
        for old in self._previous.until(ids[-1]):
            end = bisect_right(ids, old["id"][-1].as_py())
            self._merge(table.slice(begin, end - begin), old)
            begin = end
        if begin < len(ids):
            self._new.write(table.slice(begin))

    def finish(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Write the rest, and return the entry of the manifest and the record of each file."""
        for old in self._previous.until(None):
            self._remove(old["id"].to_pylist())
        self._removed.close()
        removed = {_REMOVED: {**file_record(self._removed_path), "rows": self._removals.total()}}
        entry = {
            "since": {"manifest_sha256": self._previous.digest, "texts": self._previous.manifest["texts"]},
            "new": self._new.rows,
            "changed": self._changed.rows,
            "removed": self._removals.total(),
            "removed_by_reason": dict(sorted(self._removals.items())),
        }
        return entry, {**self._new.finish(), **self._changed.finish(), **removed}

    def close(self) -> None:
        """Give up."""
        with suppress(Exception):
            self._removed.close()

    def _merge(self, table: pa.Table, old: pa.Table) -> None:
        """Divide the texts of one range of ids into new, changed and removed ones."""
        ids = table["id"].to_pylist()
        places = {each: place for place, each in enumerate(old["id"].to_pylist())}
        new = [place for place, each in enumerate(ids) if each not in places]
        both = [place for place, each in enumerate(ids) if each in places]
        if new:
            self._new.write(table.take(new))
        if both:
            common = table.take(both)
            changed = _different_rows(common, old.take([places[ids[place]] for place in both]))
            if changed:
                self._changed.write(common.take(changed))
        self._remove(sorted(places.keys() - set(ids)))

    def _remove(self, ids: Sequence[int]) -> None:
        """Write the ids of texts that are no longer released, with the reasons."""
        if not ids:
            return
        import pyarrow as pa

        removals = self._corpus.removals(ids)
        rows = [
            {"id": each, "reason": removals[each].reason, "replaced_by": removals[each].replaced_by} for each in ids
        ]
        self._removed.write_table(pa.Table.from_pylist(rows, schema=self._schema))
        self._removals.update(removals[each].reason for each in ids)


def _different_rows(new: pa.Table, old: pa.Table) -> list[int]:
    """Return the places of rows in which a value differs: all, if the columns are others."""
    if new.schema.names != old.schema.names or new.schema.types != old.schema.types:
        return list(range(new.num_rows))
    found: set[int] = set()
    for one, other in zip(new.columns, old.columns, strict=True):
        if not one.equals(other):
            pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
            found.update(place for place, (value, earlier) in enumerate(pairs) if value != earlier)
    return sorted(found)
