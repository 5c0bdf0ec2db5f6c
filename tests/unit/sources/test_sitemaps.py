"""Sitemaps: recent entries, child sitemaps, damaged and hostile ones."""

from __future__ import annotations

import contextlib
import gzip
import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.sources.factories import NOW, page, source
from worker.dates.periods import TimeWindow, period_in_name
from worker.errors import SourceError
from worker.models import Discovery
from worker.sources.web.sitemap import parse_sitemap, read_sitemap

NEWS = 'xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'


def urlset(*entries: str, attributes: str = "") -> str:
    inside = "".join(f"<url>{entry}</url>" for entry in entries)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" {attributes}>{inside}</urlset>'


def index(*children: tuple[str, str]) -> str:
    inside = "".join(
        f"<sitemap><loc>{loc}</loc>{f'<lastmod>{lastmod}</lastmod>' if lastmod else ''}</sitemap>"
        for loc, lastmod in children
    )
    return f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inside}</sitemapindex>'


def parse(body: bytes | str, *, timezone: str | None = None, **options: Any) -> Discovery:
    shown = page(body, url="https://bao.vn/sitemap.xml")
    return parse_sitemap(shown, source(kind="sitemap", timezone=timezone, **options), now=NOW)


def names(discovery: Discovery) -> list[str]:
    return [candidate.url.rpartition("/")[2] for candidate in discovery.candidates]


def test_a_url_set_gives_candidates_with_the_time_of_their_last_change() -> None:
    body = urlset(
        "<loc> https://bao.vn/a-1234.html </loc><lastmod>2026-11-20T08:00:00+07:00</lastmod>", "<loc>/b-1.html</loc>"
    )

    first, second = parse(body).candidates

    assert first.modified_at == datetime(2026, 11, 20, 1, tzinfo=UTC)
    assert first.published_at is None
    assert second.url == "https://bao.vn/b-1.html"


def test_a_news_sitemap_gives_titles_and_publication_dates() -> None:
    about = "<news:publication_date>2026-11-20</news:publication_date><news:title>Mưa &amp; gió</news:title>"
    body = urlset(f"<loc>https://bao.vn/a-1.html</loc><news:news>{about}</news:news>", attributes=NEWS)

    (candidate,) = parse(body, timezone="Asia/Ho_Chi_Minh").candidates

    assert candidate.title == "Mưa & gió"
    assert candidate.published_at == datetime(2026, 11, 19, 17, tzinfo=UTC)


def test_images_and_other_languages_of_a_page_are_no_articles() -> None:
    body = urlset(
        "<loc>https://bao.vn/a-1.html</loc><image:image><image:loc>https://bao.vn/b-2.html</image:loc></image:image>",
        attributes='xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"',
    )

    assert names(parse(body)) == ["a-1.html"]


def test_child_sitemaps_with_recent_articles_follow_undated_ones_first() -> None:
    body = index(
        ("https://bao.vn/sitemap-2026-10.xml", "2026-11-01T00:00:00Z"),
        ("https://bao.vn/sitemap-2026-11.xml", "2026-11-20T00:00:00Z"),
        ("https://bao.vn/news.xml", ""),
        ("https://bao.vn/old.xml", "2024-01-01"),
        ("https://bao.vn/sitemap-2019.xml", ""),
        ("https://xa-la.com/s.xml", "2026-11-20"),
    )

    discovery = parse(body)

    assert [url.rpartition("/")[2] for url in discovery.follow] == [
        "news.xml",
        "sitemap-2026-11.xml",
        "sitemap-2026-10.xml",
    ]
    assert discovery.candidates == ()
    assert discovery.skipped == 1


def test_the_second_poll_follows_only_changed_sitemaps() -> None:
    body = index(*((f"https://bao.vn/part{n}.xml", f"2026-11-{n:02}T00:00:00Z") for n in range(1, 20)))

    discovery = parse(body, read_at=datetime(2026, 11, 18, 12, tzinfo=UTC))

    assert [url.rpartition("/")[2] for url in discovery.follow] == ["part19.xml", "part18.xml"]


def test_a_lastmod_that_all_entries_share_is_ignored() -> None:
    children = index(*((f"https://bao.vn/part{n}.xml", "2020-01-01") for n in range(5)))
    articles = urlset(*(f"<loc>https://bao.vn/a-{n}.html</loc><lastmod>2020-01-01</lastmod>" for n in range(20)))

    assert len(parse(children).follow) == 5
    assert [candidate.modified_at for candidate in parse(articles).candidates] == [None] * 20


@pytest.mark.parametrize(
    "never", ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00+07:00", "0001-01-01", "9999-12-31", "-0001-11-30T00:00:00Z"]
)
def test_an_impossible_lastmod_hides_nothing(never: str) -> None:
    known = [(f"https://bao.vn/part{n}.xml", f"2026-11-{n:02}") for n in (18, 19)]
    children = index(("https://bao.vn/news.xml", never), *known)
    articles = urlset(
        f"<loc>https://bao.vn/a-1.html</loc><lastmod>{never}</lastmod>",
        "<loc>https://bao.vn/b-2.html</loc><lastmod>2026-11-19</lastmod>",
    )

    assert "https://bao.vn/news.xml" in parse(children, read_at=datetime(2026, 11, 18, 12, tzinfo=UTC)).follow
    assert names(parse(articles)) == ["a-1.html", "b-2.html"]
    assert parse(articles).candidates[0].modified_at is None


