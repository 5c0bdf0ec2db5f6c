"""Papers that never stop publishing, served on loopback by one process: for runs that last.

    python -m tests.bench.endless_site --hosts 20 --rate 2 --window 50 --touch 20 --started 1700000000

Every host has an Atom feed at /feed.xml with its newest entries. A tenth of the stories are copies of another host's, a
fiftieth of the links is gone, and every entry is touched again and again while it stands in the feed.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from tests.texts import story

_HEAD = "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """What is published when: `rate` stories a second and host, `window` entries in a feed, touched every `touch` s."""

    hosts: int
    rate: float
    window: int
    touch: float
    started: float
    until: float = float("inf")

    def host(self, number: int) -> str:
        """Return the name of a host."""
        return f"p{number % self.hosts}.example"

    def published(self, now: float) -> int:
        """Return how many stories each host has published."""
        return max(0, int((min(now, self.until) - self.started) * self.rate))

    def topic(self, host: int, story: int) -> str:
        """Return what a story is about; every tenth is what the next host published just before."""
        if story % 10 == 9:
            return f"chuyện {(host + 1) % self.hosts} {story - 1}"
        return f"chuyện {host} {story}"

    def is_gone(self, story: int) -> bool:
        """Whether the link leads nowhere."""
        return story % 50 == 7

    def topics(self, now: float) -> set[str]:
        """Return everything there is to be read about."""
        count = self.published(now)
        stories = ((host, story) for host in range(self.hosts) for story in range(count))
        return {self.topic(host, story) for host, story in stories if not self.is_gone(story)}

    def feed(self, host: int, now: float) -> bytes:
        """Return the feed of a host."""
        count = self.published(now)
        entries = "".join(self._entry(host, each, now) for each in range(max(0, count - self.window), count)[::-1])
        return f'<feed xmlns="http://www.w3.org/2005/Atom"><title>p{host}</title>{entries}</feed>'.encode()

    def _entry(self, host: int, story: int, now: float) -> str:
        published = self.started + story / self.rate
        updated = now - (now - published) % self.touch
        return (
            f"<entry><title>{self.topic(host, story)}</title><id>{story}</id>"
            f'<link href="http://{self.host(host)}/a/{story}.html"/>'
            f"<published>{_iso(published)}</published><updated>{_iso(updated)}</updated></entry>"
        )

    def page(self, host: int, number: int) -> bytes:
        """Return the page of a story."""
        topic = self.topic(host, number)
        return (
            f"<html><head><title>{topic}</title><meta property='og:title' content='{topic}'></head><body>"
            f"<header>p{host}</header><nav><a href='/'>Trang chủ</a></nav><article><h1>{topic}</h1>{story(topic)}"
            f"</article><footer>p{host}.example</footer></body></html>"
        ).encode()


class Server:
    """Answers requests for the hosts of a press."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it closes."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(self._answer(head.decode("latin-1")))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, head: str) -> bytes:
        first, *rest = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in rest if ": " in line)
        path = first.split(" ")[1]
        if path == "/requests":
            return _reply("200", "text/plain", str(self.requests).encode())
        self.requests += 1
        host = int(headers["host"].split(".")[0][1:])
        if path == "/feed.xml":
            return _reply("200", "application/atom+xml", self._press.feed(host, time.time()))
        if not path.startswith("/a/"):
            return _reply("404", "text/plain", b"nothing here")
        number = int(path[3:-5])
        if self._press.is_gone(number):
            return _reply("410", "text/html", b"<p>gone")
        tag = f'ETag: "{host}-{number}"\r\n'
        if headers.get("if-none-match") == f'"{host}-{number}"':
            return _reply("304", "text/html", b"", tag)
        return _reply("200", "text/html; charset=utf-8", self._press.page(host, number), tag)


def _reply(status: str, kind: str, body: bytes, more: str = "") -> bytes:
    more += f"Date: {format_datetime(datetime.now(UTC), usegmt=True)}\r\n"
    return _HEAD.format(status=status, kind=kind, length=len(body), more=more).encode() + body


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


async def _run(press: Press, port: int) -> None:
    server = await asyncio.start_server(Server(press).serve, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def press_of(options: argparse.Namespace) -> Press:
    """Return the press that the options describe."""
    return Press(
        hosts=options.hosts,
        rate=options.rate,
        window=options.window,
        touch=options.touch,
        started=options.started,
        until=options.until,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a command take the description of a press."""
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--touch", type=float, default=30)
    parser.add_argument("--started", type=float, default=0.0)
    parser.add_argument("--until", type=float, default=float("inf"))


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=__doc__)
    add_options(_parser)
    _parser.add_argument("--port", type=int, default=0)
    _options = _parser.parse_args()
    asyncio.run(_run(press_of(_options), _options.port))
