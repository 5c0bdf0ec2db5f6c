"""Pages read for a backfill: which articles are in the time window, and which pages follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.unit.sources.factories import NOW, page, rss, source
from worker.dates.periods import TimeWindow, lies_within, period_in_name
from worker.errors import SourceError
from worker.sources.web.archive import ArchivePage, ArchiveQuery, scan_archive

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
MARCH = TimeWindow(start=datetime(2024, 3, 1, tzinfo=ZONE), end=datetime(2024, 3, 31, 23, 59, 59, tzinfo=ZONE))
PLAIN = "https://bao.vn/mua-lon-keo-dai-o-mien-trung-123456.html"


def merged(portions: Iterable[ArchivePage]) -> ArchivePage:
    """Return all portions of a page as one."""
    all_portions = list(portions)
    candidates = tuple(each for portion in all_portions for each in portion.candidates)
    outside = sum(portion.outside for portion in all_portions)
    return replace(all_portions[-1], candidates=candidates, outside=outside)


def day(month: int, number: int, *, year: int = 2024) -> datetime:
    return datetime(year, month, number, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("published", "modified", "url", "sitemap", "is_within"),
    [
        # A time of publication decides, whatever else is said.
        (day(3, 5), None, PLAIN, "", True),
        (day(3, 5), day(9, 1), "https://bao.vn/2023/01/01/a.html", "sitemap-2023-01.xml", True),
        (day(2, 5), day(3, 5), PLAIN, "sitemap-2024-03.xml", False),
        (day(4, 2), None, "https://bao.vn/2024/03/05/a.html", "", False),
        # Nothing changes before it is written.
        (None, day(2, 5), "https://bao.vn/2024/03/05/a.html", "", False),
        # A date in the address.
        (None, day(9, 1), "https://bao.vn/2024/03/05/mua-lon.html", "", True),
        (None, None, "https://bao.vn/2024/03/05/mua-lon.html", "", True),
        (None, day(3, 9), "https://bao.vn/2023/11/05/mua-lon.html", "", False),
        (None, None, "https://bao.vn/thoi-su/2024-04-20/mua-lon.html", "", False),
        (None, None, "https://bao.vn/20240305/mua-lon.html", "", True),
        # Numbers in a headline are none.
        (None, day(3, 9), "https://bao.vn/ke-hoach-2023-12-va-2022.html", "", True),
        # The month a sitemap is named after.
        (None, day(9, 1), PLAIN, "sitemap-2024-03.xml", True),
        (None, day(9, 1), PLAIN, "sitemap-2024-02.xml", False),
        (None, day(3, 20), PLAIN, "sitemap-2024-02.xml", False),
        (None, None, PLAIN, "sitemap-2024-02.xml", False),
        (None, None, PLAIN, "sitemap-2024.xml", True),
        # The last evening of February in UTC is March where the paper is.
        (None, datetime(2024, 2, 29, 20, tzinfo=UTC), PLAIN, "sitemap-2024-02.xml", True),
        # A change alone.
        (None, day(3, 9), PLAIN, "", True),
        (None, day(4, 9), PLAIN, "", False),
        # Nothing is known.
        (None, None, PLAIN, "", True),
    ],
)
def test_the_best_evidence_decides_whether_an_article_is_in_the_window(
    published: datetime | None, modified: datetime | None, url: str, sitemap: str, is_within: bool
) -> None:
    period = period_in_name(f"https://bao.vn/{sitemap}") if sitemap else None

    assert lies_within(MARCH, url=url, published=published, modified=modified, period=period) is is_within


def test_articles_changed_after_the_window_are_included_on_demand() -> None:
    assert lies_within(MARCH, url=PLAIN, published=None, modified=day(4, 9), changed_later=True)
    assert not lies_within(MARCH, url=PLAIN, published=None, modified=day(2, 9), changed_later=True)


def scan(kind: str, body: str, *, url: str, later: bool = False) -> ArchivePage:
    shown = page(body, url=url)
    asked = source(kind=kind, timezone="Asia/Ho_Chi_Minh")
    return merged(scan_archive(kind, shown, asked, ArchiveQuery(window=MARCH, changed_later=later), now=NOW))


def urlset(*entries: tuple[str, str]) -> str:
    inside = "".join(f"<url><loc>{loc}</loc><lastmod>{lastmod}</lastmod></url>" for loc, lastmod in entries)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inside}</urlset>'


def test_a_sitemap_gives_the_articles_in_the_window_and_counts_the_others() -> None:
    body = urlset(
        ("https://bao.vn/a-1234.html", "2024-03-05"),
        ("https://bao.vn/b-1234.html", "2024-04-05"),
        ("https://bao.vn/c-1234.html", "2024-02-05"),
    )

    found = scan("sitemap", body, url="https://bao.vn/sitemap.xml")
    with_later = scan("sitemap", body, url="https://bao.vn/sitemap.xml", later=True)

    assert [each.url[-11:] for each in found.candidates] == ["a-1234.html"]
    assert found.outside == 2
    assert [each.url[-11:] for each in with_later.candidates] == ["a-1234.html", "b-1234.html"]


def test_only_child_sitemaps_that_may_have_articles_in_the_window_follow() -> None:
    parts = "".join(
        f"<sitemap><loc>https://bao.vn/{name}.xml</loc>{more}</sitemap>"
        for name, more in [
            ("sitemap-2024-01", ""),
            ("sitemap-2024-03", ""),
            ("sitemap-2024-05", ""),
            ("tin-cu", "<lastmod>2023-05-01</lastmod>"),
            ("tin", "<lastmod>2026-05-01</lastmod>"),
        ]
    )

    found = scan("sitemap", f"<sitemapindex>{parts}</sitemapindex>", url="https://bao.vn/sitemap.xml")

    assert [url for _, url in found.follow] == ["https://bao.vn/tin.xml", "https://bao.vn/sitemap-2024-03.xml"]


def teaser(number: int, date: str) -> str:
    return (
        f'<div class="story"><h3><a href="/thoi-su/nguoi-dan-sua-con-de-ven-song-sau-lu-{100200 + number}.html">'
        f"Người dân sửa con đê ven sông sau lũ, bài {number}</a></h3>{date}</div>"
    )


def listing(*teasers: str, following: str = "/thoi-su?page=3") -> str:
    return f'<html><body>{"".join(teasers)}<a rel="next" href="{following}">Sau</a></body></html>'


def numbers(result: ArchivePage) -> list[int]:
    return [int(each.url[-11:-5]) - 100200 for each in result.candidates]


DATES = [
    '<time datetime="{iso}T08:00:00+07:00">hôm qua</time>',
    '<span class="time">{dmy} 08:30</span>',
    '<p class="story__meta"><span class="story-date date">Thứ Ba, {dmy}, 08:30 (GMT+7)</span></p>',
    '<meta itemprop="datePublished date" content="{iso}">',
]


@pytest.mark.parametrize("form", DATES)
def test_dates_beside_teasers_decide_which_articles_are_in_the_window(form: str) -> None:
    dates = [form.format(iso=f"2024-{month:02}-10", dmy=f"10/{month:02}/2024") for month in (4, 3, 2)]
    body = listing(*(teaser(number, date) for number, date in enumerate(dates)))

    found = scan("listing", body, url="https://bao.vn/thoi-su?page=2")

    assert numbers(found) == [1]
    assert found.outside == 2
    assert found.follow == (("listing", "https://bao.vn/thoi-su?page=3"),)


def test_a_page_older_than_the_window_is_the_last_one() -> None:
    body = listing(*(teaser(n, f'<time datetime="2024-02-1{n}T08:00:00+07:00"></time>') for n in range(3)))

    assert scan("listing", body, url="https://bao.vn/thoi-su?page=2").follow == ()


def test_a_listing_without_dates_gives_all_articles_and_the_next_page() -> None:
    found = scan("listing", listing(*(teaser(n, "") for n in range(3))), url="https://bao.vn/thoi-su?page=2")

    assert numbers(found) == [0, 1, 2]
    assert found.follow == (("listing", "https://bao.vn/thoi-su?page=3"),)


def test_a_date_beside_several_articles_belongs_to_none_of_them() -> None:
    box = f'<div><span class="date">10/02/2024</span>{teaser(1, "")}{teaser(2, "")}{teaser(3, "")}</div>'

    assert numbers(scan("listing", listing(box), url="https://bao.vn/thoi-su")) == [1, 2, 3]


def test_a_page_of_another_month_does_not_follow() -> None:
    body = listing(*(teaser(n, "") for n in range(3)), following="/luu-tru/2024/02/29.html")

    assert scan("listing", body, url="https://bao.vn/luu-tru/2024/03/01.html").follow == (
        ("listing", "https://bao.vn/luu-tru/2024/02/29.html"),
    )
    earlier = body.replace("/02/29", "/01/29")
    assert scan("listing", earlier, url="https://bao.vn/luu-tru/2024/03/01.html").follow == ()


def test_pages_with_the_same_articles_have_the_same_digest() -> None:
    one = scan("listing", listing(teaser(1, ""), teaser(2, ""), teaser(3, "")), url="https://bao.vn/thoi-su?page=8")
    other = scan("listing", listing(teaser(3, ""), teaser(2, ""), teaser(1, "")), url="https://bao.vn/thoi-su?page=9")
    third = scan("listing", listing(teaser(4, ""), teaser(2, ""), teaser(1, "")), url="https://bao.vn/thoi-su?page=9")

    assert one.digest == other.digest != third.digest


def feed(link: str) -> str:
    entries = "".join(
        f"<entry><title>Tin {n}</title><link href='https://bao.vn/tin-{n}234.html'/>{date}</entry>"
        for n, date in enumerate(
            ("<updated>2024-03-09T00:00:00Z</updated>", "<updated>2024-04-09T00:00:00Z</updated>", "")
        )
    )
    return f"<feed xmlns='http://www.w3.org/2005/Atom'><title>Báo</title>{link}{entries}</feed>"


@pytest.mark.parametrize("rel", ["prev-archive", "next"])
def test_the_previous_part_of_a_paged_feed_follows(rel: str) -> None:
    found = scan("feed", feed(f"<link rel='{rel}' href='/rss/2'/>"), url="https://bao.vn/rss/1")

    assert [each.url for each in found.candidates] == ["https://bao.vn/tin-0234.html"]
    assert found.follow == (("feed", "https://bao.vn/rss/2"),)


def test_no_page_follows_a_feed_without_parts() -> None:
    assert scan("feed", feed("<link rel='self' href='/rss/1'/>"), url="https://bao.vn/rss/1").follow == ()


def test_a_kind_without_an_archive_is_refused() -> None:
    with pytest.raises(SourceError, match="no archive"):
        scan("urls", "https://bao.vn/a", url="https://bao.vn/list.txt")


@pytest.mark.parametrize("kind", ["feed", "sitemap"])
def test_all_parts_of_a_huge_feed_are_read(kind: str) -> None:
    moments = [datetime(2024, 3, 5, tzinfo=UTC) - timedelta(hours=n) for n in range(5_100)]
    body = rss(
        *(f"<link>https://bao.vn/tin-{n}.html</link><pubDate>{at:%a, %d %b %Y %H:%M:%S} GMT</pubDate>"
          for n, at in enumerate(moments))
    )  # fmt: skip
    long_ago = TimeWindow(start=datetime(2023, 1, 1, tzinfo=UTC), end=datetime(2023, 8, 10, tzinfo=UTC))

    result = merged(scan_archive(kind, page(body), source(kind=kind), ArchiveQuery(window=long_ago), now=NOW))

    expected = [
        f"https://bao.vn/tin-{n}.html" for n, at in enumerate(moments) if at <= datetime(2023, 8, 10, tzinfo=UTC)
    ]
    assert len(expected) > 80
    assert [each.url for each in result.candidates] == expected
    assert result.outside == 5_100 - len(expected)


def test_a_large_sitemap_comes_in_portions_that_repeat_nothing() -> None:
    addresses = [f"https://bao.vn/tin-{n % 1200}.html" for n in range(2400)]
    body = "<urlset>" + "".join(f"<url><loc>{url}</loc></url>" for url in addresses)
    body += "<url><loc>https://xa-la.com/tin-1.html</loc></url></urlset>"

    portions = list(scan_archive("sitemap", page(body), source(kind="sitemap"), ArchiveQuery(window=MARCH), now=NOW))

    assert [len(portion.candidates) for portion in portions] == [500, 500, 200, 0]
    assert [each.url for portion in portions for each in portion.candidates] == addresses[:1200]
    assert any("a link to another site" in note for note in portions[-1].notes)
