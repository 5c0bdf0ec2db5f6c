"""Two polls far apart: items missed in the feed are found through the sitemap, changed pages become revisions."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.newsroom import InTurn, Newsroom, Page, Reply, html, plain, sites_of

HOST = "https://mot.example"
FEED, SITEMAP = f"{HOST}/rss", f"{HOST}/ban-do.xml"
SYLLABLES = ("an", "bình", "cao", "dũng", "giang", "hà", "khê", "lâm", "minh", "nam", "phú", "quang", "sơn", "tâm")
SOURCE = f"""
[fetch]
per_host_delay = "0s"
timeout = "20s"
deadline = "60s"
recheck = ["1h"]
[extract]
processes = 1
languages = []
[store]
url = "sqlite:///corpus.db"
[[sources]]
name = "mot"
kind = "feed"
url = "{FEED}"
"""


def url(number: int) -> str:
    return f"{HOST}/tin/bai-viet-so-{number}.html"


def article(number: int, *, more: str = "") -> Reply:
    chance = random.Random(number)
    lines = "".join(f"<p>Đoạn {number} kể {' '.join(chance.choices(SYLLABLES, k=20))}.</p>" for _ in range(8))
    return html(
        f"<html lang=vi><head><title>Bài {number}</title></head><body><h1>Bài {number}</h1>{lines}{more}</body>"
    )


def xml(text: str) -> Reply:
    return Reply(body=text.encode(), content_type="application/xml")


def feed(*numbers: int) -> Reply:
    items = "".join(f"<item><title>Bài {number}</title><link>{url(number)}</link></item>" for number in numbers)
    return xml(f'<rss version="2.0"><channel><title>Một</title><link>{HOST}/</link>{items}</channel></rss>')


@pytest.fixture
def room() -> Iterator[Newsroom]:
    locations = "".join(f"<url><loc>{url(number)}</loc></url>" for number in range(6))
    pages: dict[str, Page] = {url(number): article(number) for number in range(1, 6)}
    pages[url(0)] = InTurn(article(0), article(0, more="<p>Cập nhật: đường sắt qua đèo đã thông vào chiều nay.</p>"))
    pages[FEED] = InTurn(feed(0, 1), feed(4, 5))
    pages[SITEMAP] = xml(f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{locations}</urlset>')
    pages[f"{HOST}/robots.txt"] = plain(f"User-agent: *\nDisallow:\nSitemap: {SITEMAP}\n")
    with Newsroom(sites_of(pages)) as opened:
        yield opened


def an_hour_passes(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        assert connection.execute("UPDATE candidates SET look_at = look_at - 3600000000").rowcount == 2


def test_items_missed_in_the_feed_are_found_and_changed_pages_become_revisions(tmp_path: Path, room: Newsroom) -> None:
    desk = Desk(folder=tmp_path, environment=room.environment)
    desk.configure(SOURCE, base="")

    first = desk.run("ingest", "--json")
    an_hour_passes(tmp_path / "corpus.db")
    second = desk.run("ingest", "--json")

    status, why = desk.run("status", "--json").record(), desk.run("why", url(0), "--json").record()
    (decision,) = why["articles"][1]["decisions"]
    assert first.record()["stored"] == 2, first.err
    assert (second.record()["discovered"], second.record()["stored"]) == (4, 4), second.err
    assert (second.record()["revised"], second.record()["unchanged"]) == (1, 1)
    assert "2 more found through the sitemap" in second.err
    assert status["sources"]["mot"]["gaps"] == 1
    assert decision["difference"]["added"] == ["Cập nhật: đường sắt qua đèo đã thông vào chiều nay"]
    assert decision["difference"]["removed"] == []
    assert desk.run("audit", "--json").record()["balanced"]
