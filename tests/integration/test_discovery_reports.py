"""Reports of a poll: links to other sites, permanent redirects, and a feed's text as fallback for a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.newsroom import Newsroom, Reply, Site, plain, redirect, rss
from tests.texts import page, story

HOST = "mot.example"
CONFIG = """
[[sources]]
name = "mot"
kind = "feed"
url = "https://mot.example/rss.xml"
[[sources]]
name = "day-du"
kind = "feed"
url = "https://mot.example/full.xml"
enabled = false
"""


def full_feed() -> Reply:
    items = "".join(
        f"<item><title>Bài {name}</title><link>https://{HOST}/{name}.html</link>"
        f"<content:encoded><![CDATA[{story(f'toàn văn {name}')}]]></content:encoded></item>"
        for name in ("con", "mat", "cam")
    )
    head = '<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>Báo</title>'
    return Reply(body=f"{head}{items}</channel></rss>".encode(), content_type="application/rss+xml")


@pytest.fixture
def room() -> Iterator[Newsroom]:
    links = [
        (f"https://{HOST}/a.html", "A"),
        ("https://quang-cao.example/x.html", "X"),
        ("https://khac.example/y", "Y"),
    ]
    pages = {
        "/robots.txt": plain("User-agent: *\nDisallow: /cam\n"),
        "/rss.xml": rss(links),
        "/a.html": page("Bài A", story("a")),
        "/con.html": page("Bài con", story("trang của bài con")),
        "/mat.html": Reply(status=410, body=b"gone"),
        "/full.xml": full_feed(),
    }
    with Newsroom([Site(host=HOST, pages=pages)]) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path: Path, room: Newsroom) -> Desk:
    made = Desk(folder=tmp_path, environment=room.environment)
    made.configure(CONFIG)
    return made


def test_links_to_other_sites_are_counted_in_every_report_of_a_poll(desk: Desk) -> None:
    run = desk.run("ingest", "--json")
    checked = desk.run("sources", "check", "mot", "--json").record()
    table = desk.run("sources", "check", "mot").out

    assert run.record()["sources"]["mot"] == {"ok": True, "error": "", "found": 1, "other_sites": 2}
    assert "other_sites=2" in run.err
    assert checked[0]["other_sites"] == 2  # type: ignore[index]
    assert "2 links to other sites left out" in table


def test_a_permanent_redirect_of_a_source_is_reported_once_per_target(desk: Desk, room: Newsroom) -> None:
    room.put(HOST, "/rss.xml", redirect("/tin.xml", status=301))
    room.put(HOST, "/tin.xml", rss([(f"https://{HOST}/a.html", "A")]))
    room.put(HOST, "/moi.xml", rss([(f"https://{HOST}/a.html", "A")]))

    first, second = desk.run("ingest", "--source", "mot").err, desk.run("ingest", "--source", "mot").err
    room.put(HOST, "/tin.xml", redirect("/moi.xml", status=308))
    third, fourth = desk.run("ingest", "--source", "mot").err, desk.run("ingest", "--source", "mot").err

    assert 'set url = "https://mot.example/tin.xml"' in first.replace("\\", "")
    assert "moved for good" not in second
    assert 'set url = "https://mot.example/moi.xml"' in third.replace("\\", "")
    assert "moved for good" not in fourth


def test_a_feed_s_text_replaces_a_missing_page_and_why_shows_it(desk: Desk) -> None:
    record = desk.run("ingest", "--source", "day-du", "--json").record()
    gone = desk.run("why", f"https://{HOST}/mat.html", "--json").record()
    there = desk.run("why", f"https://{HOST}/con.html", "--json").record()
    told = desk.run("why", f"https://{HOST}/mat.html").out

    assert (record["stored"], record["blocked"]) == (2, 1)
    assert gone["articles"][0]["notes"] == [
        "the text is the feed's own, not the page's: mot.example says the page is gone (410)"
    ]
    assert there["articles"][0]["notes"] == []
    assert "the text is the feed's own" in told
    assert desk.run("audit", "--json").record()["balanced"] is True
