"""Gets the main text of a page as blocks, with trafilatura, on as small a part of the page as holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import cast

import trafilatura
from lxml.html import HtmlElement
from trafilatura.external import jt_stoplist_init
from trafilatura.settings import Document as Extracted
from trafilatura.settings import Extractor as Options
from trafilatura.xpaths import BODY_XPATH

from worker.extract.document import is_inline
from worker.extract.main_text.removal import make_plain_div, remove_element
from worker.extract.main_text.text_blocks import (
    ArticleBlock,
    TextBlock,
    TextDensity,
    find_container,
    is_furniture,
    read_blocks,
    weigh_elements,
)
from worker.extract.text import fold

_CONTAINER_SHARE = 0.92
_COVERED = 0.6
_HOPELESS = 0.25
_BOXES = ("div", "section", "figure", "aside", "img", "ins")
# Trafilatura throws these away with all that is in them.
_DISCARDED = frozenset({"aside", "footer", "nav", "form", "fieldset", "figure", "label", "blink", "noindex", "marquee"})
# What may hold text beside blocks; cells and items are read as they are.
_HOLDERS = ("body", "div", "article", "section", "main", "center", "font", "span", "blockquote", "details")
_PLAIN = frozenset({"div", "section", "center"})
# In characters: less of it is a label.
_SHORTEST_BARE_TEXT = 20
# How much of the container's running text makes one of these a part of the article.
_OWN_SHARE = 0.3
# Of the text in paragraphs, how much a frame must hold that trafilatura knows by its name.
_FRAMED = 0.15
_PARAGRAPHS = frozenset({"p", "li", "dd", "blockquote", "pre"})
# Without such a frame it takes paragraphs alone: these are left out, which is worth a frame from this share on.
_BESIDE_PARAGRAPHS = ("h2", "h3", "h4", "li")
_WORTH = 0.01
_KEY = 80


def extract_body(tree: HtmlElement, extents: TextDensity, passages: Sequence[TextBlock]) -> list[ArticleBlock]:
    """Return the blocks of the main text in page order; none where trafilatura finds nothing. Consumes the tree.

    Trafilatura reads only the part of the page that holds its running text, in its fast way; where that gives much
    less than the text of this part, the part is tried without the frame around it, and then the whole cascade.
    """
    body = tree.find("body")
    if body is None:
        return []
    weight = weigh_elements(body, _distinct(passages))
    container = find_container(body, weight, share=_CONTAINER_SHARE)
    _narrow(tree, container)
    _drop_empty(container, extents)
    _open_discarded(container, weight)
    _open_lists_in_cells(container)
    _wrap_bare_text(container)
    _name_frame(tree, container, extents, passages)
    prose = sum(passage.chars - passage.linked for passage in passages if _is_in(passage, container))
    best = _run_trafilatura(tree, fast=True)
    if _chars(best) < _COVERED * prose and container is not body:
        best = max(best, _run_trafilatura(_only(container), fast=True), key=_chars)
    if _chars(best) < _HOPELESS * prose:
        best = max(best, _run_trafilatura(tree, fast=False), key=_chars)
    return best


def extract_untouched(markup: str) -> list[ArticleBlock]:
    """Return the blocks that trafilatura finds, as it comes, on a page of which nothing was taken out."""
    return _run_trafilatura(markup, fast=False)


def preload_trafilatura() -> None:
    """Load what trafilatura loads when it first reads a page with little text, so that no page pays for it."""
    jt_stoplist_init()


def _narrow(tree: HtmlElement, container: HtmlElement) -> None:
    """Take out of a page its head, and what stands beside the container and beside the boxes around it."""
    while container is not tree and (parent := container.getparent()) is not None:
        for sibling in [child for child in parent if child is not container]:
            parent.remove(sibling)
        parent.text = container.tail = None
        container = parent


def _distinct(passages: Sequence[TextBlock]) -> list[TextBlock]:
    """Return the passages without those that say again what one before them says.

    A page that holds its article twice, for large screens and for small ones, has it in one of two boxes.
    """
    first: dict[str, TextBlock] = {}
    for passage in passages:
        first.setdefault(fold(passage.text())[:_KEY], passage)
    return list(first.values())


def _name_frame(tree: HtmlElement, container: HtmlElement, extents: TextDensity, passages: Sequence[TextBlock]) -> None:
    """Name the box that holds the paragraphs as the article's, where trafilatura knows no frame with much of them.

    Without a frame that it knows by its name it takes paragraphs alone, and leaves out headings and lists.
    """
    own = [each for each in passages if _is_in(each, container) and not is_furniture(each)]
    paragraphs = [each for each in own if each.element.tag in _PARAGRAPHS]
    weight = weigh_elements(container, paragraphs)
    inner = find_container(container, weight, share=_CONTAINER_SHARE)
    if 2 * weight.get(container, 0) < weigh_elements(container, own).get(container, 0):
        weight, inner = weigh_elements(container, own), container
    frames = [frame for expression in BODY_XPATH for frame in cast("list[HtmlElement]", expression(tree))[:1]]
    if max((weight.get(frame, 0) for frame in frames), default=0) >= _FRAMED * weight.get(inner, 0):
        return
    if _left_out(inner, extents) < _WORTH * weight.get(inner, 0):
        return
    if inner.tag == "body":
        inner = _wrap_children(inner)
    elif inner.tag not in _PLAIN:
        inner.tag = "div"
    inner.set("itemprop", "articleBody")


def _left_out(box: HtmlElement, extents: TextDensity) -> int:
    """Return how many characters outside of links the headings and the items of lists in a box hold."""
    parts = [part for part in box.iter(*_BESIDE_PARAGRAPHS) if part.find("p") is None]
    return sum(extents.own.get(part, 0) - extents.own_linked.get(part, 0) for part in parts)


def _wrap_children(body: HtmlElement) -> HtmlElement:
    box = body.makeelement("div")
    box.text, body.text = body.text, None
    box.extend(list(body))
    body.append(box)
    return box


def _drop_empty(container: HtmlElement, extents: TextDensity) -> None:
    """Take out boxes that hold no text: pictures, frames for advertising, what other boxes were taken out of."""
    for box in list(container.iter(*_BOXES)):
        if box not in extents.chars and box is not container:
            remove_element(box)


def _open_discarded(container: HtmlElement, weight: Mapping[HtmlElement, int]) -> None:
    """Make plain boxes of what trafilatura would throw away: around the container, and where it holds much of it."""
    own = _OWN_SHARE * weight.get(container, 0)
    around = [box for box in (container, *container.iterancestors()) if box.tag in _DISCARDED]
    inside = [box for box in container.iter(*_DISCARDED) if weight.get(box, 0) > own]
    for box in (*around, *inside):
        make_plain_div(box)


def _open_lists_in_cells(container: HtmlElement) -> None:
    """Make paragraphs of the items of lists in table cells: trafilatura drops lists there."""
    for cell in container.iter("td", "th"):
        for part in cell.iter("ul", "ol", "dl", "li", "dt", "dd"):
            part.tag = "div" if part.tag in {"ul", "ol", "dl"} else "p"


def _wrap_bare_text(container: HtmlElement) -> None:
    """Make a paragraph of each run of text that stands beside blocks: trafilatura loses some of what follows one.

    The boxes of text between such runs are paragraphs, too.
    """
    for box in list(container.iter(*_HOLDERS)):
        blocks = [child for child in box if not _is_running(child)]
        wrapped = [_wrap_run(box, before) for before in ((None, *blocks) if blocks else ())]
        for block in blocks if any(wrapped) else ():
            if (
                block.tag in _PLAIN
                and all(map(_is_running, block))
                and len(block.text_content().strip()) >= _SHORTEST_BARE_TEXT
            ):
                block.tag = "p"


def _is_running(element: HtmlElement) -> bool:
    """Whether an element is part of the text around it, and holds no block."""
    return element.tag == "br" or (is_inline(element) and all(map(is_inline, element.iter("*"))))


def _wrap_run(box: HtmlElement, before: HtmlElement | None) -> bool:
    """Make a paragraph of the text that begins in a box, or after one of its blocks, up to the next block."""
    run = list(takewhile(_is_running, box if before is None else before.itersiblings()))
    text = (box.text if before is None else before.tail) or ""
    if sum(len(piece.strip()) for piece in (text, *(part.tail or "" for part in run))) < _SHORTEST_BARE_TEXT:
        return False
    paragraph = box.makeelement("p")
    paragraph.text = text
    paragraph.extend(run)
    if before is None:
        box.text = None
        box.insert(0, paragraph)
    else:
        before.tail = None
        before.addnext(paragraph)
    return True


def _is_in(passage: TextBlock, container: HtmlElement) -> bool:
    return not passage.is_linked and any(ancestor is container for ancestor in passage.element.iterancestors())


def _only(container: HtmlElement) -> HtmlElement:
    page = container.makeelement("html")
    body = container.makeelement("body")
    page.append(body)
    copied = container.__copy__()
    copied.tail = None
    body.append(copied)
    return page


def _chars(blocks: Sequence[ArticleBlock]) -> int:
    return sum(len(block.text) for block in blocks)


def _run_trafilatura(page: HtmlElement | str, *, fast: bool) -> list[ArticleBlock]:
    extracted = trafilatura.bare_extraction(page, fast=fast, options=_options(fast=fast))
    if not isinstance(extracted, Extracted) or extracted.body is None:
        return []
    return list(read_blocks(extracted.body))


@cache
def _options(*, fast: bool) -> Options:
    """Return what trafilatura is told; it reads a configuration file's worth of settings for each of these."""
    # Any format but its default one spares it writing the text out, which is read from its tree here.
    return Options(fast=fast, comments=False, tables=True, output_format="txt")
