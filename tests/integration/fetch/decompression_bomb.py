"""Fetches a bomb of one gibibyte and prints the peak memory; run as a program by the endurance tests."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import zstandard

from tests.integration.fetch.loopback import Exchange, Loopback, serving
from tests.unit.fetch.fakes import inline
from worker.clock import SystemClock
from worker.config.schema import FetchSettings
from worker.errors import FetchError
from worker.fetch.client import HttpFetcher, InMemoryHostStore
from worker.models import Request

LIMIT = 10_000_000
PIECES = 1_024
PIECE = bytes(1 << 20)


def squeezed(compress: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> bytes:
    return b"".join([*(compress(PIECE) for _ in range(PIECES)), finish()])


def deflated() -> bytes:
    """Return a gibibyte of zeros as raw deflate: independent blocks, so that one can be repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(PIECE) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * PIECES


def gzipped() -> bytes:
    return gzip.compress(b"", mtime=0)[:10] + deflated()


MAKERS: dict[str, Callable[[], bytes]] = {
    "gzip": gzipped,
    "deflate": deflated,
    "gzip, gzip": lambda: gzip.compress(gzipped(), mtime=0),
    "gzip, br": lambda: bytes(brotli.compress(gzipped(), quality=5)),
    "br": lambda: squeezed((packer := brotli.Compressor(quality=5)).process, packer.finish),
    "zstd": lambda: squeezed((packer := zstandard.ZstdCompressor(level=1).compressobj()).compress, packer.flush),
    "identity": bytes,
}


def peak() -> int:
    """Return the peak memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmHWM"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def main(coding: str) -> None:
    body = MAKERS[coding]()  # nothing: the body is endless instead

    async def explode(exchange: Exchange) -> None:
        if body:
            await exchange.reply(body, Content_Encoding=coding)
        while not body:
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PIECE)

    async with serving(Loopback().on("/bomb", explode)) as server:
        settings = FetchSettings.model_construct(
            per_host_delay=timedelta(0), max_bytes=LIMIT, connect_to={":80": f"127.0.0.1:{server.port}"}
        )
        fetcher = HttpFetcher(
            settings, clock=SystemClock(), hosts=InMemoryHostStore(), offload=inline, read_tdmrep=False
        )
        await fetcher.fetch(Request(url="http://news.example/warm"))
        forget_peak()
        before = peak()
        reason = ""
        try:
            await fetcher.fetch(Request(url="http://news.example/bomb"))
        except FetchError as error:
            reason = error.reason
        sys.stdout.write(json.dumps({"reason": reason, "grown": peak() - before, "limit": LIMIT}))
        await fetcher.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
