"""WARC and ARC files: pages are read; other records and damage are skipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest

from tests.unit.sources.factories import NOW
from worker.dates.periods import TimeWindow
from worker.models import Candidate, Page, Source, SourceOptions
from worker.sources import read_inputs
from worker.sources.files.article_files import InputContext, InputProblem
from worker.sources.files.warc import WarcFilter, read_portions, read_warc

SOURCE = Source(name="kho", kind="warc", url="-")
SITED = Source(name="kho", kind="warc", url="-", options=SourceOptions(sites=frozenset({"bao.vn"})))
ALL_PAGES = WarcFilter()
PAGE = "<html lang='en'><body>" + "Mưa lớn kéo dài ở miền Trung, nước dâng nhanh. " * 30 + "</body></html>"


def record(
    url: str,
    body: bytes,
    http: Mapping[str, str] | None = None,
    *,
    status: str = "200 OK",
    kind: str = "response",
    date: str = "2024-03-05T08:00:00Z",
    packed: bool = True,
) -> bytes:
    fields = {"Content-Type": "text/html; charset=utf-8", **(http or {})}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    block = body if kind == "resource" else head.encode() + body
    made = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: <{url}>\r\nWARC-Date: {date}\r\n"
        f"Content-Type: text/html\r\nContent-Length: {len(block)}\r\n\r\n"
    ).encode() + block + b"\r\n\r\n"  # fmt: skip
    return gzip.compress(made, mtime=0) if packed else made


def written(folder: Path, pieces: Iterable[bytes], name: str = "a.warc.gz") -> Path:
    file = folder / name
    file.write_bytes(b"".join(pieces))
    return file


def read(file: Path, wanted: WarcFilter = ALL_PAGES, *, max_bytes: int = 1_000_000) -> list[Candidate | InputProblem]:
    return list(read_warc(file, InputContext(source="kho", now=NOW, max_bytes=max_bytes), wanted))


def addresses(found: Iterable[Candidate | InputProblem]) -> list[str]:
    return [item.url if isinstance(item, Candidate) else item.why for item in found]


@pytest.mark.parametrize("packed", [True, False])
def test_a_response_becomes_a_page_with_its_address_and_date(tmp_path: Path, packed: bool) -> None:
    file = written(tmp_path, [record("https://www.bao.vn/a-1.html?utm_source=x", PAGE.encode(), packed=packed)])

    (candidate,) = read(file)

    assert isinstance(candidate, Candidate)
    assert candidate.canonical_url == "https://bao.vn/a-1.html"
    assert candidate.reference == f"{file}:1"
    assert isinstance(candidate.payload, Page)
    assert candidate.payload.body == PAGE.encode()
    assert candidate.payload.fetched_at == datetime(2024, 3, 5, 8, tzinfo=UTC)
    assert candidate.payload.content_type == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(PAGE.encode(), mtime=0)),
        ("deflate", zlib.compress(PAGE.encode())),
        ("br", brotli.compress(PAGE.encode())),
        ("br", PAGE.encode()),
        ("gzip", PAGE.encode()),
        ("", PAGE.encode()),
    ],
)
def test_encoded_and_already_decoded_bodies_are_read(tmp_path: Path, coding: str, body: bytes) -> None:
    (candidate,) = read(written(tmp_path, [record("https://bao.vn/a-1.html", body, {"Content-Encoding": coding})]))

    assert isinstance(candidate, Candidate)
    assert isinstance(candidate.payload, Page)
    assert candidate.payload.body == PAGE.encode()


def test_chunks_are_joined(tmp_path: Path) -> None:
    raw = PAGE.encode()
    chunked = b"%x\r\n%s\r\n%x;x=1\r\n%s\r\n0\r\n\r\n" % (100, raw[:100], len(raw) - 100, raw[100:])

    found = read(written(tmp_path, [record("https://bao.vn/a-1.html", chunked, {"Transfer-Encoding": "chunked"})]))

    assert isinstance(found[0], Candidate)
    assert isinstance(found[0].payload, Page)
    assert found[0].payload.body == raw


def test_records_without_a_page_are_skipped(tmp_path: Path) -> None:
    pieces = [
        record("https://bao.vn/404", b"gone", status="404 Not Found"),
        record("https://bao.vn/a.jpg", b"\xff\xd8", {"Content-Type": "image/jpeg"}),
        record("https://bao.vn/request", b"", kind="request"),
        record("https://bao.vn/ok-1.html", PAGE.encode(), kind="resource"),
    ]

    assert "https://bao.vn/ok-1.html" in addresses(read(written(tmp_path, pieces)))
    assert not {"https://bao.vn/404", "https://bao.vn/request"} & set(addresses(read(written(tmp_path, pieces))))


def test_pages_are_filtered_by_site_date_and_language(tmp_path: Path) -> None:
    english = b"<html lang='en'><body>Heavy rain</body></html>"
    file = written(
        tmp_path,
        [
            record("https://bao.vn/dung-1.html", PAGE.encode()),
            record("https://video.bao.vn/cung-dung-1.html", b"<p>khong ro</p>"),
            record("https://xa-la.com/a-1.html", PAGE.encode()),
            record("https://bao.vn/cu-1.html", PAGE.encode(), date="2020-01-01T00:00:00Z"),
            record("https://bao.vn/english-1.html", english),
        ],
    )
    window = TimeWindow(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 12, 31, tzinfo=UTC))

    found = read(file, WarcFilter(sites=frozenset({"bao.vn"}), window=window, languages=frozenset({"vi"})))

    assert addresses(found) == ["https://bao.vn/dung-1.html", "https://video.bao.vn/cung-dung-1.html"]


@pytest.mark.parametrize("packed", [True, False])
def test_a_damaged_record_does_not_affect_the_others(tmp_path: Path, packed: bool) -> None:
    pieces = [record(f"https://bao.vn/a-{n}.html", PAGE.encode(), packed=packed) for n in range(5)]
    hurt = pieces[2]
    pieces[2] = (hurt[: len(hurt) // 2] + b"\x00" * 40 + hurt[len(hurt) // 2 + 40 :]) if packed else hurt[300:]

    found = read(written(tmp_path, pieces))

    assert [item.url for item in found if isinstance(item, Candidate)][-2:] == [
        f"https://bao.vn/a-{n}.html" for n in (3, 4)
    ]
    assert sum(isinstance(item, Candidate) for item in found) == 4
    assert [item.why for item in found if isinstance(item, InputProblem)] == ["the record is damaged and was skipped"]


@pytest.mark.parametrize("left", [b"</p></body>", b"\x00\xffWARC/", b"x\r\n\r\n</html>", b"HTTP/1.1 200 OK", b"\n\n  "])
def test_the_rest_of_a_damaged_record_does_not_hide_the_next_one(tmp_path: Path, left: bytes) -> None:
    pieces = [record(f"https://bao.vn/a-{n}.html", PAGE.encode(), packed=False) for n in range(3)]
    file = written(tmp_path, [pieces[0], left, *pieces[1:]], "a.warc")

    found = read(file)
    (portion,) = read_portions(file, InputContext(source="kho", now=NOW, max_bytes=1_000_000), ALL_PAGES)

    assert [item.url for item in found if isinstance(item, Candidate)] == [
        f"https://bao.vn/a-{n}.html" for n in range(3)
    ]
    assert sum(isinstance(item, InputProblem) for item in found) == bool(left.strip())
    assert portion.candidates[1].reference == f"{file}@{len(pieces[0]) + len(left)}"


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_cut_off_in_the_middle_gives_what_came_before(tmp_path: Path, packed: bool) -> None:
    whole = b"".join(record(f"https://bao.vn/a-{n}.html", PAGE.encode() * 20, packed=packed) for n in range(3))

    found = read(written(tmp_path, [whole[: int(len(whole) * 0.9)]]))

    assert sum(isinstance(item, Candidate) for item in found) == 2


def test_a_wrong_content_length_damages_one_record(tmp_path: Path) -> None:
    pieces = [record(f"https://bao.vn/a-{n}.html", PAGE.encode(), packed=False) for n in range(3)]
    pieces[1] = pieces[1].replace(b"Content-Length: ", b"Content-Length: -")

    found = read(written(tmp_path, pieces, "a.warc"))

    assert [item.url for item in found if isinstance(item, Candidate)] == [f"https://bao.vn/a-{n}.html" for n in (0, 2)]


def test_a_body_that_inflates_beyond_the_limit_is_reported(tmp_path: Path) -> None:
    bombs = [gzip.compress(b" " * 12_000_000, mtime=0), brotli.compress(b" " * 12_000_000)]
    pieces = [
        record("https://bao.vn/a-1.html", bomb, {"Content-Encoding": coding})
        for bomb, coding in zip(bombs, ("gzip", "br"), strict=True)
    ]

    found = read(written(tmp_path, pieces))

    assert all("cannot be unpacked within" in why for why in addresses(found))
    assert len(found) == 2


def test_one_gzip_member_around_many_records_is_read(tmp_path: Path) -> None:
    plain = b"".join(record(f"https://bao.vn/a-{n}.html", PAGE.encode(), packed=False) for n in range(3))

    assert len(read(written(tmp_path, [gzip.compress(plain, mtime=0)]))) == 3


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\x1f\x8b\x08nonsense", b"WARC/1.0\r\n", b"WARC/1.0\r\n\r\n" * 3])
def test_other_content_than_records_gives_no_candidates(tmp_path: Path, body: bytes) -> None:
    assert not any(isinstance(item, Candidate) for item in read(written(tmp_path, [body])))


def test_archives_are_read_in_a_folder_with_other_files(tmp_path: Path) -> None:
    written(tmp_path, [record("https://bao.vn/a-1.html", PAGE.encode())])
    written(tmp_path, [record("https://bao.vn/b-1.html", PAGE.encode(), packed=False)], "b.warc")

    (discovery,) = read_inputs(tmp_path, SOURCE, now=NOW, max_bytes=1_000_000)

    assert [candidate.url for candidate in discovery.candidates] == [
        "https://bao.vn/a-1.html",
        "https://bao.vn/b-1.html",
    ]


@pytest.mark.parametrize("packed", [True, False])
def test_reading_can_resume_after_any_portion_without_loss_or_repetition(tmp_path: Path, packed: bool) -> None:
    pieces = [
        record(f"https://bao.vn/a-{n}.html", f"<p>{n}</p>".encode() + PAGE.encode(), packed=packed) for n in range(180)
    ]
    pieces[100] = pieces[100][: len(pieces[100]) // 2]
    file, intake = written(tmp_path, pieces), InputContext(source="kho", now=NOW, max_bytes=1_000_000)
    whole = [each.url for portion in read_portions(file, intake, ALL_PAGES) for each in portion.candidates]

    stops = [portion.position for portion in read_portions(file, intake, ALL_PAGES)]
    pieced: list[str] = []
    start = 0
    while start < file.stat().st_size:
        portion = next(read_portions(file, intake, ALL_PAGES, start=start))
        pieced += [each.url for each in portion.candidates]
        start = portion.position

    assert len(stops) >= 3
    assert stops[-1] == file.stat().st_size
    assert pieced == whole
    assert len(whole) >= 178


def test_a_portion_counts_the_rejected_pages(tmp_path: Path) -> None:
    file = written(tmp_path, [record(f"https://{host}/a.html", PAGE.encode()) for host in ("bao.vn", "x.vn", "y.vn")])
    intake = InputContext(source="kho", now=NOW, max_bytes=1_000_000)

    (portion,) = read_portions(file, intake, WarcFilter(sites=frozenset({"bao.vn"})))

    assert [each.url for each in portion.candidates] == ["https://bao.vn/a.html"]
    assert portion.rejected == 2


def arc_record(url: str, body: bytes, *, length: int | None = None) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    return f"{url} 127.0.0.1 20140216050221 text/html {length or len(block)}\n".encode() + block + b"\n"


@pytest.mark.parametrize("packed", [True, False])
def test_an_arc_file_is_read_like_a_warc_file(tmp_path: Path, packed: bool) -> None:
    about = b"filedesc://a.arc.gz 127.0.0.1 20140216050221 text/plain 75\n" + b"1 0 Kho\n".ljust(75) + b"\n"
    pieces = [
        about,
        arc_record("https://bao.vn/tin moi-1.html", PAGE.encode()),
        b"https://bao.vn/hong.html 127.0.0.1 20140216050221 text/html abc\n",
        arc_record("https://x.vn/b.html", PAGE.encode()),
        arc_record("https://bao.vn/c.html", PAGE.encode()),
    ]
    name = "a.arc.gz" if packed else "a.arc"
    written(tmp_path, [gzip.compress(piece, mtime=0) for piece in pieces] if packed else pieces, name)

    discoveries = list(read_inputs(tmp_path, SITED, now=NOW, max_bytes=1_000_000))

    (discovery,) = discoveries
    first, last = discovery.candidates
    assert (first.url, last.url) == ("https://bao.vn/tin%20moi-1.html", "https://bao.vn/c.html")
    assert isinstance(first.payload, Page)
    assert first.payload.fetched_at == datetime(2014, 2, 16, 5, 2, 21, tzinfo=UTC)
    assert discovery.skipped == 1
