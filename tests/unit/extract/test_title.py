"""Titles come without the site's name, from the best place that has one."""

from __future__ import annotations

import json

import pytest

from tests.unit.extract.pages import TITLE, article_body, news_page, page_of
from worker.extract.document import open_document
from worker.extract.title import find_title, without_site_name


@pytest.mark.parametrize(
    ("title", "names", "bare"),
    [
        ("Giá gạo tăng | Báo Mẫu", {"báo mẫu"}, "Giá gạo tăng"),
        ("Báo Mẫu - Giá gạo tăng", {"báo mẫu"}, "Giá gạo tăng"),
        ("Giá gạo tăng - Báo Mẫu | Báo Mẫu", {"báo mẫu"}, "Giá gạo tăng"),
        ("Giá gạo tăng - Kinh tế", {"báo mẫu"}, "Giá gạo tăng - Kinh tế"),
        ("Nga - Mỹ: đối thoại", {"mỹ"}, "Nga - Mỹ: đối thoại"),
        ("Giá gạo tăng — baomau.example", {"baomau example"}, "Giá gạo tăng"),
        ("Báo Mẫu", {"báo mẫu"}, "Báo Mẫu"),
    ],
)
def test_the_sites_name_is_cut_off_either_end(title: str, names: set[str], bare: str) -> None:
    assert without_site_name(title, frozenset(names)) == bare


def test_json_ld_comes_before_meta_and_meta_before_the_title_element() -> None:
    ld = json.dumps({"@type": "NewsArticle", "headline": "Từ JSON-LD"})
    meta = '<meta property="og:title" content="Từ Open Graph">'

    both = open_document(page_of(news_page(head=f'{meta}<script type="application/ld+json">{ld}</script>')))
    one = open_document(page_of(news_page(head=meta)))

    assert (find_title(both).text, find_title(both).origin) == ("Từ JSON-LD", "json-ld")
    assert (find_title(one).text, find_title(one).origin) == ("Từ Open Graph", "meta")


def test_the_heading_shows_where_an_unknown_sites_name_begins() -> None:
    document = open_document(page_of(news_page(title=f"{TITLE} - Tin nhanh bốn phương")))

    assert find_title(document).text == TITLE


def test_a_page_without_any_title_takes_the_feeds() -> None:
    document = open_document(page_of(news_page(title="", body=article_body().replace("h1", "h4"))))

    assert find_title(document, feed_title="Từ nguồn tin").origin == "feed"


def test_escaped_characters_are_read_once_more() -> None:
    meta = '<meta property="og:title" content="Nga &amp;amp; Mỹ&amp;#8230; bàn gì">'

    document = open_document(page_of(news_page(head=meta)))

    assert find_title(document).text == "Nga & Mỹ… bàn gì"
