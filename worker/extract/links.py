"""Takes out of a page what leads to other pages: menus, related articles, rows of teasers.

What is left is cleaner to read, and several times smaller: most of a news page's elements are links elsewhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lxml.html import HtmlElement

from worker.extract.account import Account
from worker.extract.measure import Extents
from worker.extract.outline import Passage

_LEAST_LINKS = 3
_MOSTLY = 0.8
# Cells and rows are left alone: a table of names that are links is an article's own.
_BOXES = frozenset({"ul", "ol", "dl", "div", "section", "aside", "header", "article", "center", "li", "figure"})
_PROSE = 100
_LEAST_TEASERS = 3
_LINES = frozenset({"p", "h2", "h3", "h4", "h5", "div", "li"})
_HEADINGS = frozenset({"h2", "h3", "h4", "h5", "h6"})
_HEADLINE = 12
_SHARE = 0.9
_OTHER_SCHEME = re.compile(r"[a-z]{2,20}:", re.IGNORECASE)


def drop_links_elsewhere(
    extents: Extents,
    passages: Sequence[Passage],
    teasers: Mapping[HtmlElement, HtmlElement],
    account: Account,
    *,
    url: str,
) -> None:
    """Remove every box that is hardly anything but links, rows of teasers, and headlines below the text.

    `url` is the page's own address.
    """
    own = [p.element for p in passages if _is_own_prose(p) and p.element not in teasers]
    boxes = (_link_boxes(extents) | _teaser_rows(teasers.values())) - _ancestors(own)
    outermost = [box for box in boxes if not any(ancestor in boxes for ancestor in box.iterancestors())]
    account.remove(
        [*outermost, *_headlines_below(extents, own, host=_host(url))], why="leads to other pages", share=_SHARE
    )


def _headlines_below(extents: Extents, own: Sequence[HtmlElement], *, host: str) -> list[HtmlElement]:
    """Return the blocks below the page's last own passage that are each a link to a headline of the same site."""
    if not own:
        return []
    elements = extents.elements
    last = next(place for place in range(len(elements) - 1, -1, -1) if elements[place] is own[-1])
    below = (element for element in elements[last + 1 :] if element.tag in _LINES)
    found = [element for element in below if _is_headline(element, extents, host=host)]
    if len(found) < _LEAST_LINKS:
        return []
    above = found[0].getprevious()
    return [*([above] if above is not None and above.tag in _HEADINGS else []), *found]


def _is_headline(block: HtmlElement, extents: Extents, *, host: str) -> bool:
    linked = extents.linked.get(block, 0)
    if linked < _HEADLINE or linked < _MOSTLY * extents.chars[block] or extents.own.get(block, 0) < linked:
        return False
    return any(_is_on_site((link.get("href") or "").strip(), host=host) for link in block.iter("a"))


def _is_on_site(href: str, *, host: str) -> bool:
    """Whether a link leads to another page of the site: its address is a path, or has the page's own host."""
    if not href or href.startswith("#"):
        return False
    return _host(href) == host if "//" in href else not _OTHER_SCHEME.match(href)


def _host(url: str) -> str:
    return url.partition("//")[2].partition("/")[0].lower().removeprefix("www.").removeprefix("m.")


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
