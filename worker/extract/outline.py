"""Tells a page's running text from teasers for other pages and from links, and finds the element that holds it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from lxml.html import HtmlElement

from worker.extract.measure import Extents, is_inline
from worker.extract.text import clean_line

# fmt: off
_BLOCKS = frozenset((
    "p", "div", "li", "td", "dd", "h2", "h3", "h4", "blockquote", "article", "section", "main", "center", "pre",
))
# fmt: on
_SHORTEST = 60
_HEADLINE = 20
# How much text beside a passage a teaser's box may hold, in characters.
_TEASER_BOX = 260
_LONGEST_TEASER = 600
_LEVELS = 4
_CAP = 600
_FURNITURE = re.compile(r"cookie|consent|gdpr|\bcli-|privacy|footer|newsletter|testimonial|disclaimer", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A block of running text: its element, how many of its characters are in links, whether a link holds all of it."""

    element: HtmlElement
    chars: int
    linked: int
    is_inside_link: bool

    @property
    def is_linked(self) -> bool:
        """Whether most of the passage is link text."""
        return self.is_inside_link or self.linked > self.chars / 2

    def text(self) -> str:
        """Return the passage's own text."""
        pieces = [self.element.text or ""]
        for child in self.element:
            if child.tag == "br":
                pieces.append(" ")
            elif is_inline(child):
                pieces.append("".join(child.itertext()))
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


def find_passages(extents: Extents) -> list[Passage]:
    """Return the blocks of running text, in page order."""
    long = {element: own for element, own in extents.own.items() if own >= _SHORTEST and element.tag in _BLOCKS}
    return [
        Passage(element, long[element], extents.own_linked.get(element, 0), _is_inside_link(element))
        for element in extents.elements
        if element in long
    ]


def _is_inside_link(element: HtmlElement) -> bool:
    # An anchor without an address is a mark in the text; unclosed, it can hold half of an article.
    return any(link.get("href") for link in element.iterancestors("a"))


def find_teasers(extents: Extents, passages: Sequence[Passage], *, within: str = "") -> dict[HtmlElement, HtmlElement]:
    """Return the passages that announce other pages, each element with the small box it shares with a headline.

    `within` is the address of a page that is an article by its own word: links to places in it announce no other page,
    and an entry of several paragraphs with a headline is a part of it.
    """
    found: dict[HtmlElement, HtmlElement] = {}
    for passage in passages:
        if not passage.is_linked and (box := _teaser_box(passage, extents, within=within)) is not None:
            found[passage.element] = box
    if not within:
        return found
    paragraphs = Counter(found.values())
    return {element: box for element, box in found.items() if paragraphs[box] == 1}


def leads_elsewhere(link: HtmlElement, *, within: str = "") -> bool:
    """Tell whether a link leads to another page than the one it stands on, if it is told which one that is."""
    href = (link.get("href") or "").strip()
    if not href or href.startswith(("#", "javascript:", "mailto:", "tel:")):
        return False
    path, own = _path(href), _path(within)
    return not (within and (path in {"", own} or path.startswith(f"{own.rpartition('.')[0] or own}/")))


def _path(url: str) -> str:
    bare = url.partition("#")[0].partition("?")[0].rstrip("/")
    return "/" + bare.partition("://")[2].partition("/")[2] if "://" in bare else bare


def measure_shares(passages: Sequence[Passage], teasers: Mapping[HtmlElement, HtmlElement]) -> Shares:
    """Tell a page's own prose from teasers and links."""
    prose = announced = links = 0
    for passage in passages:
        if passage.is_linked:
            links += passage.chars
        elif passage.element in teasers:
            announced += passage.chars
        else:
            prose += passage.chars
    return Shares(prose=prose, teasers=announced, links=links, teaser_count=len(teasers))


def _teaser_box(passage: Passage, extents: Extents, *, within: str) -> HtmlElement | None:
    """Return the small box that a passage shares with a headline that is a link: it announces another page."""
    box = passage.element
    if passage.chars > _LONGEST_TEASER:
        return None
    for _ in range(_LEVELS):
        parent = box.getparent()
        if parent is None or parent.tag in {"body", "html"}:
            return None
        box = parent
        if extents.chars[box] > passage.chars * 1.3 + _TEASER_BOX:
            return None
        if any(_is_headline(link, passage.element, extents, within=within) for link in box.iter("a")):
            return box
    return None


def _is_headline(link: HtmlElement, passage: HtmlElement, extents: Extents, *, within: str) -> bool:
    if extents.chars.get(link, 0) < _HEADLINE or passage in link.iterancestors():
        return False
    return not within or leads_elsewhere(link, within=within)


def is_furniture(passage: Passage) -> bool:
    """Tell whether the boxes right around a passage are named as a site's own, not an article's: a word on cookies."""
    near = islice(passage.element.iterancestors(), _LEVELS)
    return any(
        box.tag == "footer" or _FURNITURE.search(f"{box.get('id')} {box.get('class')}")
        for box in near
        if box.tag != "body"
    )


def weigh(body: HtmlElement, passages: Sequence[Passage]) -> dict[HtmlElement, int]:
    """Return how much running text every element holds that holds any, long passages counting only so far."""
    weight: dict[HtmlElement, int] = defaultdict(int)
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


def find_container(body: HtmlElement, weight: Mapping[HtmlElement, int], *, share: float) -> HtmlElement:
    """Return the lowest element that holds at least `share` of the running text at every step down from the body."""
    container = body
    while (child := _heaviest(container, weight)) is not None:
        if weight[child] < share * weight[container] or child.tag in {"p", "ul", "ol", "table", "tr", "tbody"}:
            break
        container = child
    return container


def _heaviest(element: HtmlElement, weight: Mapping[HtmlElement, int]) -> HtmlElement | None:
    return max((child for child in element if child in weight), key=weight.__getitem__, default=None)
