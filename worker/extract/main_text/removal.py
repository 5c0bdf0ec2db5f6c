"""Removes controls, readers' comments, teasers and link blocks, never more than a set share of its running text."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, takewhile

from lxml.etree import strip_elements
from lxml.html import HtmlElement

from worker.charset.characters import text_length
from worker.extract.explain import NON_TEXT_TAGS, RemovalBudget, count_running_text, make_plain_div, sentence_of
from worker.extract.main_text.phrases import comment_hints, count_dated_chars, is_comment_heading
from worker.extract.main_text.text_blocks import (
    MAX_BOX_LEVELS,
    OwnPlaces,
    TextBlock,
    TextDensity,
    in_tables,
    links_to_other_page,
    own_places,
    sum_beside_links,
)

# Controls: buttons, players and the like, and readers' comments that are named as such.


# fmt: off
_CONTROL_TAGS = (
    "noscript", "button", "select", "canvas", "object", "embed", "video", "audio", "picture", "map", "dialog",
    "textarea", "datalist", "menu",
)
# fmt: on
_COMMENT_TAGS = ("div", "section", "ul", "ol")
# An article never has a third of its text in buttons and players, but broken markup can put all of it inside one: an
# unclosed `div` keeps the button around it open to the end of the page. Both limits are chosen; docs/extract.md has the
# result as a whole.
_MAX_CONTROLS_SHARE = 0.3
# So much running text (characters) comes before the comments: a section of that name is above the article. Chosen, not
# measured.
_MIN_CHARS_ABOVE_COMMENTS = 250
# Comments are often longer than the article, but not ten times as long (docs/extract.md).
_MAX_COMMENTS_SHARE = 0.9
# Named boxes above the text together hold at most this share of it, else they are the article. Chosen; see
# docs/extract.md.
_MAX_FIRST_COMMENTS_SHARE = 0.3


def remove_controls(tree: HtmlElement, budget: RemovalBudget) -> None:
    """Remove elements without article text; one that holds much of the page's text becomes a plain box instead."""
    strip_elements(tree, *NON_TEXT_TAGS, with_tail=False)
    _separate_labels(tree)
    frames = budget.remove(list(tree.iter(*_CONTROL_TAGS)), why="is a control or a player", share=_MAX_CONTROLS_SHARE)
    named = list(filter(_is_named_comments, tree.iter(*_COMMENT_TAGS)))
    kept = _remove_named_comments(tree, named, budget) if named else []
    for frame in (*frames, *kept):
        make_plain_div(frame)


def _remove_named_comments(
    tree: HtmlElement, named: Sequence[HtmlElement], budget: RemovalBudget
) -> Sequence[HtmlElement]:
    """Remove the boxes that are named as readers' comments, and return those that stay.

    Comments are below an article. A box that holds the page's heading is a frame around both. Boxes above any running
    text stay if they hold much of it: the entries of a live report are named like comments.
    """
    why = "is named as readers' comments"
    frames = [box for box in named if next(box.iter("h1"), None) is not None]
    boxes = [box for box in named if box not in frames]
    first = _boxes_above_text(tree, frozenset(boxes))
    held = sum(map(count_running_text, first))
    kept = []
    if held and held > _MAX_FIRST_COMMENTS_SHARE * budget.total:
        budget.keep(held, why)
        inside = {each for box in first for each in box.iter("*")}
        kept = [box for box in boxes if box in inside]
    below = [box for box in boxes if box not in kept]
    kept += budget.remove(below, why=why, share=_MAX_COMMENTS_SHARE)
    budget.doubtful += [box for box in below if box not in kept]
    return [*frames, *kept]


def _boxes_above_text(tree: HtmlElement, boxes: Collection[HtmlElement]) -> Sequence[HtmlElement]:
    """Return the outermost of the boxes that begin above _MIN_CHARS_ABOVE_COMMENTS characters of running text."""
    found: list[HtmlElement] = []
    inside: set[HtmlElement] = set()
    above = 0
    for element in tree.iter("*"):
        if element.getparent() in inside:
            inside.add(element)
            continue
        if element in boxes:
            inside.add(element)
            found.append(element)
            continue
        if element.tag != "a" and element.tag not in NON_TEXT_TAGS:
            above += text_length(sentence_of(element.text)) + text_length(sentence_of(element.tail))
        if above >= _MIN_CHARS_ABOVE_COMMENTS:
            break
    return found


