"""The papers have layouts, feeds and rules of their own, and can be written to while they are served."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import escape, unescape
from xml.etree import ElementTree as ET

import pytest

from tests.newsroom import (
    BAO_SAI_GON,
    MIEN_SONG,
    THOI_MOI,
    TIN_TUC_24,
    Newsroom,
    Story,
    demo_press,
)
from tests.newsroom.client import ATOM, Answer, ask_once, get, links_in

PAPERS = (BAO_SAI_GON, THOI_MOI, TIN_TUC_24, MIEN_SONG)


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom(demo_press(slow=timedelta(seconds=0.2))) as opened:
        yield opened


def feed(room: Newsroom, host: str, **headers: str) -> Answer:
    return ask_once(room, host, room.paper(host).terms.feed_path, **headers)


def links(room: Newsroom, host: str) -> list[str]:
    return links_in(feed(room, host))


@pytest.mark.parametrize("host", PAPERS)
def test_a_feed_links_every_article_that_is_out_newest_first(room: Newsroom, host: str) -> None:
    paper = room.paper(host)
    articles = [paper.url(story) for story in paper.stories()]

    found = links(room, host)

    assert [url for url in found if url in articles] == articles
    assert all(paper.url(story) not in found for story in paper.held())
    assert all(url.startswith(f"https://{host}/") for url in found)


@pytest.mark.parametrize("host", PAPERS)
def test_an_article_page_holds_the_whole_article_among_much_else(room: Newsroom, host: str) -> None:
    paper = room.paper(host)
    for story in paper.stories():
        text = unescape(get(room, paper.url(story)).text)
        places = [text.find(line, text.find("<h1" if host != TIN_TUC_24 else "news-title")) for line in lines_of(story)]

        assert -1 not in places, story.slug
        assert places == sorted(places), story.slug
        others = [each.title for each in paper.stories() if each.slug != story.slug and each.title in text]
        assert len(others) >= 5, story.slug


def lines_of(story: Story) -> list[str]:
    return [story.title, *story.text.splitlines()]


@pytest.mark.parametrize("host", PAPERS)
def test_a_related_box_stands_inside_the_article(room: Newsroom, host: str) -> None:
    paper = room.paper(host)
    story = next(each for each in paper.stories() if len(each.blocks) > 3)
    text = unescape(get(room, paper.url(story)).text)
    paragraphs = story.text.splitlines()

    inside = text[text.find(paragraphs[1]) : text.find(paragraphs[-1])]

    assert any(each.title in inside for each in paper.stories() if each.slug != story.slug)


def test_each_paper_dates_its_articles_in_its_own_way(room: Newsroom) -> None:
    marks = {
        "json-ld": "application/ld+json",
        "open graph": "article:published_time",
        "microdata": 'itemprop="datePublished"',
        "text": "ngày 05/03/2026 - 13:25",
    }
    slugs = {
        BAO_SAI_GON: "cho-noi-doi-gio-hop",
        THOI_MOI: "cau-treo-na-vac",
        TIN_TUC_24: "may-vot-beo",
        MIEN_SONG: "hoi-dua-ghe-ngo",
    }

    found = {}
    for host, slug in slugs.items():
        text = get(room, room.url(host, slug)).text
        found[host] = {name for name, mark in marks.items() if mark in text}

    assert found == {
        BAO_SAI_GON: {"json-ld"},
        THOI_MOI: {"open graph"},
        TIN_TUC_24: {"text"},
        MIEN_SONG: {"microdata"},
    }


def test_the_json_ld_is_whole(room: Newsroom) -> None:
    text = get(room, room.url(BAO_SAI_GON, "cho-noi-doi-gio-hop")).text
    found = re.search(r'<script type="application/ld\+json">(.*?)</script>', text, re.DOTALL)

    described = json.loads(found[1]) if found else {}

    assert described["@type"] == "NewsArticle"
    assert described["headline"] == "Chợ nổi đổi giờ họp, thương hồ tìm cách giữ khách"
    assert datetime.fromisoformat(described["datePublished"]) == datetime(2026, 3, 1, 23, 40, tzinfo=UTC)


@pytest.mark.parametrize("host", PAPERS)
def test_listing_pages_show_leads_of_many_articles(room: Newsroom, host: str) -> None:
    text = unescape(ask_once(room, host, "/").text)

    assert all(story.lead in text for story in room.paper(host).stories())


def test_one_paper_forbids_a_page_that_its_feed_links(room: Newsroom) -> None:
    rules = ask_once(room, MIEN_SONG, "/robots.txt")

    assert "Disallow: /noi-bo/" in rules.text.splitlines()
    assert rules.headers["content-type"].startswith("text/plain")
    assert f"https://{MIEN_SONG}/noi-bo/lich-truc-tuan-2.html" in links(room, MIEN_SONG)
    assert all(ask_once(room, host, "/robots.txt").status == 200 for host in PAPERS)


@pytest.mark.parametrize("host", PAPERS)
def test_a_feed_is_not_sent_twice_until_something_is_published(room: Newsroom, host: str) -> None:
    first = feed(room, host)
    again = feed(room, host, if_none_match=first.headers["etag"], if_modified_since=first.headers["last-modified"])

    story = Story(
        slug="tin-them", title="Tin thêm", lead="Mở đầu.", blocks=("Đoạn.",), published=datetime(2026, 3, 7, tzinfo=UTC)
    )
    url = room.publish(host, story)
    after = feed(room, host, if_none_match=first.headers["etag"], if_modified_since=first.headers["last-modified"])

    assert (again.status, again.body, after.status) == (304, b"", 200)
    assert links(room, host)[0] == url
    assert "Tin thêm" in get(room, url).text


def test_an_update_changes_the_text_under_the_same_url_and_the_feed_says_so(room: Newsroom) -> None:
    url = room.url(THOI_MOI, "tau-hang-ket-kenh")
    before, old_feed = get(room, url), feed(room, THOI_MOI)

    updated = room.update(THOI_MOI, "tau-hang-ket-kenh")

    after = get(room, url)
    assert updated == url
    assert ("mười hai tỷ đồng" in before.text, "mười hai tỷ đồng" in after.text) == (False, True)
    assert before.headers["etag"] != after.headers["etag"]
    assert updated_at(feed(room, THOI_MOI), url) > updated_at(old_feed, url)


def updated_at(answer: Answer, url: str) -> datetime:
    entries = ET.fromstring(answer.text).iterfind(f"{ATOM}entry")
    entry = next(each for each in entries if each.findtext(f"{ATOM}id") == url)
    return datetime.fromisoformat(entry.findtext(f"{ATOM}updated") or "")


def test_an_update_can_name_what_changes(room: Newsroom) -> None:
    url = room.update(BAO_SAI_GON, "day-boi-mua-he", title="Tên mới", blocks=("Chỉ còn một đoạn.",))

    text = unescape(get(room, url).text)

    assert "Tên mới" in text
    assert "Chỉ còn một đoạn." in text
    assert "Thầy Phan Văn Nghĩa" not in text


def test_the_script_updates_first_then_publishes_what_was_held_back_and_ends(room: Newsroom) -> None:
    held = {host: len(room.paper(host).held()) for host in PAPERS}

    told = list(iter(room.advance, None))

    assert [line.split()[0] for line in told] == ["updated"] + ["published"] * sum(held.values())
    assert sum(held.values()) >= 3
    assert all(get(room, line.split()[1]).status == 200 for line in told)
    assert all(not room.paper(host).held() for host in PAPERS)


def test_what_is_written_in_an_article_cannot_break_its_page(room: Newsroom) -> None:
    nasty = '</script><script>"&'
    for host in PAPERS:
        story = Story(slug="x", title=nasty, lead=nasty, blocks=(nasty,), published=datetime(2026, 3, 7, tzinfo=UTC))
        text = get(room, room.publish(host, story)).text
        assert nasty not in text
        assert escape(nasty) in text
        links(room, host)
