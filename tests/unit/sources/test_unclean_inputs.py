"""One forbidden character, in whatever form, makes no feed, sitemap, list or article unreadable."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.unit.extract.pages import news_page
from tests.unit.extract.pages import read as read_news
from tests.unit.sources.factories import NOW, page, rss, source
from worker.fetch.robots import parse_robots
from worker.models import Candidate, Seed, Text
from worker.sources import PARSERS
from worker.sources.feed.opml import read_opml
from worker.sources.files.inputs import read_inputs
from worker.sources.files.seed_rows import SeedFile, SeedReader
from worker.sources.files.seeds import find_seed_files, read_seed_file
from worker.sources.web.homepage import sitemaps_in_robots

RAW = {
    "NUL": b"\x00",
    "start of text": b"\x02",
    "vertical tab": b"\x0b",
    "form feed": b"\x0c",
    "escape": b"\x1b",
    "unit separator": b"\x1f",
    "delete": b"\x7f",
    "C1": b"\xc2\x83",
    "half of a pair": b"\xed\xa0\x80",
    "reversed mark": b"\xef\xbf\xbe",
    "noncharacter": b"\xef\xb7\x90",
    "of another plane": b"\xf3\xbf\xbf\xbf",
}
REFERENCES = [
    *("&#0;", "&#x2;", "&#11;", "&#x1F;", "&#31;", "&#127;"),
    *("&#xFFFE;", "&#65535;", "&#xD800;", "&#56320;", "&#x1FFFE;", "&#1114112;"),
]
WRITTEN = [*(pytest.param(raw, id=name) for name, raw in RAW.items()),
           *(pytest.param(each.encode(), id=each) for each in REFERENCES)]  # fmt: skip
ESCAPES = ["\\u0000", "\\u0002", "\\u001f", "\\u007f", "\\ud800", "\\udc00", "\\ufffe", "\\ufdd0"]
IN_JSON = [*(pytest.param(raw, id=name) for name, raw in RAW.items()),
           *(pytest.param(each.encode(), id=each) for each in ESCAPES)]  # fmt: skip

RSS = rss(
    "<title>Tin @ một</title><link>https://bao.vn/tin-mot-1111.html</link>",
    "<title>Tin hai</title><link>@https://bao.vn/tin-hai-2222.html</link>",
).replace('encoding="utf-8"?>', 'encoding="utf-8"?>@')
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>@</title><entry><id>@1</id><title>Tin @ một</title>
<link href="https://bao.vn/tin-mot-1111.html@"/></entry><entry><title type="html">Tin hai</title>
<link href="https://bao.vn/tin-hai-2222.html"/><summary>@</summary></entry></feed>"""
SITEMAP = """<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url>
<loc>https://bao.vn/tin-mot-1111.html@</loc></url>@<url><loc>https://bao.vn/tin-hai-2222.html</loc></url></urlset>"""
INDEX = """<sitemapindex><sitemap><loc>https://bao.vn/a.xml@</loc></sitemap><sitemap><loc>https://bao.vn/b.xml</loc></sitemap>
</sitemapindex>"""
FEED = json.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "@", "items": [
    {"id": "@1", "url": "https://bao.vn/tin-mot-1111.html", "title": "Tin @ một"},
    {"id": "2", "url": "https://bao.vn/tin-hai-2222.html@", "title": "Tin hai"}]})  # fmt: skip
LIST = "# danh sách @\nhttps://bao.vn/tin-mot-1111.html@\n@https://bao.vn/tin-hai-2222.html\n"
BOTH = ["https://bao.vn/tin-mot-1111.html", "https://bao.vn/tin-hai-2222.html"]


def with_(text: str, written: bytes) -> bytes:
    return text.encode().replace(b"@", written)


def found(kind: str, body: bytes) -> list[str]:
    parsed = PARSERS[kind](page(body, url="https://bao.vn/x"), source(kind=kind), now=NOW)
    return [candidate.url for candidate in parsed.candidates] + list(parsed.follow)


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize(
    ("kind", "text"), [("feed", RSS), ("feed", ATOM), ("sitemap", SITEMAP)], ids=["rss", "atom", "map"]
)
def test_feeds_and_sitemaps_lose_no_entry(kind: str, text: str, written: bytes) -> None:
    assert found(kind, with_(text, written)) == BOTH


@pytest.mark.parametrize("written", WRITTEN)
def test_a_sitemap_index_loses_no_part(written: bytes) -> None:
    assert found("sitemap", with_(INDEX, written)) == ["https://bao.vn/a.xml", "https://bao.vn/b.xml"]


@pytest.mark.parametrize("written", [*RAW.values()], ids=[*RAW])
@pytest.mark.parametrize("kind", ["urls", "sitemap"])
def test_lists_lose_no_address(kind: str, written: bytes) -> None:
    assert found(kind, with_(LIST.replace("# danh sách @\n", "") if kind == "sitemap" else LIST, written)) == BOTH


