"""What a page answers: a status, headers, a body, and the manner in which all that goes over the wire."""

import gzip
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from threading import Lock
from typing import Protocol

from tests.newsroom.journal import Request


class Wire(Protocol):
    """The connection a reply is written to."""

    def write(self, data: bytes) -> None:
        """Send all of `data`; raise OSError once the client has gone or the newsroom closes."""

    def pause(self, wait: timedelta) -> None:
        """Wait; raise OSError at once if the client goes or the newsroom closes meanwhile."""

    def reset(self) -> None:
        """End the connection at once with a TCP reset, by raising OSError."""


class Delivery(Protocol):
    """A manner of sending a reply; says whether the connection can be used for another request."""

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The ordinary manner: the length is announced and the body follows."""

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        wire.write(head_of(reply, length=len(reply.body)) + body)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunked:
    """The body comes in chunks of `size` bytes, without its length being announced."""

    size: int = 4096

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        wire.write(head_of(reply, extra=(("Transfer-Encoding", "chunked"),)))
        for start in range(0, len(body), self.size):
            wire.write(chunk_of(body[start : start + self.size]))
        if body or not reply.body:
            wire.write(chunk_of(b""))
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """`step` bytes come every `every`; with `head`, the header lines drip as well."""

    every: timedelta
    step: int = 1
    head: bool = False

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        head = head_of(reply, length=len(reply.body))
        if not self.head:
            wire.write(head)
        dripping = head + body if self.head else body
        for start in range(0, len(dripping), self.step):
            wire.pause(self.every)
            wire.write(dripping[start : start + self.step])
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The connection is reset after `after` bytes of the body, or before anything is said."""

    after: int | None = None

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        if self.after is not None:
            wire.write(head_of(reply, length=max(len(reply.body), self.after + 1)) + body[: self.after])
            # What stands in the send buffer when a reset goes out is lost: let it reach the client first.
            wire.pause(timedelta(milliseconds=50))
        wire.reset()
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endless:
    """The body is sent over and over, until the client has had enough."""

    every: timedelta = timedelta(0)

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        wire.write(head_of(reply, extra=(("Transfer-Encoding", "chunked"),)))
        while body:
            wire.write(chunk_of(body))
            wire.pause(self.every)
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongLength:
    """The announced length is not that of the body; the connection is closed after it."""

    announced: int

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        wire.write(head_of(reply, length=self.announced) + body)
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unannounced:
    """No length is announced: the body ends where the connection does, as in HTTP/1.0."""

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        wire.write(head_of(reply, extra=(("Connection", "close"),)) + body)
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """The request is taken and never answered."""

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        while True:
            wire.pause(timedelta(hours=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbatim:
    """The body is all that is sent, header lines included: for what is no HTTP at all."""

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        wire.write(reply.body)
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Wait, then send in another manner."""

    wait: timedelta
    then: Delivery = Whole()

    def send(self, wire: Wire, reply: "Reply", *, body: bytes) -> bool:
        wire.pause(self.wait)
        return self.then.send(wire, reply, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `compress`: gzip it for a client that accepts gzip."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    etag: str = ""
    last_modified: datetime | None = None
    compress: bool = False
    delivery: Delivery = Whole()


Page = Reply | Callable[[Request], Reply]
"""What a path gives: always the same reply, or one worked out for each request."""


class InTurn:
    """A page that gives one reply after another; the last one stays."""

    def __init__(self, first: Reply, *more: Reply) -> None:
        self._replies = itertools.chain((first, *more), itertools.repeat(more[-1] if more else first))
        self._lock = Lock()

    def __call__(self, _request: Request) -> Reply:
        with self._lock:
            return next(self._replies)


def html(text: str, *, status: int = 200, delivery: Delivery | None = None) -> Reply:
    """Return a page of HTML in UTF-8."""
    return Reply(status=status, body=text.encode(), delivery=delivery or Whole())


def plain(text: str, *, status: int = 200) -> Reply:
    """Return a page of plain text in UTF-8: a robots.txt, an error."""
    return Reply(status=status, body=text.encode(), content_type="text/plain; charset=utf-8")


def redirect(location: str, *, status: int = 301) -> Reply:
    """Return a redirect."""
    return Reply(status=status, headers=(("Location", location),))


def gzipped(reply: Reply, *, keep: float = 1.0) -> Reply:
    """Return the reply gzipped whatever the client accepts; `keep` below 1 cuts the stream short."""
    packed = gzip.compress(reply.body, mtime=0)
    return replace(
        reply,
        body=packed[: int(len(packed) * keep)],
        headers=(*reply.headers, ("Content-Encoding", "gzip")),
        compress=False,
    )


def validated(reply: Reply, *, changed: datetime) -> Reply:
    """Return the reply with an ETag made of its body, and a Last-Modified."""
    return replace(reply, etag=f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"', last_modified=changed)


def answer(page: Page, request: Request) -> Reply:
    """Return what the page says to the request: 304 where nothing changed (RFC 9110, 13.2.2), gzip where accepted."""
    reply = page if isinstance(page, Reply) else page(request)
    if _unchanged(reply, request):
        return replace(reply, status=304, body=b"", compress=False, delivery=Whole())
    if reply.compress and "gzip" in request.headers.get("accept-encoding", ""):
        return gzipped(reply)
    return reply


def head_of(reply: Reply, *, length: int | None = None, extra: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Return the status line and the header lines, up to the empty line."""
    lines = [
        f"HTTP/1.1 {reply.status} {_reason(reply.status)}",
        f"Date: {format_datetime(datetime.now(UTC), usegmt=True)}",
    ]
    lines += [f"{name}: {value}" for name, value in (*_fields(reply, length), *reply.headers, *extra)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk_of(data: bytes) -> bytes:
    """Return one chunk of a chunked body; the empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _fields(reply: Reply, length: int | None) -> list[tuple[str, str]]:
    fields = []
    if reply.status != 304:
        fields.append(("Content-Type", reply.content_type))
    if length is not None and reply.status not in {204, 304}:
        fields.append(("Content-Length", str(length)))
    if reply.etag:
        fields.append(("ETag", reply.etag))
    if reply.last_modified:
        fields.append(("Last-Modified", format_datetime(reply.last_modified.astimezone(UTC), usegmt=True)))
    return fields


def _unchanged(reply: Reply, request: Request) -> bool:
    if reply.status != 200 or request.method not in {"GET", "HEAD"}:
        return False
    known = request.headers.get("if-none-match")
    if known is not None:
        return bool(reply.etag) and reply.etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}
    since = request.headers.get("if-modified-since")
    if not since or not reply.last_modified:
        return False
    return reply.last_modified.replace(microsecond=0) <= _http_date(since)


def _http_date(text: str) -> datetime:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
