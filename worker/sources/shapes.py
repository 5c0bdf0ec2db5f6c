"""Tells from its first bytes what a body is: feed, sitemap, page, list of URLs; content types are not believed."""

from __future__ import annotations

import re
import zlib
from enum import StrEnum

from worker.charset import MARKS, clean, is_text

_HEAD = 65_536
_PROLOG = re.compile(r"(?:<\?.*?\?>|<!--.*?-->|<!doctype[^>\[]*(?:\[.*?\]\s*)?>|\s+)*", re.DOTALL | re.IGNORECASE)
_ELEMENT = re.compile(r"<(?:[\w.-]+:)?([a-z][\w.-]*)", re.IGNORECASE)
_KNOWN = re.compile(r"<(?:[\w.-]+:)?(rss|feed|rdf|channel|urlset|sitemapindex|opml|html|head|body)[\s>]", re.IGNORECASE)
_HTML_DOCTYPE = re.compile(r"<!doctype\s+html", re.IGNORECASE)
_URL_LINE = re.compile(r"\s*(?:#[^\n]*\n\s*)*https?://\S+\s*(?:\n|\Z)", re.IGNORECASE)
_MEDIA_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF", b"PK\x03\x04", b"RIFF", b"OggS", b"ID3", b"\x7fELF")


class Shape(StrEnum):
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
    **dict.fromkeys(("rss", "feed", "rdf", "channel", "item", "entry"), Shape.FEED),
    **dict.fromkeys(("urlset", "sitemapindex"), Shape.SITEMAP),
    **dict.fromkeys(("html", "head", "body"), Shape.HTML),
    "opml": Shape.OPML,
}


def shape_of(body: bytes) -> Shape:
    """Tell what a body is, looking at its first 64 kB."""
    head = _readable(body)
    binary = body.startswith(_MEDIA_MAGIC) or not is_text(head.encode("utf-8", "surrogatepass"))
    head = clean(head)
    if not (head.strip() or binary):
        return Shape.EMPTY
    if head.startswith("WARC/"):
        return Shape.WARC
    if binary:
        return Shape.BINARY
    if head.lstrip().startswith(("{", "[")):
        return Shape.JSON
    if _URL_LINE.match(head):
        return Shape.URLS
    return _markup(head)


def _markup(head: str) -> Shape:
    prolog = _PROLOG.match(head)
    start = prolog.end() if prolog else 0
    element = _ELEMENT.match(head, start)
    if element and element[1].lower() in _ROOTS:
        return _ROOTS[element[1].lower()]
    if _HTML_DOCTYPE.search(head, 0, start):
        return Shape.HTML
    # Warnings of the server's own scripts and stray lines stand before the root more often than one would think.
    known = _KNOWN.search(head)
    if known:
        return _ROOTS[known[1].lower()]
    if element:
        return Shape.XML if head.startswith("<?xml") else Shape.HTML
    return Shape.TEXT


def _readable(body: bytes) -> str:
    """Decode the first bytes well enough to see the markup; undecodable bytes are harmless there."""
    head = body[:_HEAD]
    if head.startswith(b"\x1f\x8b"):
        head = _gunzipped_head(head)
    for bom, encoding in MARKS:
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