@pytest.mark.parametrize("written", IN_JSON)
def test_a_json_feed_loses_no_item(written: bytes) -> None:
    assert found("feed", with_(FEED, written)) == BOTH


@pytest.mark.parametrize("written", WRITTEN)
def test_a_page_is_read_whole(written: bytes) -> None:
    whole, body = read_news(news_page()), news_page().encode()
    body = body.replace(b"<p>", b"<p title='" + written + b"'>" + written + b" ").replace(
        b"<head>", written + b"<head>"
    )

    article = read_news(body)

    assert article.text.split() == whole.text.split()
    assert article.title == whole.title


def read(path: Path) -> list[Candidate]:
    return [
        candidate
        for batch in read_inputs(path, source(kind="files"), now=NOW, max_bytes=1_000_000)
        for candidate in batch.candidates
    ]


@pytest.mark.parametrize("written", [*RAW.values()], ids=[*RAW])
def test_a_text_file_is_read(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(with_("Tựa @bài\n@Đoạn một.\nĐoạn @hai.\n", written))

    (candidate,) = read(tmp_path)

    assert candidate.title is not None
    assert candidate.title.split() == ["Tựa", "bài"]
    assert isinstance(candidate.payload, Text)
    assert candidate.payload.text.split() == ["Đoạn", "một.", "Đoạn", "hai."]


@pytest.mark.parametrize("written", IN_JSON)
@pytest.mark.parametrize("content", ["text", "html"])
def test_a_line_of_json_is_read(tmp_path: Path, content: str, written: bytes) -> None:
    line = f'{{"url": "https://bao.vn/tin-mot-1111.html", "title": "Tin@", "{content}": "@Một đoạn.@"}}\n'
    (tmp_path / "a.jsonl").write_bytes(with_(line, written) * 2)

    candidates = read(tmp_path)

    assert [(candidate.url, candidate.title) for candidate in candidates] == [(BOTH[0], "Tin")] * 2


@pytest.mark.parametrize("written", WRITTEN)
def test_an_html_file_keeps_its_declared_address(tmp_path: Path, written: bytes) -> None:
    markup = "<html>@<head><title>@</title><link rel=canonical href='https://bao.vn/tin-mot-1111.html'></head><p>Một</p></html>"
    (tmp_path / "a.html").write_bytes(with_(markup, written))

    assert [candidate.url for candidate in read(tmp_path)] == BOTH[:1]


@pytest.mark.parametrize("written", [*RAW.values()], ids=[*RAW])
@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_keeps_its_page(tmp_path: Path, written: bytes, packed: bool) -> None:
    if written in b"\n\x0b\x0c":
        written = b"\x01"
    head = with_("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-A: @\r\n\r\n<p>Một @</p>", written)
    fields = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {BOTH[0]}@\r\nContent-Length: {len(head)}\r\n\r\n"
    record = with_(fields, written) + head + b"\r\n\r\n"
    name = "a.warc.gz" if packed else "a.warc"
    (tmp_path / name).write_bytes(gzip.compress(record, mtime=0) if packed else record)

    assert [candidate.url for candidate in read(tmp_path)] == BOTH[:1]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_list_of_feeds_loses_no_feed(written: bytes) -> None:
    lines = '@<outline text="@A" xmlUrl="https://a.vn/f@"/>@<outline xmlUrl="https://b.vn/f"/>'

    outlines, refused = read_opml(with_(f"<opml><body>{lines}</body></opml>", written))

    assert [outline.url for outline in outlines] == ["https://a.vn/f", "https://b.vn/f"]
    assert not refused


@pytest.mark.parametrize("written", [*RAW.values()], ids=[*RAW])
def test_a_seed_is_read(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "001_0123456789abcdef.txt").write_bytes(with_("Tựa @\nMột đoạn @ dài hơn.\n", written))

    (file,) = find_seed_files([str(tmp_path)])
    assert isinstance(file, SeedFile)
    (seed,) = read_seed_file(SeedReader(now=NOW), file)

    assert isinstance(seed, Seed)


@pytest.mark.parametrize("control", [b"\x00", b"\x02", b"\x1f", b"\x7f"])
def test_robots_txt_is_obeyed(control: bytes) -> None:
    body = with_("@User-agent: *@\nDis@allow: /kin@\nSite@map: @https://bao.vn/map.xml@\n", control)

    rules = parse_robots(body, "corpus-worker")

    assert not rules.decide("https://bao.vn/kin/a.html").allowed
    assert rules.sitemaps == ("https://bao.vn/map.xml",)


@pytest.mark.parametrize("control", [b"\x00", b"\x02", b"\x1f", b"\x7f"])
def test_the_sitemaps_of_a_robots_txt_are_found(control: bytes) -> None:
    (suggestion,) = sitemaps_in_robots(with_("@Sitemap: @https://bao.vn/map.xml@\n", control), base="https://bao.vn/")

    assert suggestion.url == "https://bao.vn/map.xml"