def _separate_labels(tree: HtmlElement) -> None:
    """Insert a blank after a label that only a style sheet sets apart: `<span class="place">Hà Nội</span>Bộ…`."""
    for label in tree.iter("span"):
        tail = label.tail
        if tail and tail[0].isupper() and (text := label.text) and text[-1].islower() and label.get("class"):
            label.tail = f" {tail}"


def _is_named_comments(box: HtmlElement) -> bool:
    # Neither XPath (three times as slow, docs/extract.md) nor a loop: this runs for every box of a page.
    values = " ".join(box.values())
    if "comment" not in values and "disqus" not in values and "binhluan" not in values:
        return False
    names = f"{box.get('id')} {box.get('class')}"
    # A commentary is an article.
    return (
        ("comment" in names and "comment" in names.replace("commentary", ""))
        or "disqus" in names
        or "box-binhluan" in names
    )


# Readers' comments that are recognised by their heading.


_COMMENT_HEADING_TAGS = ("h2", "h3", "h4", "h5", "div", "p", "span", "strong", "a", "label", "header")
# A heading has at most so many characters; its box is at most so many levels above it, and holds at least so many
# characters more. Chosen, not measured.
_MAX_COMMENT_HEADING_CHARS = 60
_MAX_COMMENT_BOX_LEVELS = 4
_MIN_COMMENT_CHARS = 30


def remove_comments(
    body: HtmlElement, density: TextDensity, blocks: Sequence[TextBlock], budget: RemovalBudget
) -> None:
    """Remove the boxes of readers' comments below the article.

    A box is removed only if it begins with its heading and holds none of the text above.
    """
    for heading in list(_comment_headings(body, density)):
        box = _comment_box(heading, density)
        # The box of a nested heading may already be removed.
        if box is not None and body in box.iterancestors() and _is_below_article(box, blocks):
            budget.remove(
                [box], why="is headed as readers' comments", share=_MAX_COMMENTS_SHARE, counted=density.sentences
            )


def _comment_headings(body: HtmlElement, density: TextDensity) -> Iterator[HtmlElement]:
    short = {element for element, chars in density.chars.items() if chars <= _MAX_COMMENT_HEADING_CHARS}
    # The phrase is in the element's own text; a count beside it may be in an element of its own.
    hints = comment_hints("\n".join([element.text or "" for element in short]))
    for element in body.iter(*_COMMENT_HEADING_TAGS) if hints else ():
        own = element.text.lower() if element.text and element in short else ""
        if own and any(hint in own for hint in hints) and is_comment_heading(element.text_content().strip()):
            yield element


def _comment_box(heading: HtmlElement, density: TextDensity) -> HtmlElement | None:
    """Return the lowest ancestor that holds more than the heading, None if it does not begin with the heading."""
    box = heading
    for _ in range(_MAX_COMMENT_BOX_LEVELS):
        parent = box.getparent()
        if parent is None or parent.tag in {"body", "html", "main", "article"}:
            return None
        if _holds_text_before(parent, box, density):
            return None
        box = parent
        if density.chars[box] > density.chars[heading] + _MIN_COMMENT_CHARS:
            return box
    return None


def _holds_text_before(parent: HtmlElement, box: HtmlElement, density: TextDensity) -> bool:
    return bool((parent.text or "").strip()) or any(
        sibling in density.chars or (sibling.tail or "").strip() for sibling in box.itersiblings(preceding=True)
    )


def _is_below_article(box: HtmlElement, blocks: Sequence[TextBlock]) -> bool:
    inside = set(box.iter())
    above = 0
    for block in blocks:
        if block.element in inside:
            break
        above += block.chars - block.linked
    return above >= _MIN_CHARS_ABOVE_COMMENTS


# Teasers: blocks that announce other pages, each in a small box with a linked headline.


# In characters, chosen: shorter links are no headlines; a teaser is at most so long, with at most so much beside it.
_MIN_TEASER_LINK_CHARS = 20
_MAX_TEXT_BESIDE_TEASER = 260
_MAX_TEASER_CHARS = 600
# The text of a link that is an address is no headline.
_ADDRESS = re.compile(r"\s*(?:https?://|www\.)")


def find_teasers(
    density: TextDensity, blocks: Sequence[TextBlock], *, url: str, is_article: bool
) -> dict[HtmlElement, HtmlElement]:
    """Return the blocks that announce other pages: their elements, with the small box each shares with a headline.

    A headline that links to its own page (`url`) announces none. On a page that declares itself an article, links to
    places inside it announce none either, and a headline with several paragraphs is a section of it.
    """
    own = own_places(url, is_article=is_article)
    found: dict[HtmlElement, HtmlElement] = {}
    for block in blocks:
        if not block.is_linked and (box := _teaser_box(block, density, own)) is not None:
            found[block.element] = box
    if not is_article:
        return found
    paragraphs = Counter(found.values())
    return {element: box for element, box in found.items() if paragraphs[box] == 1}


