"""What a site states about use in tdmrep.json and robots.txt comes with its pages; fetching it never costs a page."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Exchange, Loopback
from worker.errors import FetchBlocked
from worker.fetch.client import InMemoryHostStore
from worker.fetch.site_policies import HEADER, PATH
from worker.models import Request

FILE = (
    b'[{"location": "/tin/*", "tdm-reservation": 1, "tdm-policy": "/p.json"}, {"location": "/", "tdm-reservation": 0}]'
)


async def test_a_page_has_the_reservation_of_its_site_and_the_file_is_fetched_once(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.says(PATH, FILE, Content_Type="application/json")
    fetcher = make_fetcher(read_tdmrep=True, per_host_connections=4)
    urls = [f"http://news.example/{path}" for path in ("tin/1", "tin/2", "khac/3")]

    pages = await asyncio.gather(*(fetcher.fetch(Request(url=url)) for url in urls))

    assert [page.headers[HEADER] for page in pages] == ["1", "1", "0"]
    assert server.paths.count(PATH) == 1


async def test_the_file_is_shared_through_the_host_store(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says(PATH, FILE)
    hosts = InMemoryHostStore()
    await make_fetcher(hosts=hosts, read_tdmrep=True).fetch(Request(url="http://news.example/tin/1"))

    page = await make_fetcher(hosts=hosts, read_tdmrep=True).fetch(Request(url="http://news.example/tin/2"))

    assert page.headers[HEADER] == "1"
    assert server.paths.count(PATH) == 1


async def test_the_file_is_fetched_only_for_pages_that_need_it(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says(PATH, FILE)

    await make_fetcher().fetch(Request(url="http://news.example/tin/1"))
    await make_fetcher(read_tdmrep=True).fetch(Request(url="http://news.example/feed", accept="feed"))

    assert PATH not in server.paths


async def test_robots_txt_is_obeyed_for_the_file(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.robots("User-agent: *\nDisallow: /.well-known/").says(PATH, FILE)

    page = await make_fetcher(read_tdmrep=True).fetch(Request(url="http://news.example/tin/1"))

    assert HEADER not in page.headers
    assert PATH not in server.paths


@pytest.mark.parametrize("status", [404, 403, 503, 301])
async def test_a_site_without_the_file_reserves_nothing(
    server: Loopback, make_fetcher: FetcherFactory, status: int
) -> None:
    server.says(PATH, FILE, status=status, Location="/elsewhere")
    fetcher = make_fetcher(read_tdmrep=True)

    pages = [await fetcher.fetch(Request(url=f"http://news.example/tin/{number}")) for number in range(2)]

    assert all(page.status == 200 and HEADER not in page.headers for page in pages)
    assert server.paths.count(PATH) == 1


async def test_a_file_that_cannot_be_fetched_costs_no_page(server: Loopback, make_fetcher: FetcherFactory) -> None:
    async def hang_up(exchange: Exchange) -> None:
        exchange.reset()

    server.on(PATH, hang_up)

    page = await make_fetcher(read_tdmrep=True).fetch(Request(url="http://news.example/tin/1"))

    assert (page.status, page.body) == (200, b"<p>hello</p>")


async def test_what_robots_txt_states_about_use_comes_with_the_page_or_refuses_it(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    server.robots("User-agent: *\nContent-Signal: ai-train=no\nContent-Usage: /tin/ search=n")
    server.says("/tin/1", b"<p>x</p>", Content_Usage="train-ai=y", robots_content_usage="x=n")
    request = Request(url="http://news.example/tin/1")

    page = await make_fetcher().fetch(request)
    names = ("content-usage", "content-signal", "robots-content-usage", "robots-content-signal")

    assert [page.headers.get(name) for name in names] == ["train-ai=y", None, "search=n", "ai-train=no"]
    refusing = make_fetcher(refuse=("ai-train",))
    with pytest.raises(FetchBlocked, match="ai-train") as caught:
        await refusing.fetch(request)
    assert (caught.value.reason, server.paths.count("/tin/1")) == ("rights", 1)
    assert (await refusing.fetch(replace(request, accept="feed"))).status == 200
