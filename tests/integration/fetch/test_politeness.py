"""robots.txt, the delay between requests, and hosts that are paused, over real connections."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Exchange, Loopback
from worker.errors import FetchBlocked, FetchError
from worker.fetch.client import HttpFetcher, InMemoryHostStore
from worker.fetch.http.ssrf import Address
from worker.fetch.politeness import HostSlot
from worker.models import Request
from worker.ports import RobotsRecord

URL = "http://news.example/a"
ORIGIN = "http://news.example:80"
FORBIDDING = b"User-agent: *\nDisallow: /"


async def reason_of(fetcher: HttpFetcher, url: str = URL) -> str:
    try:
        await fetcher.fetch(Request(url=url))
    except FetchError as error:
        return error.reason
    return ""


def noting(server: Loopback, *paths: str, status: int, reset: int | None = None) -> list[float]:
    """Respond to these paths, but reset the connection of one request; return the growing list of arrival times."""
    arrivals: list[float] = []

    async def note(exchange: Exchange) -> None:
        arrivals.append(asyncio.get_running_loop().time())
        if len(arrivals) == reset:
            exchange.reset()
        else:
            await exchange.reply(status=status)

    for path in paths:
        server.on(path, note)
    return arrivals


async def test_a_forbidden_page_is_blocked_with_the_rule_that_forbids_it(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.robots("User-agent: *\nDisallow: /private\n\nUser-agent: Corpus-Worker\nDisallow: /a # ours")

    with pytest.raises(FetchBlocked, match=r"Disallow: /a \(line 5\)") as caught:
        await make_fetcher().fetch(Request(url=URL))

    assert caught.value.reason == "robots"
    assert server.paths == ["/robots.txt"]


async def test_robots_txt_is_fetched_once(server: Loopback, make_fetcher: FetcherFactory) -> None:
    fetcher = make_fetcher(per_host_connections=4)

    await asyncio.gather(*(fetcher.fetch(Request(url=f"http://news.example/{number}")) for number in range(20)))

    assert server.paths.count("/robots.txt") == 1


async def test_robots_txt_is_shared_through_the_host_store(server: Loopback, make_fetcher: FetcherFactory) -> None:
    hosts = InMemoryHostStore()
    server.robots("User-agent: *\nDisallow: /a\nSitemap: http://news.example/map.xml")
    await reason_of(make_fetcher(hosts=hosts))

    second = make_fetcher(hosts=hosts)

    assert await reason_of(second) == "robots"
    assert (await second.robots(URL)).sitemaps == ("http://news.example/map.xml",)
    assert server.paths == ["/robots.txt"]


async def test_a_run_that_a_person_asks_for_reads_robots_txt_again_once_unless_the_copy_is_new(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    hosts = InMemoryHostStore()
    now = datetime.now(UTC)
    old = RobotsRecord(origin=ORIGIN, checked_at=now - timedelta(minutes=6), status=200, body=FORBIDDING, good_at=now)
    server.robots("User-agent: *\nAllow: /")
    hosts.save_robots(old)
    assert await reason_of(make_fetcher(hosts=hosts)) == "robots"
    assert server.paths == []

    asked = make_fetcher(hosts=hosts)
    asked.reread_policies()
    await asked.fetch(Request(url=URL))
    await asked.fetch(Request(url=URL))
    assert server.paths == ["/robots.txt", "/a", "/a"]

    hosts.save_robots(replace(old, checked_at=now))
    again = make_fetcher(hosts=hosts)
    again.reread_policies()
    assert await reason_of(again) == "robots"
    assert server.paths.count("/robots.txt") == 1


async def test_a_page_that_is_forbidden_says_how_old_the_copy_of_robots_txt_is(make_fetcher: FetcherFactory) -> None:
    hosts, now = InMemoryHostStore(), datetime.now(UTC)
    copy = RobotsRecord(origin=ORIGIN, checked_at=now, status=200, body=FORBIDDING, good_at=now)
    hosts.save_robots(copy)

    with pytest.raises(FetchBlocked) as caught:
        await make_fetcher(hosts=hosts).fetch(Request(url=URL))

    again = now + timedelta(days=1)
    assert str(caught.value).endswith(
        f"Disallow: / (line 2); read {now:%Y-%m-%d %H:%M:%S} UTC, used until {again:%Y-%m-%d %H:%M:%S} UTC"
    )


async def test_robots_txt_can_be_ignored_by_a_setting(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.robots("User-agent: *\nDisallow: /")

    page = await make_fetcher(obey_robots=False).fetch(Request(url=URL))

    assert page.status == 200
    assert server.paths == ["/a"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
async def test_a_client_error_allows_everything(server: Loopback, make_fetcher: FetcherFactory, status: int) -> None:
    server.robots("User-agent: *\nDisallow: /", status=status)

    assert await reason_of(make_fetcher()) == ""


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_error_forbids_everything_for_now(
    server: Loopback, make_fetcher: FetcherFactory, status: int
) -> None:
    server.robots("", status=status)

    with pytest.raises(FetchError) as caught:
        await make_fetcher().fetch(Request(url=URL))

    assert not isinstance(caught.value, FetchBlocked)
    assert (caught.value.reason, caught.value.retry, caught.value.status) == ("robots-silent", True, status)
    assert caught.value.retry_at is not None
    assert server.paths == ["/robots.txt"]


async def test_the_last_good_copy_is_used_while_robots_txt_is_unavailable(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.robots("", status=500)
    now = datetime.now(UTC)
    old = RobotsRecord(
        origin=ORIGIN,
        checked_at=now - timedelta(hours=25),
        good_at=now - timedelta(hours=23),
        status=200,
        body=b"User-agent: *\nDisallow: /a",
    )
    hosts = InMemoryHostStore()
    hosts.save_robots(old)
    fetcher = make_fetcher(hosts=hosts)

    reasons = [await reason_of(fetcher), await reason_of(fetcher, "http://news.example/b")]

    assert reasons == ["robots", ""]
    assert server.paths == ["/robots.txt", "/b"]
    kept = hosts.robots(ORIGIN)
    assert kept is not None
    assert (kept.status, kept.good_at) == (500, old.good_at)


async def test_the_last_good_copy_is_used_for_a_day_only(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.robots("", status=500)
    long_ago = datetime.now(UTC) - timedelta(hours=25)
    hosts = InMemoryHostStore()
    hosts.save_robots(RobotsRecord(origin=ORIGIN, checked_at=long_ago, good_at=long_ago, status=200, body=b""))

    with pytest.raises(FetchError, match="answered 500"):
        await make_fetcher(hosts=hosts).fetch(Request(url=URL))


async def test_the_last_good_copy_is_used_if_the_site_cannot_be_reached(make_fetcher: FetcherFactory) -> None:
    now = datetime.now(UTC)
    hosts = InMemoryHostStore()
    hosts.save_robots(
        RobotsRecord(
            origin=ORIGIN,
            checked_at=now - timedelta(hours=25),
            good_at=now - timedelta(hours=23),
            status=200,
            body=b"User-agent: *\nDisallow: /a",
        )
    )
    fetcher = make_fetcher(hosts=hosts, connect_to={":80": "127.0.0.1:1"})

    reasons = [await reason_of(fetcher), await reason_of(fetcher, "http://news.example/b")]

    assert reasons == ["robots", "connect"]
    kept = hosts.robots(ORIGIN)
    assert kept is not None
    assert "127.0.0.1 port 1" in kept.error


async def test_thousands_of_large_robots_txt_do_not_fill_the_memory(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.robots("User-agent: *\n" + "Disallow: /x\n" * 35_000)
    fetcher = make_fetcher()

    for number in (0, 1, 2, 0):
        await reason_of(fetcher, f"http://h{number}.example/a")

    assert server.paths.count("/robots.txt") == 3
    assert fetcher._robots_cache._rules <= 100_000


async def test_robots_txt_is_followed_through_five_redirects(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/robots.txt", status=301, Location="http://other.example/r1")
    for number in range(1, 5):
        server.says(f"/r{number}", status=302, Location=f"/r{number + 1}")
    server.says("/r5", b"User-agent: *\nDisallow: /a")

    assert await reason_of(make_fetcher()) == "robots"


async def test_six_redirects_of_robots_txt_count_as_none(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/robots.txt", status=301, Location="/r1")
    for number in range(1, 6):
        server.says(f"/r{number}", status=302, Location=f"/r{number + 1}")
    server.says("/r6", b"User-agent: *\nDisallow: /a")

    assert await reason_of(make_fetcher()) == ""
    assert "/r6" not in server.paths


async def test_half_a_megabyte_of_robots_txt_is_read_and_the_rest_is_not(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    rules = b"User-agent: *\nDisallow: /inside\n" + b"# filling\n" * 51_300
    server.says("/robots.txt", rules[: 500 * 1024] + b"\nDisallow: /beyond\n" + b"#" * 5_000_000)
    fetcher = make_fetcher(max_bytes=1_000)

    reasons = [await reason_of(fetcher, f"http://news.example/{path}") for path in ("inside", "beyond")]

    assert reasons == ["robots", ""]


async def test_a_crawl_delay_longer_than_ours_wins(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.robots("User-agent: *\nCrawl-delay: 1\nDisallow: /private")
    arrivals = noting(server, "/a", "/b", status=200)
    fetcher = make_fetcher(per_host_delay=timedelta(milliseconds=50))

    await asyncio.gather(*(fetcher.fetch(Request(url=f"http://news.example/{path}")) for path in "ab"))

    assert arrivals[1] - arrivals[0] > 0.5


async def test_a_slow_connection_does_not_bring_requests_of_two_workers_together(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    arrivals = noting(server, "/robots.txt", "/a", status=404)

    async def slow_names(_host: str, _port: int) -> list[Address]:
        await asyncio.sleep(0.8)
        return [ip_address("127.0.0.1")]

    pause, hosts = timedelta(seconds=1), InMemoryHostStore()
    route = {":80": f"loopback.example:{server.port}"}
    slow = make_fetcher(hosts=hosts, per_host_delay=pause, resolve=slow_names, connect_to=route)
    other = make_fetcher(hosts=hosts, per_host_delay=pause)

    held_up = asyncio.create_task(reason_of(slow))
    await asyncio.sleep(0.05)
    await asyncio.gather(held_up, reason_of(other))

    assert min(later - earlier for earlier, later in itertools.pairwise(arrivals)) > 0.5


async def test_a_request_sent_again_on_a_new_connection_waits_for_its_own_slot(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    # The second of them comes on a kept connection, which the server closes instead of answering.
    arrivals = noting(server, "/robots.txt", "/a", status=404, reset=2)

    await reason_of(make_fetcher(per_host_delay=timedelta(seconds=1)))

    assert len(arrivals) >= 3
    assert min(later - earlier for earlier, later in itertools.pairwise(arrivals)) > 0.5


async def test_a_waiting_request_ends_when_the_host_is_paused(server: Loopback, make_fetcher: FetcherFactory) -> None:
    async def not_now(exchange: Exchange) -> None:
        await exchange.reply(status=429, Retry_After="3600")

    for number in range(4):
        server.on(f"/{number}", not_now)
    fetcher = make_fetcher(per_host_delay=timedelta(milliseconds=300))

    reasons = await asyncio.gather(*(reason_of(fetcher, f"http://news.example/{number}") for number in range(4)))

    assert len(server.paths) == 2, "robots.txt and the first page alone"
    assert all(reasons)


async def test_one_host_gets_one_connection_at_a_time(server: Loopback, make_fetcher: FetcherFactory) -> None:
    inside = most = 0

    async def slow(exchange: Exchange) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.01)
        inside -= 1
        await exchange.reply(b"x")

    for number in range(8):
        server.on(f"/{number}", slow)
    fetcher = make_fetcher()

    await asyncio.gather(*(fetcher.fetch(Request(url=f"http://news.example/{number}")) for number in range(8)))

    assert most == 1
    assert server.connections == 1


async def test_a_slow_host_does_not_block_the_others(server: Loopback, make_fetcher: FetcherFactory) -> None:
    hang = asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        await hang.wait()

    server.on("/slow", silent)
    fetcher = make_fetcher(max_connections=2, timeout=timedelta(minutes=10), deadline=timedelta(minutes=20))
    stuck = [
        asyncio.create_task(fetcher.fetch(Request(url=f"http://slow.example/slow?{number}"))) for number in range(20)
    ]
    await asyncio.sleep(0.05)

    async with asyncio.timeout(300):
        pages = await asyncio.gather(*(fetcher.fetch(Request(url=f"http://{n}.example/a")) for n in range(20)))

    assert all(page.status == 200 for page in pages)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_a_host_that_keeps_failing_is_paused_and_tried_again(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    hosts = InMemoryHostStore()
    server.says("/a", status=500)
    fetcher = make_fetcher(hosts=hosts)

    reasons = [await reason_of(fetcher) for _ in range(7)]

    assert reasons == ["http"] * 5 + ["host-closed"] * 2
    standing = hosts.health_of("news.example")
    assert standing.failures == 5
    assert standing.closed_until is not None
    assert standing.closed_until > datetime.now(UTC)


async def test_a_response_resets_earlier_failures(server: Loopback, make_fetcher: FetcherFactory) -> None:
    hosts = InMemoryHostStore()
    server.says("/a", status=500)
    fetcher = make_fetcher(hosts=hosts)
    for _ in range(4):
        await reason_of(fetcher)

    await reason_of(fetcher, "http://news.example/b")

    assert hosts.health_of("news.example").failures == 0


async def test_a_missing_page_is_no_failure_of_its_host(server: Loopback, make_fetcher: FetcherFactory) -> None:
    hosts = InMemoryHostStore()
    server.says("/a", status=404)
    fetcher = make_fetcher(hosts=hosts)

    for _ in range(8):
        await reason_of(fetcher)

    assert hosts.health_of("news.example").failures == 0


async def test_pages_that_are_too_large_are_no_failures_of_their_host(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    hosts = InMemoryHostStore()
    server.says("/a", b"x" * 2_000)
    fetcher = make_fetcher(hosts=hosts, max_bytes=1_000)

    reasons = {await reason_of(fetcher) for _ in range(8)}

    assert reasons == {"size"}
    assert hosts.health_of("news.example").failures == 0


async def test_a_process_suspended_right_before_it_sends_delays_the_next_request(
    server: Loopback, make_fetcher: FetcherFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts, ready = InMemoryHostStore(), HostSlot.wait_before_send
    arrivals = noting(server, "/a", status=200)

    async def stopped(slot: HostSlot) -> None:
        await ready(slot)
        time.sleep(1.2 * (not arrivals))  # noqa: ASYNC251 - as a whole process is stopped, not as a task waits

    monkeypatch.setattr(HostSlot, "wait_before_send", stopped)
    for _ in range(2):
        fetcher = make_fetcher(hosts=hosts, obey_robots=False, per_host_delay=timedelta(seconds=1))
        await fetcher.fetch(Request(url=URL))

    assert arrivals[1] - arrivals[0] > 0.5
