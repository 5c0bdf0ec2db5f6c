"""Suggestions from a home page, the ranking of test polls, and OPML."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.sources.factories import NOW, page, rss, source
from worker.errors import SourceError
from worker.models import Discovery
from worker.sources.feed.opml import OpmlFeed, read_opml, write_opml
from worker.sources.feed.parser import parse_feed
from worker.sources.web.homepage import declared_feeds, find_sections, sitemaps_in_robots, suggestions
from worker.sources.web.ranking import TrialPoll, rank_sources, summarise_poll

HOME = """<!DOCTYPE html><html><head><title>Báo</title>
  <link rel="alternate" type="application/rss+xml" title="Tin mới" href="/rss/tin-moi.rss">
  <link rel="alternate" type="application/atom+xml" href="https://bao.vn/atom">
  <link rel="alternate" type="application/json+oembed" href="/oembed?url=x">
  <link rel="alternate" hreflang="en" href="/en">
  </head><body><nav><a href="/thoi-su">Thời sự</a><a href="/thoi-su/giao-thong">Giao thông</a><a href="/">Trang chủ</a>
  <a href="/kinh-te.html">Kinh tế</a><a href="/tag/bao-so-3">Bão số 3</a><a href="https://tv.bao.vn/phim">Phim</a>
  <a href="/mua-lon-keo-dai-o-mien-trung-123456.html">Mưa lớn kéo dài ở miền Trung</a></nav>
  <a href="/rss.html">RSS</a><a href="/bai-viet-ve-rss-va-cach-doc-bao-123456.html">Bài viết về RSS</a></body></html>"""


def test_declared_and_linked_feeds_are_found() -> None:
    found = declared_feeds(page(HOME, url="https://bao.vn/"))

    assert [each.url for each in found] == [
        "https://bao.vn/rss/tin-moi.rss",
        "https://bao.vn/atom",
        "https://bao.vn/rss.html",
    ]
    assert found[0].title == "Tin mới"


def test_sections_of_the_menu_are_found_main_ones_first() -> None:
    found = find_sections(page(HOME, url="https://bao.vn/"))

    assert [each.url for each in found] == [
        "https://bao.vn/thoi-su", "https://bao.vn/kinh-te.html", "https://bao.vn/thoi-su/giao-thong",
    ]  # fmt: skip


def test_robots_txt_names_sitemaps_wherever_they_stand() -> None:
    robots = b"User-agent: *\nSITEMAP : /a.xml\r\n  sitemap:https://bao.vn/b.xml\n# Sitemap: /c.xml\nsitemap: js:x\n"

    found = sitemaps_in_robots(robots, base="https://bao.vn/")

    assert [each.url for each in found] == ["https://bao.vn/a.xml", "https://bao.vn/b.xml"]


def test_suggestions_are_unique_and_declared_ones_come_first() -> None:
    found = suggestions(page(HOME, url="https://bao.vn/"), robots=b"Sitemap: https://bao.vn/sitemap.xml")

    addresses = [each.url for each in found]
    assert len(addresses) == len(set(addresses))
    assert found[0].seen == "page"
    assert addresses.index("https://bao.vn/sitemap.xml") < addresses.index("https://bao.vn/rss.xml")
    assert {each.kind for each in found} == {"feed", "sitemap", "listing"}
    assert "https://bao.vn/" in addresses


def test_a_home_page_that_is_not_html_is_refused() -> None:
    with pytest.raises(SourceError):
        suggestions(page("", url="https://bao.vn/"))


def test_sections_of_real_pages_are_no_articles() -> None:
    folder = Path(__file__).parents[4] / "shared/data/vi/html"
    if not folder.exists():
        pytest.skip("the shared data is not here")
    body = gzip.decompress((folder / "meth04_vietnamnet_list.html.gz").read_bytes())

    found = find_sections(page(body, url="https://vietnamnet.vn/kinh-doanh"))

    assert len(found) == 30
    assert all("-249" not in each.url for each in found)
    assert "https://vietnamnet.vn/thoi-su" in [each.url for each in found]


def trial(
    name: str, first: int, last: int, *, kind: str = "feed", days: int = 0, share: float = 1.0, error: str = ""
) -> TrialPoll:
    keys = frozenset(f"https://bao.vn/a-{number}.html" for number in range(first, last))
    return TrialPoll(
        kind=kind, url=f"https://bao.vn/{name}", keys=keys, newest=NOW - timedelta(days=days), dated=len(keys),
        share=share, seen="4 of 20 addresses", error=error,
    )  # fmt: skip


def picked(*trials: TrialPoll) -> list[str]:
    return [rated.poll.url.rpartition("/")[2] for rated in rank_sources(trials, now=NOW) if rated.picked]


def test_the_best_set_without_overlap_is_picked() -> None:
    assert picked(trial("all", 0, 50), trial("part", 10, 40), trial("other", 100, 120)) == ["all", "other"]


def test_a_feed_is_preferred_to_a_listing_of_the_same_articles() -> None:
    assert picked(trial("list", 0, 50, kind="listing"), trial("feed", 0, 50)) == ["feed"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (trial("x", 0, 20, days=90), "nothing new since 2026-08-22"),
        (trial("x", 0, 20, share=0.2), "mostly not articles: 4 of 20 addresses"),
        (trial("x", 0, 0), "no entries"),
        (trial("x", 0, 20, error="http 404"), "http 404"),
    ],
)
def test_a_stale_empty_broken_or_articleless_source_is_not_picked(bad: TrialPoll, reason: str) -> None:
    (rated,) = rank_sources([bad], now=NOW)

    assert not rated.picked
    assert rated.reason == reason


def test_the_overlap_with_better_sources_is_reported() -> None:
    second = rank_sources([trial("all", 0, 50), trial("part", 25, 75, kind="sitemap")], now=NOW)[1]

    assert second.overlap == 0.5
    assert second.picked


def test_a_test_poll_is_summarised() -> None:
    items = [
        f"<link>https://bao.vn/mua-lon-keo-dai-{n}2345.html</link><pubDate>2026-11-1{n}T00:00:00Z</pubDate>"
        for n in (1, 2)
    ]
    read: Discovery = parse_feed(page(rss(*items, "<link>https://bao.vn/thoi-su</link>")), source(), now=NOW)

    summed = summarise_poll("feed", "https://bao.vn/rss", [read])

    assert len(summed.keys) == 3
    assert summed.newest == datetime(2026, 11, 12, tzinfo=UTC)
    assert summed.dated == 2
    assert summed.share == pytest.approx(2 / 3)
    assert summed.seen == (
        "2 of 3 addresses have a number, a date or a long name as articles have, https://bao.vn/thoi-su has not"
    )
    assert summed.title == "Báo"


OPML = """<?xml version="1.0"?><opml version="1.0"><body><outline text="Báo chí"><outline text="Kinh tế">
  <outline type="rss" text="B&#225;o" xmlUrl=" https://bao.vn/rss "/><outline text="lặp" XMLURL="http://www.bao.vn/rss/"/>
  </outline><outline text="hỏng" xmlUrl="javascript:x"/>
  <outline text="Sau" xmlurl="https://sau.vn/feed" title="Sau nữa"/></outline></body></opml>"""


def test_an_opml_list_gives_each_feed_once_with_its_groups() -> None:
    outlines, refused = read_opml(OPML.encode())

    assert outlines == (
        OpmlFeed(url="https://bao.vn/rss", title="Báo", groups=("Báo chí", "Kinh tế")),
        OpmlFeed(url="https://sau.vn/feed", title="Sau nữa", groups=("Báo chí",)),
    )
    assert len(refused) == 1
    assert refused[0].startswith("line 3: ")


@pytest.mark.parametrize("bad", ["http://a..b/f", "http://bao.vn:99999/f", "ftp://bao.vn/f", "file:///etc/passwd", "http://",
                                 "http://[::1", "x" * 9000, "http://bao.vn/" + "a" * 3000])  # fmt: skip
def test_one_bad_outline_does_not_affect_the_others(bad: str) -> None:
    lines = "".join(
        f'<outline text="x" xmlUrl="{each}"/>\n' for each in ("https://a.vn/f", bad, "https://b.vn/f?x=1&y=2")
    )

    outlines, refused = read_opml(f"<opml><body>{lines}</body></opml>".encode())

    assert [outline.url for outline in outlines] == ["https://a.vn/f", "https://b.vn/f?x=1&y=2"]
    assert len(refused) == 1


def test_an_exported_list_can_be_imported() -> None:
    body = write_opml([source(), source(kind="sitemap")])

    assert read_opml(body) == ((OpmlFeed(url="https://bao.vn/rss/tin.rss", title="bao"),), ())


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"nonsense", b"<opml" * 5000])
def test_other_files_than_opml_are_refused_with_a_message(body: bytes) -> None:
    with pytest.raises(SourceError):
        read_opml(body)
