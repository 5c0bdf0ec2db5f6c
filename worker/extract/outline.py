"""Takes a page's measure in one pass: where its running text stands, and which of it is teasers for other pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from lxml.etree import XPath
from lxml.html import HtmlElement

from worker.extract.text import clean_line

_BLOCKS = ("p", "div", "li", "td", "dd", "h2", "h3", "h4", "blockquote", "article", "section", "main", "center", "pre")
# fmt: off
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var", "wbr",
))
# fmt: on
_TEXT_LENGTH = XPath("string-length(normalize-space(.))", smart_strings=False)
_SHORTEST = 60
_HEADLINE = 20
# How much text beside a passage a teaser's box may hold, in characters.
_TEASER_BOX = 260
_LONGEST_TEASER = 600
_LEVELS = 4
_CAP = 600


@dataclass(frozen=True, slots=True)
class Passage:
    """A block of running text: its element, and how many of its characters are in links."""

    element: HtmlElement
    chars: int
    linked: int

    @property
    def is_linked(self) -> bool:
        """Whether most of the passage is link text."""
        return self.linked > self.chars / 2

    def text(self) -> str:
        """Return the passage's own text."""
        pieces = [self.element.text or ""]
        for child in self.element:
            if child.tag in _INLINE:
                pieces.append(" " if child.tag == "br" else "".join(child.itertext()))
            pieces.append(child.tail or "")
        return clean_line("".join(pieces))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many characters of a page are prose of its own, teasers for other pages, and links; and how many teasers."""

    prose: int
    teasers: int
    links: int
    teaser_count: int

    @property
    def elsewhere(self) -> float:
        """The share of the text that belongs to other pages."""
        total = self.prose + self.teasers + self.links
        return (self.teasers + self.links) / total if total else 0.0


def find_passages(tree: HtmlElement) -> list[Passage]:
    """Return the blocks of running text, in page order."""
    return [passage for element in tree.iter(*_BLOCKS) if (passage := _measure(element)).chars >= _SHORTEST]


def _measure(element: HtmlElement) -> Passage:
    """Count the text that stands in an element itself and in what is inline in it."""
    chars = len((element.text or "").strip())
    linked = 0
    for child in element:
        if child.tag in _INLINE and child.tag != "br":
            inside = len(" ".join(child.itertext()).strip())
            chars += inside
            linked += (inside if child.get("href") else 0) if child.tag == "a" else _linked_in(child)
        chars += len((child.tail or "").strip())
    return Passage(element, chars, linked)


def _linked_in(element: HtmlElement) -> int:
    return sum(len("".join(link.itertext()).strip()) for link in element.iter("a") if link.get("href"))


def text_length(element: HtmlElement) -> int:
    """Count the characters of an element's text, without the blanks that lay it out in the markup."""
    if not len(element):
        return len((element.text or "").strip())
    return int(cast("float", _TEXT_LENGTH(element)))


def find_teasers(passages: Sequence[Passage]) -> dict[HtmlElement, HtmlElement]:
    """Return the passages that announce other pages, each element with the small box it shares with a headline."""
    found: dict[HtmlElement, HtmlElement] = {}
    for passage in passages:
        if not passage.is_linked and not is_inside_link(passage.element) and (box := _teaser_box(passage)) is not None:
            found[passage.element] = box
    return found


def measure_shares(passages: Sequence[Passage], teasers: Mapping[HtmlElement, HtmlElement]) -> Shares:
    """Tell a page's own prose from teasers and links."""
    prose = announced = links = 0
    for passage in passages:
        if passage.is_linked or is_inside_link(passage.element):
            links += passage.chars
        elif passage.element in teasers:
            announced += passage.chars
        else:
            prose += passage.chars
    return Shares(prose=prose, teasers=announced, links=links, teaser_count=len(teasers))


def is_inside_link(element: HtmlElement) -> bool:
    """Tell whether an element stands in a link."""
    # An anchor without an address is a mark in the text; unclosed, it can hold half of an article.
    return any(link.get("href") for link in element.iterancestors("a"))


def _teaser_box(passage: Passage) -> HtmlElement | None:
    """Return the small box that a passage shares with a headline that is a link: it announces another page."""
    box = passage.element
    if passage.chars > _LONGEST_TEASER:
        return None
    for _ in range(_LEVELS):
        parent = box.getparent()
        if parent is None or parent.tag in {"body", "html"}:
            return None
        box = parent
        if text_length(box) > passage.chars * 1.3 + _TEASER_BOX:
            return None
        if any(_is_headline(link, passage.element) for link in box.iter("a")):
            return box
    return None


def _is_headline(link: HtmlElement, passage: HtmlElement) -> bool:
    text = "".join(link.itertext()).strip()
    return len(text) >= _HEADLINE and passage not in link.iterancestors()


def find_container(body: HtmlElement, passages: Sequence[Passage], *, share: float) -> HtmlElement:
    """Return the lowest element that holds at least `share` of the running text at every step down from the body."""
    weight = _weights(body, passages)
    container = body
    while (child := _heaviest(container, weight)) is not None:
        if weight[child] < share * weight[container] or child.tag in {"p", "ul", "ol", "table", "tr", "tbody"}:
            break
        container = child
    return container


def _weights(body: HtmlElement, passages: Sequence[Passage]) -> dict[HtmlElement, float]:
    weight: dict[HtmlElement, float] = defaultdict(float)
    for passage in passages:
        own = min(passage.chars, _CAP) - passage.linked
        if own > 0:
            for ancestor in _chain(passage.element, body):
                weight[ancestor] += own
    return weight


def _chain(element: HtmlElement, top: HtmlElement) -> Iterator[HtmlElement]:
    for ancestor in element.iterancestors():
        yield ancestor
        if ancestor is top:
            return


def _heaviest(element: HtmlElement, weight: dict[HtmlElement, float]) -> HtmlElement | None:
    return max((child for child in element if child in weight), key=weight.__getitem__, default=None)
