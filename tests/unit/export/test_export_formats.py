"""Exports of the corpus: the same columns in every format, written completely or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import zstandard
from pyarrow import parquet

from tests.fakes import START, article
from worker.errors import UsageError, install_hint
from worker.export.columns import COLUMNS, COPY_COLUMNS, condition, read_filter
from worker.export.formats import FORMATS, format_of, write_export
from worker.models import CopyFacts, Relation, Rights, StoredArticle

NO_RIGHTS = Rights()
HANOI = timezone(timedelta(hours=7))
NAMES = [column.name for column in COLUMNS]


def stored(number: int, *, published_at: datetime | None = None, rights: Rights = NO_RIGHTS) -> StoredArticle:
    made = replace(
        article(f"Đoạn một số {number}.\nĐoạn hai.", url=f"https://báo.example/{number}"),
        authors=("Nguyễn Văn A", "B"),
        published_at=published_at,
        published_at_from="json-ld" if published_at else "",
        rights=rights,
    )
    return StoredArticle(id=number, article=made, cluster=number, revision=1, head=True, relation=Relation.UNIQUE)


def write(form: str, texts: list[StoredArticle], output: Path | str | None) -> int:
    return write_export(form, texts, COLUMNS, None if output is None else str(output))


def test_every_format_holds_what_jsonl_lines_hold(tmp_path: Path) -> None:
    corpus = [stored(1, published_at=START), stored(2)]

    written = [write(form, corpus, tmp_path / f"corpus.{form}") for form in ("jsonl", "parquet", "csv")]

    lines = [json.loads(line) for line in (tmp_path / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = parquet.read_table(tmp_path / "corpus.parquet").to_pylist()
    cells = list(csv.DictReader(io.StringIO((tmp_path / "corpus.csv").read_text(encoding="utf-8"))))
    assert written == [2, 2, 2]
    assert list(lines[0]) == list(rows[0]) == list(cells[0]) == NAMES
    assert [{name: iso(value) for name, value in row.items()} for row in rows] == lines
    assert [{name: cell(value) for name, value in line.items()} for line in lines] == cells


@pytest.mark.parametrize("title", ["=1+1", '+HYPERLINK("http://a.example")', "-1+cmd|' /C x'!A0", "@SUM(1)", "\t=1"])
def test_no_cell_of_a_csv_file_begins_as_a_formula(tmp_path: Path, title: str) -> None:
    made = stored(1)

    write("csv", [replace(made, article=replace(made.article, title=title))], tmp_path / "corpus.csv")

    with (tmp_path / "corpus.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["title"] == f"'{title}"


def iso(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def cell(value: object) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def test_parquet_columns_are_typed_and_times_are_instants(tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, 6, 30, 0, 123456, tzinfo=HANOI)

    write("parquet", [stored(1, published_at=at)], tmp_path / "corpus.parquet")

    table = parquet.read_table(tmp_path / "corpus.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types["published_at"] == types["fetched_at"] == types["last_seen"] == "timestamp[us, tz=UTC]"
    assert (types["id"], types["words"], types["text"]) == ("int64", "int32", "string")
    assert types["authors"].startswith("list<")
    assert table["published_at"][0].as_py() == at.astimezone(UTC)


def test_parquet_is_written_a_group_of_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.export.parquet.ROWS_AT_ONCE", 10)
    monkeypatch.setattr("worker.export.parquet.TEXT_AT_ONCE", 4_000)
    monkeypatch.setattr("worker.export.parquet._TABLE_ROWS", 7)
    long = replace(stored(25), article=replace(stored(25).article, text="dài " * 1_000))
    alive = 0

    def corpus() -> Iterator[StoredArticle]:
        nonlocal alive
        for number in range(35):
            alive = number
            yield long if number == 25 else stored(number)

    count = write_export("parquet", corpus(), COLUMNS, str(tmp_path / "corpus.parquet"))

    found = parquet.ParquetFile(tmp_path / "corpus.parquet")
    assert (count, alive) == (35, 34)
    assert [found.metadata.row_group(group).num_rows for group in range(found.num_row_groups)] == [10, 10, 6, 9]
    assert found.read()["id"].to_pylist() == list(range(35))


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_an_empty_corpus_is_a_file_without_rows(tmp_path: Path, form: str) -> None:
    assert write(form, [], tmp_path / "corpus") == 0

    if form == "parquet":
        assert parquet.read_table(tmp_path / "corpus").column_names == NAMES
    else:
        assert (tmp_path / "corpus").read_text() == ("" if form == "jsonl" else ",".join(NAMES) + "\n")


def test_the_name_of_a_file_compresses_it_always_alike(tmp_path: Path) -> None:
    for name in ("plain.jsonl", "one.jsonl.gz", "two.jsonl.GZ", "one.jsonl.zst"):
        write("jsonl", [stored(1)], tmp_path / name)

    plain = (tmp_path / "plain.jsonl").read_bytes()
    assert gzip.decompress((tmp_path / "one.jsonl.gz").read_bytes()) == plain
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.GZ").read_bytes()
    assert zstandard.ZstdDecompressor().stream_reader((tmp_path / "one.jsonl.zst").read_bytes()).read() == plain


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path, form: str) -> None:
    target = tmp_path / "corpus"
    target.write_text("before")

    def breaks() -> Iterator[StoredArticle]:
        yield stored(1)
        raise RuntimeError("the store went away")

    with pytest.raises(RuntimeError):
        write_export(form, breaks(), COLUMNS, str(target))

    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_target_that_cannot_be_written_is_an_error(tmp_path: Path, form: str) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot be written"):
        write(form, [], tmp_path / "file" / f"corpus{FORMATS[form].ending}")


@pytest.mark.parametrize(
    ("form", "output", "told"),
    [
        ("parquet", None, "--output FILE"),
        ("parquet", "-", "--output FILE"),
        ("text", "-", "--output DIR"),
        ("text", None, "--output DIR"),
        ("text", "memory://bucket/texts", "--output DIR"),
        ("parquet", "corpus.parquet.gz", "not compressed again"),
        ("jsonl", "nosuch://bucket/corpus.jsonl", "nosuch"),
        ("jsonl", "memory://", "names no file"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(form: str, output: str | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        write(form, [stored(1)], output)


@pytest.mark.parametrize(
    ("module", "output", "extra"), [("pyarrow", "a", "parquet"), ("fsspec.core", "s3://b/a", "remote")]
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, output: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match=re.escape(install_hint(extra))):
        write("parquet", [stored(1)], output if module == "pyarrow" else "s3://bucket/a.parquet")
    assert not list(tmp_path.iterdir())


def test_the_ending_of_the_name_is_the_format() -> None:
    names = {"a.parquet": "parquet", "A.CSV.gz": "csv", "corpus.jsonl.zst": "jsonl", "texts": "jsonl", "": "jsonl"}

    assert {name: format_of(name) for name in names} == names


# Remote stores.


def test_a_remote_object_is_there_completely_or_not_at_all() -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    fs = MemoryFileSystem()

    def breaks() -> Iterator[StoredArticle]:
        yield stored(1)
        raise RuntimeError("the store went away")

    assert write("jsonl", [stored(1), stored(2)], "memory://remote/corpus.jsonl.gz") == 2
    before = fs.cat("/remote/corpus.jsonl.gz")
    with pytest.raises(RuntimeError):
        write_export("jsonl", breaks(), COLUMNS, "memory://remote/corpus.jsonl.gz")

    assert fs.ls("/remote", detail=False) == ["/remote/corpus.jsonl.gz"]
    assert fs.cat("/remote/corpus.jsonl.gz") == before
    assert len(gzip.decompress(before).splitlines()) == 2


@pytest.mark.parametrize("failing", ["open", "write", "close", "mv"])
def test_a_remote_store_that_fails_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    from fsspec.implementations import memory

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("the bucket\nis gone")

    owner = memory.MemoryFileSystem if failing in {"open", "mv"} else memory.MemoryFile
    monkeypatch.setattr(owner, failing, fail, raising=False)

    with pytest.raises(UsageError) as raised:
        write("jsonl", [stored(1)], "memory://failing/corpus.jsonl")

    assert str(raised.value).startswith("memory://failing/corpus.jsonl: cannot be written: the bucket is gone")
    assert not [name for name in memory.MemoryFileSystem.store if name.startswith("/failing")]


# Conditions on columns.


@pytest.mark.parametrize(
    ("written", "met"),
    [
        ("title=", False),
        ("section=", True),
        ("section!=", False),
        ("authors=B", True),
        ("authors!=B", False),
        ("authors=C", False),
        ("words>=5", True),
        ("words>=500", False),
        ("words<=5", False),
        ("id=7", True),
        ("copies=0", True),
        ("fetched_at>=2020-01-01", True),
        ("published_at>=2020-01-01", False),
        ("published_at=", True),
        ("url=https://báo.example/7", True),
        ("robots=noai", True),
        ("rights=noai", True),
        ("rights=tdm-reservation", True),
        ("rights!=nosnippet", True),
        ("rights=", False),
        ("licence!=https://a.example/?a=b", True),
    ],
)
def test_a_condition_on_a_column(written: str, met: bool) -> None:
    text = stored(7, rights=Rights(robots=("noai",), tdm_reservation="1"))

    assert condition(written, COLUMNS)(text) is met


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("words", "write COLUMN=VALUE"),
        ("wort=5", "no column 'wort'"),
        ("words=many", "words is a number"),
        ("authors>=B", "use = or !="),
        ("words>=", "use = or !="),
        ("fetched_at<=yesterday", "fetched_at is a day or a time"),
        ("copy_of=5", "no column 'copy_of'"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused(written: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        condition(written, COLUMNS)


def test_a_day_is_whole_and_a_time_is_exact() -> None:
    days = read_filter({"since": "2026-01-31", "until": "2026-01-31"}).selection
    times = read_filter({"since": "2026-01-31T07:00+07:00", "until": "2026-01-31 08:00"}).selection

    assert (days.since, days.before) == (datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert (times.since, times.before) == (datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 1, 31, 8, tzinfo=UTC))
    with pytest.raises(UsageError, match=r"--to 31\.1\.2026"):
        read_filter({"until": "31.1.2026"})


def test_facts_of_copies_have_columns_and_copies_two_more(tmp_path: Path) -> None:
    facts = CopyFacts(
        others=2,
        hosts=("a.example",),
        first_seen=START,
        last_seen=START + timedelta(days=1),
        first_host="a.example",
        copy_of=4,
        relation=Relation.COPY,
    )

    write_export("jsonl", [replace(stored(7), copies=facts)], (*COLUMNS, *COPY_COLUMNS), str(tmp_path / "a"))

    line = json.loads((tmp_path / "a").read_text(encoding="utf-8"))
    assert list(line)[-2:] == ["copy_of", "relation"]
    assert [line[name] for name in ("copies", "copy_hosts", "first_host", "copy_of", "relation")] == [
        2, ["a.example"], "a.example", 4, "copy",
    ]  # fmt: skip
    assert line["last_seen"] == (START + timedelta(days=1)).isoformat()
