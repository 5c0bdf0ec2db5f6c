"""Dates: where each came from, in which zone, and which are not believed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.unit.extract.pages import NOW, URL, article_body, news_page, page_of
from worker.extract.dates import Circumstances, find_modified, find_published, parse_moment, zone_of
from worker.extract.document import Document, open_document

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")


def document_with(head: str = "", *, body: str | None = None, url: str = URL) -> Document:
    return open_document(page_of(news_page(head=head, body=body), url=url))


def circumstances(feed: datetime | None = None) -> Circumstances:
    return Circumstances(fetched_at=NOW, zone=HANOI, feed_published=feed)


def ld(**fields: str) -> str:
    return (
        f'<script type="application/ld+json">{json.dumps({"@type": "NewsArticle", "headline": "x", **fields})}</script>'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-07T08:00:00+07:00", "2026-03-07T08:00:00+07:00"),
        ("2026-03-07T08:00:00Z", "2026-03-07T08:00:00+00:00"),
        ("2026-03-07T08:00:00.123+0700", "2026-03-07T08:00:00+07:00"),
        ("2026-03-07 08:00:00", "2026-03-07T08:00:00+07:00"),
        ("2026-03-07", "2026-03-07T00:00:00+07:00"),
        ("07/03/2026 08:05", "2026-03-07T08:05:00+07:00"),
        ("Thứ bảy, 7/3/2026, 08:05 (GMT+7)", "2026-03-07T08:05:00+07:00"),
        ("07-03-2026 - 08h05", "2026-03-07T08:05:00+07:00"),
        ("Sat, 07 Mar 2026 08:00:00 +0700", "2026-03-07T08:00:00+07:00"),
        ("1772845200", "2026-03-07T01:00:00+00:00"),
        ("1772845200000", "2026-03-07T01:00:00+00:00"),
    ],
)
def test_moments_are_read_as_pages_write_them(value: str, expected: str) -> None:
    moment = parse_moment(value, HANOI)

    assert moment is not None
    assert moment.isoformat() == expected


@pytest.mark.parametrize(
    "value", ["", "hôm qua", "31/02/2026", "99999999999999", "2026-13-45", "x" * 10_000, "0000-00-00"]
)
def test_what_is_no_moment_gives_none(value: str) -> None:
    assert parse_moment(value, HANOI) is None


def test_json_ld_comes_before_meta_and_meta_before_the_feed() -> None:
    head = '<meta property="article:published_time" content="2026-03-06T10:00:00+07:00">'
    feed = datetime(2026, 3, 5, tzinfo=UTC)

    both = find_published(document_with(head + ld(datePublished="2026-03-07T08:00:00+07:00")), circumstances(feed))
    meta = find_published(document_with(head), circumstances(feed))
    neither = find_published(document_with(), circumstances(feed))

    assert [found.origin for found in (both, meta, neither) if found] == ["json-ld", "meta", "feed"]


@pytest.mark.parametrize(
    "name", ["article:published_time", "article:published:time", "og:article:published_time", "pubdate"]
)
def test_systems_name_the_same_meta_element_differently(name: str) -> None:
    found = find_published(document_with(f'<meta name="{name}" content="2026-03-06T10:00:00+07:00">'), circumstances())

    assert found is not None
    assert found.at.isoformat() == "2026-03-06T10:00:00+07:00"


def test_a_future_date_is_refused_and_the_next_best_taken() -> None:
    head = ld(datePublished="2031-01-01") + '<meta name="pubdate" content="2026-03-01T10:00:00+07:00">'

    found = find_published(document_with(head), circumstances())

    assert found is not None
    assert (found.origin, found.at.date().isoformat()) == ("meta", "2026-03-01")


def test_the_pages_clock_is_never_taken_for_its_date() -> None:
    today = NOW.astimezone(HANOI)
    body = article_body().replace("<main>", f"<div>Hôm nay, {today:%d/%m/%Y}</div><main>")

    found = find_published(document_with(body=body), circumstances())

    assert found is None or found.at.date() != today.date()


def test_the_address_gives_a_date_that_is_no_more_than_a_guess() -> None:
    found = find_published(document_with(url="https://bao.example/2026/03/02/gia-gao.html"), circumstances())

    assert found is not None
    assert (found.at, found.origin, found.sure) == (datetime(2026, 3, 2, tzinfo=HANOI), "url", False)


@pytest.mark.parametrize(
    ("path", "day"),
    [
        ("tin/29-10-2021", "2021-10-29"),
        ("tin/mua-lon-30_4_2025.html", "2025-04-30"),
        ("tin/04-10-2021", None),
        ("tin/29-13-2021", None),
        ("tin/129-10-2021", None),
        ("tin/29-10-20215", None),
    ],
)
def test_an_address_gives_a_day_before_its_month_where_that_cannot_be_a_month(path: str, day: str | None) -> None:
    found = find_published(document_with(url=f"https://bao.example/{path}"), circumstances())

    assert (found.at.date().isoformat() if found and found.origin == "url" else None) == day


def test_what_json_ld_says_of_the_page_goes_before_guesses_and_after_what_is_said_of_the_article() -> None:
    of_page = '{"@type": "WebPage", "datePublished": "2026-02-01T08:00:00+07:00"}'
    head = f'<script type="application/ld+json">{of_page}</script>'
    url = "https://bao.example/2026/01/05/tin"

    alone = find_published(document_with(head, url=url), circumstances())
    beside = find_published(document_with(head + ld(datePublished="2026-02-03"), url=url), circumstances())

    assert alone is not None
    assert (alone.at.date().isoformat(), alone.origin, alone.sure) == ("2026-02-01", "json-ld", True)
    assert beside is not None
    assert beside.at.date().isoformat() == "2026-02-03"


def test_a_time_element_that_nobody_marked_is_told_from_one_that_is() -> None:
    moment = '<time {}datetime="2026-03-02T08:00:00+07:00"></time><main>'
    # More than is searched for something like a date.
    rest = f"<p>{'chữ ' * 300_000}</p>"
    bodies = [article_body(after=rest).replace("<main>", moment.format(mark)) for mark in ("", 'class="published" ')]

    origins = [find_published(document_with(body=body), circumstances()) for body in bodies]

    assert [found and (found.origin, found.sure) for found in origins] == [("unmarked-time", False), ("time", True)]


def test_published_and_modified_are_kept_apart() -> None:
    document = document_with(ld(datePublished="2026-03-06T08:00:00+07:00", dateModified="2026-03-07T09:00:00+07:00"))

    published, modified = find_published(document, circumstances()), find_modified(document, circumstances())

    assert published is not None
    assert modified is not None
    assert modified.at - published.at == timedelta(hours=25)


def test_the_first_zone_that_exists_is_taken() -> None:
    assert zone_of(None, "Nowhere/Land", "Asia/Ho_Chi_Minh") == HANOI
    assert zone_of("../../etc/passwd", None) == UTC
