"""The press of the demo: what its papers carry, what is wrong with some pages, and what the demo polls."""

import re
import time
import tomllib
import zlib
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from itertools import combinations
from pathlib import Path

import pytest

from tests.newsroom import (
    BAO_SAI_GON,
    MIEN_SONG,
    THOI_MOI,
    TIN_TUC_24,
    TRAM_TIN,
    Newsroom,
    demo_press,
    seed_stories,
    stories_of,
    updates_of,
)
from tests.newsroom.client import ask_once, connected, get, links_in

PAPERS = (BAO_SAI_GON, THOI_MOI, TIN_TUC_24, MIEN_SONG)
AGENCY = {BAO_SAI_GON: "hoi-nghi-bien-xanh", TIN_TUC_24: "cam-ket-rac-nhua", MIEN_SONG: "cam-ket-bien-sach"}
ODD = {"mat-dien-ha-ly", "english-river-pilots", "ke-hoach-truc-noi-bo"}
DEMO = Path(__file__).parents[3] / "config" / "demo.toml"


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom(demo_press(slow=timedelta(seconds=0.2))) as opened:
        yield opened


def links(room: Newsroom, host: str) -> list[str]:
    return links_in(ask_once(room, host, room.paper(host).terms.feed_path))


def shingles(text: str, size: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


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
    seed = next((Path(__file__).parents[3] / "seeds/sample").glob("000_*.txt")).read_text("utf-8")

    text = unescape(get(room, url).text)

    assert url in links(room, THOI_MOI)
    article = seed_stories()["000"]
    for line in (article.title, *article.text.splitlines()):
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

    assert time.monotonic() - begun >= 0.2


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
