"""Generated pages that cost an extractor a minute, a gigabyte or its process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

ARTICLE = "<p>Hội nghị sáng nay tại Hà Nội bàn về giá gạo và việc làm ở nông thôn, theo ban tổ chức.</p>"
MEGA = 1_000_000


def _page(body: str, head: str = "") -> bytes:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode("utf-8", "surrogatepass")


def _table(rows: int, columns: int) -> bytes:
    return _page("<table>" + ("<tr>" + "<td>ô</td>" * columns + "</tr>") * rows + "</table>")


def _ld(text: str) -> bytes:
    return _page(ARTICLE, f'<script type="application/ld+json">{text}</script>')


def _nested(tag: str, depth: int) -> bytes:
    return _page(f"<{tag}>" * depth + ARTICLE + f"</{tag}>" * depth)


def _structure(n: Callable[[int], int]) -> Iterator[tuple[str, bytes]]:
    for tag in ("div", "span", "b", "font", "table", "ul", "blockquote", "x-y"):
        yield f"nested {tag}", _nested(tag, n(20_000))
    yield "nested tables", _page("<table><tr><td>" * n(5_000) + "x" + "</td></tr></table>" * n(5_000))
    yield "nested lists", _page("<ul><li>" * n(5_000) + "x")
    yield "rows", _table(n(40_000), 3)
    yield "cells", _table(n(400), 500)
    yield "breaks", _page("<br>" * n(300_000))
    yield "empty paragraphs", _page("<p>" * n(300_000))
    yield "paragraphs", _page(ARTICLE * n(20_000))
    yield "links", _page('<a href="/x">liên kết dài dài</a>' * n(60_000))
    yield "links in divs", _page('<div><a href="/x">liên kết khá là dài dòng</a></div>' * n(40_000))
    yield "images", _page('<img src="/x.jpg">' * n(100_000))
    yield "a million tags", _page("<i></i>" * n(500_000))
    yield "unclosed anchors", _page("<a href=/x>liên kết " * n(50_000))
    yield "unclosed bold", _page("<b>chữ " * n(50_000))
    yield "headings", _page("<h1>tựa</h1>" * n(40_000))
    yield "time elements", _page('<time datetime="2026-01-01">x</time>' * n(40_000))
    yield "metas", _page(ARTICLE, '<meta name="a" content="b">' * n(60_000))
    yield "forms", _page("<form>" * n(20_000) + ARTICLE)
    yield "comments", _page("<!-- x -->" * n(100_000) + ARTICLE)
    yield "open comments", _page("<!-- " * n(200_000) + ARTICLE)
    yield "scripts", _page("<script>x</script>" * n(100_000) + ARTICLE)
    yield "open scripts", _page("<script>" * n(200_000) + ARTICLE)
    yield "frames", b"<frameset>" * n(50_000)


def _attributes(n: Callable[[int], int]) -> Iterator[tuple[str, bytes]]:
    yield "many attributes", _page("<div " + " ".join(f"a{i}=1" for i in range(n(100_000))) + ">" + ARTICLE)
    yield "one long attribute", _page(f'<div title="{"x" * n(8 * MEGA)}">' + ARTICLE)
    yield "one long class", _page(f'<div class="{"a " * n(4 * MEGA)}">' + ARTICLE)
    yield "base64", _page(f'<img src="data:image/png;base64,{"A" * n(8 * MEGA)}">' + ARTICLE)
    yield "unquoted", _page("<a href=" + "x" * n(4 * MEGA) + ">" + ARTICLE)
    yield "unclosed quote", _page('<a href="' + "x" * n(4 * MEGA))
    yield "long tag name", _page("<" + "x" * n(4 * MEGA) + ">" + ARTICLE)
    yield "long title", _page(ARTICLE, "<title>" + "tựa " * n(MEGA) + "</title>")
    yield "long address", _page(ARTICLE, f'<link rel="canonical" href="https://bao.example/{"x" * n(MEGA)}">')
    yield "separators", _page(ARTICLE, "<title>" + "a | " * n(100_000) + "</title>")
    yield "long date", _page(ARTICLE, f'<meta name="pubdate" content="{"1" * n(MEGA)}">')
    yield "dates", _page("<p>" + "31/12/2024 " * n(100_000) + "</p>")


def _json(n: Callable[[int], int]) -> Iterator[tuple[str, bytes]]:
    yield "deep JSON arrays", _ld("[" * MEGA)
    yield "deep JSON objects", _ld('{"@graph":' * n(100_000))
    yield "long JSON", _ld(json.dumps({"@type": "NewsArticle", "articleBody": "chữ " * n(2 * MEGA)}))
    yield "many things", _ld(json.dumps([{"@type": "NewsArticle", "headline": "x"}] * n(100_000)))
    yield "broken JSON", _ld('{"headline": "' * n(200_000))
    yield "broken strings", _ld('"headline":"\\' * n(200_000))
    yield "many blocks", _page(ARTICLE, '<script type="application/ld+json">{"a":1}</script>' * n(20_000))


def _text(n: Callable[[int], int]) -> Iterator[tuple[str, bytes]]:
    yield "entities", _page("&" * n(2 * MEGA))
    yield "entity soup", _page("&amp;&lt;&#0;&#xD800;&#x110000;&nbsp" * n(50_000))
    yield "one word", _page("<p>" + "x" * n(8 * MEGA) + "</p>")
    yield "one paragraph", _page("<p>" + "chữ nối chữ " * n(400_000) + "</p>")
    yield "blanks", _page("<p>" + " \n" * n(2 * MEGA) + "</p>")
    yield "NUL", b"\x00" * n(2 * MEGA)
    yield "NUL inside", _page(ARTICLE).replace(b" ", b"\x00 ")
    yield "broken UTF-8", _page(ARTICLE) + b"\xff\xfe\xc0\xaf" * n(500_000)
    yield "surrogates", _page("<p>\ud800\udfff một hai </p>" * n(10_000))
    yield "UTF-16 without saying so", _page(ARTICLE * 100).decode().encode("utf-16-le")
    yield "right to left", _page("<p>" + "\u202e\u2066x" * n(200_000) + "</p>")
    yield "combining marks", _page("<p>a" + "\u0301" * n(MEGA) + "</p>")
    yield "no tags", b"x" * n(4 * MEGA)
    yield "only brackets", b"<" * n(2 * MEGA)
    yield "closing tags", b"</div>" * n(300_000)
    yield "XML", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cc">]>' + b"<a>&b;</a>" * n(100_000)
    yield (
        "a bomb",
        (
            b'<!DOCTYPE a [<!ENTITY a0 "ha">'
            + b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 12))
            + b"]><html><body><p>&a11;</p></body></html>"
        ),
    )
    yield "binary", bytes(range(256)) * n(10_000)
    yield "empty", b""
    yield "markers", _page("<p>Xem thêm: </p><p>Ảnh: </p>" * n(20_000))


def hostile_pages(*, scale: float = 1.0) -> Iterator[tuple[str, bytes]]:
    """Yield each page with what it is about; `scale` makes them smaller."""

    def n(count: int) -> int:
        return max(1, int(count * scale))

    yield from _structure(n)
    yield from _attributes(n)
    yield from _json(n)
    yield from _text(n)
