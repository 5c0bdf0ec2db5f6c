"""`backfill` through sitemaps, listings, archives by date and WARC files, and its resumption after a stop."""

from __future__ import annotations

import gzip
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.commands import Desk, stop
from tests.newsroom import Newsroom, Page, Reply, Site, html, plain, rss
from tests.texts import page, story
from tests.waiting import eventually

MONTHS = range(1, 7)
DAYS = (3, 9, 15, 21, 27)
CONFIG = """
[[sources]]
name = "kho"
kind = "feed"
url = "https://kho.example/rss.xml"
[[sources]]
name = "muc"
kind = "listing"
url = "https://muc.example/thoi-su"
[[sources]]
name = "lich"
kind = "listing"
url = "https://lich.example/"
archive = "https://lich.example/luu-tru/{year}/{month}/{day}.html"
[[sources]]
name = "cam"
kind = "sitemap"
url = "https://cam.example/sitemap.xml"
[[sources]]
name = "cu"
kind = "warc"
path = "archives"
sites = ["bao.example"]
[[sources]]
name = "danh-sach"
kind = "urls"
url = "https://kho.example/list.txt"
"""
JANUARY = ("--from", "2026-01-01", "--to", "2026-01-31")


def slug(month: int, day: int) -> str:
    return f"/nguoi-dan-sua-con-de-ven-song-thang-{month}-ngay-{day}-{20260000 + month * 100 + day}.html"


def article(host: str, month: int, day: int) -> Reply:
    return page(f"Bài ngày {day} tháng {month}", story(f"{host} {month} {day}"))


def sitemap(host: str, month: int) -> Reply:
    entries = "".join(
        f"<url><loc>https://{host}{slug(month, day)}</loc>"
        f"<lastmod>2026-{month:02}-{day:02}T08:00:00+07:00</lastmod></url>"
        for day in DAYS
    )
    # Somebody put a comma right in June.
    late = f"<url><loc>https://{host}{slug(month, 30)}</loc><lastmod>2026-06-30</lastmod></url>"
    text = f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}{late}</urlset>'
    return Reply(body=text.encode(), content_type="application/xml")


def sitemap_index(host: str) -> Reply:
    parts = "".join(f"<sitemap><loc>https://{host}/sitemap-2026-{month:02}.xml</loc></sitemap>" for month in MONTHS)
    text = f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{parts}</sitemapindex>'
    return Reply(body=text.encode(), content_type="application/xml")


def store_of_sitemaps() -> Site:
    host = "kho.example"
    pages: dict[str, Page] = {
        "/robots.txt": plain(f"User-agent: *\nAllow: /\nSitemap: https://{host}/sitemap.xml\n"),
        "/rss.xml": rss([(f"https://{host}{slug(6, 27)}", "Bài mới nhất")]),
        "/sitemap.xml": sitemap_index(host),
    }
    for month in MONTHS:
        pages[f"/sitemap-2026-{month:02}.xml"] = sitemap(host, month)
        pages |= {slug(month, day): article(host, month, day) for day in (*DAYS, 30)}
    return Site(host=host, pages=pages)


def listing(days: Sequence[tuple[int, int]], following: str = "") -> Reply:
    teasers = "".join(
        f'<div class=item><h3><a href="{slug(month, day)}">Người dân sửa con đê ven sông, ngày {day} tháng {month}</a>'
        f"</h3><span class=time>{day:02}/{month:02}/2026 08:30</span></div>"
        for month, day in days
    )
    next_page = f'<a rel=next href="{following}">Trang sau</a>' if following else ""
    return html(f"<html><head><title>Thời sự</title></head><body>{teasers}{next_page}</body></html>")


def pages_of_a_section() -> Site:
    host = "muc.example"
    pages: dict[str, Page] = {"/robots.txt": plain("User-agent: *\nAllow: /\n")}
    shown = [(6, DAYS), (3, DAYS), (1, DAYS[2:]), (1, DAYS[:2])]
    for number, (month, days) in enumerate(shown, start=1):
        path = "/thoi-su" if number == 1 else f"/thoi-su?page={number}"
        pages[path] = listing([(month, day) for day in reversed(days)], f"/thoi-su?page={number + 1}")
        pages |= {slug(month, day): article(host, month, day) for day in days}
    # The first page of the year before, and what would come after it.
    pages["/thoi-su?page=5"] = html(
        '<html><body><div><h3><a href="/nguoi-dan-sua-con-de-ven-song-nam-cu-100001.html">'
        'Người dân sửa con đê năm cũ</a></h3><time datetime="2025-12-30T08:00:00+07:00"></time></div>'
        '<a rel=next href="/thoi-su?page=6">Trang sau</a></body></html>'
    )
    pages["/thoi-su?page=6"] = listing([])
    return Site(host=host, pages=pages)


