"""Identify and decompress the body of a response or file.

`sniff_content` returns what a body is (feed, sitemap, HTML, URL list …) by its first bytes. Content types are ignored
because servers send wrong ones. `gunzip` and `iter_gunzipped` decompress within a size limit. `decompressor` wraps the
zlib implementation; all code that inflates gzip or deflate uses it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol, cast

from worker.charset import BYTE_ORDER_MARKS, clean, is_text, unmarked_codec
from worker.errors import SourceError

# Bytes that are looked at: enough for long comments and document types before the root element. Chosen, not measured.
_HEAD = 65_536
_PROLOG = re.compile(r"(?:<\?.*?\?>|<!--.*?-->|<!doctype[^>\[]*(?:\[.*?\]\s*)?>|\s+)*", re.DOTALL | re.IGNORECASE)
_ELEMENT = re.compile(r"<(?:[\w.-]+:)?([a-z][\w.-]*)", re.IGNORECASE)
_KNOWN = re.compile(r"<(?:[\w.-]+:)?(rss|feed|rdf|channel|urlset|sitemapindex|opml|html|head|body)[\s>]", re.IGNORECASE)
_HTML_DOCTYPE = re.compile(r"<!doctype\s+html", re.IGNORECASE)
_URL_LINE = re.compile(r"\s*(?:#[^\n]*\n\s*)*https?://\S+\s*(?:\n|\Z)", re.IGNORECASE)
# File signatures of images, PDF, ZIP, audio, video and programs.
_MEDIA_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF", b"PK\x03\x04", b"RIFF", b"OggS", b"ID3", b"\x7fELF")


class ContentKind(StrEnum):
    """What a body is. The values are words that messages show."""

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
    """Return what a body is, by its first 64 kB; a gzipped body is identified by its content."""
    head = _decode_head(body)
    # One byte for each character, else letters beyond ASCII would count twice and compressed data pass for text.
    binary = body.startswith(_MEDIA_MAGIC) or not is_text(head.encode("latin-1", "replace"))
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
    """Return the kind of a text that may be markup, by its root element."""
    prolog = _PROLOG.match(head)
    start = prolog.end() if prolog else 0
    element = _ELEMENT.match(head, start)
    if element and element[1].lower() in _ROOTS:
        return _ROOTS[element[1].lower()]
    if _HTML_DOCTYPE.search(head, 0, start):
        return ContentKind.HTML
    # Server-side scripts often print warnings or stray lines before the root element.
    known = _KNOWN.search(head)
    if known:
        return _ROOTS[known[1].lower()]
    if element:
        return ContentKind.XML if head.startswith("<?xml") else ContentKind.HTML
    return ContentKind.TEXT


def _decode_head(body: bytes) -> str:
    """Decode the first bytes well enough to see the markup: by byte order mark, else by the pattern of null bytes."""
    head = body[:_HEAD]
    if head.startswith(b"\x1f\x8b"):
        head = _gunzipped_head(head)
    for bom, encoding in BYTE_ORDER_MARKS:
        if head.startswith(bom):
            return head.decode(encoding, "ignore").lstrip("\ufeff")
    if codec := unmarked_codec(head):
        return head.decode(codec, "ignore")
    if head.startswith(b"\x4c\x6f\xa7\x94"):  # `<?xm` in EBCDIC
        return head.decode("cp037", "ignore")
    return head.decode("latin-1")


def _gunzipped_head(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _HEAD)
    except zlib.error:
        return head


# Decompression. zlib-ng is used where its package is installed: it inflates more than twice as fast as Python's zlib
# (docs/discovery.md), with the same result. `window bits` in the constants select the format, see `zlib.decompressobj`.

try:
    from zlib_ng import zlib_ng as _zlib
except ImportError:
    import zlib as _zlib  # type: ignore[no-redef]

GZIP = zlib.MAX_WBITS | 16  # RFC 1952
ZLIB = zlib.MAX_WBITS  # RFC 1950
RAW = -zlib.MAX_WBITS  # RFC 1951, without header and checksum

InflateError = cast("type[Exception]", _zlib.error)
"""Raised for damaged compressed data, and for data in another format."""


class Decompressor(Protocol):
    """Inflates one member; the same interface as `zlib.Decompress`."""

    @property
    def eof(self) -> bool:
        """Whether the end of the member was reached."""

    @property
    def unused_data(self) -> bytes:
        """The input after the end of the member."""

    @property
    def unconsumed_tail(self) -> bytes:
        """The input that was not used because the output limit was reached."""

    def decompress(self, packed: bytes, max_length: int, /) -> bytes:
        """Return at most `max_length` inflated bytes; raises InflateError."""


def decompressor(form: int = GZIP) -> Decompressor:
    """Return a decompressor of one member in the format `GZIP`, `ZLIB` or `RAW`."""
    made: Decompressor = _zlib.decompressobj(form)
    return made


_MAGIC = b"\x1f\x8b"
# Bytes a piece: small beside a document, large beside the cost of a call. Chosen, not measured.
CHUNK = 64 * 1024


def gunzip(body: bytes, *, limit: int) -> bytes:
    """Return a body, inflated if it is gzipped; see `iter_gunzipped`."""
    return b"".join(iter_gunzipped(body, limit=limit)) if body.startswith(_MAGIC) else body


def iter_gunzipped(body: bytes, *, limit: int) -> Iterator[bytes]:
    """Yield a body in pieces of at most 64 kB, inflated if it is gzipped (by its first bytes, not by name or type).

    A damaged gzip body ends at the damage. Raises SourceError when it inflates to more than `limit` bytes.
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
    """Yield the inflated content of every member of a gzip file, in pieces."""
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
