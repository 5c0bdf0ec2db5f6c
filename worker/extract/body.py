"""Gets the main text of a page as blocks, with trafilatura, on as small a part of the page as holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import cast

import trafilatura
from lxml.etree import XPath, _Element, strip_elements
from lxml.html import HtmlElement
from trafilatura.settings import Document as Extracted
from trafilatura.settings import Extractor as Options

from worker.extract.blocks import Block, block_of
from worker.extract.measure import Extents
from worker.extract.outline import Passage, find_container, weigh
from worker.extract.text import clean_line

# Holds no article text, whatever the page: trafilatura throws the same away, but only after copying it several times.
# fmt: off
_DEAD = (
    "script", "style", "noscript", "svg", "iframe", "template", "button", "select", "canvas",
    "object", "embed", "video", "audio", "picture", "map", "dialog", "input", "textarea", "link", "base",
    "datalist",
)
# fmt: on
_LISTS = ("div", "section", "ul", "ol")
_LENGTH = XPath("string-length(normalize-space(.))", smart_strings=False)
_SHARE = 0.92
_COVERED = 0.6
_HOPELESS = 0.25
_BOXES = ("div", "section", "figure", "aside", "img", "ins")


def strip_dead(tree: HtmlElement) -> None:
    """Take out of a tree what never holds article text: scripts, navigation, players, readers' comments."""
    strip_elements(tree, *_DEAD, with_tail=False)
    # A frame that holds most of the page is no frame: broken markup can put an article inside its own navigation.
    boxes = [*tree.iter("menu"), *filter(_is_comments, tree.iter(*_LISTS))]
    total = _length(tree) if boxes else 0
    for box in boxes:
        if _length(box) < total / 2:
            box.drop_tree()


def _is_comments(box: HtmlElement) -> bool:
    # In Python, and no loop: the same as an XPath takes three times as long.
    names = f"{box.get('id')} {box.get('class')}"
    return "comment" in names or "disqus" in names or "box-binhluan" in names


def _length(element: HtmlElement) -> int:
    return int(cast("float", _LENGTH(element)))


def read_body(tree: HtmlElement, extents: Extents, passages: Sequence[Passage]) -> list[Block]:
    """Return the blocks of the main text in page order; none where trafilatura finds nothing. Consumes the tree.

    Trafilatura reads only the part of the page that holds its running text, in its fast way; where that gives much
    less than the text of this part, the part is tried without the frame around it, and then the whole cascade.
    """
    body = tree.find("body")
    if body is None:
        return []
    weight = weigh(body, passages)
    container = find_container(body, weight, share=_SHARE)
    _narrow(tree, container)
    _drop_empty(container, extents)
    prose = sum(passage.chars - passage.linked for passage in passages if _is_in(passage, container))
    best = _extract(tree, fast=True)
    if _chars(best) < _COVERED * prose and container is not body:
        best = max(best, _extract(_only(container), fast=True), key=_chars)
    if _chars(best) < _HOPELESS * prose:
        best = max(best, _extract(tree, fast=False), key=_chars)
    return best


def _narrow(tree: HtmlElement, container: HtmlElement) -> None:
    """Take out of a page its head, and what stands beside the container and beside the boxes around it."""
    while container is not tree and (parent := container.getparent()) is not None:
        for sibling in [child for child in parent if child is not container]:
            parent.remove(sibling)
        parent.text = container.tail = None
        container = parent


def _drop_empty(container: HtmlElement, extents: Extents) -> None:
    """Take out boxes that hold no text: pictures, frames for advertising, what other boxes were taken out of."""
    for box in list(container.iter(*_BOXES)):
        if box not in extents.chars and box is not container:
            box.drop_tree()


def _is_in(passage: Passage, container: HtmlElement) -> bool:
    return not passage.is_linked and any(ancestor is container for ancestor in passage.element.iterancestors())


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
    extracted = trafilatura.bare_extraction(tree, fast=fast, options=_options(fast=fast))
    if not isinstance(extracted, Extracted) or extracted.body is None:
        return []
    return [block for block in _blocks(extracted.body) if block.text]


@cache
def _options(*, fast: bool) -> Options:
    """Return what trafilatura is told; it reads a configuration file's worth of settings for each of these."""
    # Any format but its default one spares it writing the text out, which is read from its tree here.
    return Options(fast=fast, comments=False, tables=True, output_format="txt")


def _blocks(body: _Element) -> Iterator[Block]:
    for element in body:
        kind = str(element.tag)
        if kind == "list":
            for item in element.iter("item"):
                yield _block("item", item)
        elif kind == "table":
            for row in element.iter("row"):
                yield block_of("row", " | ".join(filter(None, (clean_line(_flat(cell)) for cell in row))))
        elif kind == "head":
            yield _block("heading", element)
        else:
            yield from _lines("quote" if kind == "quote" else "paragraph", element)


def _lines(kind: str, element: _Element) -> Iterator[Block]:
    if not len(element):
        yield block_of(kind, clean_line(element.text or ""))
        return
    for br in element.iter("lb"):
        br.tail = "\n" + (br.tail or "")
    for child in element.iter("p", "head", "item", "row"):
        if child is not element:
            child.tail = "\n" + (child.tail or "")
    for line in _flat(element).split("\n"):
        yield block_of(kind, clean_line(line))


def _block(kind: str, element: _Element) -> Block:
    return block_of(kind, clean_line(_flat(element)))


def _flat(element: _Element) -> str:
    return "".join(str(piece) for piece in element.itertext())
