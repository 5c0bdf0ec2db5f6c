"""Exports of the corpus: the same fields in every format, written atomically."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.fakes import START, article
from worker.errors import UsageError
from worker.export import FORMATS
from worker.export.formats import EXPORTED
from worker.models import Relation, StoredArticle

HANOI = timezone(timedelta(hours=7))


def stored(number: int, *, published_at: datetime | None = None) -> StoredArticle:
    made = replace(
        article(f"Đoạn một số {number}.\nĐoạn hai.", url=f"https://báo.example/{number}"),
        authors=("Nguyễn Văn A", "B"),
        published_at=published_at,
        published_at_from="json-ld" if published_at else "",
    )
    return StoredArticle(id=number, article=made, cluster=number, revision=1, head=True, relation=Relation.UNIQUE)


def test_parquet_rows_hold_what_jsonl_lines_hold(tmp_path: Path) -> None:
    corpus = [stored(1, published_at=START), stored(2)]

    written = [FORMATS[form](corpus, tmp_path / f"corpus.{form}") for form in ("jsonl", "parquet")]

    lines = [json.loads(line) for line in (tmp_path / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = parquet.read_table(tmp_path / "corpus.parquet").to_pylist()
    assert written == [2, 2]
    assert list(lines[0]) == list(rows[0]) == list(EXPORTED)
    assert [{name: iso(value) for name, value in row.items()} for row in rows] == lines


def iso(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def test_parquet_columns_are_typed_and_times_are_instants(tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, 6, 30, 0, 123456, tzinfo=HANOI)

    FORMATS["parquet"]([stored(1, published_at=at)], tmp_path / "corpus.parquet")

    table = parquet.read_table(tmp_path / "corpus.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types["published_at"] == types["fetched_at"] == "timestamp[us, tz=UTC]"
    assert (types["id"], types["words"], types["text"]) == ("int64", "int32", "string")
    assert types["authors"].startswith("list<")
    assert table["published_at"][0].as_py() == at.astimezone(UTC)


def test_parquet_is_written_a_group_of_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.export.formats.ROWS_AT_ONCE", 10)
    alive = 0

    def corpus() -> Iterator[StoredArticle]:
        nonlocal alive
        for number in range(35):
            alive = number
            yield stored(number)

    count = FORMATS["parquet"](corpus(), tmp_path / "corpus.parquet")

    found = parquet.ParquetFile(tmp_path / "corpus.parquet")
    assert (count, alive) == (35, 34)
    assert [found.metadata.row_group(group).num_rows for group in range(found.num_row_groups)] == [10, 10, 10, 5]
    assert found.read()["id"].to_pylist() == list(range(35))


def test_an_empty_corpus_is_a_file_without_rows(tmp_path: Path) -> None:
    assert FORMATS["parquet"]([], tmp_path / "corpus.parquet") == 0
    assert parquet.read_table(tmp_path / "corpus.parquet").column_names == list(EXPORTED)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path, form: str) -> None:
    target = tmp_path / "corpus"
    target.write_text("before")

    def breaks() -> Iterator[StoredArticle]:
        yield stored(1)
        raise RuntimeError("the store went away")

    with pytest.raises(RuntimeError):
        FORMATS[form](breaks(), target)

    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_target_that_cannot_be_written_is_an_error(tmp_path: Path, form: str) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot be written"):
        FORMATS[form]([stored(1)], tmp_path / "file" / "corpus")


def test_parquet_needs_a_file_and_says_how_to_get_its_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--output FILE"):
        FORMATS["parquet"]([stored(1)], None)

    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(UsageError, match=r'pip install "corpus-worker\[parquet\]"'):
        FORMATS["parquet"]([stored(1)], tmp_path / "corpus.parquet")
    assert not list(tmp_path.iterdir())
