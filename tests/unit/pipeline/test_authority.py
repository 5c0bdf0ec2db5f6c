"""Nobody speaks for another: what a feed, a page or a file says of somebody else's article keeps nothing out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.newspapers import (
    DOWN,
    FORBIDDEN,
    GONE,
    Web,
    article_page,
    entry,
    feed,
    listing,
    served_by,
    story,
)
from worker.dedupe.judge import Deduper
from worker.models import Authority, State
from worker.storage.store import Store, open_store

KEY = "https://nannhan.vn/bai-viet-that-123456.html"
URL = "http://nannhan.vn/bai-viet-that-123456.html"
OWN_FEED = "http://nannhan.vn/rss"
FOREIGN_FEED = "http://kexau.com/rss"
TRUE, FORGED = article_page("bến đò"), article_page("giả mạo")
OWN = {OWN_FEED: feed(entry(URL, title="Bến đò", date="Sun, 01 Mar 2026 05:00:00 +0700")), URL: TRUE}


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://", parameters=Deduper().parameters) as opened:
        yield opened


def foreign(*items: str) -> dict[str, object]:
    """Return the feed of a stranger that calls the victim's site its own."""
    return {FOREIGN_FEED: feed(*items, site="http://nannhan.vn/")}


TWINS = {
    "the AMP twin": f"{URL}/amp",
    "the mobile twin": URL.replace("nannhan", "m.nannhan"),
    "the print twin": "http://nannhan.vn/print/bai-viet-that-123456.html",
    "a counted link": f"{URL}?utm_source=x",
    "the other scheme": KEY.replace("nannhan", "www.nannhan"),
    "Google's wrapper": f"https://www.google.com/url?q={URL}/amp",
    "an AMP cache": "https://nannhan-vn.cdn.ampproject.org/c/nannhan.vn/bai-viet-that-123456.html",
    "the address itself": URL,
}
ENDS = {"gone": GONE, "forbidden": FORBIDDEN, "no article": "<html><body><p>Trống</p></body></html>"}


@pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_strangers_feed_does_not_keep_an_article_out(store: Store, twin: str, end: object) -> None:
    web = Web(store, OWN | foreign(entry(twin, title="Tin giả", text=story("giả mạo"))) | {twin: end})
    if twin == URL:
        web.poll(FOREIGN_FEED)
        web.fetcher.answers[URL] = TRUE

    web.poll(FOREIGN_FEED).poll(OWN_FEED)

    assert list(web.texts) == [KEY]
    assert "bến đò" in web.texts[KEY].text
    assert web.texts[KEY].title == "Chuyện ở bến đò"
    assert web.state(KEY) is State.STORED


