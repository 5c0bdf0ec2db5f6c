"""`extract`, run as users run it: what would be stored, where it came from, and nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.newsroom import Newsroom, html, plain, sites_of

SENTENCES = "".join(
    f"<p>Đoạn thứ {number} kể rằng người dân xã {name} đã cùng nhau sửa con đê ven sông trước mùa lũ năm nay.</p>"
    for number, name in enumerate(["Phú An", "Bình Hòa", "Tân Lập", "Long Khê", "Vĩnh Thạnh", "Mỹ Đức"], start=1)
)
ARTICLE = (
    '<html lang="vi"><head><title>Sửa đê trước mùa lũ | Báo Một</title><meta property="og:site_name" content="Báo Một">'
    '<meta property="article:published_time" content="2026-03-01T07:30:00+07:00"><meta name="robots" content="noai">'
    '<script type="application/ld+json">{"@type": "NewsArticle", "author": {"name": "Lê Thị Hoa"}}</script></head>'
    f"<body><article><h1>Sửa đê trước mùa lũ</h1>{SENTENCES}<p>Ảnh: Minh Tuấn</p></article></body></html>"
)
URL = "https://mot.example/sua-de-truoc-mua-lu-100200.html"


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    short = html("<html><body><h1>Ngắn</h1><p>Chỉ có vài chữ ở đây.</p></body></html>")
    with Newsroom(sites_of({URL: html(ARTICLE), "https://mot.example/ngan.html": short})) as opened:
        opened.put("mot.example", "/robots.txt", plain("User-agent: *\nDisallow: /kin/\n"))
        yield opened


@pytest.fixture
def desk(tmp_path: Path, room: Newsroom) -> Desk:
    made = Desk(folder=tmp_path, environment=room.environment)
    made.configure()
    return made


def test_a_page_is_shown_with_the_origin_of_every_field(desk: Desk) -> None:
    ended = desk.run("extract", URL, "--explain")

    assert ended.status == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "Sửa đê trước mùa lũ"
    assert "  authors    Lê Thị Hoa" in lines
    assert "  published  2026-03-01T07:30:00+07:00 (from meta)" in lines
    assert "  rights     robots: noai" in lines
    assert any(line.startswith("Đoạn thứ 6 kể rằng") for line in lines)
    assert any(line.startswith("  robots: allowed") for line in lines)
    assert any(line.startswith("  title: Sửa đê trước mùa lũ <- ") for line in lines)
    assert "  credits a picture: Ảnh: Minh Tuấn" in lines
    assert [path.name for path in desk.folder.iterdir()] == ["worker.toml"]


def test_each_file_of_a_folder_is_one_object_with_an_article_or_a_reason(desk: Desk) -> None:
    inputs = desk.folder / "in"
    inputs.mkdir()
    (inputs / "a.html").write_text(ARTICLE, encoding="utf-8")
    (inputs / "b.txt").write_text("Tựa\nChỉ có vài chữ.", encoding="utf-8")
    (inputs / "c.jsonl").write_text("{oops\n", encoding="utf-8")

    ended = desk.run("extract", "in", "--json", "--explain")

    good, short, broken = ended.records()
    assert ended.status == 0
    assert good["article"]["title"] == "Sửa đê trước mùa lũ"
    assert good["article"]["words"] == len(good["article"]["text"].split())
    assert {field["name"] for field in good["fields"]} >= {"title", "published", "language"}
    assert {"text": "Ảnh: Minh Tuấn", "why": "credits a picture"} in good["dropped"]
    assert (short["article"], short["reason"]) == (None, "short")
    assert "c.jsonl" in broken["message"]


@pytest.mark.parametrize(
    ("target", "status", "told"),
    [
        ("https://mot.example/ngan.html", 1, "no article (short): "),
        ("https://mot.example/nothing", 1, "no article (gone): "),
        ("https://mot.example/kin/bai.html", 1, "no article (robots): "),
        ("no-such-file", 2, "no-such-file: neither a web address nor a file or folder that exists"),
        ("worker.toml", 1, "worker.toml: unknown kind of file"),
    ],
)
def test_without_an_article_the_reason_is_one_line(desk: Desk, target: str, status: int, told: str) -> None:
    ended = desk.run("extract", target)

    assert ended.status == status
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    assert told in ended.err
