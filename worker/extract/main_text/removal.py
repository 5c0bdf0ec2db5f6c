"""Removes controls, readers' comments and link blocks from a page, never more than a set share of its running text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lxml.etree import strip_elements
from lxml.html import HtmlElement

from worker.extract.explain import Trace
from worker.extract.main_text.phrases import is_comment_heading, mentions_comments
from worker.extract.main_text.text_blocks import TextBlock, TextDensity

_SMALL_BOX_CHARS = 200
_MIN_SENTENCE_CHARS = 40
# Never text, however much of it there is.
NON_TEXT_TAGS = ("script", "style", "template", "svg", "iframe", "link", "base", "input", "option")


class RemovalBudget:
    """The running text of a page, in characters, and what the steps that remove text have taken of it."""

    def __init__(self, body: HtmlElement, trace: Trace) -> None:
        self._body = body
        self._trace = trace
        self._total: int | None = None

    @property
    def total(self) -> int:
        """How much running text the page had before the first step."""
        if self._total is None:
            self._total = count_running_text(self._body)
        return self._total

    def remove(self, boxes: Iterable[HtmlElement], *, why: str, share: float) -> list[HtmlElement]:
        """Take boxes out of the page, except for those that hold more than a share of its running text.

        Return the boxes that were kept. Their removal, and its refusal, is on the trace.
        """
        kept = []
        for box in boxes:
            held = _running_text_in(box)
            if held and held > share * self.total:
                self._trace.figure(f"kept although it {why}", f"{held} of {self.total} characters of running text")
                kept.append(box)
                continue
            self._trace.drop_box(box, why)
            remove_element(box)
        return kept


def remove_element(element: HtmlElement) -> None:
    """Remove an element with all that is in it; the text after it stays. Nothing happens to one that is out already."""
    if element.getparent() is not None:
        element.drop_tree()


def make_plain_div(element: HtmlElement) -> None:
    """Make an element one that says nothing of what it holds."""
    for name in list(element.attrib):
        del element.attrib[name]
    element.tag = "div"


def _running_text_in(box: HtmlElement) -> int:
    text = box.text_content()
    # Most boxes hold next to nothing: counting their running text exactly is not worth it.
    return (
        count_running_text(box)
        if len(text) > _SMALL_BOX_CHARS and len(" ".join(text.split())) > _SMALL_BOX_CHARS
        else 0
    )


def count_running_text(element: HtmlElement) -> int:
    """Return how many characters of running text an element holds: sentences, or pieces of some, outside of links.

    Menus and labels come in shorter pieces.
    """
    return sum(map(len, _sentences(element)))


def _sentences(element: HtmlElement) -> Iterator[str]:
    for part in element.iter("*"):
        if part.tag in NON_TEXT_TAGS:
            continue
        pieces = [] if part.tag == "a" else [part.text]
        if part is not element:
            pieces.append(part.tail)
        for piece in pieces:
            if (
                piece
                and len(piece) >= _MIN_SENTENCE_CHARS
                and len(flat := " ".join(piece.split())) >= _MIN_SENTENCE_CHARS
            ):
                yield flat


# Takes out of a page what never holds article text: scripts, buttons, players, readers' comments known by name.


# fmt: off
_CONTROL_TAGS = (
    "noscript", "button", "select", "canvas", "object", "embed", "video", "audio", "picture", "map", "dialog",
    "textarea", "datalist", "menu",
)
# fmt: on
_COMMENT_TAGS = ("div", "section", "ul", "ol")
# An article never has a third of its text in buttons and players, but broken markup can put all of it inside of one:
# a `div` that nobody closed keeps the button around it open to the end of the page.
_MAX_CONTROLS_SHARE = 0.3
_MAX_NAMED_COMMENTS_SHARE = 0.5


def remove_controls(tree: HtmlElement, budget: RemovalBudget) -> None:
    """Take out of a tree what holds no article text; a frame that holds much of the page becomes a plain box."""
    strip_elements(tree, *NON_TEXT_TAGS, with_tail=False)
    _separate_labels(tree)
    frames = budget.remove(list(tree.iter(*_CONTROL_TAGS)), why="is a control or a player", share=_MAX_CONTROLS_SHARE)
    comments = list(filter(_is_named_comments, tree.iter(*_COMMENT_TAGS)))
    for kept in (
        *frames,
        *budget.remove(comments, why="is named as readers' comments", share=_MAX_NAMED_COMMENTS_SHARE),
    ):
        make_plain_div(kept)


def _separate_labels(tree: HtmlElement) -> None:
    """Set a blank after a label that a style sheet sets apart: `<span class="place">Hà Nội</span>Bộ trưởng…`."""
    for label in tree.iter("span"):
        tail = label.tail
        if tail and tail[0].isupper() and (text := label.text) and text[-1].islower() and label.get("class"):
            label.tail = f" {tail}"


def _is_named_comments(box: HtmlElement) -> bool:
    # In Python, and no loop: the same as an XPath takes three times as long.
    names = f"{box.get('id')} {box.get('class')}"
    return "comment" in names or "disqus" in names or "box-binhluan" in names


# Takes readers' comments out of a page: the boxes whose heading says that readers speak from there on.


_COMMENT_HEADING_TAGS = ("h2", "h3", "h4", "h5", "div", "p", "span", "strong", "a", "label", "header")
_MAX_COMMENT_HEADING_CHARS = 60
_MAX_COMMENT_BOX_LEVELS = 4
_MIN_COMMENT_CHARS = 30
# How much running text an article has before its readers speak, in characters; a rubric called so stands above it.
_MIN_CHARS_ABOVE_COMMENTS = 250
# Under many an article there is more to read by its readers than by its author; but not ten times as much.
_MAX_COMMENTS_SHARE = 0.9


def remove_comments(
    body: HtmlElement, density: TextDensity, blocks: Sequence[TextBlock], budget: RemovalBudget
) -> None:
    """Remove the boxes of readers' comments that stand below the article.

    A box goes only if its heading is what it begins with and it holds nothing of the text that stands above.
    """
    if not mentions_comments(body.text_content()):
        return
    for heading in list(_comment_headings(body, density)):
        box = _comment_box(heading, density)
        # Of a heading in a heading, the first has taken the box away.
        if box is not None and body in box.iterancestors() and _is_below_article(box, blocks):
            budget.remove([box], why="is headed as readers' comments", share=_MAX_COMMENTS_SHARE)


def _comment_headings(body: HtmlElement, density: TextDensity) -> Iterator[HtmlElement]:
    for element in body.iter(*_COMMENT_HEADING_TAGS):
        # The words stand in the heading's own text; a number beside them may stand in an element of its own.
        own = element.text
        if not own or not mentions_comments(own) or density.chars.get(element, 0) > _MAX_COMMENT_HEADING_CHARS:
            continue
        if is_comment_heading(element.text_content().strip()):
            yield element


def _comment_box(heading: HtmlElement, density: TextDensity) -> HtmlElement | None:
    """Return the lowest element around a heading that holds more than the heading, if it begins with it."""
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


# Takes out of a page what leads to other pages: menus, related articles, rows of teasers.
#
# What is left is cleaner to read, and several times smaller: most of a news page's elements are links elsewhere.


_MIN_LINKS = 3
_MIN_LINK_SHARE = 0.8
# Cells and rows are left alone: a table of names that are links is an article's own.
_BOX_TAGS = frozenset({"ul", "ol", "dl", "div", "section", "aside", "header", "article", "center", "li", "figure"})
_MIN_OWN_PROSE_CHARS = 100
_MIN_TEASERS = 3
_LINE_TAGS = frozenset({"p", "h2", "h3", "h4", "h5", "div", "li"})
_HEADING_TAGS = frozenset({"h2", "h3", "h4", "h5", "h6"})
_MIN_HEADLINE_CHARS = 12
_MAX_LINKS_SHARE = 0.9
_OTHER_SCHEME = re.compile(r"[a-z]{2,20}:", re.IGNORECASE)


def remove_link_blocks(
    density: TextDensity,
    blocks: Sequence[TextBlock],
    teasers: Mapping[HtmlElement, HtmlElement],
    budget: RemovalBudget,
    *,
    url: str,
) -> None:
    """Remove every box that is hardly anything but links, rows of teasers, and headlines below the text.

    `url` is the page's own address.
    """
    own = [p.element for p in blocks if _is_own_prose(p) and p.element not in teasers]
    boxes = (_link_boxes(density) | _teaser_rows(teasers.values())) - _ancestors(own)
    outermost = [box for box in boxes if not any(ancestor in boxes for ancestor in box.iterancestors())]
    budget.remove(
        [*outermost, *_headlines_below(density, own, host=_host(url))],
        why="leads to other pages",
        share=_MAX_LINKS_SHARE,
    )


def _headlines_below(density: TextDensity, own: Sequence[HtmlElement], *, host: str) -> list[HtmlElement]:
    """Return the blocks below the page's last own passage that are each a link to a headline of the same site."""
    if not own:
        return []
    elements = density.elements
    last = next(index for index in range(len(elements) - 1, -1, -1) if elements[index] is own[-1])
    below = (element for element in elements[last + 1 :] if element.tag in _LINE_TAGS)
    found = [element for element in below if _is_headline(element, density, host=host)]
    if len(found) < _MIN_LINKS:
        return []
    above = found[0].getprevious()
    return [*([above] if above is not None and above.tag in _HEADING_TAGS else []), *found]


