"""Tells from its first bytes what a body is: feed, sitemap, page, list of URLs; content types are not believed."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol, cast

from worker.charset import BYTE_ORDER_MARKS, clean, is_text
from worker.errors import SourceError

_HEAD = 65_536
_PROLOG = re.compile(r"(?:<\?.*?\?>|<!--.*?-->|<!doctype[^>\[]*(?:\[.*?\]\s*)?>|\s+)*", re.DOTALL | re.IGNORECASE)
_ELEMENT = re.compile(r"<(?:[\w.-]+:)?([a-z][\w.-]*)", re.IGNORECASE)
_KNOWN = re.compile(r"<(?:[\w.-]+:)?(rss|feed|rdf|channel|urlset|sitemapindex|opml|html|head|body)[\s>]", re.IGNORECASE)
_HTML_DOCTYPE = re.compile(r"<!doctype\s+html", re.IGNORECASE)
_URL_LINE = re.compile(r"\s*(?:#[^\n]*\n\s*)*https?://\S+\s*(?:\n|\Z)", re.IGNORECASE)
_MEDIA_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF", b"PK\x03\x04", b"RIFF", b"OggS", b"ID3", b"\x7fELF")


class ContentKind(StrEnum):
    """What a body is."""

    EMPTY = "empty"
    FEED = "feed"
    SITEMAP = "sitemap"
    OPML = "opml"
    HTML = "html"
    XML = "xml"
    JSON = "json"
    WARC = "warc"
    URLS = "urls"
    TEXT = "text"
    BINARY = "binary"


_ROOTS = {
    **dict.fromkeys(("rss", "feed", "rdf", "channel", "item", "entry"), ContentKind.FEED),
    **dict.fromkeys(("urlset", "sitemapindex"), ContentKind.SITEMAP),
    **dict.fromkeys(("html", "head", "body"), ContentKind.HTML),
    "opml": ContentKind.OPML,
}


def sniff_content(body: bytes) -> ContentKind:
    """Tell what a body is, looking at its first 64 kB."""
    head = _decode_head(body)
    binary = body.startswith(_MEDIA_MAGIC) or not is_text(head.encode("utf-8", "surrogatepass"))
    head = clean(head)
    if not (head.strip() or binary):
        return ContentKind.EMPTY
    if head.startswith("WARC/"):
        return ContentKind.WARC
    if binary:
        return ContentKind.BINARY
    if head.lstrip().startswith(("{", "[")):
        return ContentKind.JSON
    if _URL_LINE.match(head):
        return ContentKind.URLS
    return _markup(head)


def _markup(head: str) -> ContentKind:
    prolog = _PROLOG.match(head)
    start = prolog.end() if prolog else 0
    element = _ELEMENT.match(head, start)
    if element and element[1].lower() in _ROOTS:
        return _ROOTS[element[1].lower()]
    if _HTML_DOCTYPE.search(head, 0, start):
        return ContentKind.HTML
    # Warnings of the server's own scripts and stray lines stand before the root more often than one would think.
    known = _KNOWN.search(head)
    if known:
        return _ROOTS[known[1].lower()]
    if element:
        return ContentKind.XML if head.startswith("<?xml") else ContentKind.HTML
    return ContentKind.TEXT


def _decode_head(body: bytes) -> str:
    """Decode the first bytes well enough to see the markup; undecodable bytes are harmless there."""
    head = body[:_HEAD]
    if head.startswith(b"\x1f\x8b"):
        head = _gunzipped_head(head)
    for bom, encoding in BYTE_ORDER_MARKS:
        if head.startswith(bom):
            return head.decode(encoding, "ignore").lstrip("\ufeff")
    for pattern, encoding in ((b"<\x00", "utf-16-le"), (b"\x00<", "utf-16-be"), (b"\x00\x00\x00<", "utf-32-be")):
        if head.startswith(pattern):
            return head.decode(encoding, "ignore")
    if head.startswith(b"\x4c\x6f\xa7\x94"):
        return head.decode("cp037", "ignore")
    return head.decode("latin-1")


def _gunzipped_head(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _HEAD)
    except zlib.error:
        return head


# Unpacks gzip within bounds, whatever the ending or the content type says.


# The one door to what unpacks gzip and deflate: zlib-ng where there is a build of it, else Python's own zlib.


try:
    from zlib_ng import zlib_ng as _zlib
except ImportError:
    # A machine that nobody builds it for reads the same, at less than half the speed.
    import zlib as _zlib  # type: ignore[no-redef]

GZIP = zlib.MAX_WBITS | 16
ZLIB = zlib.MAX_WBITS
RAW = -zlib.MAX_WBITS

InflateError = cast("type[Exception]", _zlib.error)
"""What is to be unpacked is damaged, or nothing of the kind."""


class Decompressor(Protocol):
    """Unpacks one member (the attributes are those of `zlib.Decompress`)."""

    @property
    def eof(self) -> bool:
        """Whether the member has come to its end."""

    @property
    def unused_data(self) -> bytes:
        """What follows the member's end."""

    @property
    def unconsumed_tail(self) -> bytes:
        """What there was no remaining for."""

    def decompress(self, packed: bytes, most: int, /) -> bytes:
        """Return at most so many bytes; raises InflateError."""


def decompressor(form: int = GZIP) -> Decompressor:
    """Return an unpacker of one member of a form: `GZIP` (RFC 1952), `ZLIB` (RFC 1950) or `RAW` (RFC 1951)."""
    made: Decompressor = _zlib.decompressobj(form)
    return made


_MAGIC = b"\x1f\x8b"
CHUNK = 64 * 1024


def gunzip(body: bytes, *, limit: int) -> bytes:
    """Return a gzipped body unpacked, any other as it is; see `chunks`."""
    return b"".join(iter_gunzipped(body, limit=limit)) if body.startswith(_MAGIC) else body


def iter_gunzipped(body: bytes, *, limit: int) -> Iterator[bytes]:
    """Yield a body in pieces of at most 64 kB, unpacked if it is gzipped; what follows damage is lost.

    Raises SourceError beyond `limit` unpacked bytes.
    """
    if not body.startswith(_MAGIC):
        yield from (body[at : at + CHUNK] for at in range(0, len(body), CHUNK))
        return
    remaining = limit
    for chunk in _iter_members(body):
        remaining -= len(chunk)
        if remaining < 0:
            raise SourceError(f"it unpacks to more than {limit:,} bytes and was not read to its end")
        yield chunk


def _iter_members(body: bytes) -> Iterator[bytes]:
    """Yield the content of every member of a gzip file, in pieces."""
    while body.startswith(_MAGIC):
        member = decompressor()
        rest = body
        try:
            while rest and not member.eof:
                yield member.decompress(rest, CHUNK)
                rest = member.unconsumed_tail
        except InflateError:
            return
        body = member.unused_data
