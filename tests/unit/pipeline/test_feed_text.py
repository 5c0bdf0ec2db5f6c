"""An article made of the feed's text has a note that says so, and the feed as the origin of its dates."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes import START
from worker.errors import FetchError
from worker.models import Article
from worker.pipeline.stages import with_feed_text

PLAIN = Article(
    url="https://bao.example/1", canonical_url="https://bao.example/1", source="bao", host="bao.example", title="Tin",
    text="một hai", language="vi", fetched_at=START, words=2, sha256="0" * 64,
)  # fmt: skip
GONE = FetchError("the page is gone", reason="http", retry=False)


def test_the_dates_of_a_feeds_text_are_the_feeds() -> None:
    dated = replace(PLAIN, published_at=START, published_at_from="input", modified_at=START, modified_at_from="input")

    told = with_feed_text(dated, GONE)

    assert (told.published_at_from, told.modified_at_from) == ("feed", "feed")


def test_a_feeds_text_without_dates_has_no_origin_of_dates() -> None:
    told = with_feed_text(PLAIN, GONE)

    assert (told.published_at_from, told.modified_at_from) == ("", "")
    assert "the page is gone" in told.notes[0]
