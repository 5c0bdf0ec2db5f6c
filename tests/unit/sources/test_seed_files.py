"""Seed files: which are found, how each form is read, and what is said of broken ones."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.unit.charset.encoders import windows_1258
from tests.unit.sources.factories import NOW
from worker.dedupe.judge import Deduper
from worker.errors import install_hint
from worker.models import Page, Seed
from worker.sources.files.article_files import InputProblem
from worker.sources.files.columns import INDEX_KEY
from worker.sources.files.seed_rows import SeedFile, SeedReader
from worker.sources.files.seeds import (
    SAMPLE,
    SAMPLE_DIGESTS,
    count_rows,
    find_seed_files,
    read_seed_file,
    sample_size,
)

ROOT = Path(__file__).resolve().parents[3]
LINK = "https://a.example/1"
ROWS = [
    {"id": 7, "headline": "x", "title": "Tựa một", "content": "Bài một.", "link": LINK, "date": "2024-03-05"},
    {"id": 8, "headline": "y", "title": "Tựa hai", "content": "Bài hai,\nhai đoạn.", "link": "", "date": ""},
]


FRAME = zstandard.compress('{"text": "Bài."}\n'.encode())


def found(*paths: Path | str) -> tuple[list[str], list[str]]:
    """Return the names of the seed files at paths, and the problems."""
    each = list(find_seed_files(map(str, paths)))
    names = [file.name for file in each if isinstance(file, SeedFile)]
    return names, [f"{problem.where}: {problem.why}" for problem in each if isinstance(problem, InputProblem)]


def read(path: Path, *, start: int = 0, **reader: Any) -> tuple[list[Seed], list[str]]:
    """Return the seeds in a file, and the problems."""
    (file,) = (each for each in find_seed_files([str(path)]) if isinstance(each, SeedFile))
    items = list(read_seed_file(SeedReader(now=NOW, **reader), file, start=start))
    problems = [f"{item.where.rpartition('/')[2]}: {item.why}" for item in items if isinstance(item, InputProblem)]
    return [item for item in items if isinstance(item, Seed)], problems


def put(path: Path, body: bytes | str = "Tựa\nBài.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    return path


def write(path: Path, rows: Sequence[dict[str, Any]] = ROWS) -> Path:
    """Write rows in the form that the ending of the path names."""
    plain = path.name.removesuffix(".gz").removesuffix(".zst")
    table = pa.Table.from_pylist(list(rows))
    if plain.endswith(".parquet"):
        pq.write_table(table, path, row_group_size=1)
        return path
    if plain.endswith(".arrow"):
        with pyarrow.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
        return path
    if plain.endswith(("l", "ndjson")):
        text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    else:
        mark = "\t" if plain.endswith(".tsv") else ";"
        cells = [list(rows[0]), *([f'"{value}"' for value in row.values()] for row in rows)]
        text = "\ufeff" + "\r\n".join(mark.join(map(str, row)) for row in cells)
    body = text.encode()
    body = gzip.compress(body, mtime=0) if path.name.endswith(".gz") else body
    return put(path, zstandard.compress(body) if path.name.endswith(".zst") else body)


# Finding.


def test_files_of_all_kinds_are_found_once_and_others_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = ("seeds/1.txt", "seeds/báo/a.txt.gz", "seeds/báo/sample/b.TXT", "seeds/data/x.parquet", "seeds/y.jsonl.zst")
    left = ("seeds/sample/c.txt", "seeds/.git/d.txt", "seeds/README.md", "seeds/dataset_info.json", "seeds/.e.csv",
            "seeds/cache-12.arrow", "seeds/f.pdf", "seeds/g.pdf", "seeds/LICENSE", "seeds/h.parquet.gz")  # fmt: skip
    for name in (*kept, *left):
        put(Path(name))

    names, problems = found("seeds", "seeds/data", str(tmp_path / "seeds/*.zst"))

    assert names == ["seeds/y.jsonl.zst", "seeds", "seeds/báo", "seeds/báo/sample", "seeds/data/x.parquet"]
    assert problems == ["seeds: files of other kinds are not read: 2 .pdf, 1 .gz"]
    assert found("seeds/sample") == (["seeds/sample"], [])
    put(Path("seeds/báo/b.txt"))
    assert found("seeds/báo/*.txt*", "seeds/1.txt") == (["seeds/báo", "seeds/1.txt"], [])
    assert found("seeds/1.txt", "seeds", "seeds/*.txt") == (found("seeds")[0], found("seeds")[1])
    assert found("nowhere", "seeds/f.pdf")[1][0] == "nowhere: no such file or folder; make it, or set [seeds] path"
    assert "unknown kind of file; known are .txt, .jsonl" in found("seeds/f.pdf")[1][0]


def test_the_project_and_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    assert found("seeds") == ([], [])
    assert sample_size(Path("seeds")) == len(SAMPLE_DIGESTS)
    files = (ROOT / "seeds" / SAMPLE).glob("[0-9]*.txt")
    assert {hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files} == SAMPLE_DIGESTS


def test_links_are_followed_once_and_lead_nowhere_without_harm(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.txt")
    put(tmp_path / "b" / "x.jsonl", '{"text": "Bài."}')
    (tmp_path / "a" / "2.txt").symlink_to("nowhere")
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")

    first, second = (each for each in find_seed_files([str(tmp_path / "a")]) if isinstance(each, SeedFile))
    seed, lost = read_seed_file(SeedReader(now=NOW), first)

    assert (first.label, second.label) == ("", "b/x.jsonl")
    assert (getattr(seed, "name", ""), bool(first.stamp())) == ("1.txt", True)
    assert getattr(lost, "why", "") == "cannot be read: No such file or directory; remove it or check its permissions"


# Reading what is sound.


@pytest.mark.parametrize(
    "ending",
    ["jsonl", "ndjson", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "tsv", "parquet", "arrow"],
)
def test_columns_are_found_by_their_usual_names(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"x.{ending}")

    (first, second), problems = read(path)

    assert problems == []
    assert (first.name, first.row, first.raw, first.title) == (f"x.{ending}#1", 1, "Bài một.", "Tựa một")
    assert (first.url, first.external_id) == ("https://a.example/1", "7")
    assert first.published_at == datetime(2024, 3, 5, tzinfo=UTC)
    assert first.sha256 == hashlib.sha256("Bài một.".encode()).hexdigest()
    assert (second.url, second.published_at, second.raw) == ("", None, "Bài hai,\nhai đoạn.")
    assert [seed.row for seed in read(path, start=1)[0]] == [2]
    assert [seed.title for seed in read(path, columns={"title": "HEADLINE"})[0]] == ["x", "y"]


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_rows_are_read_in_any_wide_encoding_and_as_an_array_or_one_object(tmp_path: Path, codec: str) -> None:
    objects = [json.dumps({"text": f"Bài {number}, có “dấu”."}, ensure_ascii=False) for number in range(3)]
    bodies = {
        "lines.jsonl": "\n".join(objects),
        "lines.json": "\n".join(objects),
        "array.json": f"[{', '.join(objects)}]",
        "array.jsonl": "[\n " + ",\n ".join(objects) + "\n]\n",
        "table.csv": "sep=;\r\ntitle;text\r\n" + "".join(f'"A";"Bài {n}, có “dấu”."\r\n' for n in range(3)),
        "one.json": json.dumps({"text": "Bài 0, có “dấu”."}, ensure_ascii=False, indent=1),
    }

    for name, body in bodies.items():
        seeds, problems = read(put(tmp_path / name, body.encode(codec)))
        assert problems == []
        assert [seed.raw for seed in seeds] == [f"Bài {n}, có “dấu”." for n in range(1 if name == "one.json" else 3)]


def test_columns_of_any_type_are_read(tmp_path: Path) -> None:
    texts, path = ["Bài một.", "Bài hai."], tmp_path / "x.parquet"
    moment = datetime(2024, 3, 5, tzinfo=UTC)
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\x05\0\0\0\x08\0\0\0"), pa.py_buffer(b"B\xe0i 1abc")]
    )
    for column, expected in (
        (pa.array(texts, pa.large_string()), texts),
        (pa.array(texts).dictionary_encode(), texts),
        (pa.array([text.encode() for text in texts]), texts),
        (pa.array([text.split() for text in texts]), ["Bài\nmột.", "Bài\nhai."]),
        (broken, ["B\ufffdi 1", "abc"]),
    ):
        pq.write_table(pa.table({"Text ": column, "title": pa.array([b"A", b"B"])}), path)
        assert [(seed.raw, seed.title) for seed in read(path)[0]] == [*zip(expected, "AB", strict=True)]
    for dates in (
        pa.array([1_709_596_800_000_000_001, None], pa.timestamp("ns")),
        pa.array([1_709_596_800, 2**50], pa.timestamp("s", "Mars/Phobos")),
        pa.array([19_787, 2**30], pa.date32()),
    ):
        pq.write_table(pa.table({"text": texts, "date": dates, "id": [7.0, None]}), path)
        assert [seed.published_at for seed in read(path)[0]] in ([moment, None], [None, None])
        assert [seed.external_id for seed in read(path)[0]] == ["7", None]
    for table, said in (
        (pa.table({"text": [1, 2]}), "the column 'text' holds int64, no text"),
        (pa.table({"text": [{"a": "b"}]}), "the column 'text' holds struct<a: string>, no text"),
        (pa.Table.from_arrays([pa.array(texts)] * 2, ["text", "text"]), "2 columns are called 'text'; rename"),
    ):
        pq.write_table(table, path)
        assert read(path)[1][0].startswith(f"x.parquet: {said}")


def test_text_files_are_read_in_any_encoding(tmp_path: Path) -> None:
    vietnamese = "Tựa đề của bài\n" + "Một câu tiếng Việt đủ dài để nhận ra bảng mã của nó. " * 5
    put(tmp_path / "1.txt", b"\xef\xbb\xbf" + vietnamese.encode())
    put(tmp_path / "2.txt", vietnamese.encode("utf-16"))
    put(tmp_path / "3.txt", b"T\x00\xe1\xbb\xb1a\nB\xc3\xa0i.")
    put(tmp_path / "4.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    put(tmp_path / "5.txt", b" \n")
    os.mkfifo(tmp_path / "6.txt")

    seeds, problems = read(tmp_path)

    assert [seed.name for seed in seeds] == ["1.txt", "2.txt", "3.txt"]
    assert [seed.raw.strip() for seed in seeds[:2]] == [vietnamese.strip()] * 2
    assert [problem.partition(": ")[2].partition(";")[0] for problem in problems] == [
        "not text in UTF-8 or another recognisable encoding", "empty", "cannot be read: it is a pipe, no ordinary file"
    ]  # fmt: skip


def test_pages_of_a_web_archive_are_read(tmp_path: Path) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><p>B\xc3\xa0i</p></html>"
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {LINK}\r\nContent-Length: {len(page)}\r\n\r\n"
    path = put(tmp_path / "x.warc", head.encode() + page + b"\r\n\r\n")

    ((seed,), problems) = read(path)

    assert (seed.name, seed.row, seed.url, problems) == ("x.warc#1", 1, "https://a.example/1", [])
    assert isinstance(seed.page, Page)


def test_fingerprints_of_a_file_are_used_if_they_are_of_this_index_and_text(tmp_path: Path) -> None:
    index = Deduper().parameters
    row = {"text": "Bài.", "signature": b"s", "bands": [1, -2], "anchors": [3], "shingles": 4}
    rows = [{**row, "sha256": hashlib.sha256("Bài.".encode()).hexdigest()}, {**row, "sha256": "another"}]
    table = pa.Table.from_pylist(rows)

    for parameters, used in ((asdict(index), [True, False]), ({**asdict(index), "bands": 3}, [False, False])):
        marked = table.replace_schema_metadata({INDEX_KEY: json.dumps(parameters)})
        pq.write_table(marked, tmp_path / "x.parquet")
        assert [bool(seed.fingerprint) for seed in read(tmp_path / "x.parquet", index=index)[0]] == used


def test_rows_are_counted_for_an_estimate(tmp_path: Path) -> None:
    for name, expected in (("x.parquet", 2), ("x.jsonl", 2), ("x.jsonl.gz", None)):
        (file,) = find_seed_files([str(write(tmp_path / name))])
        assert isinstance(file, SeedFile)
        assert count_rows(file) == expected


# Broken files: one clear line each, and the rest goes on.


@pytest.mark.parametrize(
    ("name", "body", "rows", "said"),
    [
        ("a.parquet", b"PAR1 and then nothing of the kind PAR1", [], "a.parquet: is no readable Parquet file ("),
        ("a.arrow", b"no arrow at all", [], "a.arrow: is no readable Arrow file ("),
        ("a.csv", "Một bài báo\nHai bài báo\n", [], "a.csv: no column holds the text (text, content, body"),
        ("a.csv", "1,https://a.example/1,Một bài\n", [], "a.csv: no header: the first line holds '1, "),
        ("a.csv", "", [], "a.csv: no rows in it"),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), [], "a.jsonl.gz: no rows in it"),
        ("a.csv", "text,title\rMột.,A\rHai.,B\r", [], "a.csv: its lines end with CR alone"),
        ("a.tsv", 'title\ttext\nA\t"Bài\nB\tHai.\n', [2], "a.tsv, line 2: a quote does not close"),
        ("a.csv", "title,text\n\nA,Bài.\nB\nC,Bài nữa.\n", [1, 3], "a.csv, line 4: 1 cells where the header has 2"),
        ("a.csv", 'text,title\nMột.,A\n"hai,B\nba.,C\nbốn.,D\n', [1, 3, 4], "a.csv, line 3: a quote does not close"),
        ("a.csv", b"text,title\nM\xe1\xbb\x99t.,A\nHai\x00.,B\nd\xf5i.,C\n", [1, 2, 3], ""),
        ("a.jsonl", '{"text": "Bài."}\n\n{"text": 3}\n[]\n{"body": "Nữa."}\n{b\n', [1, 4], "a.jsonl, line 3: no text"),
        ("a.jsonl", '{"tekst": "Bài."}\n', [], "a.jsonl, line 1: no column holds the text ("),
        ("a.jsonl.gz", gzip.compress(b'{"text": "B"}\n' * 9, mtime=0)[:-12], None, "a.jsonl.gz: damaged or cut off ("),
        ("a.jsonl.zst", b"no zstd", [], "a.jsonl.zst: damaged or cut off ("),
        ("a.jsonl.zst", FRAME * 2 + FRAME[:-3], [1, 2], "a.jsonl.zst: damaged or cut off (the last frame is not"),
        ("a.json", '[{"text": "Bài."}, 3, {"text": "Hai', [1], "a.json: the JSON array is damaged or cut off after 2 "),
        ("a.json", '{\n "data": []\n}\n', [], "a.json, line 1: no column holds the text"),
        ("a.txt", b"", [], "a.txt: empty; remove it"),
    ],
)  # fmt: skip
def test_what_is_broken_is_said_in_one_line(
    tmp_path: Path, name: str, body: bytes | str, rows: list[int] | None, said: str
) -> None:
    seeds, problems = read(put(tmp_path / name, body))

    assert rows is None or [seed.row for seed in seeds] == rows
    assert any(problem.startswith(said) for problem in problems) if said else not problems
    assert all("\n" not in problem for problem in problems)


UNUSABLE = {
    f"https://a.vn/{'x' * 9000}": "it has 9,013 characters, more than 8,192",
    f"https://a.vn/{'x' * 3000}": "it has 3,013 characters, more than 2,500",
    "http://bad host/x": "not a usable host: 'bad host'",
    "https://a.vn:99999/x": "not a usable host: 'a.vn:99999'",
    "http://[bad/x": "not a usable URL: 'http://[bad/x'",
    "https://a..vn/x": "not a usable host: 'a..vn'",
    f"https://{'á' * 300}.vn/": "not a usable host",
    "ftp://a.vn/x": "'ftp://a.vn/x' is no web address",
    "a.vn/x": "'a.vn/x' is no web address",
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.arrow"])
def test_a_seed_with_an_unusable_address_is_read_without_it(tmp_path: Path, name: str) -> None:
    good = {"HTTPS://a.vn/1": "https://a.vn/1", "seed:a.txt": "", "file:///a.txt": "", "": ""}
    rows = [{"text": f"Bài {row}.", "url": url} for row, url in enumerate((*UNUSABLE, *good), 1)]

    seeds, problems = read(write(tmp_path / name, rows))

    assert problems == []
    assert [seed.row for seed in seeds] == [*range(1, len(rows) + 1)]
    assert [seed.url for seed in seeds] == [*([""] * len(UNUSABLE)), *good.values()]
    for seed, said in zip(seeds, [*UNUSABLE.values()], strict=False):
        assert seed.problem.startswith("the seed is without its address: ")
        assert said in seed.problem
    assert not any(seed.problem for seed in seeds[len(UNUSABLE) :])


@pytest.mark.parametrize("zone", ["Asia/Ho_Chi_Minh", "America/New_York"])
def test_no_row_of_json_ends_a_file(tmp_path: Path, zone: str) -> None:
    dates = ["nonsense", 10**30, -5, {}, "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", float("nan"), True]
    seeds_all_the_same = [
        *(
            {"url": url, "text": "Bài."}
            for url in (5, True, {"a": 1}, [1], None, float("nan"), [], "http://a.vn/\ud800")
        ),
        *({"date": date, "text": "Bài."} for date in dates),
        *({"title": title, "text": "Bài."} for title in (5, {"a": [1]}, ["a", "b"], "a\ud800\x00b")),
        *({"id": identity, "text": "Bài."} for identity in (10**40, [1], float("inf"), "x" * 9999)),
        *({"language": language, "text": "Bài."} for language in (5, "v\x00i", ["vi"])),
        {"text": "Bài\ud800\x00."},
    ]
    left_out = [{"text": None}, {"text": 5}, {"text": {}}, {}, [1, 2], 5, "abc", None]
    rows = [*seeds_all_the_same, *left_out, {"text": "Bài cuối."}]
    body = "".join(f"{json.dumps(row)}\n" for row in rows)

    seeds, problems = read(put(tmp_path / "a.jsonl", body), zone=ZoneInfo(zone))

    assert [seed.row for seed in seeds] == [*range(1, len(seeds_all_the_same) + 1), len(rows)]
    assert [seed.row for seed in seeds if seed.problem] == [1, 2, 3, 4]
    assert len(problems) == len(left_out)


def test_a_damaged_row_group_costs_only_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": [f"Bài {number}. " * 50 for number in range(6)]}), path, row_group_size=2)
    at = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    body = bytearray(path.read_bytes())
    body[at : at + 40] = bytes(40)
    path.write_bytes(body)

    seeds, problems = read(path)

    begins, ends = "x.parquet, row 3: row group 2 is damaged (", "); its other 2 rows are left out"
    assert [seed.row for seed in seeds] == [1, 2, 5, 6]
    assert [(each.startswith(begins), each.endswith(ends)) for each in problems] == [(True, True)]
    assert [seed.row for seed in read(path, start=3)[0]] == [5, 6]


def test_a_line_that_is_not_utf8_is_read_as_what_it_is_and_named(tmp_path: Path) -> None:
    vietnamese = '{"text": "Giá vàng hôm nay tăng mạnh ở Hà Nội"}'
    bodies = [vietnamese.encode() + b"\n", windows_1258(vietnamese) + b"\n", b'{"text": "caf\xe9"}\n']

    seeds, problems = read(put(tmp_path / "x.jsonl", b"".join(bodies)))

    assert [seed.raw for seed in seeds] == ["Giá vàng hôm nay tăng mạnh ở Hà Nội"] * 2
    assert [seed.problem for seed in seeds] == ["", "the line is not UTF-8 and was read as windows-1258"]
    why = "the line is not UTF-8, nor in another recognisable encoding; save it as UTF-8"
    assert problems == [f"x.jsonl, line 3: {why}"]


def test_what_comes_behind_an_array_is_not_lost_silently(tmp_path: Path) -> None:
    seeds, problems = read(put(tmp_path / "x.jsonl", '[{"text": "a"}]\n{"text": "b"}\n'))

    assert [seed.raw for seed in seeds] == ["a"]
    assert problems == ["x.jsonl: the JSON array ends after 1 element, and what comes behind it was not read"]


def test_a_row_that_is_too_large_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.sources.files.columns.MAX_TEXT_BYTES", 1000)
    rows = [{"text": "a" * 1001}, {"text": "b"}]

    for ending, place in (("parquet", "row 1"), ("jsonl", "line 1"), ("csv", "line 2")):
        seeds, problems = read(write(tmp_path / f"x.{ending}", rows))
        assert [seed.raw for seed in seeds] == ["b"]
        assert problems == [f"x.{ending}, {place}: the text is larger than 1,000 bytes; split it"]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)

    assert read(path) == ([], [f"x.parquet: reading it needs pyarrow: {install_hint('parquet')}"])


def test_a_missing_column_that_is_configured_is_named(tmp_path: Path) -> None:
    _, problems = read(write(tmp_path / "x.csv"), columns={"text": "noidung"})

    assert problems[0].startswith("x.csv: there is no column 'noidung' (text); found ")
