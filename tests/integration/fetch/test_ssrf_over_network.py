"""No spelling, redirect or DNS answer leads to a private listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Exchange, Loopback
from tests.unit.fetch.hostile_urls import PRIVATE_V4, PRIVATE_V6, hostile_urls
from worker.errors import FetchBlocked, FetchError
from worker.fetch.client import HttpFetcher
from worker.fetch.http.ssrf import Address
from worker.models import Request

WORDS = {"network", "url", "scheme", "host", "port", "credentials", "tls", "redirects"}


@dataclass
class Listener:
    port: int
    connections: int = 0


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    """Listen on addresses of loopback, on one port, and count who connects."""
    listener = Listener(0)

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.connections += 1
        writer.transport.abort()

    first = await asyncio.start_server(accept, "127.0.0.1", 0)
    listener.port = first.sockets[0].getsockname()[1]
    servers = [first, await asyncio.start_server(accept, ["127.0.0.2", "127.1.2.3"], listener.port)]
    with suppress(OSError):  # a machine without IPv6 has one address less to protect
        servers.append(await asyncio.start_server(accept, "::1", listener.port))
    try:
        yield listener
    finally:
        for server in servers:
            server.close()


async def test_the_listener_can_be_reached_when_it_is_allowed(make_fetcher: FetcherFactory) -> None:
    async with listening() as listener:
        fetcher = make_fetcher(connect_to={}, allow_networks=("127.0.0.0/8",))

        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(Request(url=f"http://127.0.0.1:{listener.port}/"))

        assert not isinstance(caught.value, FetchBlocked)
        assert listener.connections == 1


async def test_no_spelling_of_a_private_address_reaches_the_listener(make_fetcher: FetcherFactory) -> None:
    async with listening() as listener:
        urls = hostile_urls(listener.port)
        fetcher = make_fetcher(connect_to={}, resolve=nothing_but_loopback)

        reasons = [await end_of(fetcher, url) for url in urls]

        assert len(urls) >= 400
        assert set(reasons) <= WORDS
        assert listener.connections == 0


async def test_no_redirect_leads_to_a_private_address(server: Loopback, make_fetcher: FetcherFactory) -> None:
    async with listening() as listener:
        urls = hostile_urls(listener.port)

        async def astray(exchange: Exchange) -> None:
            target = urls[int(exchange.path.removeprefix("/to/"))].replace("\n", "").encode()
            await exchange.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ", target, b"\r\n\r\n")

        for number in range(len(urls)):
            server.on(f"/to/{number}", astray)
        routes = {"news.example:80": f"127.0.0.1:{server.port}"}
        fetcher = make_fetcher(connect_to=routes, resolve=nothing_but_loopback)

        ends = [await end_of(fetcher, f"http://news.example/to/{number}") for number in range(len(urls))]

        assert listener.connections == 0
        assert all(end in WORDS or end.startswith("http://news.example/") for end in ends)
        assert sum(end in WORDS for end in ends) >= 400


async def test_no_dns_answer_leads_to_a_private_address(make_fetcher: FetcherFactory) -> None:
    async with listening() as listener:
        addresses = [ip_address(text.partition("%")[0]) for text in (*PRIVATE_V4, *PRIVATE_V6)]
        answers: dict[str, list[Address]] = {f"n{n}.example": [address] for n, address in enumerate(addresses)}
        answers["mixed.example"] = [ip_address("8.8.8.8"), ip_address("127.0.0.1")]
        answers["mixed6.example"] = [ip_address("2606:4700::1111"), ip_address("::1")]

        async def resolve(host: str, port: int) -> list[Address]:
            return answers[host]

        fetcher = make_fetcher(connect_to={}, resolve=resolve)

        reasons = [await end_of(fetcher, f"http://{host}:{listener.port}/") for host in answers]

        assert set(reasons) == {"network"}
        assert listener.connections == 0


async def test_robots_txt_cannot_be_redirected_to_a_private_address(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    async with listening() as listener:
        server.says("/robots.txt", status=302, Location=f"http://127.0.0.1:{listener.port}/robots.txt")
        fetcher = make_fetcher()

        reason = await end_of(fetcher, "http://news.example/a")

        assert reason == "network"
        assert listener.connections == 0


async def test_a_blocked_address_is_named_in_the_message(make_fetcher: FetcherFactory) -> None:
    fetcher = make_fetcher(connect_to={}, resolve=nothing_but_loopback)

    with pytest.raises(FetchBlocked, match=r"news\.example is at 127\.0\.0\.1 \(loopback\).*allow_networks"):
        await fetcher.fetch(Request(url="http://news.example/a"))


async def test_proxies_and_netrc_of_the_environment_are_not_used(
    server: Loopback, make_fetcher: FetcherFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with listening() as listener:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
        (tmp_path / "netrc").write_text("default login me password secret")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

        page = await make_fetcher().fetch(Request(url="http://news.example/a"))

        assert (page.status, listener.connections) == (200, 0)
        assert "authorization" not in server.seen[-1].headers


async def test_connect_to_allows_no_other_address(server: Loopback, make_fetcher: FetcherFactory) -> None:
    async with listening() as listener:
        fetcher = make_fetcher(connect_to={"news.example:80": f"127.0.0.1:{server.port}"}, resolve=nothing_but_loopback)

        page = await fetcher.fetch(Request(url="http://news.example/a"))
        reason = await end_of(fetcher, f"http://other.example:{listener.port}/")

        assert page.status == 200
        assert (reason, listener.connections) == ("network", 0)


async def nothing_but_loopback(host: str, port: int) -> list[Address]:
    return [ip_address("127.0.0.1")]


async def end_of(fetcher: HttpFetcher, url: str) -> str:
    """Return where a fetch ended, or the word for why it did not."""
    try:
        return (await fetcher.fetch(Request(url=url))).final_url
    except FetchError as error:
        return error.reason
