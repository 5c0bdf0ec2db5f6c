"""Articles on several pages: which page is the next one, and how they are stored."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker.extract.multipage import is_first_page, is_next_page, join_pages, next_page_url, split_pages
from worker.models import Page

BASE = "https://bao.example/bai-dai-ve-con-de-122.html"


def page(body: str | bytes, url: str = BASE) -> Page:
    data = body if isinstance(body, bytes) else body.encode()
    return Page(url=url, final_url=url, status=200, body=data, fetched_at=datetime(2026, 3, 9, tzinfo=UTC))


@pytest.mark.parametrize(
    ("of", "url"),
    [
        ("/bai.html", "/bai.html?page=2"),
        ("/bai.html?page=2", "/bai.html?page=3"),
        ("/bai.html?page=1", "/bai.html?page=2"),
        ("/bai?id=7", "/bai?id=7&trang=2"),
        ("/bai", "/bai/2"),
        ("/bai/", "/bai/2/"),
        ("/bai/2", "/bai/3"),
        ("/bai", "/bai/page/2/"),
        ("/bai", "/bai/trang-2"),
        ("/bai.html", "/bai-p2.html"),
        ("/bai.html", "/bai_2.html"),
        ("/bai.html", "/bai,2.html"),
        ("/bai-122.html", "/bai-122-2.html"),
    ],
)
def test_a_page_is_the_next_one_where_only_its_number_differs(of: str, url: str) -> None:
    assert is_next_page(f"https://bao.example{url}", f"https://bao.example{of}")


@pytest.mark.parametrize(
    ("of", "url"),
    [
        ("https://bao.example/bai", "https://bao.example/bai-khac"),
        ("https://bao.example/bai", "https://bao.example/bai-khac/2"),
        ("https://bao.example/bai", "https://bao.example/bai/3"),
        ("https://bao.example/bai/2", "https://bao.example/bai/2"),
        ("https://bao.example/bai/3", "https://bao.example/bai/2"),
        ("https://bao.example/bai", "https://other.example/bai/2"),
        ("https://bao.example/bai", "https://m.bao.example/bai/2"),
        ("https://bao.example/bai?id=7", "https://bao.example/bai?id=8&page=2"),
        ("https://bao.example/bai", "https://bao.example/bai?sort=2"),
        ("https://bao.example/ky-1.html", "https://bao.example/ky-2.html"),
        ("https://bao.example/bai-5001.html", "https://bao.example/bai-5002.html"),
        ("https://bao.example/", "https://bao.example/page/2"),
        ("https://bao.example/2026/03/07/bai", "https://bao.example/2026/03/08/bai"),
    ],
)
def test_other_pages_are_not(of: str, url: str) -> None:
    assert not is_next_page(url, of)


@pytest.mark.parametrize(
    "markup",
    [
        '<link rel="next" href="?page=2">',
        "<link href='?page=2' rel='next'>",
        "<LINK REL=NEXT HREF=?page=2>",
        '<a class="nut" rel="nofollow next" href="/bai-dai-ve-con-de-122.html?page=2">Trang sau</a>',
        '<link rel="next" href="/bai-khac.html"><a rel="next" href="?page=2">2</a>',
        '<link rel="next" href="?b=1&amp;page=2"><link rel=next href="?page=2">',
    ],
)
def test_the_next_page_is_the_one_named_with_rel_next(markup: str) -> None:
    assert next_page_url(page(markup)) == f"{BASE}?page=2"


@pytest.mark.parametrize(
    "markup",
    [
        "", '<a href="?page=2">2</a>', '<link rel="prev" href="?page=2">', '<link rel="next" href="">',
        '<link rel="next" href="/bai-khac-2.html">', '<link rel="next" href="http://[">', '<link rel="next">',
        '<link rel="nextish" href="?page=2">', '<a data-rel="next" href="?page=2">', '<link rel="next ' * 20_000,
    ],
)  # fmt: skip
def test_a_page_that_names_none_has_none(markup: str) -> None:
    assert next_page_url(page(markup)) is None


@pytest.mark.parametrize(
    ("url", "begins"),
    [("/bai", True), ("/bai?page=1", True), ("/bai-122.html", True), ("/bai?page=2", False), ("/bai/2", False),
     ("/ky-1.html", False)],
)  # fmt: skip
def test_an_article_is_gathered_from_its_first_page_only(url: str, begins: bool) -> None:
    assert is_first_page(f"https://bao.example{url}") is begins


def test_pages_that_were_joined_come_apart_as_they_were() -> None:
    pages = [page("một"), page("hai\n<!-- -->", f"{BASE}?page=2"), page(b"\xff\x00", f"{BASE}?page=3")]

    whole = join_pages(pages)

    assert (whole.url, whole.final_url) == (BASE, BASE)
    assert [(each.final_url, each.body) for each in split_pages(whole)] == [
        (each.final_url, each.body) for each in pages
    ]
    assert split_pages(pages[0]) == [pages[0]]


@pytest.mark.parametrize(
    "body", [b"\n<!-- corpus-worker: the article goes on: ", b"\n<!-- corpus-worker: the article goes on:  -->\n"]
)
def test_half_a_boundary_is_none(body: bytes) -> None:
    assert [each.body for each in split_pages(page(body))] == [body]
