"""No leaked descriptor or permit after thousands of cancellations, no memory taken by bombs."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Exchange, Loopback, serving
from worker.errors import FetchError
from worker.fetch.client import HttpFetcher
from worker.models import Request

HERE = Path(__file__).parent


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def closed(*, but: int = 0) -> int:
    """Return how many descriptors are open, once there are no more than so many, or once no more of them close."""
    last = sys.maxsize
    while (now := descriptors()) < last and now > but:
        last = now
        for _ in range(20):
            await asyncio.sleep(0.01)
        gc.collect()
    return now


async def at_random_moments(fetcher: HttpFetcher, scheme: str, *, times: int, workers: int) -> tuple[int, int]:
    """Fetch many times from a few hosts, each fetch cancelled at a random moment; return how many were and were not."""
    chance = random.Random(11)
    cancelled = finished = 0

    async def work(number: int) -> None:
        nonlocal cancelled, finished
        for turn in range(times // workers):
            url = f"{scheme}://h{(number + turn) % 10}.example/{number}/{turn}"
            try:
                async with asyncio.timeout(chance.uniform(0.0, 0.04)):
                    await fetcher.fetch(Request(url=url))
                finished += 1
            except TimeoutError:
                cancelled += 1

    await asyncio.gather(*(work(number) for number in range(workers)))
    return cancelled, finished


async def sometimes_slow(exchange: Exchange) -> None:
    moment = len(exchange.path) % 5 * 0.002
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 400\r\n\r\n"
    await asyncio.sleep(moment)
    await exchange.send(head, b"x" * 200)
    await asyncio.sleep(moment)
    await exchange.send(b"y" * 200)


class SlowEverywhere(Loopback):
    """A server that is slow to respond to every request."""

    def _conversation(self, path: str):  # type: ignore[no-untyped-def]
        return super()._conversation(path) if path == "/robots.txt" else sometimes_slow


@pytest.mark.parametrize(("scheme", "times"), [("http", 3_000), ("https", 600)])
async def test_cancelling_thousands_of_fetches_leaks_nothing(
    make_fetcher: FetcherFactory, authority: trustme.CA, ca_file: Path, scheme: str, times: int
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(f"h{number}.example" for number in range(10))).configure_cert(context)
    async with serving(SlowEverywhere(), tls=context if scheme == "https" else None) as server:
        port = 443 if scheme == "https" else 80
        fetcher = make_fetcher(
            connect_to={f":{port}": f"127.0.0.1:{server.port}"},
            ca_file=str(ca_file) if scheme == "https" else "",
            max_connections=8,
            per_host_connections=2,
        )
        await fetcher.fetch(Request(url=f"{scheme}://h0.example/"))
        await fetcher.aclose()
        before = await closed()

        cancelled, _ = await at_random_moments(fetcher, scheme, times=times, workers=20)

        assert cancelled > times / 4
        async with asyncio.timeout(300):
            pages = await asyncio.gather(
                *(fetcher.fetch(Request(url=f"{scheme}://h{n % 10}.example/after/{n}")) for n in range(40))
            )
        assert {page.status for page in pages} == {200}
        await fetcher.aclose()
        assert await closed(but=before) <= before


BOMBS = ("gzip", "deflate", "br", "zstd", "gzip, gzip", "gzip, br", "identity")


@pytest.mark.parametrize("coding", BOMBS)
def test_a_bomb_costs_no_more_memory_than_the_limit_and_thirty_megabytes(coding: str) -> None:
    # In a process of its own: memory that was touched once cannot be measured again.
    run = subprocess.run(
        [sys.executable, "-m", "tests.integration.fetch.decompression_bomb", coding],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=HERE.parents[2],
        check=False,
    )

    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["reason"] == "size"
    assert told["grown"] <= told["limit"] + 30_000_000


async def test_a_body_just_within_the_limit_is_complete(server: Loopback, make_fetcher: FetcherFactory) -> None:
    server.says("/fits", b"x" * 1_000).says("/over", b"x" * 1_001)
    fetcher = make_fetcher(max_bytes=1_000, timeout=timedelta(seconds=60))

    page = await fetcher.fetch(Request(url="http://news.example/fits"))
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(Request(url="http://news.example/over"))

    assert len(page.body) == 1_000
    assert caught.value.reason == "size"
