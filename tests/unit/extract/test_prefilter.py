"""Odd and huge pages are made smaller before parsing; ordinary ones are not changed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.extract.pages import PARAGRAPHS, news_page, page_of
from worker.extract.document import open_document, prefilter_markup, strip_scripts

BIG = 2_500_000


def test_an_ordinary_page_stays_as_it_is() -> None:
    page = news_page(head="<script>let a = 1 < 2;</script>")

    assert prefilter_markup(page) == page


def test_a_nul_character_does_not_end_the_page() -> None:
    document = open_document(page_of("<p>một\0hai</p><p>ba</p>"))

    assert document.tree.text_content() == "mộthaiba"


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
def test_repetition_is_removed_and_the_text_is_kept(filler: str) -> None:
    body = f"<p>{PARAGRAPHS[0]}</p>{filler}<p>{PARAGRAPHS[1]}</p>"

    trimmed = prefilter_markup(strip_scripts(body.encode()).decode())

    assert len(trimmed) < BIG / 10
    assert PARAGRAPHS[0] in trimmed
    assert PARAGRAPHS[1] in trimmed


def test_json_ld_survives_the_removal_of_scripts() -> None:
    block = '<script type="application/ld+json">{"@type": "NewsArticle"}</script>'

    kept = strip_scripts(f"<p>một</p>{block}<script>x</script><p>hai</p>".encode()).decode()

    assert kept == f"<p>một</p>{block}<p>hai</p>"


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        ("<p>a</p><SCRIPT src=x>if (1 < 2) '<p>no</p>'</SCRIPT ><p>b</p>", "<p>a</p><p>b</p>"),
        ("<p>a</p><!-- <script> --><p>b</p><script>x</script>", "<p>a</p><p>b</p>"),
        ("<p>a</p><script>'<!--'</script><p>b</p><!-- <i>c</i> -->", "<p>a</p><p>b</p>"),
        ("<p>a<!-- -->b</p><!-- c --!>d", "<p>a<!-- -->b</p>d"),
        ("<!--[if !IE]><!--><p>a</p><!--<![endif]--><p>b</p>", "<p>a</p><p>b</p>"),
        ("<!--><p>a</p><p>b</p>", "<p>a</p><p>b</p>"),
        ("<p>a</p><svg/><p>b</p><svg><path/></svg>", "<p>a</p><p>b</p>"),
        ("<p>a</p><noscript><img></noscript><style>p {}</style><p>b</p>", "<p>a</p><p>b</p>"),
        ("<p>a</p><script>never closed<p>b</p>", "<p>a</p><script>never closed<p>b</p>"),
        ("<p>a</p><!-- never closed<p>b</p>", "<p>a</p><!-- never closed<p>b</p>"),
        ("<svg><svg></svg>x</svg><p>a</p>", "<svg><svg></svg>x</svg><p>a</p>"),
        ("<scripted>a</scripted>", "<scripted>a</scripted>"),
        ("<p>a</p><button type=submit><span>x</span></button><p>b</p>", "<p>a</p><p>b</p>"),
        ("<picture><source srcset=y><img src=x></picture>a", "a"),
        ("<select><option>x</select>a<template><b>y</b></template>", "a"),
        ("<button>x<p>a</p><button>y</button>", "<button>x<p>a</p><button>y</button>"),
        ("<button>x<p>a</p></button>", "<button>x<p>a</p></button>"),
        ("<template><p>a</p></template>", "<template><p>a</p></template>"),
    ],
)
def test_only_elements_without_text_are_removed(page: str, kept: str) -> None:
    assert strip_scripts(page.encode()).decode() == kept


def test_a_page_in_utf_16_is_left_alone() -> None:
    page = "<script>x</script><p>một</p>".encode("utf-16")

    assert strip_scripts(page) == page


@pytest.mark.parametrize("piece", ["<script>", "<style", "<!--", "</script>", '="', "<svg><", "&#0;", "<br", "<div "])
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    start = time.process_time()

    prefilter_markup(strip_scripts((piece * (BIG // len(piece))).encode()).decode())

    assert time.process_time() - start < 30


@given(st.text(st.sampled_from("<>/=\"'scriptdv !-a\0\n"), max_size=300))
def test_the_prefilter_only_removes(markup: str) -> None:
    left = iter(markup)

    assert all(character in left for character in prefilter_markup(strip_scripts(markup.encode()).decode()))


def test_a_comment_does_not_split_a_word() -> None:
    document = open_document(page_of("<p>một <!-- -->hai<!-- ba -->bốn</p>"))

    assert document.tree.text_content() == "một haibốn"
