"""The `since` of a source: earlier articles are left out, by the source's dates or the page's; not in a backfill."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes import START, article
from tests.unit.sources.factories import NOW, page, rss, source
from worker.errors import ExtractError
from worker.models import Article, Claim
from worker.pipeline.ingest import _require_recent
from worker.sources import PARSERS

DAY = timedelta(days=1)
SINCE = NOW - DAY
OLD, NEW = "Thu, 05 Nov 2026 08:00:00 GMT", "Fri, 20 Nov 2026 08:00:00 GMT"
CLAIM = Claim(
    id=1, url="https://a.vn/1", canonical_url="https://a.vn/1", source="a", host="a.vn", attempts=1, token="t",
    lease_until=START,
)  # fmt: skip


def item(name: str, date: str) -> str:
    said = f"<pubDate>{date}</pubDate>" if date else ""
    return f"<title>Mưa {name}</title><link>https://bao.vn/{name}.html</link>{said}"


def test_a_feed_gives_what_is_dated_since_and_what_bears_no_date() -> None:
    body = rss(item("bai-cu", OLD), item("moi", NEW), item("khong-ngay", ""))

    found = PARSERS["feed"](page(body), source(since=SINCE), now=NOW)

    assert [each.url for each in found.candidates] == ["https://bao.vn/moi.html", "https://bao.vn/khong-ngay.html"]
    assert found.notes == ('1 left out: dated before the source\'s "since"',)


@pytest.mark.parametrize("kind", ["urls", "sitemap"])
def test_dates_in_urls_count_if_a_source_gives_no_dates(kind: str) -> None:
    body = "https://bao.vn/2026/10/02/cu.html\nhttps://bao.vn/2026/11/20/moi.html\nhttps://bao.vn/khong-ngay-12345.html"

    found = PARSERS[kind](page(body), source(kind=kind, since=SINCE), now=NOW)

    assert [each.url.rpartition("/")[2] for each in found.candidates] == ["moi.html", "khong-ngay-12345.html"]


def test_a_sitemap_gives_what_was_published_or_changed_since() -> None:
    places = ("2026-11-01", "2026-11-20")
    body = "".join(f"<url><loc>https://bao.vn/a-{day}.html</loc><lastmod>{day}</lastmod></url>" for day in places)

    found = PARSERS["sitemap"](page(f"<urlset>{body}</urlset>"), source(kind="sitemap", since=SINCE), now=NOW)

    assert [each.url for each in found.candidates] == ["https://bao.vn/a-2026-11-20.html"]


def dated(days: int, *, origin: str = "json-ld") -> Article:
    return replace(article("chữ"), published_at=NOW + days * DAY, published_at_from=origin)


def test_an_article_that_turns_out_to_be_older_is_rejected_with_both_days() -> None:
    with pytest.raises(ExtractError, match=r"published 2026-11-17, wanted are articles since 2026-11-19") as caught:
        _require_recent(CLAIM, dated(-3), since=SINCE)

    assert caught.value.reason == "old"


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        (CLAIM, dated(0)),
        (CLAIM, replace(dated(-3), published_at=None)),
        (CLAIM, dated(-3, origin="text")),
        (CLAIM, dated(-3, origin="unmarked-time")),
        (replace(CLAIM, from_backfill=True), dated(-3)),
        (replace(CLAIM, is_taken=True), dated(-3)),
        (replace(CLAIM, known_article=7), dated(-3)),
    ],
)
def test_since_does_not_apply_to_guessed_dates_backfills_and_known_articles(claim: Claim, found: Article) -> None:
    _require_recent(claim, found, since=SINCE)


def test_a_source_without_since_takes_everything() -> None:
    _require_recent(CLAIM, dated(-3000), since=None)