def test_entries_older_than_max_age_are_left_out() -> None:
    body = urlset(*(f"<loc>https://bao.vn/a-{n}.html</loc><lastmod>2026-{n:02}-15</lastmod>" for n in (1, 8, 11)))

    assert names(parse(body)) == ["a-11.html"]
    assert "2 left out: dated outside" in parse(body).notes[0]
    assert len(parse(body, max_age=None).candidates) == 3


def test_a_past_time_window_can_be_read() -> None:
    window = TimeWindow(start=datetime(2024, 3, 1, tzinfo=UTC), end=datetime(2024, 3, 31, tzinfo=UTC))
    parts = index(
        ("https://bao.vn/2024/03.xml", "2026-11-01"), ("https://bao.vn/2024/07.xml", "2026-10-01"),
        ("https://bao.vn/2023.xml", "2023-12-31"), ("https://bao.vn/all.xml", "2026-11-20"),
    )  # fmt: skip
    articles = urlset(*(f"<loc>https://bao.vn/a-{n}.html</loc><lastmod>2024-{n:02}-15</lastmod>" for n in (2, 3, 4)))

    def look(body: str) -> Discovery:
        return read_sitemap(page(body, url="https://bao.vn/sitemap.xml"), source(), window=window, now=NOW)

    assert [url.rpartition("/")[2] for url in look(parts).follow] == ["all.xml", "03.xml"]
    assert names(look(articles)) == ["a-3.html"]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("sitemap-2026-11.xml", (2026, 11, 1), (2026, 11, 30)),
        ("sitemap_202602.xml.gz", (2026, 2, 1), (2026, 2, 28)),
        ("sitemaps/2025/6/index.xml", (2025, 6, 1), (2025, 6, 30)),
        ("tin-20261105.xml", (2026, 11, 5), (2026, 11, 5)),
        ("sitemap-2019.xml", (2019, 1, 1), (2019, 12, 31)),
        ("sitemap-12026.xml", None, None),
        ("post-sitemap7.xml", None, None),
    ],
)
def test_a_sitemap_may_be_named_after_its_period(
    name: str, first: tuple[int, int, int] | None, last: tuple[int, int, int] | None
) -> None:
    period = period_in_name(f"https://bao2020.vn/{name}")

    if first is None or last is None:
        assert period is None
    else:
        assert period is not None
        assert period.contains(datetime(*first, tzinfo=UTC))
        assert period.contains(datetime(*last, 23, 59, tzinfo=UTC))
        assert not period.contains(datetime(first[0] - 1, 12, 29, tzinfo=UTC))


def test_gzipped_and_text_sitemaps_and_feeds_are_read() -> None:
    text = "\ufeffhttps://bao.vn/a-1.html\nhttps://bao.vn/b-1.html\n"
    feed = "<rss version='2.0'><channel><item><link>https://bao.vn/a-1.html</link></item></channel></rss>"

    assert names(parse(gzip.compress(urlset("<loc>https://bao.vn/a-1.html</loc>").encode(), mtime=0))) == ["a-1.html"]
    assert names(parse(text)) == ["a-1.html", "b-1.html"]
    assert names(parse(gzip.compress(text.encode(), mtime=0))) == ["a-1.html", "b-1.html"]
    assert names(parse(feed)) == ["a-1.html"]


