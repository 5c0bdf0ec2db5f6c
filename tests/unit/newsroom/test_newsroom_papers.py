"""The press of the demo: four papers with layouts, feeds, rules and faults of their own."""

import json
import re
import time
import tomllib
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import escape, unescape
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.newsroom import (
    BAO_SAI_GON,
    MIEN_SONG,
    THOI_MOI,
    TIN_TUC_24,
    TRAM_TIN,
    Newsroom,
    Story,
    demo_press,
    seed_stories,
    stories_of,
    updates_of,
)
from tests.newsroom.client import Answer, ask_once, connected

PAPERS = (BAO_SAI_GON, THOI_MOI, TIN_TUC_24, MIEN_SONG)
ATOM = "{http://www.w3.org/2005/Atom}"
AGENCY = {BAO_SAI_GON: "hoi-nghi-bien-xanh", TIN_TUC_24: "cam-ket-rac-nhua", MIEN_SONG: "cam-ket-bien-sach"}
ODD = {"mat-dien-ha-ly", "english-river-pilots", "ke-hoach-truc-noi-bo"}
DEMO = Path(__file__).parents[3] / "config" / "demo.toml"


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom(demo_press(slow=timedelta(seconds=0.2))) as opened:
        yield opened


def feed(room: Newsroom, host: str, **headers: str) -> Answer:
    return ask_once(room, host, room.paper(host).terms.feed_path, **headers)


def links(room: Newsroom, host: str) -> list[str]:
    """Return the URLs in a paper's feed, whatever its format, read without help of the code that wrote it."""
    text = feed(room, host).text
    if host == TIN_TUC_24:
        return [item["url"] for item in json.loads(text)["items"]]
    if host == THOI_MOI:
        return [link.attrib["href"] for link in ET.fromstring(text).iterfind(f"{ATOM}entry/{ATOM}link")]
    return [link.text or "" for link in ET.fromstring(text).iterfind("channel/item/link")]


def page(room: Newsroom, url: str) -> Answer:
    host, _, path = url.removeprefix("https://").partition("/")
    return ask_once(room, host, f"/{path}")


def shingles(text: str, size: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


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
        text = unescape(page(room, paper.url(story)).text)
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
    text = unescape(page(room, paper.url(story)).text)
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
        text = page(room, room.url(host, slug)).text
        found[host] = {name for name, mark in marks.items() if mark in text}

    assert found == {
        BAO_SAI_GON: {"json-ld"},
        THOI_MOI: {"open graph"},
        TIN_TUC_24: {"text"},
        MIEN_SONG: {"microdata"},
    }


def test_the_json_ld_is_whole(room: Newsroom) -> None:
    text = page(room, room.url(BAO_SAI_GON, "cho-noi-doi-gio-hop")).text
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
    assert "Tin thêm" in page(room, url).text


def test_an_update_changes_the_text_under_the_same_url_and_the_feed_says_so(room: Newsroom) -> None:
    url = room.url(THOI_MOI, "tau-hang-ket-kenh")
    before, old_feed = page(room, url), feed(room, THOI_MOI)

    updated = room.update(THOI_MOI, "tau-hang-ket-kenh")

    after = page(room, url)
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

    text = unescape(page(room, url).text)

    assert "Tên mới" in text
    assert "Chỉ còn một đoạn." in text
    assert "Thầy Phan Văn Nghĩa" not in text


def test_the_script_updates_first_then_publishes_what_was_held_back_and_ends(room: Newsroom) -> None:
    held = {host: len(room.paper(host).held()) for host in PAPERS}

    told = list(iter(room.advance, None))

    assert [line.split()[0] for line in told] == ["updated"] + ["published"] * sum(held.values())
    assert sum(held.values()) >= 3
    assert all(page(room, line.split()[1]).status == 200 for line in told)
    assert all(not room.paper(host).held() for host in PAPERS)


def test_the_agency_story_is_cut_by_one_paper_and_added_to_by_another() -> None:
    told = {host: next(s for s in stories_of(host) if s.slug == slug) for host, slug in AGENCY.items()}
    whole, cut, longer = (told[host].text.splitlines() for host in (BAO_SAI_GON, TIN_TUC_24, MIEN_SONG))

    assert cut == whole[: len(cut)]
    assert len(" ".join(cut).split()) == pytest.approx(len(" ".join(whole).split()) * 2 / 3, rel=0.1)
    assert [line for line in longer if line in whole] == whole
    assert len(longer) == len(whole) + 2
    assert len({story.title for story in told.values()}) == len({story.author for story in told.values()}) == 3


def test_one_article_is_that_of_the_first_seed(room: Newsroom) -> None:
    url = room.url(THOI_MOI, "hat-giong-000")
    seed = next((Path(__file__).parents[3] / "seeds").glob("000_*.txt")).read_text("utf-8")

    text = unescape(page(room, url).text)

    assert url in links(room, THOI_MOI)
    for line in lines_of(seed_stories()["000"]):
        assert line in seed
        assert line in text


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        (BAO_SAI_GON, "/loi-may-chu-500500.htm", 500),
        (THOI_MOI, "/thoi-su/bai-viet-da-go.html", 404),
        (BAO_SAI_GON, "/chuyen-de/tin-trong-tuan.htm", 200),
        (TIN_TUC_24, "/2026/03/05/bai-viet-bi-cat/", 200),
        (TIN_TUC_24, "/2026/03/05/bai-viet-hong/", 200),
        (THOI_MOI, "/thoi-su/bai-viet-den-cham.html", 200),
    ],
)
def test_the_feeds_also_link_what_is_no_article(room: Newsroom, host: str, path: str, status: int) -> None:
    assert f"https://{host}{path}" in links(room, host)
    assert ask_once(room, host, path).status == status


