"""`sources add`, `check`, `remove`, `import`, `export`, run as users run them, against sites on loopback."""

from __future__ import annotations

import json
import os
import pty
import random
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.newsroom import Newsroom, Page, Reply, Site, html, plain
from tests.texts import SYLLABLES

NOW = datetime.now(UTC)
HAND_WRITTEN = """
# My own words about the sources.
[[sources]]
name = "cu"          # the old one
kind = "feed"
url = "https://cu.example/rss.xml"
"""


def slug(number: int) -> str:
    return f"/thoi-su/nguoi-dan-sua-con-de-ven-song-truoc-mua-lu-{100200 + number}.html"


def article(number: int) -> Reply:
    chance = random.Random(number)
    lines = "".join(
        f"<p>Đoạn {chance.choices(SYLLABLES, k=1)[0]} {' '.join(chance.choices(SYLLABLES, k=20))}.</p>"
        for _ in range(8)
    )
    return html(
        f"<html lang=vi><head><title>Bài số {number}</title></head><body><h1>Bài số {number}</h1>{lines}</body></html>"
    )


def feed(numbers: Sequence[int], *, host: str, newest: datetime = NOW, named: Callable[[int], str] = slug) -> Reply:
    items = "".join(
        f"<item><title>Bài số {number}</title><link>https://{host}{named(number)}</link>"
        f"<pubDate>{format_datetime(newest - timedelta(hours=place))}</pubDate></item>"
        for place, number in enumerate(numbers)
    )
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>Tin</title>{items}</channel></rss>'
    )
    return Reply(body=text.encode(), content_type="application/rss+xml; charset=utf-8")


def news_sitemap(numbers: Sequence[int], *, host: str) -> Reply:
    entries = "".join(
        f"<url><loc>https://{host}{slug(number)}</loc><lastmod>{(NOW - timedelta(hours=n)).isoformat()}</lastmod></url>"
        for n, number in enumerate(numbers)
    )
    text = f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>'
    return Reply(body=text.encode(), content_type="application/xml")


def home(numbers: Sequence[int], head: str = "") -> Reply:
    teasers = "".join(
        f'<h3><a href="{slug(number)}">Người dân sửa con đê ven sông, bài số {number}</a></h3>' for number in numbers
    )
    menu = "<nav class=menu><a href=/the-thao>Thể thao</a><a href=/lien-he>Liên hệ</a></nav>"
    return html(f"<html><head><title>Báo</title>{head}</head><body>{menu}{teasers}</body></html>")


def site(
    host: str, pages: Mapping[str, Page], *, articles: range, robots: str = "User-agent: *\nDisallow: /kin/\n"
) -> Site:
    written: dict[str, Page] = {slug(number): article(number) for number in articles}
    return Site(host=host, pages={"/robots.txt": plain(robots), **written, **pages})


