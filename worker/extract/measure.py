"""Measures a page's tree in one pass: how much text every element holds, and how much of it is in links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lxml.html import HtmlElement

# fmt: off
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var", "wbr",
))
# fmt: on


Counts = Mapping[HtmlElement, int]
"""A figure of every element that has one; of all others it is 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extents:
    """How many characters of text every element holds, without the blanks that lay it out, and how they are spread.

    `chars` and `linked` are of all that is in an element, `links` counts the links in it that hold text; `own` and
    `own_linked` are of the running text alone: what stands in the element itself and in what is inline in it.
    `elements` are all there are, in page order: while they are kept, going over the tree again costs little.
    """

    elements: Sequence[HtmlElement]
    chars: Counts
    linked: Counts
    links: Counts
    own: Counts
    own_linked: Counts


def measure(tree: HtmlElement) -> Extents:
    """Return the extent of every element of the page's body."""
    body = tree.find("body")
    elements = list((tree if body is None else body).iter("*"))
    chars: dict[HtmlElement, int] = {}
    linked: dict[HtmlElement, int] = {}
    links: dict[HtmlElement, int] = {}
    own: dict[HtmlElement, int] = {}
    own_linked: dict[HtmlElement, int] = {}
    # Backwards, every element comes after all that is in it.
    for element in reversed(elements):
        held = chars.get(element, 0)
        if (text := element.text) and (pieces := text.split()):
            size = len(" ".join(pieces))
            chars[element] = held = held + size
            own[element] = own.get(element, 0) + size
        tail = element.tail
        after = len(" ".join(tail.split())) if tail else 0
        if not (held or after):
            continue
        parent = element.getparent()
        if parent is None:
            continue
        chars[parent] = chars.get(parent, 0) + held + after
        tag = element.tag
        if tag not in _INLINE:
            if after:
                own[parent] = own.get(parent, 0) + after
        else:
            own[parent] = own.get(parent, 0) + held + after
            if tag == "a" and held and element.get("href"):
                linked[element], links[element] = held, 1
            if element in linked:
                own_linked[parent] = own_linked.get(parent, 0) + linked[element]
        if element in linked:
            linked[parent] = linked.get(parent, 0) + linked[element]
            links[parent] = links.get(parent, 0) + links[element]
    return Extents(elements=elements, chars=chars, linked=linked, links=links, own=own, own_linked=own_linked)


def is_inline(element: HtmlElement) -> bool:
    """Tell whether an element is part of the running text around it."""
    return element.tag in _INLINE