def _is_headline(block: HtmlElement, density: TextDensity, *, host: str) -> bool:
    linked = density.linked.get(block, 0)
    if (
        linked < _MIN_HEADLINE_CHARS
        or linked < _MIN_LINK_SHARE * density.chars[block]
        or density.own.get(block, 0) < linked
    ):
        return False
    return any(_is_on_site((link.get("href") or "").strip(), host=host) for link in block.iter("a"))


def _is_on_site(href: str, *, host: str) -> bool:
    """Whether a link leads to another page of the site: its address is a path, or has the page's own host."""
    if not href or href.startswith("#"):
        return False
    return _host(href) == host if "//" in href else not _OTHER_SCHEME.match(href)


def _host(url: str) -> str:
    return url.partition("//")[2].partition("/")[0].lower().removeprefix("www.").removeprefix("m.")


def _link_boxes(density: TextDensity) -> set[HtmlElement]:
    return {
        box
        for box, links in density.links.items()
        if links >= _MIN_LINKS and density.linked[box] >= _MIN_LINK_SHARE * density.chars[box] and box.tag in _BOX_TAGS
    }


def _teaser_rows(teasers: Iterable[HtmlElement]) -> set[HtmlElement]:
    """Return the parents of three or more teasers."""
    rows = Counter(parent for box in set(teasers) if (parent := box.getparent()) is not None)
    return {row for row, count in rows.items() if count >= _MIN_TEASERS and row.tag in _BOX_TAGS}


def _ancestors(elements: Iterable[HtmlElement]) -> set[HtmlElement]:
    return {ancestor for element in elements for ancestor in element.iterancestors()}


def _is_own_prose(block: TextBlock) -> bool:
    return block.chars - block.linked >= _MIN_OWN_PROSE_CHARS and not block.is_inside_link
