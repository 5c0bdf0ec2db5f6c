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
    has_boilerplate_name,
    read_blocks,
    weigh_elements,
)
from worker.extract.text import fold

_CONTAINER_SHARE = 0.92
_RETRY_SHARE = 0.6
_FALLBACK_SHARE = 0.25
_BOX_TAGS = ("div", "section", "figure", "aside", "img", "ins")
# Trafilatura throws these away with all that is in them.
_DISCARDED_TAGS = frozenset(
    {"aside", "footer", "nav", "form", "fieldset", "figure", "label", "blink", "noindex", "marquee"}
)
# What may hold text beside blocks; cells and items are read as they are.
_BARE_TEXT_TAGS = ("body", "div", "article", "section", "main", "center", "font", "span", "blockquote", "details")
_PLAIN_TAGS = frozenset({"div", "section", "center"})
# In characters: less of it is a label.
_MIN_BARE_TEXT_CHARS = 20
# How much of the container's running text makes one of these a part of the article.
_ARTICLE_SHARE = 0.3
# Of the text in paragraphs, how much a frame must hold that trafilatura knows by its name.
_MIN_FRAME_SHARE = 0.15
_PARAGRAPH_TAGS = frozenset({"p", "li", "dd", "blockquote", "pre"})
# Without such a frame it takes paragraphs alone: these are left out, which is worth a frame from this share on.
_LEFT_OUT_TAGS = ("h2", "h3", "h4", "li")
_MIN_LEFT_OUT_SHARE = 0.01
_KEY_CHARS = 80


def extract_body(tree: HtmlElement, density: TextDensity, blocks: Sequence[TextBlock]) -> list[ArticleBlock]:
    """Return the blocks of the main text in page order; none where trafilatura finds nothing. Consumes the tree.

    Trafilatura reads only the part of the page that holds its running text, in its fast way; where that gives much
    less than the text of this part, the part is tried without the frame around it, and then the whole cascade.
    """
    body = tree.find("body")
    if body is None:
        return []
    weight = weigh_elements(body, _without_repeats(blocks))
    container = find_container(body, weight, share=_CONTAINER_SHARE)
    _isolate(tree, container)
    _remove_empty_boxes(container, density)
    _unwrap_discarded(container, weight)
    _unwrap_lists_in_cells(container)
    _wrap_bare_text(container)
    _mark_article_body(tree, container, density, blocks)
    prose = sum(block.chars - block.linked for block in blocks if _is_text_in(block, container))
    best = _run_trafilatura(tree, fast=True)
    if _total_chars(best) < _RETRY_SHARE * prose and container is not body:
        best = max(best, _run_trafilatura(_page_with_only(container), fast=True), key=_total_chars)
    if _total_chars(best) < _FALLBACK_SHARE * prose:
        best = max(best, _run_trafilatura(tree, fast=False), key=_total_chars)
    return best


def extract_untouched(markup: str) -> list[ArticleBlock]:
    """Return the blocks that trafilatura finds, as it comes, on a page of which nothing was taken out."""
    return _run_trafilatura(markup, fast=False)


def preload_trafilatura() -> None:
    """Load what trafilatura loads when it first reads a page with little text, so that no page pays for it."""
    jt_stoplist_init()


def _isolate(tree: HtmlElement, container: HtmlElement) -> None:
    """Take out of a page its head, and what stands beside the container and beside the boxes around it."""
    while container is not tree and (parent := container.getparent()) is not None:
        for sibling in [child for child in parent if child is not container]:
            parent.remove(sibling)
        parent.text = container.tail = None
        container = parent


def _without_repeats(blocks: Sequence[TextBlock]) -> list[TextBlock]:
    """Return the passages without those that say again what one before them says.

    A page that holds its article twice, for large screens and for small ones, has it in one of two boxes.
    """
    first: dict[str, TextBlock] = {}
    for block in blocks:
        first.setdefault(fold(block.text())[:_KEY_CHARS], block)
    return list(first.values())


