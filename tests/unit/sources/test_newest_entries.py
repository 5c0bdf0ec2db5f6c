"""Feeds of very many entries: the newest are kept, by a scan of the bytes."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.unit.sources.factories import NOW, page, rss, source
from worker.sources.feed.parser import parse_feed
from worker.sources.feed.sanitise import SanitisedFeed, newest_entries

LAST = datetime(2026, 11, 20, tzinfo=UTC)


def item(number: int, *, date: str = "", more: str = "") -> str:
    return f"<link>https://bao.vn/tin-{number:06}.html</link>{f'<pubDate>{date}</pubDate>' if date else ''}{more}"


def numbers(body: str) -> list[int]:
    return listed(newest_entries(body.encode(), keep=100).body)


def listed(body: bytes) -> list[int]:
    return sorted(int(number) for number in re.findall(rb"tin-(\d+)", body))


@pytest.mark.parametrize("order", [1, -1])
def test_of_dated_entries_the_newest_are_kept_whichever_way_they_are_sorted(order: int) -> None:
    dates = [format_datetime(LAST - timedelta(hours=n)) for n in range(300)]
    body = rss(*(item(n, date=dates[n]) for n in range(300)[::order]))

    assert numbers(body) == list(range(100))


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M", "%d %b %Y %H:%M:%S +0700", "%Y%m%d"])
def test_dates_are_read_in_the_forms_feeds_write_them(form: str) -> None:
    dates = [(LAST - timedelta(days=n)).strftime(form) for n in range(250)]
    body = rss(*(item(n, date=dates[n]) for n in reversed(range(250))))

    assert numbers(body) == list(range(100))


def test_of_undated_entries_those_at_both_ends_are_kept() -> None:
    assert numbers(rss(*(item(n) for n in range(250)))) == [*range(50), *range(200, 250)]


@pytest.mark.parametrize("dated", [True, False])
def test_the_kept_and_the_other_entries_make_up_the_whole_feed(dated: bool) -> None:
    dates = [format_datetime(LAST - timedelta(hours=n)) if dated else "" for n in range(350)]
    rest, seen = rss(*(item(n, date=dates[n]) for n in range(350))).encode(), []

    while rest:
        cut = newest_entries(rest, keep=100)
        seen.append(listed(cut.body))
        rest = cut.rest

    assert [len(some) for some in seen] == [100, 100, 100, 50]
    assert sorted(number for some in seen for number in some) == list(range(350))
    assert not dated or seen[1] == list(range(100, 200))


def test_a_dated_entry_is_newer_than_any_undated_one() -> None:
    body = rss(*(item(n) for n in range(250)), item(9999, date="Fri, 20 Nov 2026 08:00:00 +0700"))

    assert 9999 in numbers(body)


def test_entries_in_cdata_and_comments_are_ignored() -> None:
    quoted = "<description><![CDATA[<item>x</item><pubDate>2030-01-01</pubDate>]]></description><!-- <item> -->"
    body = rss(*(item(n, date=f"2026-10-{1 + n % 28:02}", more=quoted) for n in range(210)))

    cut = newest_entries(body.encode(), keep=100)

    assert cut.entries == 210
    assert cut.body.count(b"<link>https://bao.vn/tin-") == 100
    assert len(numbers(body)) == 100


def test_a_feed_of_few_entries_is_unchanged() -> None:
    body = rss(*(item(n) for n in range(100))).encode()

    assert newest_entries(body, keep=100) == SanitisedFeed(body=body)


def test_content_around_the_entries_is_kept() -> None:
    body = rss(*(item(n) for n in range(250))).encode() + b"<!-- end -->"

    cut = newest_entries(body, keep=10)

    for part in (cut.body, cut.rest):
        assert part.startswith(body[: body.index(b"<item>")])
        assert part.endswith(b"</item></channel></rss><!-- end -->")


def test_the_newest_atom_entries_are_kept() -> None:
    entries = "".join(
        f'<entry><title>Tin</title><link href="https://bao.vn/tin-{n:06}.html"/>'
        f"<updated>{(LAST - timedelta(minutes=n)).isoformat()}</updated></entry>"
        for n in reversed(range(300))
    )

    assert numbers(f'<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title>{entries}</feed>') == list(range(100))


@pytest.mark.parametrize(
    "inside",
    [
        "<item/>" * 100_000,
        "".join(f"<item>{item(n, date=format_datetime(LAST + timedelta(minutes=n)))}</item>" for n in range(25_000)),
        "<link>https://bao.vn/a-1.html</link>" * 100_000 + f"<item>{item(1)}</item>",
        "<item><![CDATA[" * 50_000,
        "<item><!--" * 50_000,
    ],
    ids=["empty", "rising", "channel", "cdata", "comments"],
)
def test_the_cost_of_very_many_entries_has_a_bound(inside: str) -> None:
    body = f'<rss version="2.0"><channel><title>Báo</title>{inside}</channel></rss>'
    started = time.process_time()

    parse_feed(page(body), source(), now=NOW)

    assert time.process_time() - started < 30  # whole minutes where something is quadratic
