"""Takes out of a page what leads to other pages: menus, related articles, rows of teasers.

What is left is cleaner to read, and several times smaller: most of a news page's elements are links elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from lxml.html import HtmlElement

from worker.extract.explain import Dropped
from worker.extract.outline import Passage, is_inside_link, text_length

_LEAST_LINKS = 3
_MOSTLY = 0.8
# Cells and rows are left alone: a table of names that are links is an article's own.
_BOXES = frozenset({"ul", "ol", "dl", "div", "section", "aside", "header", "article", "center", "li", "figure"})
_PROSE = 100
_LEAST_TEASERS = 3


def drop_links_elsewhere(
    body: HtmlElement, passages: Sequence[Passage], teasers: Mapping[HtmlElement, HtmlElement]
) -> tuple[Dropped, ...]:
    """Remove every box that is hardly anything but links, and rows of teasers; return what was removed."""
    own = [p.element for p in passages if _is_own_prose(p) and p.element not in teasers]
    boxes = (_link_boxes(body) | _teaser_rows(body, teasers.values())) - _ancestors(own)
    dropped = []
    for box in boxes:
        if any(ancestor in boxes for ancestor in box.iterancestors()):
            continue
        dropped.append(Dropped(text=" ".join(box.text_content().split())[:200], why="leads to other pages"))
        box.drop_tree()
    return tuple(dropped)


def _link_boxes(body: HtmlElement) -> set[HtmlElement]:
    linked: dict[HtmlElement, int] = defaultdict(int)
    count: dict[HtmlElement, int] = defaultdict(int)
    for link in body.iter("a"):
        size = text_length(link) if link.get("href") else 0
        if not size:
            continue
        for ancestor in link.iterancestors():
            if ancestor is body:
                break
            linked[ancestor] += size
            count[ancestor] += 1
    return {
        box
        for box, links in count.items()
        if links >= _LEAST_LINKS and box.tag in _BOXES and linked[box] >= _MOSTLY * text_length(box)
    }


def _teaser_rows(body: HtmlElement, teasers: Iterable[HtmlElement]) -> set[HtmlElement]:
    """Return the parents of three or more teasers."""
    rows = Counter(parent for box in set(teasers) if (parent := box.getparent()) is not None and parent is not body)
    return {row for row, count in rows.items() if count >= _LEAST_TEASERS and row.tag in _BOXES}


def _ancestors(elements: Iterable[HtmlElement]) -> set[HtmlElement]:
    return {ancestor for element in elements for ancestor in element.iterancestors()}


def _is_own_prose(passage: Passage) -> bool:
    return passage.chars - passage.linked >= _PROSE and not is_inside_link(passage.element)