def test_a_sitemap_cut_off_in_the_middle_gives_what_came_before() -> None:
    body = urlset(*(f"<loc>https://bao.vn/a-{n}.html</loc>" for n in range(100)))
    packed = gzip.compress(
        urlset(*(f"<loc>https://bao.vn/{n}{n * 7919}.html</loc>" for n in range(9000))).encode(), mtime=0
    )

    assert len(parse(body[: len(body) // 2]).candidates) in range(45, 51)
    assert len(parse(packed[: len(packed) // 2]).candidates) > 1000


@pytest.mark.parametrize("body", ["<html><body>404</body></html>", "", '{"a": 1}'])
def test_other_content_than_sitemaps_is_refused_with_a_message(body: str) -> None:
    with pytest.raises(SourceError, match="not a sitemap"):
        parse(body)


def test_an_empty_sitemap_is_no_error() -> None:
    assert parse(urlset()).notes == ("the sitemap is empty",)


def test_declared_entities_have_no_effect() -> None:
    bomb = '<!ENTITY a0 "ha"><!ENTITY x SYSTEM "file:///etc/hostname">'
    bomb += "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    body = f"<!DOCTYPE urlset [{bomb}]>" + urlset(
        "<loc>https://bao.vn/a-&a11;&x;-1.html</loc>", "<loc>https://bao.vn/b.html</loc>"
    )
    started = time.process_time()

    discovery = parse(body)

    assert time.process_time() - started < 30
    assert all("ha" not in candidate.url for candidate in discovery.candidates)


@pytest.mark.parametrize(
    "body",
    [
        "<urlset>" + "<url" * 300_000,
        "<urlset><url " + " a='1'" * 300_000,
        "<urlset>" + "<url>" * 300_000,
        "<urlset>" + "<!--" * 300_000,
        gzip.compress(b"<urlset>" + b" " * 300_000_000, mtime=0),
    ],
)
def test_a_hostile_sitemap_takes_little_time(body: str | bytes) -> None:
    started = time.process_time()

    with contextlib.suppress(SourceError):
        assert parse(body).candidates == ()

    assert time.process_time() - started < 30


def test_memory_does_not_grow_with_entries_that_are_left_out() -> None:
    entry = "<url><loc>https://bao.vn/a-{0}.html</loc><lastmod>2020-01-{1:02}</lastmod></url>"
    body = gzip.compress(urlset().replace("</urlset>", "").encode() + "".join(
        entry.format(number, number % 28 + 1) for number in range(5000)).encode() + b"</urlset>", mtime=0)  # fmt: skip
    tracemalloc.start()

    parse(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1_500_000


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("xem.php?loai=bai&thang=11", "xem.php?loai=bai&thang=11"),
        ("xem.php?loai=bai&amp;thang=11", "xem.php?loai=bai&thang=11"),
        ("xem.php?loai=bai&amp;amp;thang=11", "xem.php?loai=bai&thang=11"),
        ("xem.php?a=1&copy=2&section=3", "xem.php?a=1&copy=2&section=3"),
        ("xem.php?a=1&b;c=2", "xem.php?a=1&b;c=2"),
        ("xem.php?a=1&#38;b=2", "xem.php?a=1&b=2"),
        ("xem.php?a=1&", "xem.php?a=1&"),
        ("kem-&-tra-1.html", "kem-&-tra-1.html"),
        ("caf&eacute;-1.html", "caf%C3%A9-1.html"),
        ("<![CDATA[xem.php?a=1&b=2&amp;c=3]]>", "xem.php?a=1&b=2&c=3"),
        ("xem.php?a=1<!-- & ] -->&b=2", "xem.php?a=1&b=2"),
        ("xem.php?a=1&#0;&b=2", "xem.php?a=1&b=2"),
    ],
)
@pytest.mark.parametrize("shape", ["urlset", "index"])
@pytest.mark.parametrize("padding", [0, 65_490, 65_500, 65_515])
def test_a_url_is_kept_whole_in_every_form(shape: str, padding: int, written: str, meant: str) -> None:
    loc = f"<loc>https://bao.vn/{written}</loc>".replace("https://bao.vn/<![CDATA[", "<![CDATA[https://bao.vn/")
    blank = "<!--" + "x" * padding + "-->"
    body = f"<urlset>{blank}<url>{loc}</url></urlset>" if shape == "urlset" else (
        f"<sitemapindex>{blank}<sitemap>{loc}</sitemap></sitemapindex>"
    )  # fmt: skip

    found = parse(body)

    assert [candidate.url for candidate in found.candidates] + list(found.follow) == [f"https://bao.vn/{meant}"]
    assert not any("well-formed" in note for note in found.notes)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            urlset("<loc>https://bao.vn/a-1.html</loc>", "<lastmod>2026-11-20</lastmod>"),
            "1 left out: an entry of the sitemap",
        ),
        (urlset("<loc>https://bao.vn/a-1.html</loc>").removesuffix("</url></urlset>"), "not well-formed"),
        (urlset("<loc>https://bao.vn/a-1.html</loc>", "<loc>https://bao.vn/<b</loc>"), "not well-formed"),
        (
            urlset("<loc>https://bao.vn/a-1.html</loc>", f"<loc>https://bao.vn/{'a' * 9000}</loc>"),
            "more than 2,500 char",
        ),
        ("<urlset></urlset>", "empty"),
    ],
)
def test_damage_that_cannot_be_repaired_is_reported(body: str, said: str) -> None:
    notes = parse(body).notes

    assert any(said in note for note in notes), notes


@pytest.mark.parametrize(
    ("declared", "codec"), [("utf-8", "utf-8"), ("iso-8859-1", "latin-1"), ("UTF-16", "utf-16"), ("x-nobody", "utf-8")]
)
def test_a_sitemap_is_read_in_its_encoding_in_pieces(declared: str, codec: str) -> None:
    entry = "<url><loc>https://bao.vn/caf\xe9-{}.html</loc></url>"
    inside = "".join(entry.format(number) for number in range(4000))

    found = parse(f'<?xml version="1.0" encoding="{declared}"?><urlset>{inside}</urlset>'.encode(codec))

    assert len(found.candidates) == 4000
    assert {candidate.url.rpartition("-")[0] for candidate in found.candidates} == {"https://bao.vn/caf%C3%A9"}
