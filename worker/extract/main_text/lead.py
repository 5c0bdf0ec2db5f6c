"""Finds an article's lead (the "sapo") on its page, so that it stands first in the text, and once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from lxml.html import HtmlElement

from worker.extract.document import Document
from worker.extract.main_text.phrases import is_credit, is_prompt
from worker.extract.main_text.text_blocks import ArticleBlock, TextBlock
from worker.extract.text import clean_line, fold

_NAMED = re.compile(
    r"(?:^|[\s_-])(?:sapo|lead|lede|standfirst|chapo|chapeau|dek|deck|summary|intro|sub-?headline|sub-?title|"
    r"description|excerpt|perex|preamble|ingress|bajada|entradilla|vorspann|einleitung)(?:$|[\s_-]|text|paragraph)",
    re.IGNORECASE,
)
# The same as systems that write names of their own do: `Article_elementLead__N3pGr`, `articleStandfirst`.
_NAMED_INSIDE = re.compile(r"(?<=[a-z])(?:Sapo|Lead|Lede|Standfirst|Summary|Subtitle|Intro|Excerpt)(?![a-z])")
_ABOUT_PEOPLE = re.compile(r"author|bio|byline|profile|product|caption|share|newsletter", re.IGNORECASE)
_SHORTEST, _LONGEST = 40, 1200
_KEY = 60
# What stands before a lead's first word: the paper or the place it was written (`(Báo X) - `, `HÀ NỘI – `).
_PLACE = re.compile(r"^[(\[]?[^\W\d_][\w .,]{1,40}[)\]]?\s*[-–—:|]\s+")
_NEAR = 40
_CUT = 12


def find_lead(document: Document, passages: Sequence[TextBlock]) -> str:
    """Return the page's lead as it stands on the page, an empty string where none is found.

    A lead is what the page's own description repeats, or what stands in a block named as one, near the heading.
    """
    described = _descriptions(document)
    heading = next(document.tree.iter("h1"), None)
    near = _following(document.tree, heading) if heading is not None else frozenset()
    for passage in _candidates(passages):
        is_named = passage.element in near and _is_named(passage.element)
        text = passage.text() if described or is_named else ""
        if text and (is_named or _is_described(text, described)) and _is_prose(text):
            return text
    return ""


def _descriptions(document: Document) -> frozenset[str]:
    said = [document.structured.description, document.said("og:description"), document.said("description")]
    return frozenset(folded for text in said if len(folded := fold(text)) >= _SHORTEST)


def _candidates(passages: Sequence[TextBlock]) -> Iterator[TextBlock]:
    """Yield the passages of the page's first half that may be leads; what a site says of itself stands below."""
    half = sum(passage.chars - passage.linked for passage in passages) / 2
    above = 0
    for passage in passages:
        if above > half:
            return
        above += passage.chars - passage.linked
        if _SHORTEST <= passage.chars <= _LONGEST and not passage.is_linked and _may_lead(passage.element):
            yield passage


def _may_lead(element: HtmlElement) -> bool:
    # What a site says of itself in its footer may be what its pages give as their description; so may a caption.
    return next(element.iterancestors("footer", "figcaption"), None) is None


def _is_prose(text: str) -> bool:
    return not is_prompt(text) and not is_credit(text)


def _is_described(text: str, described: Collection[str]) -> bool:
    """Whether a text begins as a description does; descriptions are cut short, and leads name a place or a paper."""
    bare = _PLACE.sub("", text)
    return _begins_as(text, described) or (bare != text and _begins_as(bare, described))


def _begins_as(text: str, described: Collection[str]) -> bool:
    head = fold(text[: 4 * _KEY])
    if len(head) >= _KEY and not any(description.startswith(head[:_KEY]) for description in described):
        return False
    folded = fold(text)
    return any(_agree(folded, description) for description in described)


def _agree(folded: str, description: str) -> bool:
    size = min(len(folded), len(description)) - _CUT
    return folded[:_KEY] == description[:_KEY] and folded[:size] == description[:size]


def _is_named(element: HtmlElement) -> bool:
    names = " ".join(_names(element))
    named = _NAMED.search(names) or _NAMED_INSIDE.search(names)
    return named is not None and not _ABOUT_PEOPLE.search(names)


def _following(tree: HtmlElement, heading: HtmlElement) -> frozenset[HtmlElement]:
    """Return the blocks that come soon after the heading."""
    found: list[HtmlElement] = []
    seen = False
    for element in tree.iter("h1", "h2", "h3", "p", "div", "section"):
        seen = seen or element is heading
        if seen:
            found.append(element)
        if len(found) > _NEAR:
            break
    return frozenset(found)


def _names(element: HtmlElement) -> Iterator[str]:
    parent = element.getparent()
    for owner in (element, parent):
        if owner is not None:
            yield from filter(None, (owner.get("class"), owner.get("itemprop"), owner.get("id")))


def put_lead_first(blocks: list[ArticleBlock], lead: str) -> list[ArticleBlock]:
    """Return the blocks with the lead first and nowhere else.

    Where a block further down begins with the lead and goes on, the lead is the article's own running text: the
    blocks stay as they are.
    """
    key = fold(lead)
    if not key:
        return blocks
    places = [i for i, block in enumerate(blocks) if _is_same(block.folded, key)]
    if not places and key in " ".join(block.folded for block in blocks):
        # What is one block on the page, with line breaks in it, can be several here.
        return blocks
    if (places and places[0] > 3) or any(key in block.folded for i, block in enumerate(blocks) if i not in places):
        return blocks
    rest = [block for i, block in enumerate(blocks) if i not in places]
    return [ArticleBlock(kind="paragraph", text=clean_line(lead), folded=key), *rest]


def _is_same(folded: str, key: str) -> bool:
    if len(folded) < _SHORTEST:
        return False
    shorter, longer = sorted((folded, key), key=len)
    return shorter in longer and len(shorter) > 0.7 * len(longer)
