"""Gets the main text of a page as blocks, with trafilatura, on as small a part of the page as holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import trafilatura
from lxml.etree import XPath, _Element, strip_elements
from lxml.html import HtmlElement
from trafilatura.settings import Document as Extracted

from worker.extract.blocks import Block
from worker.extract.outline import Passage, find_container, text_length
from worker.extract.text import clean_line

# Holds no article text, whatever the page: trafilatura throws the same away, but only after copying it several times.
# fmt: off
_DEAD = (
    "script", "style", "noscript", "svg", "iframe", "template", "button", "select", "canvas",
    "object", "embed", "video", "audio", "picture", "map", "dialog", "input", "textarea", "link", "base",
    "datalist",
)
# fmt: on
_COMMENTS = XPath(
    ".//*[self::div or self::section or self::ul or self::ol][contains(@id, 'comment') or contains(@class, 'comment')"
    " or contains(@id, 'disqus') or contains(@class, 'box-binhluan')]"
)
_SHARE = 0.92
_COVERED = 0.6


def strip_dead(tree: HtmlElement) -> None:
    """Take out of a tree what never holds article text: scripts, navigation, players, readers' comments."""
    strip_elements(tree, *_DEAD, with_tail=False)
    total = text_length(tree)
    # A frame that holds most of the page is no frame: broken markup can put an article inside its own navigation.
    for box in [*tree.iter("menu"), *cast("list[HtmlElement]", _COMMENTS(tree))]:
        if text_length(box) < total / 2:
            box.drop_tree()


def read_body(tree: HtmlElement, passages: Sequence[Passage]) -> list[Block]:
    """Return the blocks of the main text in page order; none where trafilatura finds nothing. Consumes the tree.

    Trafilatura's fast way is tried first; where it gives much less than the page's running text, the part of the page
    that holds most of it is tried alone, and then trafilatura's whole cascade.
    """
    body = tree.find("body")
    if body is None:
        return []
    prose = sum(passage.chars - passage.linked for passage in passages)
    container = find_container(body, passages, share=_SHARE)
    best: list[Block] = []
    for attempt in (tree, None if container is body else _only(container)):
        if attempt is not None:
            best = max(best, _extract(attempt, fast=True), key=_chars)
        if _chars(best) >= _COVERED * prose:
            return best
    return max(best, _extract(tree, fast=False), key=_chars)


def _only(container: HtmlElement) -> HtmlElement:
    page = container.makeelement("html")
    body = container.makeelement("body")
    page.append(body)
    copied = container.__copy__()
    copied.tail = None
    body.append(copied)
    return page


def _chars(blocks: Sequence[Block]) -> int:
    return sum(len(block.text) for block in blocks)


def _extract(tree: HtmlElement, *, fast: bool) -> list[Block]:
    extracted = trafilatura.bare_extraction(tree, fast=fast, include_comments=False, include_tables=True)
    if not isinstance(extracted, Extracted) or extracted.body is None:
        return []
    return [block for block in _blocks(extracted.body) if block.text]


def _blocks(body: _Element) -> Iterator[Block]:
    for element in body:
        kind = str(element.tag)
        if kind == "list":
            for item in element.iter("item"):
                yield _block("item", item)
        elif kind == "table":
            for row in element.iter("row"):
                yield Block(kind="row", text=" | ".join(filter(None, (clean_line(_flat(cell)) for cell in row))))
        elif kind == "head":
            yield _block("heading", element)
        else:
            yield from _lines("quote" if kind == "quote" else "paragraph", element)


def _lines(kind: str, element: _Element) -> Iterator[Block]:
    for br in element.iter("lb"):
        br.tail = "\n" + (br.tail or "")
    for child in element.iter("p", "head", "item", "row"):
        if child is not element:
            child.tail = "\n" + (child.tail or "")
    for line in _flat(element).split("\n"):
        yield Block(kind=kind, text=clean_line(line))


def _block(kind: str, element: _Element) -> Block:
    return Block(kind=kind, text=clean_line(_flat(element)))


def _flat(element: _Element) -> str:
    return "".join(str(piece) for piece in element.itertext())
