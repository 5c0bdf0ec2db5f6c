"""Gets the main text of a page as blocks, with trafilatura."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import trafilatura
from lxml.etree import _Element
from lxml.html import HtmlElement
from trafilatura.settings import Document

from worker.extract.text import clean_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of text: `kind` is `paragraph`, `heading`, `item`, `quote` or `row`."""

    kind: str
    text: str


def read_body(tree: HtmlElement, *, url: str) -> list[Block]:
    """Return the blocks of the main text in page order; none where trafilatura finds nothing."""
    document = trafilatura.bare_extraction(
        tree, url=url, include_comments=False, include_tables=True, deduplicate=False
    )
    if not isinstance(document, Document) or document.body is None:
        return []
    return [block for block in _blocks(document.body) if block.text]


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
