"""Redirects: every target is checked like the first URL."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Exchange, Loopback
from worker.errors import FetchBlocked, FetchError
from worker.models import Request

URL = "http://news.example/a"


async def test_the_end_of_the_leading_permanent_redirects_is_remembered(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.says("/a", status=301, Location="/b").says("/b", status=308, Location="http://www.news.example/c")
    server.says("/c", status=302, Location="/d").says("/d", b"here")

    page = await make_fetcher().fetch(Request(url=URL))

    assert page.body == b"here"
    assert page.final_url == "http://www.news.example/d"
    assert page.permanent_url == "http://www.news.example/c"


async def test_a_permanent_redirect_after_a_temporary_one_is_not_remembered(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.says("/a", status=302, Location="/b").says("/b", status=301, Location="/c")

    page = await make_fetcher().fetch(Request(url=URL))

    assert page.permanent_url is None


async def test_robots_txt_is_checked_at_every_redirect(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.robots("User-agent: *\nDisallow: /private").says("/a", status=302, Location="/private/b")

    with pytest.raises(FetchBlocked) as caught:
        await make_fetcher().fetch(Request(url=URL))

    assert caught.value.reason == "robots"
    assert server.paths == ["/robots.txt", "/a"]


@pytest.mark.parametrize(
    ("location", "kind", "reason"),
    [
        ("file:///etc/passwd", FetchBlocked, "scheme"),
        ("ftp://news.example/", FetchBlocked, "scheme"),
        ("javascript:alert(1)", FetchBlocked, "scheme"),
        ("http://user:secret@news.example/", FetchBlocked, "credentials"),
        ("http://news.example:25/", FetchBlocked, "port"),
        ("http://news.example:99999/", FetchBlocked, "port"),
        ("http://news.example:port/", FetchError, "redirects"),
        ("http://[::1", FetchError, "redirects"),
        ("http://" + "a" * 9_000, FetchError, "redirects"),
        ("http://\udc80/", FetchError, "redirects"),
    ],
)
async def test_a_redirect_to_what_may_not_be_fetched_ends_there(
    server: Loopback, make_fetcher: FetcherFactory, location: str, kind: type[FetchError], reason: str
) -> None:
    async def astray(exchange: Exchange) -> None:
        target = location.encode("utf-8", "surrogateescape")
        await exchange.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + target + b"\r\n\r\n")

    server.on("/a", astray)

    with pytest.raises(FetchError) as caught:
        await make_fetcher().fetch(Request(url=URL))

    assert type(caught.value) is kind
    assert caught.value.reason == reason
    assert server.paths == ["/robots.txt", "/a"]


async def test_a_redirect_loop_ends_at_its_first_repetition(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/a", status=302, Location="/b").says("/b", status=302, Location="/a")

    with pytest.raises(FetchError) as caught:
        await make_fetcher().fetch(Request(url=URL))

    assert caught.value.reason == "redirects"
    assert server.paths == ["/robots.txt", "/a", "/b"]


async def test_an_endless_chain_of_redirects_ends(server: Loopback, make_fetcher: FetcherFactory) -> None:
    for number in range(50):
        server.says(f"/{number}", status=302, Location=f"/{number + 1}")

    with pytest.raises(FetchError) as caught:
        await make_fetcher().fetch(Request(url="http://news.example/0"))

    assert caught.value.reason == "redirects"
    assert len(server.paths) == 1 + 11


async def test_a_redirect_without_a_target_is_an_error(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/a", status=302)

    with pytest.raises(FetchError) as caught:
        await make_fetcher().fetch(Request(url=URL))

    assert (caught.value.reason, caught.value.status) == ("redirects", 302)


async def test_a_cookie_is_sent_back_within_the_fetch(server: Loopback, make_fetcher: FetcherFactory) -> None:
    async def gate(exchange: Exchange) -> None:
        if exchange.headers.get("cookie") == "seen=yes":
            await exchange.reply(b"come in")
        else:
            await exchange.reply(status=302, Location="/a", Set_Cookie="seen=yes; path=/; HttpOnly")

    server.on("/a", gate)
    fetcher = make_fetcher()

    page = await fetcher.fetch(Request(url=URL))
    await fetcher.fetch(Request(url="http://news.example/other"))

    assert page.body == b"come in"
    assert "cookie" not in server.seen[-1].headers


async def test_cookies_and_credentials_never_cross_hosts(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/a", status=302, Location="http://other.example/b", Set_Cookie="secret=1; domain=example")

    await make_fetcher().fetch(Request(url=URL))

    received = next(exchange for exchange in server.seen if exchange.path == "/b")
    assert received.headers["host"] == "other.example"
    assert not {"cookie", "authorization", "referer"} & received.headers.keys()


async def test_one_deadline_holds_for_all_redirects_together(server: Loopback, make_fetcher: FetcherFactory) -> None:
    async def slowly(exchange: Exchange) -> None:
        await asyncio.sleep(0.3)
        await exchange.reply(status=302, Location=f"/{int(exchange.path[1:]) + 1}")

    for number in range(10):
        server.on(f"/{number}", slowly)
    fetcher = make_fetcher(deadline=timedelta(seconds=1))

    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(Request(url="http://news.example/0"))

    assert caught.value.reason == "timeout"
    assert len(server.paths) <= 1 + 4


async def test_the_next_fetch_starts_at_the_target_of_a_permanent_redirect(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.says("/a", status=301, Location="/b").says("/b", b"here")
    fetcher = make_fetcher()
    await fetcher.fetch(Request(url=URL))

    page = await fetcher.fetch(Request(url=URL))

    assert (page.url, page.final_url, page.permanent_url) == (URL, "http://news.example/b", "http://news.example/b")
    assert server.paths.count("/a") == 1


async def test_a_site_that_was_once_redirected_to_another_one_is_asked_each_time(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.says("/a", status=301, Location="http://evil.example/b").says("/b", b"not the paper's")
    fetcher = make_fetcher()

    pages = [await fetcher.fetch(Request(url=URL)) for _ in range(2)]
    server.says("/a", b"the paper's own")
    pages += [await fetcher.fetch(Request(url=URL)) for _ in range(2)]

    assert [page.final_url for page in pages] == ["http://evil.example/b"] * 2 + [URL] * 2
    assert [page.moved_before for page in pages] == [False, True, False, False]


async def test_a_permanent_redirect_to_a_failure_is_forgotten(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/a", status=301, Location="/b").says("/b", b"here")
    fetcher = make_fetcher()
    await fetcher.fetch(Request(url=URL))
    server.says("/a", b"back again").says("/b", status=404)

    with pytest.raises(FetchError):
        await fetcher.fetch(Request(url=URL))
    page = await fetcher.fetch(Request(url=URL))

    assert page.body == b"back again"


NOTICE = b"<html><head><meta http-equiv='refresh' content='2; url=%s'></head><body>One moment, please.</body></html>"


async def test_a_page_that_only_redirects_is_followed_like_a_redirect(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.says("/a", b"", Refresh="0; url=/b").says("/b", NOTICE % b"/c").says("/c", b"<p>here</p>")

    page = await make_fetcher().fetch(Request(url=URL))

    assert (page.body, page.final_url) == (b"<p>here</p>", "http://news.example/c")
    assert page.permanent_url is None


async def test_pages_that_redirect_to_each_other_end_as_a_loop(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/a", NOTICE % b"/b").says("/b", NOTICE % b"/a")

    with pytest.raises(FetchError) as caught:
        await make_fetcher().fetch(Request(url=URL))

    assert caught.value.reason == "redirects"


@pytest.mark.parametrize(
    ("target", "reason"),
    [(b"file:///etc/passwd", "scheme"), (b"http://192.168.0.1/", "network"),
    (b"http://user:secret@news.example/", "credentials"),
     (b"/private/b", "robots")],
)  # fmt: skip
async def test_the_target_of_a_redirecting_page_is_checked_like_any_address(
    server: Loopback, make_fetcher: FetcherFactory, target: bytes, reason: str
) -> None:
    server.robots("User-agent: *\nDisallow: /private").says("/a", NOTICE % target)

    with pytest.raises(FetchBlocked) as caught:
        await make_fetcher().fetch(Request(url=URL))

    assert caught.value.reason == reason
