"""Takes readers' comments out of a page: the boxes whose heading says that readers speak from there on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lxml.html import HtmlElement

from worker.extract.account import Account
from worker.extract.markers import is_comment_heading, speaks_of_comments
from worker.extract.measure import Extents
from worker.extract.outline import Passage

_HEADINGS = ("h2", "h3", "h4", "h5", "div", "p", "span", "strong", "a", "label", "header")
_LONGEST = 60
_LEVELS = 4
_BESIDE = 30
# How much running text an article has before its readers speak, in characters; a rubric called so stands above it.
_LEAST_BEFORE = 250
# Under many an article there is more to read by its readers than by its author; but not ten times as much.
_SHARE = 0.9


def drop_comments(body: HtmlElement, extents: Extents, passages: Sequence[Passage], account: Account) -> None:
    """Remove the boxes of readers' comments that stand below the article.

    A box goes only if its heading is what it begins with and it holds nothing of the text that stands above.
    """
    if not speaks_of_comments(body.text_content()):
        return
    for heading in list(_headings(body, extents)):
        box = _box_of(heading, extents)
        # Of a heading in a heading, the first has taken the box away.
        if box is not None and body in box.iterancestors() and _stands_below(box, passages):
            account.remove([box], why="is headed as readers' comments", share=_SHARE)


def _headings(body: HtmlElement, extents: Extents) -> Iterator[HtmlElement]:
    for element in body.iter(*_HEADINGS):
        # The words stand in the heading's own text; a number beside them may stand in an element of its own.
        own = element.text
        if not own or not speaks_of_comments(own) or extents.chars.get(element, 0) > _LONGEST:
            continue
        if is_comment_heading(element.text_content().strip()):
            yield element


def _box_of(heading: HtmlElement, extents: Extents) -> HtmlElement | None:
    """Return the lowest element around a heading that holds more than the heading, if it begins with it."""
    box = heading
    for _ in range(_LEVELS):
        parent = box.getparent()
        if parent is None or parent.tag in {"body", "html", "main", "article"}:
            return None
        if _holds_text_before(parent, box, extents):
            return None
        box = parent
        if extents.chars[box] > extents.chars[heading] + _BESIDE:
            return box
    return None


def _holds_text_before(parent: HtmlElement, box: HtmlElement, extents: Extents) -> bool:
    return bool((parent.text or "").strip()) or any(
        sibling in extents.chars or (sibling.tail or "").strip() for sibling in box.itersiblings(preceding=True)
    )


def _stands_below(box: HtmlElement, passages: Sequence[Passage]) -> bool:
    inside = set(box.iter())
    above = 0
    for passage in passages:
        if passage.element in inside:
            break
        above += passage.chars - passage.linked
    return above >= _LEAST_BEFORE