def sites() -> list[Site]:
    declared = (
        '<link rel=alternate type="application/rss+xml" href="/rss/tin.rss" title="Tin">'
        '<link rel=alternate type="application/rss+xml" href="/rss/the-thao.rss">'
        '<link rel=alternate type="application/rss+xml" href="/rss/mot-phan.rss">'
        '<link rel=alternate type="application/rss+xml" href="/rss/bo-hoang.rss">'
        '<link rel=alternate type="application/rss+xml" href="/rss/da-go.rss">'
        '<link rel=alternate type="application/rss+xml" href="/kin/rss">'
    )
    full = {
        "/": home(range(12), declared),
        "/rss/tin.rss": feed(range(12), host="bao.example"),
        "/rss/the-thao.rss": feed(range(12, 20), host="bao.example"),
        "/rss/mot-phan.rss": feed(range(5), host="bao.example"),
        "/rss/bo-hoang.rss": feed(range(20, 28), host="bao.example", newest=NOW - timedelta(days=400)),
    }
    directory = html('<html><body><a href="/rss/a.rss">Thời sự</a><a href="/rss/b.rss">Thể thao</a></body></html>')
    listed = {
        "/": html('<html><body><h3>Báo</h3><a href="/rss">RSS</a></body></html>'),
        "/rss": directory,
        "/rss/a.rss": feed(range(5), host="muc.example"),
        "/rss/b.rss": feed(range(5, 10), host="muc.example"),
        "/rss/ban-sao.rss": feed(range(5), host="muc.example"),
    }
    bare = {"/": home(range(6)), "/sitemap-tin.xml": news_sitemap(range(6), host="tran.example")}
    mapped = "User-agent: *\nAllow: /\nSitemap: https://tran.example/sitemap-tin.xml\n"
    blog = {f"/b{n}": article(n) for n in range(4)} | {f"/tag/t{n}": html("<p>Thẻ</p>") for n in range(4)}
    blog["/feed"] = feed(range(4), host="blog.example", named=lambda number: f"/b{number}")
    blog["/tags.xml"] = feed(range(4), host="blog.example", named=lambda number: f"/tag/t{number}")
    return [
        site("blog.example", blog, articles=range(0)),
        site("bao.example", full, articles=range(28)),
        site("tran.example", bare, articles=range(6), robots=mapped),
        site("trong.example", {"/": html("<html><body><p>Sắp ra mắt.</p></body></html>")}, articles=range(0)),
        site("muc.example", listed, articles=range(10)),
        site("ten.example", {"/": home(range(8))}, articles=range(8)),
    ]


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    with Newsroom(sites()) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path: Path, room: Newsroom) -> Desk:
    made = Desk(folder=tmp_path, environment=room.environment)
    made.configure(HAND_WRITTEN)
    return made


def configured(desk: Desk) -> list[tuple[str, str, str]]:
    """Return name, kind and address of each configured source."""
    values = tomllib.loads(text_of(desk))["sources"]
    return [(each["name"], each["kind"], each["url"]) for each in values]


def text_of(desk: Desk) -> str:
    return (desk.folder / "worker.toml").read_text(encoding="utf-8")


OLD = ("cu", "feed", "https://cu.example/rss.xml")


def test_add_writes_the_best_feeds_without_overlap_and_keeps_the_rest_of_the_file(desk: Desk) -> None:
    before = text_of(desk)

    ended = desk.run("sources", "add", "bao.example", "--yes", "--json")

    assert ended.status == 0, ended.err
    record = ended.record()
    assert text_of(desk).startswith(before)
    assert configured(desk) == [
        OLD,
        ("bao", "feed", "https://bao.example/rss/tin.rss"),
        ("bao-the-thao", "feed", "https://bao.example/rss/the-thao.rss"),
    ]
    assert record["written"] is True
    assert [each["name"] for each in record["added"]] == ["bao", "bao-the-thao"]
    reasons = {each["url"].removeprefix("https://bao.example"): each["reason"] for each in record["found"]}
    assert reasons["/rss/mot-phan.rss"] == reasons["/"] == "other sources have its entries already"
    assert reasons["/rss/bo-hoang.rss"].startswith("nothing new since")
    assert "Disallow: /kin/" in reasons["/kin/rss"]
    assert "gone" in reasons["/rss/da-go.rss"]
    best = record["found"][0]
    assert (best["entries"], best["overlap"], best["sample"], best["picked"]) == (12, 0.0, "3 of 3", True)


def test_articles_under_short_addresses_are_sampled_before_their_feed_is_refused(desk: Desk) -> None:
    ended = desk.run("sources", "add", "https://blog.example/feed", "--yes", "--json")

    assert ended.status == 0, ended.err
    (found,) = ended.record()["found"]
    assert (found["sample"], found["picked"]) == ("3 of 3", True)


def test_a_feed_of_no_articles_is_refused_with_what_was_seen(desk: Desk) -> None:
    ended = desk.run("sources", "add", "https://blog.example/tags.xml", "--yes", "--json")

    assert ended.status == 1
    (found,) = ended.record()["found"]
    assert found["sample"].startswith("0 of 3")
    assert found["reason"].startswith("none of 3 articles would be stored: 3 ")
    assert "to poll one all the same, write it as [[sources]] into the configuration" in ended.err


