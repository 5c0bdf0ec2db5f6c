"""Listing pages: articles among other links, and the next page."""

from __future__ import annotations

import gzip
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sources.factories import NOW, page, source
from worker.errors import SourceError
from worker.models import Discovery
from worker.sources.web.links import page_links
from worker.sources.web.listing import page_number, parse_listing

SHARED = Path(__file__).parents[4] / "shared/data/vi/html"
LABELS = tomllib.loads((Path(__file__).parent / "listing_labels.toml").read_text("utf-8"))

MENU = (
    """<nav><a href="/thoi-su">Thời sự</a><a href="/kinh-te">Kinh tế</a><a href="/the-thao/bong-da">Bóng đá</a></nav>"""
)
FOOT = """<div class="footer"><a href="/gioi-thieu.html">Giới thiệu về tòa soạn và ban biên tập</a>
  <a href="https://www.facebook.com/bao">Facebook</a>
  <a href="/chu-de/bao-so-3-123456.html">Chủ đề: bão số 3 ở miền Bắc</a></div>"""


def listing(*hrefs: str, url: str = "https://bao.vn/thoi-su", foot: str = FOOT, **options: Any) -> Discovery:
    teasers = "".join(
        f'<div class="item"><a href="{href}"><img src="x.jpg"></a>'
        f'<h3><a href="{href}">Mưa lớn kéo dài ở miền Trung ngày {n}</a></h3>'
        f'<p>Mưa lớn làm ngập nhiều nơi. <a href="{href}#binh-luan">3</a></p></div>'
        for n, href in enumerate(hrefs)
    )
    body = f"<!DOCTYPE html><html><body>{MENU}<main>{teasers}</main>{foot}</body></html>"
    return parse_listing(page(body, url=url), source(kind="listing", **options), now=NOW)


@pytest.mark.parametrize(
    "form",
    [
        "/mua-lon-keo-dai-o-mien-trung-{}12345.html",
        "/thoi-su/mua-lon-keo-dai-o-mien-trung-post{}12345.vov",
        "/mua-lon-keo-dai-{}8524010112345678.htm",
        "/thoi-su/mua-lon-keo-dai-o-mien-trung-i{}12345/",
        "/2026/11/2{}/mua-lon-keo-dai/",
        "/mua-lon-keo-dai-o-mien-trung-ngay-{}.html",
        "/tin/chi-tiet.aspx?id={}2345",
        "https://www.bao.vn/mua-lon-keo-dai-o-mien-trung.{}12345.html",
        "/articles/c{}x2ge7k39lo",
    ],
)
def test_articles_are_found_with_any_form_of_urls(form: str) -> None:
    discovery = listing(*(form.format(n) for n in range(1, 8)))

    assert len(discovery.candidates) == 7
    assert discovery.candidates[0].title == "Mưa lớn kéo dài ở miền Trung ngày 0"
    assert discovery.skipped == 0


def test_a_page_without_articles_gives_a_note() -> None:
    discovery = listing()

    assert discovery.candidates == ()
    assert "article_pattern" in discovery.notes[0]


def test_the_article_pattern_of_the_source_decides() -> None:
    discovery = listing("/a", "/b", article_pattern=re.compile(r"/[ab]$"))

    assert [candidate.url for candidate in discovery.candidates] == ["https://bao.vn/a", "https://bao.vn/b"]


@pytest.mark.parametrize("body", ["", "<rss></rss>", "\x89PNG"])
def test_other_content_than_html_is_refused_with_a_message(body: str) -> None:
    with pytest.raises(SourceError, match="not a listing page"):
        parse_listing(page(body), source(kind="listing"), now=NOW)


