"""Input files: their articles, and the reports about files that have none."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.sources.factories import NOW
from worker.errors import SourceError
from worker.models import Candidate, Discovery, Page, Source, Text
from worker.sources import read_inputs
from worker.sources.files.inputs import READERS
from worker.urls import file_url

SOURCE = Source(name="tay", kind="files", url="-")
PAGE = '<html><head><link rel="canonical" href="{}"></head><body><p>Mưa lớn</p></body></html>'


def read(path: Path, *, max_bytes: int = 100_000) -> list[Discovery]:
    return list(read_inputs(path, SOURCE, now=NOW, max_bytes=max_bytes))


def one(path: Path) -> Candidate:
    (discovery,) = read(path)
    (candidate,) = discovery.candidates
    return candidate


def lines(path: Path, *objects: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in objects), "utf-8")
    return path


def test_an_html_file_is_named_by_its_canonical_link_and_known_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_text(PAGE.format("http://www.bao.vn/mua-lon-1234.html?utm_source=x"), "utf-8")

    candidate = one(file)

    assert candidate.url == "http://www.bao.vn/mua-lon-1234.html?utm_source=x"
    assert candidate.canonical_url == file_url(file)
    assert candidate.source == "tay"
    assert candidate.reference == str(file)
    assert isinstance(candidate.payload, Page)
    assert candidate.payload.body == file.read_bytes()


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "before",
    [
        '<!-- <link rel="canonical" href="https://bao.vn/bai-cu"> -->',
        '<script>write(\'<link rel="canonical" href="https://bao.vn/bai-cu">\')</script>',
        "<script>canonical = 1;" + "x" * 9_000 + "</script>",
        '<link rel="alternate" title="canonical">' + "<meta>" * 2_000,
    ],
)
def test_other_mentions_of_canonical_are_no_link(tmp_path: Path, before: str, codec: str) -> None:
    file = tmp_path / "a.html"
    page = PAGE.format("https://bao.vn/mua-lon-1234.html").replace("<head>", f"<head>{before}")
    file.write_text(page, codec)

    assert one(file).url == "https://bao.vn/mua-lon-1234.html"


@pytest.mark.parametrize("href", ["https://bao.vn/", "/mua-lon.html", "javascript:void(0)", ""])
def test_an_html_file_without_a_usable_canonical_link_is_known_by_its_path(tmp_path: Path, href: str) -> None:
    file = tmp_path / "bài 1.htm"
    file.write_text(PAGE.format(href), "utf-8")

    candidate = one(file)

    assert candidate.url == candidate.canonical_url == "file://" + str(tmp_path) + "/b%C3%A0i%201.htm"


def test_a_text_file_is_a_title_and_paragraphs(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffMưa lớn\r\n\r\n  Đoạn một. \r\n\x00\r\nĐoạn hai.\r\n".replace("\x00", "\x07").encode())

    candidate = one(file)

    assert candidate.payload == Text(text="Đoạn một.\nĐoạn hai.", title="Mưa lớn")
    assert candidate.title == "Mưa lớn"
    assert candidate.url.startswith("file:///")


def test_a_json_line_gives_a_text_or_a_page_with_all_its_fields(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "a.jsonl",
        {"url": "https://bao.vn/a-1.html", "text": "Một.\n\nHai.", "title": "A", "published_at": "2026-11-20T01:00:00Z",
         "source": "kho", "id": 7, "section": "Kinh tế", "tags": ["a", 5, "b"], "authors": "C", "lead": 3},
        {"url": "https://bao.vn/b-1.html", "html": "<p>Bốn \ud800</p>"},
    )  # fmt: skip

    (discovery,) = read(file)
    first, second = discovery.candidates

    given: dict[str, str | tuple[str, ...]] = {"section": "Kinh tế", "tags": ("a", "b"), "authors": ("C",)}
    assert first.payload == Text(text="Một.\nHai.", title="A", fields=given)
    assert (first.source, first.external_id, first.title) == ("kho", "7", "A")
    assert first.published_at == datetime(2026, 11, 20, 1, tzinfo=UTC)
    assert first.reference == f"{file}:1"
    assert isinstance(second.payload, Page)
    assert second.payload.content_type == "text/html; charset=utf-8"
    assert second.source == "tay"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"url": "https://bao.vn/a", "text": ', "not valid JSON"),
        ('["https://bao.vn/a"]', "holds an array, not an object"),
        ('{"text": "a"}', "has no url"),
        ('{"url": 5, "text": "a"}', "has no url"),
        ('{"url": "https://bao.vn/a"}', "neither text nor html"),
        ('{"url": "https://bao.vn/a", "text": "  "}', "neither text nor html"),
        ('{"url": "bao", "text": "a"}', "not a usable URL"),
        ("[" * 100_000, "not valid JSON"),
        ('{"url": "https://bao.vn/a", "text": "' + "x" * 200_000 + '"}', "longer than"),
    ],
)
def test_a_bad_line_is_counted_and_reported_and_the_others_are_read(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f'\n{line}\n{{"url": "https://bao.vn/b", "text": "Hai."}}', "utf-8")

    (discovery,) = read(file, max_bytes=150_000)

    assert [candidate.url for candidate in discovery.candidates] == ["https://bao.vn/b"]
    assert discovery.skipped == 1
    assert discovery.notes[0].startswith(f"{file}:2: ")
    assert sentence in discovery.notes[0]


def test_a_member_of_the_wrong_type_is_ignored(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "a.jsonl", {"url": "https://bao.vn/a", "text": "Một.", "title": 5, "published_at": "hôm qua"}
    )

    (discovery,) = read(file)

    assert len(discovery.candidates) == 1
    assert discovery.skipped == 0
    assert [note.partition(": ")[2][:12] for note in discovery.notes] == ["title is not", "published_at"]


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("a.txt", b"\x89PNG\r\n\x1a\n\x00\x00", "not text in UTF-8"),
        ("a.txt", "Mưa".encode("utf-16-le"), "not text in UTF-8"),
        ("a.txt", b"Ti\xea\xf2n", "not text in UTF-8"),
        ("a.txt", b"Title only\n\n", "no text below"),
        ("a.txt", b"", "is empty"),
        ("a.html", b"   \n", "is empty"),
        ("a.html", b"%PDF-1.4", "is binary, not an HTML page"),
        ("a.html", b'{"a": 1}', "is json, not an HTML page"),
        ("a.html", random.Random(1).randbytes(5_000), "is binary, not an HTML page"),  # as compressed data are
        ("a.txt", b"x" * 200_000, "is larger than"),
    ],
)
def test_a_file_without_an_article_is_counted_and_reported(
    tmp_path: Path, name: str, body: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(body)

    (discovery,) = read(tmp_path / name)

    assert discovery.candidates == ()
    assert discovery.skipped == 1
    assert f"{tmp_path / name}: " in discovery.notes[0]
    assert sentence in discovery.notes[0]


def test_a_folder_is_read_recursively_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.TXT", "a.txt", "c.pdf", "b/x/0.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("Một\nHai", "utf-8")

    (discovery,) = read(tmp_path)

    found = [Path(candidate.reference).relative_to(tmp_path).as_posix() for candidate in discovery.candidates]
    assert found == ["a.txt", "b/1.TXT", "b/2.txt", "b/x/0.txt"]


def test_a_symbolic_link_to_a_parent_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Một\nHai", "utf-8")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")

    (discovery,) = read(tmp_path)

    assert len(discovery.candidates) == 1
    assert discovery.skipped == 2
    assert [note.partition(": ")[2][:14] for note in discovery.notes] == ["is a link to /", "cannot be read"]


@pytest.mark.parametrize("ending", sorted(READERS))
def test_special_files_are_reported_and_skipped(tmp_path: Path, ending: str) -> None:
    (tmp_path / "z.txt").write_text("Một\nHai", "utf-8")
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"to-pipe{ending}").symlink_to(f"pipe{ending}")
    (tmp_path / f"zeros{ending}").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(tmp_path / f"s{ending}"))

        (discovery,) = read(tmp_path)

    kinds = sorted(note.split("it is a ")[1].split(",")[0] for note in discovery.notes)
    assert kinds == ["device", "pipe", "pipe", "socket"]
    assert len(discovery.candidates) == 1


@pytest.mark.parametrize("ending", sorted(READERS))
def test_a_given_pipe_is_refused_with_a_message(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"pipe{ending}")

    (discovery,) = read(tmp_path / f"pipe{ending}")

    advice = "remove it, or save what it gives to a file"
    assert discovery.notes == (f"{tmp_path}/pipe{ending}: cannot be read: it is a pipe, no ordinary file; {advice}",)


def test_a_link_that_points_nowhere_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.html").symlink_to("gone.html")

    (discovery,) = read(tmp_path)

    said = f"{tmp_path}/a.html: is a link to gone.html, which does not exist; mend the link or remove it"
    assert discovery.notes == (said,)
    with pytest.raises(SourceError, match=r"a\.html: a link to gone\.html, which does not exist"):
        read(tmp_path / "a.html")


def test_many_articles_come_in_batches_of_a_hundred(tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", *({"url": f"https://bao.vn/{n}", "text": "Một."} for n in range(250)))

    assert [len(discovery.candidates) for discovery in read(file)] == [100, 100, 50]


def test_an_empty_folder_gives_a_note(tmp_path: Path) -> None:
    (discovery,) = read(tmp_path)

    assert discovery.candidates == ()
    assert "nothing to read" in discovery.notes[0]


@pytest.mark.parametrize(("name", "sentence"), [("nothing", "no such file"), ("a.docx", "unknown kind of file")])
def test_an_unreadable_path_is_refused_at_once(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "a.docx").write_bytes(b"PK")

    with pytest.raises(SourceError, match=sentence):
        read_inputs(tmp_path / name, SOURCE, now=NOW, max_bytes=1000)


def test_reading_is_lazy(tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", *({"url": f"https://bao.vn/{n}", "text": "Một."} for n in range(200)))

    discoveries: Iterator[Discovery] = read_inputs(file, SOURCE, now=NOW, max_bytes=1000)

    assert len(next(discoveries).candidates) == 100


URLS = "https://bao.vn/bai-viet-{0}1.html\nhttps://bao.vn/bai-viet-{0}2.html"


def listed(path: Path, kind: str) -> tuple[list[str], list[str]]:
    source = Source(name="tay", kind=kind, url=str(path))
    found = list(read_inputs(path, source, now=NOW, max_bytes=1000))
    assert not any(candidate.payload for each in found for candidate in each.candidates)
    candidates = [candidate.url.rpartition("-")[2] for each in found for candidate in each.candidates]
    return candidates, [note for each in found for note in each.notes]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.urls", "a.html", "a.jsonl", "a.csv", "a.txt.gz"])
def test_a_source_of_kind_urls_reads_a_list_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    body = ("# mine\n" + URLS.format(1)).encode()
    (tmp_path / name).write_bytes(gzip.compress(body, mtime=0) if name.endswith(".gz") else body)

    assert listed(tmp_path / name, "urls") == (["11.html", "12.html"], [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_with_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_text(URLS.format(1), encoding=encoding)

    assert listed(tmp_path / "a.txt", "urls")[0] == ["11.html", "12.html"]


@pytest.mark.parametrize(
    "rows",
    [
        "{0},Tin thứ nhất,2026-11-01\n{1},Tin thứ hai,2026-11-02\n",
        "url;title\r\n{0};Tin, thứ nhất\r\n\r\n{1};Tin thứ hai\r\n",
        'id,title,url\n1,"Mưa, gió",{0}\n2,"Nắng; hạn","{1}"\n',
        "# danh sách\n{0}\tTin thứ nhất\n{1}\t\n",
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.TSV", "a.csv.gz"])
def test_a_table_of_kind_urls_gives_the_address_of_each_row(tmp_path: Path, name: str, rows: str) -> None:
    text = rows.format("http://bao.example/tin/bai-viet-so-11.html", "http://bao.example/tin/bai-viet-so-12.html")
    body = f"\ufeff{text}".encode()
    (tmp_path / name).write_bytes(gzip.compress(body) if name.endswith(".gz") else body)

    assert listed(tmp_path / name, "urls") == (["11.html", "12.html"], [])


def test_a_folder_of_kind_urls_is_read_list_by_list_and_other_files_are_reported(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "a.txt").write_text(URLS.format(1))
    (tmp_path / "more" / "b.lst").write_text(URLS.format(2))
    (tmp_path / "c.html").write_text("<html><body>Mưa</body></html>", encoding="utf-8")
    (tmp_path / ".hidden").write_text(URLS.format(3))

    found, notes = listed(tmp_path, "urls")

    assert found == ["11.html", "12.html", "21.html", "22.html"]
    assert len(notes) == 1
    assert "c.html: this is html, not a list of URLs" in notes[0]


@pytest.mark.parametrize("kind", ["files", "warc"])
@pytest.mark.parametrize("name", ["a.txt", "a.urls"])
def test_a_url_list_given_by_itself_is_read_as_a_list(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_text("# mine\n" + "\n".join(URLS.format(n) for n in range(2000)))

    assert len(listed(tmp_path / name, kind)[0]) == 4000


def test_a_url_list_in_a_folder_of_texts_is_reported_and_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(URLS.format(1))
    (tmp_path / "b.txt").write_text("Tựa\nhttps://bao.vn/a là địa chỉ của bài.", encoding="utf-8")

    (discovery,) = read(tmp_path)

    assert [candidate.title for candidate in discovery.candidates] == ["Tựa"]
    assert 'a list of URLs, not an article; give the file by itself, or set kind = "urls"' in discovery.notes[0]


def test_addresses_mixed_with_text_are_a_list_unless_the_text_is_long_enough_for_an_article(tmp_path: Path) -> None:
    file, address = tmp_path / "a.txt", "https://bao.vn/tin-"
    for others, is_list in ((["Đọc sau", "xem lại", "hay", "cũ"], True), (["một hai ba bốn năm"] * 30, False)):
        file.write_text("\n".join(["Bài tuần này", f"{address}1.html", *others, f"{address}2.html"]), encoding="utf-8")
        (found,) = read_inputs(file, Source(name="tay", kind="files", url=str(file)), now=NOW, max_bytes=10_000)

        assert len(found.candidates) == (2 if is_list else 1)
        assert found.skipped == (len(others) + 1 if is_list else 0)
        assert is_list or "2 lines that are only an address are not fetched" in found.notes[0]


@pytest.mark.parametrize("kind", ["files", "urls"])
def test_standard_input_is_named_and_not_the_file_it_was_saved_to(tmp_path: Path, kind: str) -> None:
    saved = tmp_path / ".corpus-worker-0123" / ("standard-input.jsonl" if kind == "files" else "standard-input.txt")
    saved.parent.mkdir()
    good = json.dumps({"url": "https://a.example/1", "text": "x"}) if kind == "files" else "https://a.example/1"
    saved.write_text(f"{good}\nbad line\n", encoding="utf-8")

    (found,) = read_inputs(saved, Source(name="files", kind=kind, url=str(saved)), now=NOW, max_bytes=1_000)

    assert [each.reference for each in found.candidates] == [
        "standard input, line 1" if kind == "files" else "standard input"
    ]
    assert [note.partition(":")[0] for note in found.notes] == ["standard input, line 2"]
