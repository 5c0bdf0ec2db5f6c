"""A plain client, of the standard library alone, for looking at what the newsroom serves."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from tests.newsroom.room import Newsroom

ATOM: Final = "{http://www.w3.org/2005/Atom}"
PATIENCE_S: Final = 120.0
"""For an answer that is to come, however busy the machine is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body, which is UTF-8."""
        return self.body.decode()


class Ask(Protocol):
    """One request over an open connection; other words become header lines, `_` in them a hyphen."""

    def __call__(self, path: str, method: str = "GET", **headers: str) -> Answer: ...


@contextmanager
def connected(room: Newsroom, host: str, *, scheme: str = "https", timeout: float = PATIENCE_S) -> Iterator[Ask]:
    """Keep one connection to a host open, its certificate verified; give what asks over it, and waits so long."""
    client = http.client.HTTPConnection(host)
    client.sock = _opened(room, host, scheme=scheme)
    client.sock.settimeout(timeout)

    def ask(path: str, method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client.request(method, path, headers=named)
        response = client.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=fields, body=response.read())

    client.auto_open = 0
    try:
        yield ask
    finally:
        client.close()


def ask_once(room: Newsroom, host: str, path: str, *, scheme: str = "https", **headers: str) -> Answer:
    """Ask over a connection of its own."""
    with connected(room, host, scheme=scheme) as ask:
        return ask(path, **headers)


def get(room: Newsroom, url: str, **headers: str) -> Answer:
    """Ask for a URL, over a connection of its own."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return ask_once(room, parts.hostname or "", path or "/", scheme=parts.scheme, **headers)


def links_in(feed: Answer) -> list[str]:
    """Return the URLs in a feed of any of the three formats."""
    if "json" in feed.headers["content-type"]:
        return [item["url"] for item in json.loads(feed.body)["items"]]
    root = ET.fromstring(feed.body)
    if root.tag == "rss":
        return [link.text or "" for link in root.iterfind("channel/item/link")]
    return [link.attrib["href"] for link in root.iterfind(f"{ATOM}entry/{ATOM}link")]


def _opened(room: Newsroom, host: str, *, scheme: str) -> socket.socket:
    plain = socket.create_connection(room.address(host, scheme), timeout=PATIENCE_S)
    if scheme == "http":
        return plain
    context = ssl.create_default_context(cafile=str(room.ca_file))
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
