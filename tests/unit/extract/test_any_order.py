"""A page gives the same text whatever was extracted before it, and however often."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.extract.mixed_pages import MEDLEY, outcome_of
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import ExtractRules

names = st.lists(st.sampled_from(sorted(MEDLEY)), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def used() -> ArticleExtractor:
    """Give one extractor to all examples, so that the later ones have a long history."""
    return ArticleExtractor(ExtractRules())


@pytest.fixture(scope="module")
def alone() -> dict[str, object]:
    """Return the outcome of each page with a new extractor."""
    reader = ArticleExtractor(ExtractRules())
    return {name: outcome_of(reader, page) for name, page in MEDLEY.items()}


@settings(max_examples=30)
@given(order=names)
def test_a_page_gives_the_same_whatever_was_read_before(
    order: list[str], used: ArticleExtractor, alone: dict[str, object]
) -> None:
    assert [outcome_of(used, MEDLEY[name]) for name in order] == [alone[name] for name in order]


def test_a_page_read_many_times_gives_the_same_every_time(used: ArticleExtractor, alone: dict[str, object]) -> None:
    assert {repr(outcome_of(used, MEDLEY["article"])) for _ in range(12)} == {repr(alone["article"])}


def test_the_pages_differ_and_some_are_rejected(alone: dict[str, object]) -> None:
    assert len(set(map(repr, alone.values()))) == len(MEDLEY)
    assert {"listing", "short", "language", "paywall"} <= {said for said in alone.values() if isinstance(said, str)}


def test_outcomes_of_different_articles_differ(used: ArticleExtractor) -> None:
    page = MEDLEY["article"]
    changed = replace(page, body=page.body.replace("sáu trăm".encode(), "bảy trăm".encode()))

    assert outcome_of(used, changed) != outcome_of(used, page)