def test_one_page_is_cut_in_the_middle_of_its_gzip_stream(room: Newsroom) -> None:
    answer = ask_once(room, TIN_TUC_24, "/2026/03/05/bai-viet-bi-cat/")
    inflating = zlib.decompressobj(zlib.MAX_WBITS | 16)

    inflating.decompress(answer.body)

    assert answer.headers["content-encoding"] == "gzip"
    assert not inflating.eof


def test_the_slow_page_takes_as_long_as_it_is_told(room: Newsroom) -> None:
    begun = time.monotonic()

    ask_once(room, THOI_MOI, "/thoi-su/bai-viet-den-cham.html")

    assert 0.2 <= time.monotonic() - begun < 2


def test_a_former_feed_is_an_html_page(room: Newsroom) -> None:
    answer = ask_once(room, TIN_TUC_24, "/rss-cu.xml")

    assert answer.headers["content-type"].startswith("text/html")
    assert "<html>" in answer.text


def test_one_host_takes_connections_and_never_answers(room: Newsroom) -> None:
    with connected(room, TRAM_TIN, scheme="http", timeout=0.2) as ask, pytest.raises(TimeoutError):
        ask("/rss")


@pytest.mark.parametrize("host", PAPERS)
def test_a_paper_has_enough_articles_of_its_own_of_a_usual_length(host: str) -> None:
    own = [story for story in stories_of(host) if story.slug not in {*ODD, *AGENCY.values()}]

    assert 8 <= len(own) <= 10
    assert all(120 <= len(story.text.split()) <= 450 for story in own), [len(s.text.split()) for s in own]


def test_the_short_page_is_short_and_the_english_one_english() -> None:
    odd = {story.slug: story for story in stories_of(MIEN_SONG) if story.slug in ODD}

    assert len(odd["mat-dien-ha-ly"].text.split()) <= 20
    assert odd["english-river-pilots"].text.isascii()


def test_no_two_articles_have_a_sentence_in_common_but_the_agency_story() -> None:
    stories = [story for host in PAPERS for story in stories_of(host)]
    stories += seed_stories().values()
    apart = [story for story in stories if story.slug not in AGENCY.values()]
    found = {story.slug: shingles(story.text, 10) for story in apart}

    shared = [(one, other) for one, other in combinations(found, 2) if found[one] & found[other]]

    assert shared == []


def test_the_written_update_is_of_a_story_that_is_out() -> None:
    for host in PAPERS:
        slugs = {story.slug for story in stories_of(host) if not story.held}
        assert set(updates_of(host)) <= slugs


def test_the_demo_configuration_polls_the_feeds_of_the_press() -> None:
    configuration = tomllib.loads(DEMO.read_text("utf-8"))
    room = Newsroom()

    urls = {source["url"] for source in configuration["sources"]}

    assert {room.paper(host).feed_url for host in PAPERS} <= urls
    assert urls - {room.paper(host).feed_url for host in PAPERS} == {
        f"https://{TIN_TUC_24}/rss-cu.xml",
        f"https://{TRAM_TIN}/rss",
    }


def test_what_is_written_in_an_article_cannot_break_its_page(room: Newsroom) -> None:
    nasty = '</script><script>"&'
    for host in PAPERS:
        story = Story(slug="x", title=nasty, lead=nasty, blocks=(nasty,), published=datetime(2026, 3, 7, tzinfo=UTC))
        text = page(room, room.publish(host, story)).text
        assert nasty not in text
        assert escape(nasty) in text
        links(room, host)