def archive_by_date() -> Site:
    host = "lich.example"
    pages: dict[str, Page] = {"/robots.txt": plain("User-agent: *\nAllow: /\n")}
    for day in (3, 9):
        links = f'<h3><a href="{slug(1, day)}">Người dân sửa con đê ven sông ngày {day}</a></h3>'
        pages[f"/luu-tru/2026/01/{day:02}.html"] = html(f"<html><body>{links}</body></html>")
        pages[slug(1, day)] = article(host, 1, day)
    return Site(host=host, pages=pages)


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    forbidden = Site(host="cam.example", pages={"/robots.txt": plain("User-agent: *\nDisallow: /\n")})
    with Newsroom([store_of_sitemaps(), pages_of_a_section(), archive_by_date(), forbidden]) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path: Path, room: Newsroom) -> Desk:
    made = Desk(folder=tmp_path, environment=room.environment)
    made.configure(CONFIG)
    return made


def stored(desk: Desk) -> int:
    path = desk.folder / "corpus.db"
    if not path.exists():
        return 0
    with sqlite3.connect(path) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM articles").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def titles(desk: Desk) -> set[str]:
    with sqlite3.connect(desk.folder / "corpus.db") as connection:
        return {title for (title,) in connection.execute("SELECT title FROM articles")}


def waiting(desk: Desk) -> set[str]:
    """Return the paths of the candidates that wait."""
    with sqlite3.connect(desk.folder / "corpus.db") as connection:
        rows = connection.execute("SELECT url FROM candidates WHERE state = 'pending'")
        return {urlsplit(url).path for (url,) in rows}


def slowly(desk: Desk) -> None:
    """Leave time between two pages, so that a run can be met in its middle."""
    path = desk.folder / "worker.toml"
    path.write_text(path.read_text().replace('per_host_delay = "0s"', 'per_host_delay = "60ms"'))


def of_month(month: int, days: Sequence[int]) -> set[str]:
    return {f"Bài ngày {day} tháng {month}" for day in days}


def test_only_the_span_is_collected_from_the_sitemaps_in_robots_txt(desk: Desk, room: Newsroom) -> None:
    already = len(room.asked("kho.example", "/sitemap-2026-03.xml"))

    ended = desk.run("backfill", "kho", *JANUARY, "--json", "-q")

    record = ended.record()
    assert ended.status == 0, ended.err
    assert titles(desk) == of_month(1, (*DAYS, 30))
    assert (record["found"], record["discovered"], record["stored"], record["pending"]) == (6, 6, 6, 0)
    # The index, the sitemap of January and that of February, whose first hours are January elsewhere; and the feed.
    assert record["places"] == {"looked": 4, "waiting": 0, "unread": 0}
    assert record["finished"] is True
    assert len(room.asked("kho.example", "/sitemap-2026-03.xml")) == already
    assert desk.run("audit", "--json").record()["balanced"] is True


def test_repeating_a_backfill_finds_nothing_new(desk: Desk, room: Newsroom) -> None:
    desk.run("backfill", "kho", *JANUARY, "-q")
    asked = len(room.asked("kho.example", slug(1, 3)))

    rehearsed = desk.run("backfill", "kho", *JANUARY, "--dry-run", "--json", "-q").record()
    again = desk.run("backfill", "kho", *JANUARY, "--discover-only", "--json", "-q").record()

    assert (rehearsed["found"], rehearsed["discovered"]) == (6, 0)
    assert (again["found"], again["discovered"], again["finished"]) == (6, 0, True)
    assert len(room.asked("kho.example", slug(1, 3))) == asked


def test_a_listing_is_followed_page_by_page_until_it_is_older_than_the_span(desk: Desk, room: Newsroom) -> None:
    record = desk.run("backfill", "muc", *JANUARY, "--discover-only", "--json", "-q").record()

    assert waiting(desk) == {slug(1, day) for day in DAYS}
    assert record["left_out"] == 11
    assert len(room.asked("muc.example", "/thoi-su?page=5")) == 1
    assert not room.asked("muc.example", "/thoi-su?page=6")


def test_an_archive_by_date_is_read_day_by_day(desk: Desk) -> None:
    ended = desk.run(
        "backfill", "lich", "--from", "2026-01-03", "--to", "2026-01-10", "--discover-only", "--json", "-q"
    )

    record = ended.record()
    assert ended.status == 0
    assert waiting(desk) == {slug(1, 3), slug(1, 9)}
    assert record["places"] == {"looked": 8, "waiting": 0, "unread": 6}


