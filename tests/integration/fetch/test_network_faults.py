"""Every way a server may misbehave: the fetch ends in time with the right reason, and the next fetch works."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Conversation, Exchange, Loopback, serving
from worker.errors import FetchError
from worker.fetch.http.ssrf import Address, Resolver
from worker.models import Request

TIMEOUT = timedelta(seconds=1)
DEADLINE = timedelta(seconds=2.5)
LONG = timedelta(minutes=2)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


async def drip_body(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Content-Length: 100000\r\n\r\n")
    while True:
        await exchange.send(b"x")
        await asyncio.sleep(0.02)


async def drip_headers(exchange: Exchange) -> None:
    await exchange.send(HEAD)
    while True:
        await exchange.send(b"X-More: 1\r\n")
        await asyncio.sleep(0.02)


async def no_answer(exchange: Exchange) -> None:
    await exchange.reader.read()


async def silence_after_headers(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Content-Length: 10\r\n\r\n")
    await exchange.reader.read()


async def half_a_body(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Content-Length: 100\r\n\r\n", b"x" * 50)
    exchange.writer.close()


async def half_a_chunk(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"64\r\n" + b"x" * 50)
    exchange.writer.close()


async def half_a_gzip(exchange: Exchange) -> None:
    await exchange.reply(gzip.compress(b"hello" * 1_000, mtime=0)[:-20], Content_Encoding="gzip")


async def reset_in_the_body(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Content-Length: 100\r\n\r\n", b"x" * 50)
    await asyncio.sleep(0.02)
    exchange.reset()


async def hang_up(exchange: Exchange) -> None:
    exchange.writer.close()


async def many_headers(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"".join(b"X-%d: y\r\n" % number for number in range(100_000)), b"\r\n")


async def endless_header(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"X: ")
    while True:
        await exchange.send(b"y" * 65_536)


async def endless_interim_answers(exchange: Exchange) -> None:
    while True:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100)


async def broken_chunks(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"ZZZ\r\nhello\r\n")


async def null_in_a_header(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"X-Null: a\x00b\r\nContent-Length: 2\r\n\r\n", b"ok")


async def two_lengths(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", b"okk")


async def no_http(exchange: Exchange) -> None:
    await exchange.send(b"220 mail.example ESMTP\r\n\r\n")
    exchange.writer.close()


async def unknown_coding(exchange: Exchange) -> None:
    await exchange.reply(b"whatever", Content_Encoding="compress")


async def many_codings(exchange: Exchange) -> None:
    await exchange.reply(b"whatever", Content_Encoding=", ".join(["gzip"] * 2_000))


async def false_coding(exchange: Exchange) -> None:
    await exchange.reply(b"this is no gzip", Content_Encoding="gzip")


async def announced_too_large(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Content-Length: 999999999999999\r\n\r\n")
    await exchange.reader.read()


async def endless_body(exchange: Exchange) -> None:
    await exchange.send(HEAD, b"Connection: close\r\n\r\n")
    while True:
        await exchange.send(b"x" * 65_536)


async def circular_redirect(exchange: Exchange) -> None:
    await exchange.reply(status=302, Location="/a")


FAULTS: list[tuple[Conversation, str]] = [
    (drip_body, "timeout"),
    (drip_headers, "timeout"),
    (no_answer, "timeout"),
    (silence_after_headers, "timeout"),
    (half_a_body, "truncated"),
    (half_a_chunk, "truncated"),
    (half_a_gzip, "truncated"),
    (reset_in_the_body, "reset"),
    (hang_up, "reset"),
    (many_headers, "protocol"),
    (endless_header, "protocol"),
    (endless_interim_answers, "timeout"),
    (broken_chunks, "protocol"),
    (null_in_a_header, "protocol"),
    (two_lengths, "protocol"),
    (no_http, "protocol"),
    (unknown_coding, "encoding"),
    (many_codings, "encoding"),
    (false_coding, "encoding"),
    (announced_too_large, "size"),
    (endless_body, "size"),
    (circular_redirect, "redirects"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
async def test_a_fault_ends_in_time_with_its_reason_and_the_next_fetch_works(
    server: Loopback, make_fetcher: FetcherFactory, fault: Conversation, reason: str
) -> None:
    server.on("/a", fault)
    timeout, deadline = (TIMEOUT, DEADLINE) if reason == "timeout" else (LONG, LONG)
    fetcher = make_fetcher(timeout=timeout, deadline=deadline, max_bytes=1_000_000)

    with pytest.raises(FetchError) as caught:
        async with asyncio.timeout(LONG.total_seconds()):
            await fetcher.fetch(Request(url="http://news.example/a"))

    assert caught.value.reason == reason
    after = await fetcher.fetch(Request(url="http://news.example/b"))
    assert after.body == b"<p>hello</p>"


async def test_a_body_longer_than_announced_does_not_affect_the_next_response(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    async def talkative(exchange: Exchange) -> None:
        await exchange.send(HEAD, b"Content-Length: 2\r\n\r\n", b"ok and more", HEAD)

    server.on("/a", talkative)
    fetcher = make_fetcher()

    first = await fetcher.fetch(Request(url="http://news.example/a"))
    second = await fetcher.fetch(Request(url="http://news.example/b"))

    assert (first.body, second.body) == (b"ok", b"<p>hello</p>")


async def test_an_invalid_charset_is_no_fetch_error(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/a", b"\xff\xfe\xfd", Content_Type="text/html; charset=\x80\x81zlib")

    page = await make_fetcher().fetch(Request(url="http://news.example/a"))

    assert page.body == b"\xff\xfe\xfd"


async def test_an_idle_connection_that_the_server_closed_is_replaced(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    async def once(exchange: Exchange) -> None:
        await exchange.reply(b"once")
        exchange.writer.close()

    server.on("/a", once)
    fetcher = make_fetcher()

    bodies = [(await fetcher.fetch(Request(url="http://news.example/a"))).body for _ in range(5)]

    assert bodies == [b"once"] * 5


async def test_a_port_nobody_listens_on_is_a_connection_error(make_fetcher: FetcherFactory) -> None:
    fetcher = make_fetcher(connect_to={":80": "127.0.0.1:1"})

    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(Request(url="http://news.example/a"))

    assert (caught.value.reason, caught.value.retry) == ("connect", True)
    assert "127.0.0.1 port 1" in str(caught.value)


async def test_name_servers_that_hang_do_not_block_other_hosts(make_fetcher: FetcherFactory) -> None:
    release = threading.Event()

    def hang(host: str, port: int) -> list[Address]:
        release.wait()
        return []

    fetcher = make_fetcher(
        timeout=TIMEOUT, deadline=DEADLINE, resolve=Resolver(hang), connect_to={"good.example:80": "127.0.0.1:1"}
    )

    hung = await asyncio.gather(
        *(fetcher.fetch(Request(url=f"http://{number}.example/")) for number in range(20)), return_exceptions=True
    )
    other = await asyncio.gather(fetcher.fetch(Request(url="http://good.example/")), return_exceptions=True)

    release.set()
    assert {getattr(error, "reason", error) for error in hung} == {"dns"}
    assert getattr(other[0], "reason", other) == "connect"


async def test_a_name_that_does_not_exist_is_a_dns_error(make_fetcher: FetcherFactory) -> None:
    def missing(host: str, port: int) -> list[Address]:
        raise OSError("no such name")

    fetcher = make_fetcher(resolve=Resolver(missing), connect_to={})

    with pytest.raises(FetchError, match=r"news\.example cannot be resolved") as caught:
        await fetcher.fetch(Request(url="http://news.example/a"))

    assert (caught.value.reason, caught.value.retry) == ("dns", True)


def context_for(authority: trustme.CA, name: str, *, expired: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expiry = datetime(2001, 1, 1, tzinfo=UTC) if expired else None
    authority.issue_cert(name, not_after=expiry).configure_cert(context)
    return context


@pytest.fixture
async def secure(authority: trustme.CA, request: pytest.FixtureRequest) -> AsyncIterator[Loopback]:
    """Serve TLS with the certificate that the test asks for."""
    name, expired = getattr(request, "param", ("news.example", False))
    async with serving(Loopback(), tls=context_for(authority, name, expired=expired)) as loopback:
        yield loopback


async def test_tls_is_checked_against_the_name_while_connecting_elsewhere(
    secure: Loopback, make_fetcher: FetcherFactory, ca_file: Path
) -> None:
    fetcher = make_fetcher(connect_to={"news.example:443": f"127.0.0.1:{secure.port}"}, ca_file=str(ca_file))

    pages = [await fetcher.fetch(Request(url="https://news.example/a")) for _ in range(3)]

    assert [page.body for page in pages] == [b"<p>hello</p>"] * 3
    assert secure.connections == 1


@pytest.mark.parametrize(
    ("secure", "trusted", "words"),
    [
        (("other.example", False), True, "Hostname mismatch"),
        (("news.example", True), True, "expired"),
        (("news.example", False), False, "unable to get local issuer certificate"),
    ],
    indirect=["secure"],
)
async def test_an_invalid_certificate_is_refused(
    secure: Loopback, make_fetcher: FetcherFactory, ca_file: Path, trusted: bool, words: str
) -> None:
    fetcher = make_fetcher(
        connect_to={"news.example:443": f"127.0.0.1:{secure.port}"}, ca_file=str(ca_file) if trusted else ""
    )

    with pytest.raises(FetchError, match=words) as caught:
        await fetcher.fetch(Request(url="https://news.example/a"))

    assert (caught.value.reason, caught.value.retry) == ("tls", True)
    assert secure.seen == []


async def test_a_server_without_tls_behind_an_https_url_is_a_tls_error(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    fetcher = make_fetcher(connect_to={":443": f"127.0.0.1:{port}"})

    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(Request(url="https://news.example/a"))

    listener.close()
    assert caught.value.reason == "tls"


async def test_bytes_before_the_handshake_are_never_a_response(make_fetcher: FetcherFactory) -> None:
    async def injects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 3\r\n\r\nbad")
        await reader.read(1)
        writer.close()

    listener = await asyncio.start_server(injects, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    fetcher = make_fetcher(connect_to={":443": f"127.0.0.1:{port}"}, timeout=TIMEOUT, deadline=DEADLINE)

    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(Request(url="https://news.example/a"))

    listener.close()
    assert caught.value.reason in {"tls", "connect", "reset"}
