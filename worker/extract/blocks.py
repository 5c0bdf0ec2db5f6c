"""The unit between finding the main text and cleaning it: a block with its kind; read off trafilatura's tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml.etree import _Element

from worker.extract.text import clean_line, fold

_KINDS = {"p": "paragraph", "head": "heading", "item": "item", "quote": "quote", "code": "paragraph", "row": "row"}
# What begins and ends a block; every other element is part of the text around it.
_BOUNDS = frozenset({*_KINDS, "list", "table", "cell", "div", "main", "article", "section", "fn", "ab", "done"})
_DEEPEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of text: `kind` is `paragraph`, `heading`, `item`, `quote` or `row`; `folded` is for comparing."""

    kind: str
    text: str
    folded: str


def block_of(kind: str, text: str) -> Block:
    """Return a block with its folded text, which several steps compare."""
    return Block(kind=kind, text=text, folded=fold(text))


def blocks_of(body: _Element) -> Iterator[Block]:
    """Yield the text of an extracted body in page order, all of it and each piece once.

    Text that stands between two blocks is a block of its own; a row of a table is one, its cells apart by bars.
    """
    for kind, raw in _pieces(body, "paragraph", depth=0):
        if text := clean_line(raw):
            yield block_of(kind, text)


def _pieces(element: _Element, kind: str, *, depth: int) -> Iterator[tuple[str, str]]:
    """Yield what an element holds, without its tail, cut at every bound and line break."""
    pieces = [element.text or ""]
    for child in element:
        tag = str(child.tag)
        if tag in _BOUNDS or (tag == "lb" and kind != "heading"):
            yield kind, "".join(pieces)
            pieces = []
            yield from _inside(child, _kind_in(kind, tag), depth=depth + 1)
        elif tag == "lb":
            pieces.append(" ")
        else:
            *blocks, (_, last) = _pieces(child, kind, depth=depth + 1) if depth < _DEEPEST else [(kind, _flat(child))]
            if blocks:
                (_, first), *rest = blocks
                yield kind, "".join((*pieces, first))
                yield from rest
                pieces = []
            pieces.append(last)
        pieces.append(child.tail or "")
    yield kind, "".join(pieces)


def _kind_in(kind: str, tag: str) -> str:
    """Return the kind of what stands in an element; a paragraph of a list item or a quote is part of it."""
    return kind if tag == "p" and kind in {"item", "quote"} else _KINDS.get(tag, kind)


def _inside(child: _Element, kind: str, *, depth: int) -> Iterator[tuple[str, str]]:
    if child.tag == "row":
        cells = (clean_line(" ".join(text for _, text in _pieces(cell, kind, depth=depth))) for cell in child)
        yield kind, " | ".join(filter(None, cells))
    elif depth >= _DEEPEST:
        yield kind, _flat(child)
    else:
        yield from _pieces(child, kind, depth=depth)


def _flat(element: _Element) -> str:
    return " ".join(str(piece) for piece in element.itertext())
