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
    "script", "style", "noscript", "svg", "iframe", "template", "button", "select", "nav", "footer", "canvas",
    "object", "embed", "video", "audio", "picture", "map", "dialog", "input", "textarea", "link", "base",
    "datalist", "menu",
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
    for box in cast("list[HtmlElement]", _COMMENTS(tree)):
        if text_length(box) < total / 2:
            _remove(box)


def _remove(element: HtmlElement) -> None:
    parent = element.getparent()
    if parent is None:
        return
    element.tail = None
    parent.remove(element)


def read_body(tree: HtmlElement, passages: Sequence[Passage]) -> list[Block]:
    """Return the blocks of the main text in page order; none where trafilatura finds nothing. Consumes the tree."""
    body = tree.find("body")
    if body is None:
        return []
    container = find_container(body, passages, share=_SHARE)
    whole = None if container is body else _only(container)
    blocks = _extract(whole if whole is not None else tree, fast=True)
    if _chars(blocks) >= _COVERED * sum(passage.chars - passage.linked for passage in passages):
        return blocks
    again = _extract(tree, fast=False)
    return again if _chars(again) > _chars(blocks) else blocks


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
