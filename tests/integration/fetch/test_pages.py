"""What a fetch returns, over real connections."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime, timedelta

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Exchange, Loopback
from worker.errors import FetchError
from worker.models import Request, Validators

URL = "http://news.example/a"


async def failure(make_fetcher: FetcherFactory, url: str = URL, accept: str = "page") -> FetchError:
    with pytest.raises(FetchError) as caught:
        await make_fetcher().fetch(Request(url=url, accept=accept))
    return caught.value


async def test_a_page_comes_with_its_body_type_headers_and_validators(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.says(
        "/a",
        b"<p>tin",
        ETag='"v1"',
        Last_Modified="Sun, 01 Mar 2026 00:00:00 GMT",
        X_Robots_Tag="noai",
        Set_Cookie="a=b",
    )

    page = await make_fetcher().fetch(Request(url=f"{URL}#part"))

    assert (page.status, page.body, page.content_type) == (200, b"<p>tin", "text/html; charset=utf-8")
    assert (page.url, page.final_url) == (f"{URL}#part", URL)
    assert page.validators == Validators(etag='"v1"', last_modified="Sun, 01 Mar 2026 00:00:00 GMT")
    assert page.headers["x-robots-tag"] == "noai"
    assert "set-cookie" not in page.headers
    assert page.permanent_url is None
    assert page.elapsed > timedelta(0)


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
        ("gzip, br", lambda body: brotli.compress(gzip.compress(body, mtime=0))),
        ("identity", bytes),
    ],
)
async def test_a_body_is_decompressed(server: Loopback, make_fetcher: FetcherFactory, coding: str, encode) -> None:  # type: ignore[no-untyped-def]
    body = b"<p>xin ch\xc3\xa0o</p>" * 5_000
    server.says("/a", encode(body), Content_Encoding=coding)

    page = await make_fetcher().fetch(Request(url=URL))

    assert page.body == body


async def test_only_codings_with_a_bounded_decoder_are_requested(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    await make_fetcher().fetch(Request(url=URL))

    asked = server.seen[-1].headers
    assert asked["accept-encoding"] == "gzip, deflate, br, zstd"
    assert asked["user-agent"].startswith("corpus-worker/")
    assert asked["host"] == "news.example"
    assert "cookie" not in asked


async def test_a_304_gives_a_page_without_body_that_keeps_its_validators(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    known = Validators(etag='W/"v1"', last_modified="Sun, 01 Mar 2026 00:00:00 GMT")
    server.says("/a", status=304, ETag='W/"v2"', Content_Length="")

    page = await make_fetcher().fetch(Request(url=URL, validators=known))

    assert page.not_modified
    assert page.body == b""
    assert page.validators == Validators(etag='W/"v2"', last_modified=known.last_modified)
    assert server.seen[-1].headers["if-none-match"] == 'W/"v1"'
    assert server.seen[-1].headers["if-modified-since"] == known.last_modified


async def test_every_24th_conditional_request_goes_without_validators(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    async def lies(exchange: Exchange) -> None:
        if "if-none-match" in exchange.headers:
            await exchange.reply(status=304, Content_Length="")
        else:
            await exchange.reply(b"news at last")

    server.on("/a", lies)
    fetcher = make_fetcher()

    pages = [await fetcher.fetch(Request(url=URL, validators=Validators(etag='"v1"'))) for _ in range(30)]

    assert [page.status for page in pages].count(200) == 1


async def test_a_304_to_an_unconditional_request_is_an_error(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/a", status=304, Content_Length="")

    error = await failure(make_fetcher)

    assert (error.reason, error.status) == ("http", 304)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_missing_page_is_gone(server: Loopback, make_fetcher: FetcherFactory, status: int) -> None:
    server.says("/a", b"no such page", status=status)

    error = await failure(make_fetcher)

    assert (error.reason, error.status, error.retry) == ("gone", status, False)


@pytest.mark.parametrize(
    ("status", "retry"), [(403, False), (429, True), (500, True), (503, True), (501, False), (204, False)]
)
async def test_other_statuses_say_whether_another_try_may_help(
    server: Loopback, make_fetcher: FetcherFactory, status: int, retry: bool
) -> None:
    server.says("/a", status=status)

    error = await failure(make_fetcher)

    assert (error.reason, error.status, error.retry) == ("http", status, retry)


async def test_retry_after_is_reported_and_pauses_the_host(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/a", status=503, Retry_After="120")
    fetcher = make_fetcher()
    with pytest.raises(FetchError) as first:
        await fetcher.fetch(Request(url=URL))

    with pytest.raises(FetchError) as second:
        await fetcher.fetch(Request(url="http://news.example/b"))

    assert first.value.retry_at is not None
    wait = first.value.retry_at - datetime.now(UTC)
    assert timedelta(seconds=100) < wait <= timedelta(seconds=120)
    assert second.value.reason == "host-closed"
    assert second.value.retry
    assert server.paths == ["/robots.txt", "/a"]


async def test_the_content_type_is_checked_before_the_body_is_read(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    async def endless_film(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 99999999\r\n\r\n")
        await exchange.reader.read()

    server.on("/a", endless_film)

    error = await failure(make_fetcher)

    assert (error.reason, error.retry) == ("content-type", False)
    assert "video/mp4" in str(error)


@pytest.mark.parametrize(
    ("accept", "content_type", "fits"),
    [
        ("page", "text/html", True),
        ("page", "application/xhtml+xml; charset=utf-8", True),
        ("page", "", True),
        ("page", "application/pdf", False),
        ("page", "image/svg+xml", False),
        ("feed", "application/rss+xml", True),
        ("feed", "application/feed+json", True),
        ("feed", "text/html", True),
        ("feed", "image/png", False),
        ("any", "image/png", True),
    ],
)
async def test_the_requested_kind_of_body_decides_which_types_are_accepted(
    server: Loopback, make_fetcher: FetcherFactory, accept: str, content_type: str, fits: bool
) -> None:
    server.says("/a", b"x", Content_Type=content_type)

    if fits:
        page = await make_fetcher().fetch(Request(url=URL, accept=accept))
        assert page.body == b"x"
    else:
        assert (await failure(make_fetcher, accept=accept)).reason == "content-type"


async def test_an_explanation_names_every_decision(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.robots("User-agent: *\nAllow: /a\nDisallow: /").says("/start", status=301, Location="/a")
    server.robots("User-agent: *\nAllow: /a\nAllow: /start\nDisallow: /").says("/a", "tiếng Việt".encode())

    explanation = await make_fetcher().explain(Request(url="http://news.example/start"))

    steps = [(step.what, step.detail) for step in explanation.steps]
    kinds = [what for what, _ in steps]
    assert kinds[:3] == ["turn", "address", "status"]
    assert ("robots", "allowed: Allow: /start (line 3)") in steps
    assert ("redirect", "301 to http://news.example/a") in steps
    assert ("robots", "allowed: Allow: /a (line 2)") in steps
    assert ("address", f"127.0.0.1 port {server.port}") in steps
    assert ("charset", "utf-8, chosen by header") in steps
    assert kinds[-4:] == ["headers", "charset", "size", "time"]
    assert explanation.page is not None


async def test_an_explanation_of_a_failure_holds_the_error(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.robots("User-agent: *\nDisallow: /")

    explanation = await make_fetcher().explain(Request(url=URL))

    assert explanation.error is not None
    assert explanation.steps[-1].detail == "forbidden: Disallow: / (line 2)"
