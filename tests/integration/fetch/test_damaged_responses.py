"""Responses damaged at random: a fetch ends with a page or a FetchError, and nothing else."""

from __future__ import annotations

import gzip
import random
from datetime import timedelta

import pytest

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Exchange, Loopback
from worker.errors import FetchError
from worker.models import Page, Request

ZIPPED = gzip.compress(b"<p>xin chao</p>" * 50, mtime=0)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<p>hi\r\n4\r\n</p>\r\n0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://b.example/?c=d#e\r\nSet-Cookie: a=b; path=/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: Sun, 01 Mar 2026 12:05:00 GMT\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nETag: W/"abc"\r\nLast-Modified: Sun, 01 Mar 2026 12:05:00 GMT\r\nLink: </x>\r\n\r\nbody',
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(ZIPPED), ZIPPED),
    b"HTTP/1.0 200 OK\r\n\r\nold",
)
ROUNDS = 250


def damaged(answer: bytes, chance: random.Random) -> bytes:
    """Return a response with a few bytes changed, removed, doubled or inserted."""
    text = bytearray(answer)
    for _ in range(chance.randint(0, 4)):
        place = chance.randrange(len(text))
        kind = chance.randrange(5)
        if kind == 0:
            text[place] = chance.randrange(256)
        elif kind == 1:
            del text[place : place + chance.randint(1, 9)]
        elif kind == 2:
            text[place:place] = text[max(0, place - 20) : place]
        elif kind == 3:
            text[place:place] = chance.randbytes(chance.randint(1, 9))
        else:
            text[place:place] = chance.choice(
                [b"\r\n", b"\x00", b"%", b"://[", b"xn--", b"9" * 30, "ệ".encode(), b"\xff"]
            )
        if not text:
            text += b"\n"
    return bytes(text)


@pytest.mark.parametrize("seed", [1, 2])
async def test_damaged_answers_end_as_pages_or_fetch_errors(
    server: Loopback, make_fetcher: FetcherFactory, seed: int
) -> None:
    chance = random.Random(seed)

    async def answer(exchange: Exchange) -> None:
        await exchange.send(damaged(chance.choice(ANSWERS), chance))
        exchange.writer.close()

    for number in range(ROUNDS):
        server.on(f"/{number}", answer)
    quick = timedelta(seconds=5)
    fetcher = make_fetcher(obey_robots=False, timeout=quick, deadline=quick, max_bytes=10_000)
    ends: list[Page | FetchError] = []

    for number in range(ROUNDS):
        try:
            ends.append(await fetcher.fetch(Request(url=f"http://h{number}.example/{number}")))
        except FetchError as error:
            ends.append(error)

    pages = [end for end in ends if isinstance(end, Page)]
    reasons = {end.reason for end in ends if isinstance(end, FetchError)}
    assert len(pages) > ROUNDS / 10
    assert {"http", "protocol"} <= reasons