@pytest.mark.parametrize(
    ("url", "links", "following"),
    [
        ("https://bao.vn/thoi-su", "<a href='/thoi-su-p2'>2</a><a href='/thoi-su-p3'>3</a>", "/thoi-su-p2"),
        ("https://bao.vn/thoi-su", "<a href='/thoi-su/trang-2.html'>2</a>", "/thoi-su/trang-2.html"),
        ("https://bao.vn/thoi-su.htm", "<a href='/thoi-su/trang-2.htm'>Trang sau</a>", "/thoi-su/trang-2.htm"),
        ("https://bao.vn/thoi-su-p2", "<a href='/thoi-su-p1'>1</a><a href='/thoi-su-p3'>3</a>", "/thoi-su-p3"),
        ("https://bao.vn/thoi-su?page=2", "<a href='/thoi-su?page=1'>1</a><a href='?page=3'>3</a>", "/thoi-su?page=3"),
        ("https://bao.vn/thoi-su", "<a href='/thoi-su-page0'>1</a><a href='/thoi-su-page1'>2</a>", "/thoi-su-page1"),
        ("https://bao.vn/thoi-su", "<link rel='next' href='/thoi-su/muc/2/'>", "/thoi-su/muc/2/"),
        ("https://bao.vn/thoi-su", "<a href='/kinh-te-p2'>2</a>", None),
        ("https://bao.vn/thoi-su", "<a href='https://xa-la.com/thoi-su-p2'>2</a>", None),
        ("https://bao.vn/thoi-su-p5", "<a href='/thoi-su-p6'>6</a>", None),
    ],
)
def test_the_next_page_follows_up_to_the_option_pages(url: str, links: str, following: str | None) -> None:
    discovery = listing("/mua-lon-keo-dai-o-mien-trung-112345.html", url=url, foot=links, pages=5)

    assert discovery.follow == ((f"https://bao.vn{following}",) if following else ())


def test_no_next_page_follows_by_default() -> None:
    assert listing("/a-1.html", foot="<a href='/thoi-su-p2'>2</a>").follow == ()


@pytest.mark.parametrize(
    ("url", "number"),
    [("/thoi-su", 1), ("/thoi-su-p3", 3), ("/a/trang-12.htm", 12), ("/a?page=4", 4), ("/page/7/", 7), ("/sp500", 1)],
)
def test_the_page_number_is_read_from_the_url(url: str, number: int) -> None:
    assert page_number("https://bao.vn" + url) == number


@pytest.mark.parametrize("name", sorted(LABELS))
def test_articles_of_real_listing_pages_are_found_and_nothing_else(name: str) -> None:
    if not SHARED.exists():
        pytest.skip("the shared data is not here")
    label = LABELS[name]
    shown = page(gzip.decompress((SHARED / f"{name}.html.gz").read_bytes()), url=label["url"])
    wanted = {link.key for link in page_links(shown) if re.search(label["articles"], link.key)}

    found = {
        candidate.canonical_url
        for candidate in parse_listing(shown, source(sites=frozenset({label["site"]})), now=NOW).candidates
    }

    assert len(wanted) == label["count"]
    assert len(found & wanted) >= 0.95 * len(wanted)
    assert len(found & wanted) >= 0.95 * len(found)


@pytest.mark.parametrize(
    "attribute",
    ["a{} ", 'a{}="" ', "a{}/", 'a{}=""', '${}="" ', "a{}='<' ", 'a{}=">" ', "a{}=x\n"],
    ids=["bare", "spaced", "slashes", "joined", "odd names", "less than", "greater than", "lines"],
)
def test_a_tag_with_thousands_of_attributes_is_refused_however_they_are_written(attribute: str) -> None:
    # libxml2 compares each with all others: 20,000 take a second, a million most of an hour.
    many = "".join(attribute.format(number) for number in range(5_000))

    with pytest.raises(SourceError, match="attributes"):
        listing("/a-1.html", foot=f"<p {many}>x</p>")


def test_a_long_value_of_one_attribute_is_no_hostile_markup() -> None:
    state = "".join(f"<b a{number}=&quot;x&quot;>" for number in range(5_000))

    assert (
        len(listing("/mua-lon-1234.html", foot=f"<p data-state=\"{state}\" data-more='{state}'>x</p>").candidates) == 1
    )
