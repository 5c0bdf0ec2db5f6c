"""`extract`, run as users run it: what would be stored, where it came from, and nothing written."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Desk, Ended
from tests.newsroom import Newsroom, html, plain, sites_of
from worker.cli.inspect import _escape_markdown

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
    assert "  published  2026-03-01 00:30:00 UTC (from meta)" in lines
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
    assert broken["place"].endswith("c.jsonl:1")


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


def piped(desk: Desk, monkeypatch: pytest.MonkeyPatch, given: str, *words: str) -> Ended:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode()), encoding="utf-8"))
    return desk.run(*words)


def test_the_text_alone_is_printed_and_the_same_article_comes_back_from_every_form(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    article = piped(desk, monkeypatch, ARTICLE, "extract", "-", "--json").record()["article"]
    text = article["text"]
    page = piped(desk, monkeypatch, ARTICLE, "extract", "-", "--format", "html").out
    line = json.dumps({"url": URL, "html": page})

    assert piped(desk, monkeypatch, line, "extract", "-").out == f"{text}\n"
    assert piped(desk, monkeypatch, f"# list\n{URL}\n", "extract", "-", "--format", "markdown").out == (
        "\n\n".join(["# Sửa đê trước mùa lũ", *text.split("\n")]) + "\n"
    )
    again = piped(desk, monkeypatch, page, "extract", "-", "--format", "json").record()["article"]
    kept = ("title", "text", "language", "published_at", "authors", "url", "canonical_url")
    assert [again[name] for name in kept] == [article[name] for name in kept]
    assert again["url"] == "file:///dev/stdin"


@pytest.mark.parametrize(
    ("given", "words", "said"),
    [
        ("", ["extract", "-"], "standard input: found empty; expected addresses (one a line), JSON Lines or a page"),
        ("<rss><channel/></rss>", ["extract", "-"], "standard input: found feed"),
        ("Tựa\nMột câu.", ["ingest", "-"], "no line is a web address; write one a line with http:// or https://"),
        (f"{URL}#a\n{URL} 17", ["forget", "-", "--reason", "x"], f"line 2: '{URL} 17' is more than a URL or an id"),
        ("<html><body>Một.</body></html>", ["ingest", "-"], "standard input: the page does not give its address"),
        ("", ["extract", "-", "--json", "--format", "html"], "--json and --format html exclude each other"),
        ("", ["extract", "-", "--explain", "--format", "text"], "--explain and --format text exclude each other"),
        ("", ["seeds", "import", "-"], "-: a seed is known by its file; save them to a file"),
    ],
)
def test_standard_input_that_cannot_be_used_is_one_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, given: str, words: list[str], said: str
) -> None:
    ended = piped(desk, monkeypatch, given, *words)

    assert (ended.status, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert said in ended.err


def test_addresses_from_standard_input_are_ingested_and_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    done = piped(desk, monkeypatch, f"# mine\n{URL}\n", "ingest", "-", "--json").record()
    forgotten = piped(
        desk, monkeypatch, f"# request 17\n{URL}  # 17\n", "forget", "-", "--reason", "17", "--json"
    ).record()
    lifted = piped(desk, monkeypatch, f"{URL}\n", "forget", "-", "--lift", "--json").record()

    assert (done["stored"], done["sources"]["-"]["found"]) == (1, 1)
    assert [each["target"] for each in forgotten["forgotten"]] == [URL]
    assert lifted == {"lifted": [{"target": URL, "forgotten_at": forgotten["at"]}]}


def test_bad_lines_of_any_list_are_named_and_counted_and_the_good_ones_taken(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"url": URL, "html": ARTICLE}, ["no object"], {"url": "mot.example", "text": "Một."}]
    (desk.folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (desk.folder / "list.txt").write_text(f"{URL}\nmot.example/x\n", encoding="utf-8")
    given = f"# mine\n\nwww.mot.example {'x' * 80}\n{URL}\nTựa\nhttps://\nhttps://mot.example/\nMột câu.\n"

    ended = piped(desk, monkeypatch, given, "ingest", "-", "rows.jsonl", "list.txt", "--dry-run", "--json", "-v")

    done = ended.record()
    counts = {name: (each["found"], each["refused"]) for name, each in done["sources"].items()}
    assert counts == {"-": (1, 5), "rows.jsonl": (1, 2), "list.txt": (1, 1)}
    assert (ended.status, done["refused"]) == (1, 8)
    for named in (
        f"standard input, line 3: www.mot.example {'x' * 64}…: no web address; write it with http:// or https://",
        "standard input, line 6: https://: a link that is no web address",
        "standard input, line 7: https://mot.example/: a link to a front page",
        "list.txt:2: mot.example/x: no web address",
        "rows.jsonl:2: the line holds an array, not an object",
        "rows.jsonl:3: ",
    ):
        assert named in ended.err


def test_no_character_of_an_article_is_markup() -> None:
    lines = ["# a", "- b", "+ c", "1. d", "12) e", "*f* _g_ `h` [i](j) <k> &amp; ~~~", "= l", "2.5 m", "\\"]

    assert [_escape_markdown(line) for line in lines] == [
        "\\# a",
        "\\- b",
        "\\+ c",
        "1\\. d",
        "12\\) e",
        "\\*f\\* \\_g\\_ \\`h\\` \\[i\\](j) \\<k\\> \\&amp; \\~\\~\\~",
        "\\= l",
        "2\\.5 m",
        "\\\\",
    ]