@pytest.mark.parametrize("end", [GONE, DOWN, FORBIDDEN], ids=["gone", "down", "forbidden"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_dead_twin_does_not_lose_the_living_one_with_no_attacker_at_all(
    store: Store, end: Exception, *, at_once: bool
) -> None:
    dead, front = URL.replace("nannhan", "m.nannhan"), "http://nannhan.vn/tin"
    others = [f"http://nannhan.vn/mot-bai-viet-khac-hon-{number}.html" for number in range(23450, 23456)]
    pages = {url: article_page(f"làng {at}") for at, url in enumerate(others)}
    links = (dead, URL, *others) if at_once else (dead, *others)
    web = Web(store, OWN | pages | {front: listing(*links), dead: end})

    web.poll(front, kind="listing").poll(OWN_FEED)

    assert KEY in web.texts
    assert len(web.texts) == 7
    assert {each.url: each.state for each in web.of(KEY).addresses}[URL] == "stored"


def test_a_living_address_that_dies_later_makes_way_for_the_twin(store: Store) -> None:
    twin = f"{URL}/amp"
    web = Web(store, OWN | {URL: GONE, FOREIGN_FEED: feed(entry(twin), site="http://nannhan.vn/"), twin: TRUE})

    web.poll(OWN_FEED).poll(FOREIGN_FEED)

    assert "bến đò" in web.texts[KEY].text
    assert [(each.url, each.state, each.authority) for each in web.of(KEY).addresses] == [
        (URL, "failed", Authority.PUBLISHER),
        (twin, "stored", Authority.STRANGER),
    ]


def test_full_text_in_a_strangers_feed_stands_in_for_nothing(store: Store) -> None:
    web = Web(store, foreign(entry(URL, title="Tin giả", text=story("giả mạo"))) | {URL: GONE})

    web.poll(FOREIGN_FEED)

    assert web.texts == {}
    assert web.state(KEY) is State.FAILED


def test_the_publishers_own_full_text_stands_in_though_a_stranger_was_first(store: Store) -> None:
    own = {OWN_FEED: feed(entry(URL, title="Bến đò", text=story("bến đò")))}
    web = Web(store, own | foreign(entry(URL, title="Tin giả", text=story("giả mạo"))) | {URL: GONE})

    web.poll(FOREIGN_FEED).poll(OWN_FEED)

    assert "bến đò" in web.texts[KEY].text
    assert web.texts[KEY].title == "Bến đò"


def test_full_text_stands_in_only_where_no_address_is_left(store: Store) -> None:
    twin = f"{URL}?utm_source=rss"
    own = {OWN_FEED: feed(entry(twin, text=story("ngắn gọn")), entry(URL))}
    web = Web(store, own | {twin: GONE, URL: TRUE})

    web.poll(OWN_FEED)

    assert "bến đò" in web.texts[KEY].text


def test_what_a_stranger_says_of_title_and_date_is_not_believed(store: Store) -> None:
    lie = entry(URL, title="Tin giả", date="Thu, 01 Jan 2015 00:00:00 +0700")
    web = Web(store, OWN | foreign(lie))

    web.poll(FOREIGN_FEED).poll(OWN_FEED)

    article = web.texts[KEY]
    assert (article.title, article.published_at) == ("Chuyện ở bến đò", None)


def test_a_feed_that_the_operator_calls_the_papers_own_speaks_for_it(store: Store) -> None:
    burner = "http://feeds.dichvu.com/nannhan"
    full = feed(entry(URL, title="Bến đò", text=story("bến đò")), site="http://nannhan.vn/")
    web = Web(store, {burner: full, URL: GONE})

    web.poll(burner, sites=frozenset({"nannhan.vn"}))

    assert "bến đò" in web.texts[KEY].text


def test_a_feed_that_the_papers_own_address_leads_to_speaks_for_it(store: Store) -> None:
    full = feed(entry(URL, title="Bến đò", text=story("bến đò")))
    web = Web(store, {OWN_FEED: served_by("http://feeds.dichvu.com/nannhan", full, asked=OWN_FEED), URL: GONE})

    web.poll(OWN_FEED)

    assert "bến đò" in web.texts[KEY].text


SAYS = {
    "rel=canonical": f'<link rel="canonical" href="{KEY}">',
    "og:url": f'<meta property="og:url" content="{KEY}">',
    "JSON-LD": '<script type="application/ld+json">'
    + json.dumps({"@type": "NewsArticle", "headline": "x", "url": KEY})
    + "</script>",
}


@pytest.mark.parametrize("head", SAYS.values(), ids=SAYS)
@pytest.mark.parametrize("first", [True, False])
def test_what_a_page_calls_its_address_is_recorded_and_no_more(store: Store, head: str, *, first: bool) -> None:
    evil = "http://kexau.com/mot-bai-gia-mao-99999.html"
    page = article_page("giả mạo", head=head)
    web = Web(store, OWN | {"http://kexau.com/rss": feed(entry(evil)), evil: page})
    feeds = ["http://kexau.com/rss", OWN_FEED] if first else [OWN_FEED, "http://kexau.com/rss"]

    for each in feeds:
        web.poll(each)

    own_key = "https://kexau.com/mot-bai-gia-mao-99999.html"
    assert set(web.texts) == {KEY, own_key}
    assert "bến đò" in web.texts[KEY].text
    assert KEY in web.texts[own_key].notes[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.substack.com", "b.substack.com"),
        ("anna.wordpress.com", "ben.wordpress.com"),
        ("anna.github.io", "ben.github.io"),
        ("anna.blogspot.com", "ben.blogspot.com"),
        ("anna.blogspot.com.au", "ben.blogspot.com.au"),
        ("anna.blogspot.de", "ben.blogspot.de"),
    ],
)
def test_neighbours_at_one_hoster_are_strangers(store: Store, one: str, other: str) -> None:
    ours, theirs = f"https://{one}/bai-viet-that-123456.html", f"https://{other}/bai-gia-mao-99999.html"
    forged = article_page("giả mạo", head=f'<link rel="canonical" href="{ours}">')
    lie = feed(entry(theirs), entry(f"{ours}?utm_source=b", text=story("giả mạo")), site=f"https://{one}/")
    answers = {f"https://{other}/feed": lie, theirs: forged, f"{ours}?utm_source=b": GONE}
    web = Web(store, answers | {f"https://{one}/feed": feed(entry(ours)), ours: TRUE})

    web.poll(f"https://{other}/feed").poll(f"https://{one}/feed")

    assert set(web.texts) == {ours, theirs}
    assert "bến đò" in web.texts[ours].text


def test_a_page_that_a_strangers_link_leads_to_is_its_publishers(store: Store) -> None:
    hop = "http://kexau.com/di-toi-bai-viet-nay-55555.html"
    web = Web(store, {FOREIGN_FEED: feed(entry(hop, title="Tin giả", date="Thu, 01 Jan 2015 00:00:00 +0700"))} | OWN)
    web.fetcher.answers[hop] = served_by(URL, article_page("bến đò", title="Bến đò"), asked=hop)

    web.poll(FOREIGN_FEED).poll(OWN_FEED)

    assert set(web.texts) == {KEY}
    assert (web.texts[KEY].title, web.texts[KEY].published_at) == ("Bến đò", None)


@pytest.mark.parametrize("canonical", ["", f'<link rel="canonical" href="{KEY}">'], ids=["silent", "lying"])
@pytest.mark.parametrize("stranger_first", [True, False])
def test_a_page_from_elsewhere_does_not_take_the_place_of_the_article(
    store: Store, canonical: str, *, stranger_first: bool
) -> None:
    twin, evil = f"{URL}/amp", "http://kexau.com/mot-bai-gia-mao-99999.html"
    page = served_by(evil, article_page("giả mạo", head=canonical), asked=twin)
    web = Web(store, OWN | foreign(entry(twin)) | {twin: page})

    for each in [FOREIGN_FEED, OWN_FEED] if stranger_first else [OWN_FEED, FOREIGN_FEED]:
        web.poll(each)

    assert "bến đò" in web.texts[KEY].text
    assert set(web.texts) <= {KEY, "https://kexau.com/mot-bai-gia-mao-99999.html"}


OTHER = "http://nannhan.vn/mot-bai-viet-khac-hon-23450.html"
NOT_FOUND = article_page("trang không có", title="Không tìm thấy trang")
MISLEADING = {
    "a page that says it is not there": NOT_FOUND,
    "another article": served_by(OTHER, article_page("chuyện khác"), asked=f"{URL}/amp"),
    "a page for all that is not there": served_by("http://nannhan.vn/404.html", NOT_FOUND, asked=f"{URL}/amp"),
}


@pytest.mark.parametrize("answer", MISLEADING.values(), ids=MISLEADING)
@pytest.mark.parametrize("meanwhile", [True, False])
def test_what_a_strangers_twin_gives_does_not_stand_for_the_article(
    store: Store, answer: object, *, meanwhile: bool
) -> None:
    twin = f"{URL}/amp"
    web = Web(store, OWN | foreign(entry(twin)) | {twin: answer})
    if meanwhile:
        web.poll_during(twin, OWN_FEED)

    web.poll(FOREIGN_FEED).poll(OWN_FEED)

    assert URL in web.asked
    assert "Chuyện ở bến đò" in {head.article.title for head in store.reader.heads()}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_a_strangers_twin_gave_stays_where_the_sites_own_address_gives_nothing(store: Store, end: object) -> None:
    twin = f"{URL}/amp"
    web = Web(store, OWN | foreign(entry(twin)) | {twin: TRUE, URL: end})

    web.poll(FOREIGN_FEED).poll(OWN_FEED).poll(OWN_FEED)

    assert "bến đò" in web.texts[KEY].text
    assert web.state(KEY) is State.STORED


@pytest.mark.parametrize("answer", [FORGED, GONE], ids=["answers", "dead"])
def test_a_wrappers_own_page_is_not_the_page_inside(store: Store, answer: object) -> None:
    wrapper = "https://www.google.com/amp/s/nannhan.vn/bai-viet-that-123456.html"
    web = Web(store, foreign(entry(wrapper)) | {wrapper: answer, KEY: GONE} | OWN)

    web.poll(FOREIGN_FEED, follow_others=True).poll(OWN_FEED)

    assert "bến đò" in web.texts[KEY].text
    assert "giả mạo" not in web.texts[KEY].text


@pytest.mark.parametrize(
    "link",
    [
        "http://google.abc.xyz/amp/s/nannhan.vn/bai-viet-that-123456.html",
        "http://google.kexau.com/url?q=http://nannhan.vn/bai-viet-that-123456.html",
        "http://www.google.co.kexau/amp/nannhan.vn/bai-viet-that-123456.html",
        "http://cdn.ampproject.org.kexau.com/c/s/nannhan.vn/bai-viet-that-123456.html",
        "http://l.facebook.com.kexau.com/l.php?u=http://nannhan.vn/bai-viet-that-123456.html",
    ],
)
def test_who_looks_like_a_wrapper_is_none(store: Store, link: str) -> None:
    home = "/".join(link.split("/")[:3])
    web = Web(store, {f"{home}/feed": feed(entry(link)), link: FORGED} | OWN)

    web.poll(f"{home}/feed").poll(OWN_FEED)

    assert set(web.texts) == {KEY}
    assert "bến đò" in web.texts[KEY].text


def test_the_operators_word_counts_and_gives_way_to_no_stranger(store: Store, tmp_path: Path) -> None:
    lines = tmp_path / "bai.jsonl"
    text = "\n".join(part for part in story("bến đò").replace("<p>", "").split("</p>") if part)
    lines.write_text(json.dumps({"url": URL, "text": text, "title": "Bến đò", "published_at": "2026-02-28"}), "utf-8")
    web = Web(store, foreign(entry(f"{URL}/amp", text=story("giả mạo"))) | {f"{URL}/amp": FORGED})

    web.read(lines).poll(FOREIGN_FEED)

    assert "bến đò" in web.texts[KEY].text
    assert web.of(KEY).addresses[0].authority is Authority.OPERATOR


def test_an_archived_page_speaks_for_its_address(store: Store, tmp_path: Path) -> None:
    body = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{TRUE}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {URL}\r\nWARC-Date: 2026-02-28T00:00:00Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    (tmp_path / "a.warc").write_bytes(head + body + b"\r\n\r\n")
    web = Web(store, foreign(entry(f"{URL}/amp")) | {f"{URL}/amp": GONE})

    web.poll(FOREIGN_FEED).read(tmp_path / "a.warc")

    assert "bến đò" in web.texts[KEY].text


def test_saved_pages_that_name_one_address_are_each_kept(store: Store, tmp_path: Path) -> None:
    for number in range(4):
        page = article_page(f"phần {number}", head=f'<link rel="canonical" href="{KEY}">')
        (tmp_path / f"{number}.html").write_text(page, "utf-8")
    web = Web(store, dict(OWN))

    web.read(tmp_path).read(tmp_path).poll(OWN_FEED)

    assert len(web.texts) == 5
    assert "bến đò" in web.texts[KEY].text
    assert [each.url for key, each in web.texts.items() if key.startswith("file:")] == [KEY] * 4


def test_lines_that_name_one_address_are_each_worked_on_once(store: Store, tmp_path: Path) -> None:
    lines = [json.dumps({"url": KEY, "html": article_page(f"phần {number}")}) for number in range(3)]
    (tmp_path / "in.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    web = Web(store, dict(OWN))

    web.read(tmp_path / "in.jsonl").read(tmp_path / "in.jsonl")

    texts = [each.article.text for each in store.reader.heads()]
    assert len(texts) == 3
    assert all(f"phần {number}" in text for number, text in enumerate(texts))


def test_a_reserved_page_is_not_got_at_by_another_address(store: Store) -> None:
    twin = f"{URL}/amp"
    web = Web(store, {OWN_FEED: feed(entry(URL), entry(twin)), URL: TRUE, twin: TRUE})
    _refuse_rights(web)

    web.poll(OWN_FEED)

    assert web.state(KEY) is State.BLOCKED
    assert web.asked == [OWN_FEED, URL]


def _refuse_rights(web: Web) -> None:
    from worker.errors import FetchBlocked

    async def refuse(*_: object, **__: object) -> None:
        raise FetchBlocked("the page reserves its rights: noai", reason="rights")

    web.extractor.extract = refuse  # type: ignore[method-assign,assignment]


def _sitemap(*urls: str) -> str:
    places = "".join(f"<url><loc>{url}</loc></url>" for url in urls)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{places}</urlset>'


STORE_HOUSE = "http://kho.luutru.com/nannhan/sitemap.xml"
VOUCHING: dict[str, Callable[[], tuple[dict[str, list[str]], dict[str, Any]]]] = {
    "robots.txt names it": lambda: ({"http://nannhan.vn/": [STORE_HOUSE]}, {}),
    "the operator names the site": lambda: ({}, {"sites": frozenset({"nannhan.vn"})}),
}


@pytest.mark.parametrize("vouched", VOUCHING.values(), ids=VOUCHING)
def test_a_sitemap_elsewhere_that_the_site_calls_its_own_speaks_for_it(
    store: Store, vouched: Callable[[], tuple[dict[str, list[str]], dict[str, Any]]]
) -> None:
    robots, options = vouched()
    web = Web(store, {STORE_HOUSE: _sitemap(URL), URL: TRUE}, robots=robots)

    web.poll(STORE_HOUSE, kind="sitemap", **options)

    assert set(web.texts) == {KEY}
    assert web.of(KEY).addresses[0].authority is Authority.PUBLISHER


def test_a_sitemap_elsewhere_that_nobody_vouches_for_speaks_for_nobody(store: Store) -> None:
    web = Web(
        store, {STORE_HOUSE: _sitemap(URL), URL: TRUE}, robots={"http://nannhan.vn/": ["http://nannhan.vn/s.xml"]}
    )

    web.poll(STORE_HOUSE, kind="sitemap")

    assert web.texts == {}


def test_the_children_of_a_vouched_sitemap_speak_for_the_site_too(store: Store) -> None:
    child = "http://kho.luutru.com/nannhan/2026.xml"
    index = f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>{child}</loc></sitemap></sitemapindex>'
    web = Web(
        store, {STORE_HOUSE: index, child: _sitemap(URL), URL: TRUE}, robots={"http://nannhan.vn/": [STORE_HOUSE]}
    )

    web.poll(STORE_HOUSE, kind="sitemap")

    assert set(web.texts) == {KEY}


def test_a_sitemap_that_a_site_names_vouches_for_no_other_sitemap_beside_it(store: Store) -> None:
    index, forged = "http://kho.luutru.com/kexau/index.xml", "http://kho.luutru.com/kexau/2026.xml"
    other = "http://nannhan.vn/mot-bai-viet-khac-hon-23450.html"
    children = "".join(f"<sitemap><loc>{child}</loc></sitemap>" for child in (STORE_HOUSE, forged))
    both = f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{children}</sitemapindex>'
    answers = {index: both, STORE_HOUSE: _sitemap(URL), forged: _sitemap(other), URL: TRUE, other: FORGED}
    web = Web(store, answers, robots={"http://nannhan.vn/": [STORE_HOUSE]})

    web.poll(index, kind="sitemap")

    assert set(web.texts) == {KEY}


@pytest.mark.parametrize("part", [_sitemap(URL), feed(entry(URL, title="Tin giả", text=story("giả mạo")))])
def test_an_open_redirect_of_a_site_lets_nobody_speak_for_it(store: Store, part: str) -> None:
    index, hop = "http://kexau.com/index.xml", "http://nannhan.vn/di?toi=http://kexau.com/phan.xml"
    child = f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>{hop}</loc></sitemap></sitemapindex>'
    answers = {index: child, hop: served_by("http://kexau.com/phan.xml", part, asked=hop), URL: GONE}
    web = Web(store, answers)

    web.poll(index, kind="sitemap", follow_others=True)

    assert web.texts == {}
    assert web.of(KEY).addresses[0].authority is Authority.STRANGER