def test_without_a_terminal_the_table_is_shown_and_nothing_written(desk: Desk) -> None:
    before = text_of(desk)

    ended = desk.run("sources", "add", "https://bao.example/rss/tin.rss", "-q")

    assert ended.status == 2
    assert (
        ended.err
        == "corpus-worker: nothing was written: there is no terminal to ask on; add --yes to write what was picked\n"
    )
    assert "https://bao.example/rss/tin.rss" in ended.out
    assert text_of(desk) == before


def test_json_without_yes_shows_what_would_be_written_and_writes_nothing(desk: Desk) -> None:
    before = text_of(desk)

    ended = desk.run("sources", "add", "https://bao.example/rss/tin.rss", "--json", "-q")

    record = ended.record()
    assert ended.status == 1
    assert record["written"] is False
    assert record["added"] == [{"name": "bao", "kind": "feed", "url": "https://bao.example/rss/tin.rss"}]
    assert text_of(desk) == before


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1)])
def test_on_a_terminal_it_asks(desk: Desk, answer: str, status: int) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())

    done = subprocess.run(
        desk._command(("sources", "add", "https://bao.example/rss/tin.rss", "-q")),
        cwd=desk.folder,
        env=desk._environment(),
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    os.close(ours)
    os.close(theirs)
    assert done.returncode == status, done.stderr
    assert "Write bao to worker.toml?" in done.stderr
    assert (len(configured(desk)) == 2) is (answer == "y")


def test_without_feeds_the_sitemap_of_robots_txt_is_taken_and_can_be_ingested(desk: Desk) -> None:
    added = desk.run("sources", "add", "https://tran.example/", "--name", "tran", "--yes", "-q")
    ingested = desk.run("ingest", "--source", "tran", "--json")
    again = desk.run("sources", "add", "https://tran.example/sitemap-tin.xml", "--yes", "-q")

    assert added.status == 0, added.err
    assert configured(desk)[1:] == [("tran", "sitemap", "https://tran.example/sitemap-tin.xml")]
    assert ingested.record()["stored"] == 6
    assert again.status == 1
    assert "is the source tran already" in again.out
    assert len(configured(desk)) == 2


def test_from_an_article_of_a_site_with_nothing_else_the_home_page_is_taken_as_a_listing(desk: Desk) -> None:
    ended = desk.run("sources", "add", f"https://ten.example{slug(3)}", "--yes")

    assert ended.status == 0, ended.err
    assert "is an article; looking at https://ten.example/ instead" in ended.err
    assert configured(desk)[1:] == [("ten", "listing", "https://ten.example/")]


def test_a_page_that_lists_feeds_is_followed_and_what_a_source_gives_already_is_left(desk: Desk) -> None:
    desk.configure('[[sources]]\nname = "mine"\nkind = "feed"\nurl = "https://muc.example/rss/ban-sao.rss"\n')

    ended = desk.run("sources", "add", "muc.example", "--yes", "--json", "-q")

    reasons = {each["url"].rpartition("/")[2]: each["reason"] for each in ended.record()["found"] if each["entries"]}
    assert ended.status == 0, ended.err
    assert reasons == {"a.rss": "the source mine has it already", "b.rss": "picked"}
    assert configured(desk)[1:] == [("muc", "feed", "https://muc.example/rss/b.rss")]


def test_a_site_with_nothing_to_poll_adds_nothing_and_ends_with_1(desk: Desk) -> None:
    before = text_of(desk)

    ended = desk.run("sources", "add", "trong.example", "--yes", "-q")

    assert ended.status == 1
    assert "no new source worth polling was found" in ended.err
    assert text_of(desk) == before


def test_check_shows_the_entries_of_each_source_and_their_overlap(desk: Desk) -> None:
    desk.configure(
        "".join(
            f'[[sources]]\nname = "{name}"\nkind = "feed"\nurl = "https://bao.example/rss/{name}.rss"\n'
            for name in ("tin", "mot-phan", "da-go")
        )
    )

    told, one = desk.run("sources", "check", "--json"), desk.run("sources", "check", "tin")

    rows = {each["name"]: each for each in json.loads(told.out)}
    assert told.status == 1
    assert {name: (each["level"], each["entries"]) for name, each in rows.items()} == {
        "tin": ("ok", 12),
        "mot-phan": ("ok", 5),
        "da-go": ("fail", 0),
    }
    assert rows["mot-phan"]["overlap"] == 1.0
    assert rows["tin"]["overlap"] == pytest.approx(5 / 12, abs=0.001)
    assert "sources add" in rows["da-go"]["remedy"]
    assert one.status == 0
    assert "mot-phan" not in one.out


def test_sources_are_exported_and_imported_as_opml_and_removed(desk: Desk) -> None:
    before = text_of(desk)
    listed = '<outline text="Tin" xmlUrl="https://bao.example/rss/tin.rss"/><outline text="Cũ" xmlUrl="http://cu.example/rss.xml"/>'
    opml = f'<opml version="2.0"><head/><body><outline text="Báo">{listed}</outline></body></opml>'
    (desk.folder / "mine.opml").write_text(opml, encoding="utf-8")

    imported = desk.run("sources", "import", "mine.opml")
    exported = desk.run("sources", "export")
    removed = desk.run("sources", "remove", "bao")

    assert imported.out.splitlines()[-1] == "2 feeds in mine.opml: 1 added, 1 already known"
    assert 'xmlUrl="https://bao.example/rss/tin.rss"' in exported.out
    assert 'xmlUrl="https://cu.example/rss.xml"' in exported.out
    assert removed.status == 0, removed.err
    assert text_of(desk) == before


def test_a_source_is_paused_shown_as_paused_and_resumed(desk: Desk) -> None:
    before = text_of(desk)

    paused = desk.run("sources", "pause", "cu")
    again = desk.run("sources", "pause", "cu", "--json")
    listed = desk.run("sources", "list")
    shown = json.loads(desk.run("doctor", "--json").out)
    resumed = desk.run("sources", "resume", "cu", "--json")

    assert (paused.status, paused.err) == (0, "")
    assert paused.out == "paused cu in worker.toml; a running daemon applies it within seconds\n"
    assert again.record() == {"paused": []}
    assert "paused" in listed.out
    assert "0 of 1 enabled; paused: cu" in {finding["detail"] for finding in shown}
    assert resumed.record() == {"resumed": ["cu"]}
    assert text_of(desk) == f"{before}enabled = true\n"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["pause", "cu", "nobody"], 2, "no source is called nobody; the configuration has cu"),
        (["resume", "nobody"], 2, "no source is called nobody; the configuration has cu"),
        (["add", "not a site"], 2, "not a web address"),
        (["add", "bao.example", "--name", "a b"], 2, "--name a b: use letters"),
        (["add", "bao.example", "--name", "cu"], 2, "a source of that name already exists"),
        (["add", "https://nobody.invalid/"], 1, "nobody.invalid"),
        (["check", "nobody"], 2, "no source is called nobody; the configuration has cu"),
        (["remove", "nobody"], 2, "no source is called nobody; the configuration has cu"),
        (["import", "nowhere.opml"], 2, "nowhere.opml: cannot be read"),
        (["import", "worker.toml"], 1, "OPML"),
        (["export", "--output", "worker.toml/feeds.opml"], 2, "cannot be written"),
    ],
)
def test_wrong_use_is_one_clear_line(desk: Desk, words: list[str], status: int, told: str) -> None:
    before = text_of(desk)

    ended = desk.run("sources", *words, "-q")

    assert ended.status == status, ended.err
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    assert told in ended.err
    assert text_of(desk) == before
