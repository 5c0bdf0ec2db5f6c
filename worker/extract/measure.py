"""Measures a page's tree in one pass: how much text every element holds, and how much of it is in links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lxml.html import HtmlElement

# fmt: off
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var", "wbr",
))
# fmt: on


@dataclass(slots=True, eq=False)
class Extent:
    """How many characters of text an element holds, without the blanks that lay it out, and how they are spread.

    `chars` and `linked` are of all that is in the element, `links` counts the links in it that hold text; `own` and
    `own_linked` are of the running text alone: what stands in the element itself and in what is inline in it.
    """

    chars: int = 0
    linked: int = 0
    links: int = 0
    own: int = 0
    own_linked: int = 0


def measure(tree: HtmlElement) -> Mapping[HtmlElement, Extent]:
    """Return the extent of every element, in page order."""
    extents = {element: Extent() for element in tree.iter("*")}
    # Backwards, every element comes after all that is in it.
    for element, extent in reversed(extents.items()):
        if size := _size(element.text):
            extent.chars += size
            extent.own += size
        parent = extents.get(element.getparent())
        if parent is None:
            continue
        if size := _size(element.tail):
            parent.chars += size
            parent.own += size
        if extent.chars:
            _add(element, extent, parent)
    return extents


def _add(element: HtmlElement, extent: Extent, parent: Extent) -> None:
    """Count what an element holds as part of its parent."""
    tag = element.tag
    if tag == "a" and element.get("href"):
        extent.linked, extent.links = extent.chars, 1
    parent.chars += extent.chars
    parent.linked += extent.linked
    parent.links += extent.links
    if tag in _INLINE:
        parent.own += extent.chars
        parent.own_linked += extent.linked


def _size(text: str | None) -> int:
    return len(" ".join(text.split())) if text and not text.isspace() else 0


def is_inline(element: HtmlElement) -> bool:
    """Tell whether an element is part of the running text around it."""
    return element.tag in _INLINE
