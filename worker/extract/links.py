"""Takes out of a page what leads to other pages: menus, related articles, rows of teasers.

What is left is cleaner to read, and several times smaller: most of a news page's elements are links elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lxml.html import HtmlElement

from worker.extract.explain import Trace
from worker.extract.measure import Extents
from worker.extract.outline import Passage

_LEAST_LINKS = 3
_MOSTLY = 0.8
# Cells and rows are left alone: a table of names that are links is an article's own.
_BOXES = frozenset({"ul", "ol", "dl", "div", "section", "aside", "header", "article", "center", "li", "figure"})
_PROSE = 100
_LEAST_TEASERS = 3


def drop_links_elsewhere(
    extents: Extents, passages: Sequence[Passage], teasers: Mapping[HtmlElement, HtmlElement], trace: Trace
) -> None:
    """Remove every box that is hardly anything but links, and rows of teasers."""
    own = [p.element for p in passages if _is_own_prose(p) and p.element not in teasers]
    boxes = (_link_boxes(extents) | _teaser_rows(teasers.values())) - _ancestors(own)
    for box in boxes:
        if not any(ancestor in boxes for ancestor in box.iterancestors()):
            trace.drop_box(box, "leads to other pages")
            box.drop_tree()


def _link_boxes(extents: Extents) -> set[HtmlElement]:
    return {
        box
        for box, links in extents.links.items()
        if links >= _LEAST_LINKS and extents.linked[box] >= _MOSTLY * extents.chars[box] and box.tag in _BOXES
    }


def _teaser_rows(teasers: Iterable[HtmlElement]) -> set[HtmlElement]:
    """Return the parents of three or more teasers."""
    rows = Counter(parent for box in set(teasers) if (parent := box.getparent()) is not None)
    return {row for row, count in rows.items() if count >= _LEAST_TEASERS and row.tag in _BOXES}


def _ancestors(elements: Iterable[HtmlElement]) -> set[HtmlElement]:
    return {ancestor for element in elements for ancestor in element.iterancestors()}


def _is_own_prose(passage: Passage) -> bool:
    return passage.chars - passage.linked >= _PROSE and not passage.is_inside_link