def _teaser_box(block: TextBlock, density: TextDensity, own: OwnPlaces) -> HtmlElement | None:
    """Return the small box that a block shares with a linked headline, None if there is none."""
    box = block.element
    if block.chars > _MAX_TEASER_CHARS:
        return None
    if _begins_with_headline(box, density, own):
        return box
    for _ in range(MAX_BOX_LEVELS):
        parent = box.getparent()
        if parent is None or parent.tag in {"body", "html"}:
            return None
        box = parent
        if density.chars[box] > block.chars * 1.3 + _MAX_TEXT_BESIDE_TEASER:
            return None
        if any(_is_linked_headline(link, density, own) for link in _links_beside(block.element, box, density)):
            return box
    return None


def _links_beside(block: HtmlElement, box: HtmlElement, density: TextDensity) -> Iterator[HtmlElement]:
    """Yield the links around a block in a box; below a heading that is no link, only those above the block.

    In `<h2>Plans</h2><p>…</p><a>Learn more about our plans</a>` the link is no headline.
    """
    above = block.itersiblings("h2", "h3", "h4", preceding=True)
    is_headed = any(heading in density.chars and not density.links.get(heading) for heading in above)
    for part in box.iter("a", str(block.tag)):
        if part is block and is_headed:
            return
        if part.tag == "a" and block not in part.iterancestors():
            yield part


def _begins_with_headline(block: HtmlElement, density: TextDensity, own: OwnPlaces) -> bool:
    """Return whether a block in a table begins with a linked headline that only a line break or a font sets apart."""
    part = next((link for link in block.iter("a") if link in density.chars), None)
    if part is None or (part.tail and not part.tail.isspace()) or not _is_linked_headline(part, density, own):
        return False
    inside = [part, *takewhile(lambda each: each is not block, part.iterancestors()), block]
    is_first = not any(_holds_text_before(outer, inner, density) for inner, outer in pairwise(inside))
    return is_first and next(block.iterancestors("table"), None) is not None


def _is_linked_headline(link: HtmlElement, density: TextDensity, own: OwnPlaces) -> bool:
    is_long = density.chars.get(link, 0) >= _MIN_TEASER_LINK_CHARS
    return is_long and links_to_other_page(link, own) and _ADDRESS.match(link.text or "") is None


# Link blocks: menus, related articles, rows of teasers. Most elements of a news page are links to other pages, so this
# makes the page several times smaller for trafilatura.


# A box is a link block if it has so many links and this share of its text in links. Chosen, not measured.
_MIN_LINKS = 3
_MIN_LINK_SHARE = 0.8
# Table cells and rows are not in this list: a table of linked names belongs to the article.
_BOX_TAGS = frozenset({"ul", "ol", "dl", "div", "section", "aside", "header", "article", "center", "li", "figure"})
_TABLE_TAGS = frozenset({"table", "tbody", "tr", "td"})
# A box with less text in links is none, however many dates it has. Chosen, not measured.
_MIN_DATED_LINK_SHARE = 0.4
# A box with a block of so much unlinked text is no link block, so many teasers side by side are one. Chosen.
_MIN_OWN_PROSE_CHARS = 100
_MIN_TEASERS = 3
_LINE_TAGS = frozenset({"p", "h2", "h3", "h4", "h5", "div", "li"})
_HEADING_TAGS = frozenset({"h2", "h3", "h4", "h5", "h6"})
# In characters; shorter links are names of sections. Chosen, not measured.
_MIN_HEADLINE_CHARS = 12
# See docs/extract.md.
_MAX_LINKS_SHARE = 0.9
_OTHER_SCHEME = re.compile(r"[a-z]{2,20}:", re.IGNORECASE)


