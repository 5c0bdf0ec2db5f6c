"""Odd and huge pages are made small before they are parsed; ordinary ones are not touched."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.extract.pages import PARAGRAPHS, news_page
from worker.extract.trim import trim

BIG = 2_500_000


def test_an_ordinary_page_stays_as_it_is() -> None:
    page = news_page(head="<script>let a = 1 < 2;</script>")

    assert trim(page) == page


def test_nul_is_out_of_every_page() -> None:
    assert "\0" not in trim("<p>một\0hai</p>")


@pytest.mark.parametrize(
    "filler",
    [
        "<script>" + "x" * BIG + "</script>",
        f'<img src="data:image/png;base64,{"A" * BIG}">',
        "<br>" * (BIG // 4),
        "<div>" * (BIG // 5),
        "<div " + "a=1 " * (BIG // 4) + ">",
        "<!--" + "x" * BIG + "-->",
        "<p>" + "Q" * BIG + "</p>",
    ],
    ids=["script", "base64", "breaks", "nesting", "attributes", "comment", "run"],
)
def test_dead_weight_goes_and_the_text_stays(filler: str) -> None:
    body = f"<p>{PARAGRAPHS[0]}</p>{filler}<p>{PARAGRAPHS[1]}</p>"

    trimmed = trim(body)

    assert len(trimmed) < BIG / 10
    assert PARAGRAPHS[0] in trimmed
    assert PARAGRAPHS[1] in trimmed


def test_json_ld_survives_the_cutting_of_scripts() -> None:
    block = '<script type="application/ld+json">{"@type": "NewsArticle"}</script>'

    assert block in trim(block + "<script>" + "x" * BIG + "</script>")


@pytest.mark.parametrize("piece", ["<script>", "<style", "<!--", "</script>", '="', "<svg><", "&#0;", "<br", "<div "])
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    start = time.process_time()

    trim(piece * (BIG // len(piece)))

    assert time.process_time() - start < 5


@given(st.text(st.sampled_from("<>/=\"'scriptdv !-a\0\n"), max_size=300))
def test_trimming_takes_whatever_comes(markup: str) -> None:
    assert "\0" not in trim(markup)
