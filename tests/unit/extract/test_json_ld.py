"""JSON-LD as pages write it: graphs, arrays, broken, huge."""

from __future__ import annotations

import json

import pytest

from worker.extract.json_ld import read_json_ld

ARTICLE = {
    "@context": "https://schema.org",
    "@type": "NewsArticle",
    "headline": "Tiêu đề &amp; phụ đề",
    "datePublished": "2026-03-07T08:00:00+07:00",
    "dateModified": "2026-03-07T09:30:00+07:00",
    "author": [{"@type": "Person", "name": "Lê An"}, {"name": "Trần Bình"}],
    "isAccessibleForFree": "False",
    "license": "https://creativecommons.org/licenses/by/4.0/",
    "copyrightHolder": {"name": "Báo Mẫu"},
}


@pytest.mark.parametrize(
    "block",
    [
        json.dumps(ARTICLE),
        json.dumps([{"@type": "Organization"}, ARTICLE]),
        json.dumps({"@graph": [{"@type": "WebSite", "name": "Báo"}, ARTICLE]}),
        json.dumps({"@type": "WebPage", "mainEntity": ARTICLE}),
        "<!-- " + json.dumps(ARTICLE) + " -->",
        "//<![CDATA[\n" + json.dumps(ARTICLE) + "\n//]]>",
        json.dumps(ARTICLE)[:-1] + ",}",
        json.dumps(ARTICLE).replace("phụ đề", "phụ\nđề") + ";",
    ],
    ids=["plain", "array", "graph", "main-entity", "comment", "cdata", "trailing-comma", "raw-newline"],
)
def test_the_article_is_found_however_it_is_wrapped(block: str) -> None:
    found = read_json_ld([block])

    assert found.headline.split() == ["Tiêu", "đề", "&", "phụ", "đề"]
    assert found.published == ("2026-03-07T08:00:00+07:00",)
    assert found.modified == ("2026-03-07T09:30:00+07:00",)
    assert found.authors == ("Lê An", "Trần Bình")
    assert found.accessible_for_free is False
    assert found.licence.startswith("https://creativecommons.org/")
    assert found.copyright_holder == "Báo Mẫu"


def test_single_fields_are_found_in_json_that_cannot_be_parsed() -> None:
    broken = '{"@type": "NewsArticle", "headline": "Một \\"hai\\"", "datePublished": "2026-03-07", "author": {"name": }'

    found = read_json_ld([broken])

    assert (found.headline, found.published, found.is_article) == ('Một "hai"', ("2026-03-07",), True)


def test_the_fullest_article_wins_over_stubs_of_others() -> None:
    stubs = [{"@type": "NewsArticle", "headline": f"Bài khác {i}"} for i in range(5)]

    found = read_json_ld([json.dumps([*stubs, ARTICLE])])

    assert found.published == (ARTICLE["datePublished"],)


@pytest.mark.parametrize(
    "own", [{"url": "http://bao.example/gao/"}, {"mainEntityOfPage": {"@id": "https://bao.example/gao"}}]
)
def test_the_article_with_the_address_of_the_page_wins_over_fuller_ones_of_other_pages(own: dict[str, object]) -> None:
    other = {**ARTICLE, "headline": "Bài khác", "datePublished": "2020-01-01", "url": "https://bao.example/khac"}

    found = read_json_ld([json.dumps([other, {**ARTICLE, "description": "", **own}])], "https://www.bao.example/gao")

    assert found.published == (ARTICLE["datePublished"],)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1710121200000, ("1710121200000",)),
        (1710121200, ("1710121200",)),
        ({"@value": "2026-03-07"}, ("2026-03-07",)),
        (["30/02/2026", "2026-03-07"], ("30/02/2026", "2026-03-07")),
        (True, ("",)),
        (-5, ("",)),
        (10**400, ("",)),
        (None, ("",)),
    ],
)
def test_a_date_is_kept_in_every_form_it_is_written_in(written: object, read: tuple[str, ...]) -> None:
    found = read_json_ld([json.dumps({"@type": "NewsArticle", "headline": "x", "datePublished": written})])

    assert found.published == read


@pytest.mark.parametrize("block", ["[" * 100_000, "{" * 100_000, '{"a":' * 5_000, "", "null", "1e999", '"text"'])
def test_hostile_json_gives_nothing(block: str) -> None:
    assert not read_json_ld([block]).is_article


def test_the_size_of_json_ld_is_bounded() -> None:
    huge = json.dumps({"@type": "NewsArticle", "headline": "x" * 3_000_000})

    assert not read_json_ld([huge]).is_article