def remove_link_blocks(
    density: TextDensity,
    blocks: Sequence[TextBlock],
    teasers: Mapping[HtmlElement, HtmlElement],
    budget: RemovalBudget,
    *,
    url: str,
    is_text_found: bool = False,
) -> None:
    """Remove boxes of links, rows of teasers, and linked headlines below the text; all of them if the text is found."""
    own = [p.element for p in blocks if _is_own_prose(p) and p.element not in teasers]
    tags = _BOX_TAGS | _TABLE_TAGS if in_tables(own) else _BOX_TAGS
    around = _ancestors(own)
    boxes = _link_boxes(density, tags, around) | _teaser_rows(teasers.values(), density, tags, around)
    # In page order, in which `--explain` shows them.
    ordered = (element for element in density.elements if element in boxes)
    outermost = [box for box in ordered if not any(ancestor in boxes for ancestor in box.iterancestors())]
    budget.remove(
        [*outermost, *_headlines_below(density, own, host=_host(url))],
        why="leads to other pages",
        share=1.0 if is_text_found else _MAX_LINKS_SHARE,
        counted=density.sentences,
    )


def _headlines_below(density: TextDensity, own: Sequence[HtmlElement], *, host: str) -> list[HtmlElement]:
    """Return the blocks below the last own block that are linked headlines of the same site, and their heading."""
    if not own:
        return []
    elements = density.elements
    last = next(index for index in range(len(elements) - 1, -1, -1) if elements[index] is own[-1])
    below = (element for element in elements[last + 1 :] if element in density.linked and element.tag in _LINE_TAGS)
    found = [element for element in below if _is_headline(element, density, host=host)]
    if len(found) < _MIN_LINKS:
        return []
    above = found[0].getprevious()
    return [*([above] if above is not None and above.tag in _HEADING_TAGS else []), *found]


def _is_headline(block: HtmlElement, density: TextDensity, *, host: str) -> bool:
    linked = density.linked[block]
    if linked < max(_MIN_HEADLINE_CHARS, _MIN_LINK_SHARE * density.chars[block]):
        return False
    if density.own.get(block, 0) < linked:
        return False
    return any(_is_on_site((link.get("href") or "").strip(), host=host) for link in block.iter("a"))


def _is_on_site(href: str, *, host: str) -> bool:
    """Return whether a link leads to another page of the site: its address is a path or has the page's own host."""
    if not href or href.startswith("#"):
        return False
    return _host(href) == host if "//" in href else not _OTHER_SCHEME.match(href)


def _host(url: str) -> str:
    return url.partition("//")[2].partition("/")[0].lower().removeprefix("www.").removeprefix("m.")


def _link_boxes(density: TextDensity, tags: Collection[str], around: Collection[HtmlElement]) -> set[HtmlElement]:
    """Return the boxes with at least three links and hardly any text beside these but dates, none of those `around`."""
    found, dated = set(), dict[HtmlElement, int]()
    for box, links in density.links.items():  # inner boxes before outer ones
        if links < _MIN_LINKS or box.tag not in tags or box in around:
            continue
        missing = _MIN_LINK_SHARE * density.chars[box] - density.linked[box]
        is_half_linked = density.linked[box] >= _MIN_DATED_LINK_SHARE * density.chars[box]
        if missing <= 0 or (
            is_half_linked and missing <= _MIN_LINK_SHARE * sum_beside_links(box, count_dated_chars, dated)
        ):
            found.add(box)
    return found


def _teaser_rows(
    teasers: Iterable[HtmlElement], density: TextDensity, tags: Collection[str], around: Collection[HtmlElement]
) -> set[HtmlElement]:
    """Return the parents of three or more teasers; of a table `around` the text, the rows or cells that hold these."""
    rows = defaultdict[HtmlElement, set[HtmlElement]](set)
    for box in (_with_frames(box, density) for box in teasers):
        parent = box.getparent()
        # The teasers of a table can be in several of its rows.
        while parent is not None and parent.tag in tags:
            rows[parent].add(box)
            parent = parent.getparent() if parent.tag in {"tr", "tbody"} else None
    many = {row: boxes for row, boxes in rows.items() if len(boxes) >= _MIN_TEASERS}
    cells = {box for row, boxes in many.items() if row in around for box in boxes if box.tag in _TABLE_TAGS}
    return {*many, *cells}.difference(around)


def _with_frames(box: HtmlElement, density: TextDensity) -> HtmlElement:
    """Return the outermost element that holds the same text as a box."""
    while (parent := box.getparent()) is not None and density.chars.get(parent) == density.chars[box]:
        box = parent
    return box


def _ancestors(elements: Iterable[HtmlElement]) -> set[HtmlElement]:
    return {ancestor for element in elements for ancestor in element.iterancestors()}


def _is_own_prose(block: TextBlock) -> bool:
    return block.chars - block.linked >= _MIN_OWN_PROSE_CHARS and not block.is_inside_link