def test_an_interrupted_or_killed_backfill_resumes(desk: Desk, room: Newsroom) -> None:
    slowly(desk)
    order = ("backfill", "kho", "--from", "2026-03-01", "--to", "2026-06-30")
    before = len(room.asked("kho.example", "/sitemap-2026-05.xml"))
    process = desk.start(*order)
    eventually(lambda: stored(desk) >= 2)
    interrupted = stop(process, signal.SIGINT)
    first = stored(desk)
    process = desk.start(*order)
    eventually(lambda: stored(desk) >= first + 2)
    stop(process, signal.SIGKILL)
    second = stored(desk)

    ended = desk.run(*order, "--json")

    record = ended.record()
    assert interrupted.status == 130
    assert "run the same command again to resume" in interrupted.out
    assert (ended.status, record["finished"]) == (0, True), ended.err
    assert 2 <= first < second < 24
    assert stored(desk) == 24
    assert titles(desk) == {title for month in (3, 4, 5, 6) for title in of_month(month, (*DAYS, 30))}
    assert len(room.asked("kho.example", "/sitemap-2026-05.xml")) == before + 1
    assert desk.run("audit", "--json").record()["balanced"] is True


def test_discover_only_leaves_the_candidates_to_others(desk: Desk) -> None:
    found = desk.run("backfill", "kho", *JANUARY, "--discover-only", "--json", "-q").record()
    later = desk.run("ingest", "--source", "kho", "--json", "-q").record()

    assert (found["discovered"], found["stored"], found["pending"], found["finished"]) == (6, 0, 6, False)
    assert later["stored"] == 7  # and the one that the feed has
    assert stored(desk) == 7


def test_a_limit_stops_a_backfill_and_the_next_run_continues(desk: Desk) -> None:
    first = desk.run("backfill", "kho", *JANUARY, "--limit", "2", "--json", "-q").record()
    second = desk.run("backfill", "kho", *JANUARY, "--discover-only", "--json", "-q").record()

    assert (first["stored"], first["finished"]) == (2, False)
    assert (second["finished"], second["pending"], stored(desk)) == (False, 4, 2)


def test_a_dry_run_shows_what_would_be_found_and_stores_nothing(desk: Desk, room: Newsroom) -> None:
    asked = len(room.asked("kho.example", slug(1, 3)))

    record = desk.run("backfill", "kho", *JANUARY, "--dry-run", "--json", "-q").record()

    assert (record["found"], record["discovered"], record["dry_run"]) == (6, 6, True)
    assert not (desk.folder / "corpus.db").exists()
    assert len(room.asked("kho.example", slug(1, 3))) == asked


def test_a_backfill_that_can_read_nothing_fails_with_the_reason(desk: Desk) -> None:
    ended = desk.run("backfill", "cam", *JANUARY, "--json", "-q")

    assert ended.status == 1
    assert "robots.txt of cam.example forbids it" in ended.err
    assert ended.record()["finished"] is False or ended.record()["places"]["unread"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nirgends", *JANUARY), "no source is called nirgends"),
        (("danh-sach", *JANUARY), "has no past to go back through"),
        (("kho", "--from", "2026-02-01", "--to", "2026-01-01"), "swap them"),
        (("kho", "--from", "gestern"), "write it as 2026-01-31"),
        (("kho",), "--from"),
    ],
)
def test_contradictory_options_are_refused(desk: Desk, words: Sequence[str], said: str) -> None:
    ended = desk.run("backfill", *words)

    assert ended.status == 2
    assert said in ended.err


def record_of(host: str, month: int, day: int) -> bytes:
    body = article(host, month, day).body
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://{host}{slug(month, day)}\r\n"
        f"WARC-Date: 2026-{month:02}-{day:02}T01:00:00Z\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0)


def test_web_archives_give_the_pages_of_the_span_and_the_sites(desk: Desk) -> None:
    folder = desk.folder / "archives" / "2026"
    folder.mkdir(parents=True)
    for number, months in enumerate(((1, 2), (1, 3))):
        records = [
            record_of(host, month, day) for month in months for day in DAYS for host in ("bao.example", "x.example")
        ]
        (folder / f"CC-NEWS-{number}.warc.gz").write_bytes(b"".join(records))

    record = desk.run("backfill", "cu", *JANUARY, "--json", "-q").record()
    again = desk.run("backfill", "cu", *JANUARY, "--discover-only", "--json", "-q").record()

    assert titles(desk) == of_month(1, DAYS)
    assert (record["found"], record["discovered"], record["stored"], record["left_out"]) == (10, 5, 5, 30)
    assert record["places"]["looked"] == 2
    assert (again["discovered"], again["finished"]) == (0, True)