def _mark_article_body(
    tree: HtmlElement, container: HtmlElement, density: TextDensity, blocks: Sequence[TextBlock]
) -> None:
    """Name the box that holds the paragraphs as the article's, where trafilatura knows no frame with much of them.

    Without a frame that it knows by its name it takes paragraphs alone, and leaves out headings and lists.
    """
    own = [block for block in blocks if _is_text_in(block, container) and not has_boilerplate_name(block)]
    paragraphs = [block for block in own if block.element.tag in _PARAGRAPH_TAGS]
    weight = weigh_elements(container, paragraphs)
    inner = find_container(container, weight, share=_CONTAINER_SHARE)
    if 2 * weight.get(container, 0) < weigh_elements(container, own).get(container, 0):
        weight, inner = weigh_elements(container, own), container
    frames = [frame for expression in BODY_XPATH for frame in cast("list[HtmlElement]", expression(tree))[:1]]
    if max((weight.get(frame, 0) for frame in frames), default=0) >= _MIN_FRAME_SHARE * weight.get(inner, 0):
        return
    if _left_out_chars(inner, density) < _MIN_LEFT_OUT_SHARE * weight.get(inner, 0):
        return
    if inner.tag == "body":
        inner = _wrap_children(inner)
    elif inner.tag not in _PLAIN_TAGS:
        inner.tag = "div"
    inner.set("itemprop", "articleBody")


def _left_out_chars(box: HtmlElement, density: TextDensity) -> int:
    """Return how many characters outside of links the headings and the items of lists in a box hold."""
    parts = [part for part in box.iter(*_LEFT_OUT_TAGS) if part.find("p") is None]
    return sum(density.own.get(part, 0) - density.own_linked.get(part, 0) for part in parts)


def _wrap_children(body: HtmlElement) -> HtmlElement:
    box = body.makeelement("div")
    box.text, body.text = body.text, None
    box.extend(list(body))
    body.append(box)
    return box


def _remove_empty_boxes(container: HtmlElement, density: TextDensity) -> None:
    """Take out boxes that hold no text: pictures, frames for advertising, what other boxes were taken out of."""
    for box in list(container.iter(*_BOX_TAGS)):
        if box not in density.chars and box is not container:
            remove_element(box)


def _unwrap_discarded(container: HtmlElement, weight: Mapping[HtmlElement, int]) -> None:
    """Make plain boxes of what trafilatura would throw away: around the container, and where it holds much of it."""
    own = _ARTICLE_SHARE * weight.get(container, 0)
    around = [box for box in (container, *container.iterancestors()) if box.tag in _DISCARDED_TAGS]
    inside = [box for box in container.iter(*_DISCARDED_TAGS) if weight.get(box, 0) > own]
    for box in (*around, *inside):
        make_plain_div(box)


def _unwrap_lists_in_cells(container: HtmlElement) -> None:
    """Make paragraphs of the items of lists in table cells: trafilatura drops lists there."""
    for cell in container.iter("td", "th"):
        for part in cell.iter("ul", "ol", "dl", "li", "dt", "dd"):
            part.tag = "div" if part.tag in {"ul", "ol", "dl"} else "p"


def _wrap_bare_text(container: HtmlElement) -> None:
    """Make a paragraph of each run of text that stands beside blocks: trafilatura loses some of what follows one.

    The boxes of text between such runs are paragraphs, too.
    """
    for box in list(container.iter(*_BARE_TEXT_TAGS)):
        blocks = [child for child in box if not _is_inline_run(child)]
        wrapped = [_wrap_run(box, before) for before in ((None, *blocks) if blocks else ())]
        for block in blocks if any(wrapped) else ():
            if (
                block.tag in _PLAIN_TAGS
                and all(map(_is_inline_run, block))
                and len(block.text_content().strip()) >= _MIN_BARE_TEXT_CHARS
            ):
                block.tag = "p"


def _is_inline_run(element: HtmlElement) -> bool:
    """Whether an element is part of the text around it, and holds no block."""
    return element.tag == "br" or (is_inline(element) and all(map(is_inline, element.iter("*"))))


def _wrap_run(box: HtmlElement, before: HtmlElement | None) -> bool:
    """Make a paragraph of the text that begins in a box, or after one of its blocks, up to the next block."""
    run = list(takewhile(_is_inline_run, box if before is None else before.itersiblings()))
    text = (box.text if before is None else before.tail) or ""
    if sum(len(piece.strip()) for piece in (text, *(part.tail or "" for part in run))) < _MIN_BARE_TEXT_CHARS:
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


def _is_text_in(block: TextBlock, container: HtmlElement) -> bool:
    return not block.is_linked and any(ancestor is container for ancestor in block.element.iterancestors())


def _page_with_only(container: HtmlElement) -> HtmlElement:
    page = container.makeelement("html")
    body = container.makeelement("body")
    page.append(body)
    copied = container.__copy__()
    copied.tail = None
    body.append(copied)
    return page


def _total_chars(blocks: Sequence[ArticleBlock]) -> int:
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
