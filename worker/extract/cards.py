"""Finds the cards of a page: boxes side by side that are made alike, each with a link to a page of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lxml.html import HtmlElement

from worker.extract.measure import Extents, is_inline
from worker.extract.outline import Passage, leads_elsewhere
from worker.extract.text import count_words

_FEWEST = 5
_MOST_OF_THEM = 0.8
_LEAST_CHARS = 100
_LONG_PARAGRAPH = 25
# What these hold is a text's own, whether there are links in it or not.
_NEVER = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "br", "dt", "dd"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How a page's running text is laid out.

    `cards` counts the cards, `inside` and `outside` the words that are in one and in none. Of paragraphs side by side,
    `together` is the most words, `paragraphs` the most long paragraphs that are in no card.
    """

    cards: int
    inside: int
    outside: int
    together: int
    paragraphs: int


def measure_flow(extents: Extents, own: Iterable[Passage]) -> Flow:
    """Return how the running text is laid out; `own` is what of it is the page's own."""
    cards = find_cards(extents)
    inside = outside = 0
    together: Counter[HtmlElement | None] = Counter()
    paragraphs: Counter[HtmlElement | None] = Counter()
    for passage in own:
        parent, words = passage.element.getparent(), count_words(passage.text())
        together[parent] += words
        if _is_in(passage.element, cards):
            inside += words
            continue
        outside += words
        if words >= _LONG_PARAGRAPH:
            paragraphs[parent] += 1
    return Flow(
        cards=len(cards),
        inside=inside,
        outside=outside,
        together=max(together.values(), default=0),
        paragraphs=max(paragraphs.values(), default=0),
    )


def find_cards(extents: Extents) -> frozenset[HtmlElement]:
    """Return the cards of a page, the outermost where they hold others."""
    alike: dict[tuple[HtmlElement | None, object, str], list[HtmlElement]] = defaultdict(list)
    for element in extents.elements:
        if element in extents.chars and element.tag not in _NEVER and not is_inline(element):
            alike[(element.getparent(), element.tag, _first_class(element))].append(element)
    found: set[HtmlElement] = set()
    for group in alike.values():
        if len(group) >= _FEWEST and _are_cards(group, extents) and not _is_in(group[0], found):
            found.update(group)
    return frozenset(found)


def _are_cards(group: Sequence[HtmlElement], extents: Extents) -> bool:
    linking = [element for element in group if extents.links.get(element)]
    if len(linking) < _MOST_OF_THEM * len(group) or sum(extents.chars[each] for each in group) < _LEAST_CHARS:
        return False
    targets = {target for element in linking if (target := _first_target(element))}
    return len(targets) >= _MOST_OF_THEM * len(linking)


def _first_target(element: HtmlElement) -> str:
    return next((link.get("href") or "" for link in element.iter("a") if leads_elsewhere(link)), "")


def _first_class(element: HtmlElement) -> str:
    return (element.get("class") or "").partition(" ")[0]


def _is_in(element: HtmlElement, boxes: set[HtmlElement] | frozenset[HtmlElement]) -> bool:
    return element in boxes or any(ancestor in boxes for ancestor in element.iterancestors())
