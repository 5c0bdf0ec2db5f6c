"""How fast the fetcher is with every guard on, beside one bare shared `httpx.AsyncClient` on the same server.

64 hosts on loopback (127.0.0.1 to 127.0.0.64), pacing off, one connection a host, a page of 20 kB, gzipped;
plain HTTP and TLS. Rounds alternate; the medians are compared. Run: python -m tests.bench.bench_fetch [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import ipaddress
import json
import multiprocessing
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import trustme

from worker.clock import SystemClock
from worker.config.schema import FetchSettings
from worker.fetch.client import HttpFetcher, InMemoryHostStore
from worker.models import Request
from worker.storage.store import StoreExecutor

HOSTS = [f"127.0.0.{number}" for number in range(1, 65)]
PAGES_A_HOST = 15
ROUNDS = 3
TARGET = 0.6

PAGE = gzip.compress(b"<p>" + b"".join(f"Paragraph {n} of the page. ".encode() for n in range(700)) + b"</p>")
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Encoding: gzip\r\n"
    b'ETag: "v1"\r\nContent-Length: %d\r\n\r\n' % len(PAGE)
) + PAGE
NO_ROBOTS = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

Fetch = Callable[[str], Awaitable[int]]


class Server(asyncio.Protocol):
    """Answers every request with the same page."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            self._transport.write(NO_ROBOTS if head.startswith(b"GET /robots.txt") else ANSWER)


def serve(pipe: Connection, certificate: str) -> None:
    """Serve in a process of its own until the pipe says stop."""

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        ports = []
        for tls in (None, context):
            server = await asyncio.get_running_loop().create_server(Server, HOSTS, 0, ssl=tls)
            ports.append({sock.getsockname()[0]: sock.getsockname()[1] for sock in server.sockets})
        pipe.send(ports)
        await asyncio.to_thread(pipe.recv)

    asyncio.run(main())


async def drive(fetch: Fetch, bases: list[str]) -> float:
    """Fetch every page, one worker a host; return pages a second."""

    async def work(base: str) -> None:
        for number in range(PAGES_A_HOST):
            size = await fetch(f"{base}/page/{number}")
            assert size > len(PAGE)

    started = time.perf_counter()
    await asyncio.gather(*map(work, bases))
    return len(bases) * PAGES_A_HOST / (time.perf_counter() - started)


async def round_of_ours(bases: list[str], ca_file: str) -> float:
    """Measure the fetcher."""
    settings = FetchSettings(
        per_host_delay=timedelta(0),
        max_connections=len(HOSTS),
        allow_networks=("127.0.0.0/8",),
        ca_file=ca_file,
    )
    with StoreExecutor(count=1) as offload:
        fetcher = HttpFetcher(
            settings, clock=SystemClock(), hosts=InMemoryHostStore(), offload=offload, read_tdmrep=False
        )

        async def fetch(url: str) -> int:
            return len((await fetcher.fetch(Request(url=url))).body)

        speed = await drive(fetch, bases)
        await fetcher.aclose()
    return speed


async def round_of_bare(bases: list[str], ca_file: str) -> float:
    """Measure one shared client with nothing around it."""
    limits = httpx.Limits(max_connections=len(HOSTS), max_keepalive_connections=len(HOSTS))
    context = ssl.create_default_context(cafile=ca_file)
    async with httpx.AsyncClient(limits=limits, verify=context, trust_env=False) as client:

        async def fetch(url: str) -> int:
            return len((await client.get(url)).content)

        return await drive(fetch, bases)


def measure(bases: list[str], ca_file: str) -> dict[str, float]:
    """Alternate rounds; return the medians and their ratio."""
    ours, bare = [], []
    for _ in range(ROUNDS):
        bare.append(asyncio.run(round_of_bare(bases, ca_file)))
        ours.append(asyncio.run(round_of_ours(bases, ca_file)))
    pages, bare_pages = statistics.median(ours), statistics.median(bare)
    return {"pages_per_s": round(pages, 1), "bare_per_s": round(bare_pages, 1), "ratio": round(pages / bare_pages, 2)}


def certificates(folder: Path) -> tuple[str, str]:
    """Make a certificate for all hosts; return the server's file and the authority's."""
    authority = trustme.CA()
    leaf = authority.issue_cert(*(str(ipaddress.ip_address(host)) for host in HOSTS))
    chain, ca_file = folder / "server.pem", folder / "ca.pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(chain)
    authority.cert_pem.write_to_path(ca_file)
    return str(chain), str(ca_file)


def run() -> dict[str, dict[str, float]]:
    """Start the server, measure, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        chain, ca_file = certificates(Path(folder))
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, chain), daemon=True)
        process.start()
        plain, tls = ours.recv()
        results = {
            "http": measure([f"http://{host}:{port}" for host, port in plain.items()], ca_file),
            "https": measure([f"https://{host}:{port}" for host, port in tls.items()], ca_file),
        }
        ours.send("stop")
        process.join(10)
        return results


def main() -> int:
    """Print the figures; exit 1 below the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args()
    results = run()
    if asked.json:
        sys.stdout.write(json.dumps(results) + "\n")
    else:
        for scheme, told in results.items():
            line = f"{scheme:5}  {told['pages_per_s']:8.1f} pages/s  bare httpx {told['bare_per_s']:8.1f} pages/s"
            sys.stdout.write(f"{line}  ratio {told['ratio']:.2f}\n")
    return 0 if all(told["ratio"] >= TARGET for told in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
