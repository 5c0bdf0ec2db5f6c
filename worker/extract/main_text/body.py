"""Extracts the main text as blocks by running trafilatura on the smallest part of the page that holds it.

Before, the tree is changed where trafilatura loses text: bare text becomes paragraphs, discarded tags become boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import cast

import trafilatura
from lxml.etree import XPath, strip_elements
from lxml.html import HtmlElement
from trafilatura.external import jt_stoplist_init
from trafilatura.settings import Document as Extracted
from trafilatura.settings import Extractor as Options
from trafilatura.xpaths import BODY_XPATH, OVERALL_DISCARD_XPATH

from worker.charset import decode
from worker.charset.characters import text_length
from worker.extract.document import is_inline, open_document, prefilter_markup
from worker.extract.explain import MIN_SENTENCE_CHARS, NON_TEXT_TAGS, make_plain_div, remove_element
from worker.extract.json_ld import markup_in_scripts
from worker.extract.main_text.text_blocks import (
    ArticleBlock,
    TextBlock,
    TextDensity,
    find_container,
    read_blocks,
    weigh_elements,
)
from worker.models import Page

# The container is the lowest element that holds this share of the running text at every step down from the body.
# With this and the steps below, trafilatura takes 6.3 ms a page instead of 17.1 (docs/extract.md).
_CONTAINER_SHARE = 0.92
# If trafilatura returns less than this share of the running text, it is run on the container alone.
# Chosen, not measured: it trades time for text.
_RETRY_SHARE = 0.6
# If it still returns less than this share, its slow cascade is run. Chosen, not measured by itself: the times in
# docs/extract.md include it.
_FALLBACK_SHARE = 0.25
# That cell must hold this share of the outermost table's text: short lines beside it can be a table of the article.
_LAYOUT_SHARE = 0.7
_MIN_PROSE_OF_LAYOUT = 600  # in characters: no cell of data has so much; chosen
_BOX_TAGS = ("div", "section", "figure", "aside", "img", "ins")
# Trafilatura discards these elements with everything in them.
_DISCARDED_TAGS = frozenset(
    {"aside", "footer", "nav", "form", "fieldset", "figure", "label", "blink", "noindex", "marquee"}
)
# Elements that may hold text beside blocks. Table cells and list items need no change.
_BARE_TEXT_TAGS = ("body", "div", "article", "section", "main", "center", "font", "span", "blockquote", "details")
_PLAIN_TAGS = frozenset({"div", "section", "center"})
_MIN_BARE_TEXT_CHARS = 20  # shorter text is a label; chosen, not measured
# A discarded element with more than this share of the container's text is part of the article (docs/extract.md).
_ARTICLE_SHARE = 0.3
# A box that is so named counts as the article if it holds so many blocks of running text as well; 2 to 4 give the same.
_MIN_BLOCKS = 3
# A frame that trafilatura knows by name counts if it holds this share of the text in paragraphs (docs/extract.md).
_MIN_FRAME_SHARE = 0.15
_FRAME_TAGS = ("article", "div", "main", "section")
# First the searches without regular expressions, which take a tenth of the time of the others.
_FRAMES = sorted(BODY_XPATH, key=lambda search: "re:test" in str(search.path))
_PARAGRAPH_TAGS = frozenset({"p", "li", "dd", "blockquote", "pre"})
# Without such a frame trafilatura takes paragraphs only. If it would leave out more than this share in headings and
# list items, the article's box is marked as one (docs/extract.md).
_LEFT_OUT_TAGS = ("h2", "h3", "h4", "li")
_MIN_LEFT_OUT_SHARE = 0.01


def extract_body(tree: HtmlElement, density: TextDensity, blocks: Sequence[TextBlock]) -> list[ArticleBlock]:
    """Return the blocks of the main text in page order, an empty list if trafilatura finds none. Changes the tree.

    Trafilatura first reads only the container of the running text, in its fast mode. If the result is much shorter than
    that text, it reads the container without the elements around it, and at last runs its slow cascade.
    """
    body = tree.find("body")
    if body is None:
        return []
    weight = weigh_elements(body, _without_repeats(blocks))
    _unwrap_layout_tables(body, blocks, weight)
    container = find_container(body, weight, share=_CONTAINER_SHARE)
    _isolate(tree, container)
    _remove_empty_boxes(container, density)
    _unwrap_discarded(container, weight)
    _unname_discarded(container, weight, blocks)
    _unwrap_lists_in_cells(container)
    inside = [block for block in blocks if _is_text_in(block, container)]
    prose = sum(block.chars - block.linked for block in inside)
    _wrap_bare_text(container, density, prose=prose)
    _mark_article_body(tree, container, density, inside)
    best = _run_trafilatura(tree, fast=True)
    boxes = [block.element for block in inside if block.weight > 0]
    if len(best) == 1 < len(boxes) and all(map(_is_box_of_text, boxes)):  # of a page without paragraphs it makes one
        for box in boxes:
            box.tag = "p"
        best = _run_trafilatura(tree, fast=True)
    if total_chars(best) < _RETRY_SHARE * prose and container is not body:
        best = max(best, _run_trafilatura(_page_with_only(container), fast=True), key=total_chars)
    if total_chars(best) < _FALLBACK_SHARE * prose:
        best = max(best, _run_trafilatura(tree, fast=False), key=total_chars)
    return best


def preload_trafilatura() -> None:
    """Load the stop words that trafilatura otherwise loads on the first page with little text."""
    jt_stoplist_init()


def _unwrap_layout_tables(body: HtmlElement, blocks: Sequence[TextBlock], weight: Mapping[HtmlElement, int]) -> None:
    """Turn tables with all the text in one cell into boxes: trafilatura makes one line of the text in a cell."""
    own = {block.element: block.weight for block in blocks}
    cells = {cell for part in own for cell in (part, *part.iterancestors("td")) if cell.tag == "td"}
    heavy = (each for each in cells if weight.get(each, 0) + own.get(each, 0) > _CONTAINER_SHARE * weight.get(body, 0))
    around = [(cell, list(cell.iterancestors("table"))) for cell in heavy]
    layouts = {tables[0] for cell, tables in around if tables and _size(cell) > _LAYOUT_SHARE * _size(tables[-1])}
    held: Counter[HtmlElement] = Counter()
    for part, chars in own.items():
        if (cell := part if part.tag == "td" else next(part.iterancestors("td"), None)) is not None:
            held[cell] += chars
    prosaic = (cell for cell, chars in held.items() if chars >= _MIN_PROSE_OF_LAYOUT)
    layouts.update(table for cell in prosaic for table in cell.iterancestors("table"))
    parts = list(body.iter("tbody", "tr", "td")) if layouts else []
    inside = [part for part in parts if next(part.iterancestors("table"), None) in layouts]
    for part in (*layouts, *inside):
        part.tag = "p" if part in own and all(map(_is_inline_run, part)) else "div"


def _size(element: HtmlElement) -> int:
    return len("".join(element.text_content().split()))


def _isolate(tree: HtmlElement, container: HtmlElement) -> None:
    """Remove everything from a page but the container and its ancestors."""
    while container is not tree and (parent := container.getparent()) is not None:
        for sibling in [child for child in parent if child is not container]:
            parent.remove(sibling)
        parent.text = container.tail = None
        container = parent


def _without_repeats(blocks: Sequence[TextBlock]) -> list[TextBlock]:
    """Return the blocks that have weight, without repeats of an earlier one.

    Some pages hold their article twice, for large screens and for small ones; only the first copy counts.
    """
    first: dict[str, TextBlock] = {}
    for block in blocks:
        if block.weight > 0:
            first.setdefault(block.key, block)
    return list(first.values())


def _mark_article_body(
    tree: HtmlElement, container: HtmlElement, density: TextDensity, blocks: Sequence[TextBlock]
) -> None:
    """Mark the box that holds the paragraphs as `articleBody` if trafilatura knows no frame with many of them.

    Without a frame that it knows by name, trafilatura takes paragraphs only and leaves out headings and lists. `blocks`
    are those in the container.
    """
    own = [block for block in blocks if not block.has_boilerplate_name]
    paragraphs = [block for block in own if block.element.tag in _PARAGRAPH_TAGS]
    weight = weigh_elements(container, paragraphs)
    inner = find_container(container, weight, share=_CONTAINER_SHARE)
    if 2 * weight.get(container, 0) < (of_all := weigh_elements(container, own)).get(container, 0):
        weight, inner = of_all, container
    held = weight.get(inner, 0)
    if not held or _left_out_chars(inner, density) < _MIN_LEFT_OUT_SHARE * held:
        return
    if _has_frame(tree, {box for box, own in weight.items() if own >= _MIN_FRAME_SHARE * held}):
        return
    if inner.tag == "body":
        inner = _wrap_children(inner)
    elif inner.tag not in _PLAIN_TAGS:
        inner.tag = "div"
    inner.set("itemprop", "articleBody")


def _has_frame(tree: HtmlElement, heavy: Collection[HtmlElement]) -> bool:
    """Return whether the first frame that any of trafilatura's searches finds is one of the `heavy` boxes."""
    boxes = list(tree.iter(*_FRAME_TAGS))
    while boxes and boxes[-1] not in heavy:
        boxes.pop()
    return not _named(boxes, _FRAMES, most=1).isdisjoint(heavy)


def _left_out_chars(box: HtmlElement, density: TextDensity) -> int:
    """Return how many characters outside links the headings and list items in a box hold."""
    parts = [part for part in box.iter(*_LEFT_OUT_TAGS) if part.find("p") is None]
    return sum(density.own.get(part, 0) - density.own_linked.get(part, 0) for part in parts)


def _wrap_children(body: HtmlElement) -> HtmlElement:
    box = body.makeelement("div")
    box.text, body.text = body.text, None
    box.extend(list(body))
    body.append(box)
    return box


def _remove_empty_boxes(container: HtmlElement, density: TextDensity) -> None:
    """Remove boxes without text: pictures, advertising frames, boxes that earlier steps emptied."""
    removed: set[HtmlElement | None] = set()
    for box in list(container.iter(*_BOX_TAGS)):
        if box in density.chars or box is container:
            continue
        if box.getparent() in removed:
            pass
        elif box.tag in {"img", "ins"} or not (box.tail or "").strip():
            remove_element(box)
        else:  # an empty block between texts is a border
            del box[:]
            box.tag, box.text = "br", None
        removed.add(box)


def _unwrap_discarded(container: HtmlElement, weight: Mapping[HtmlElement, int]) -> None:
    """Turn elements that trafilatura would discard into plain boxes, if they surround or hold much of the container."""
    own = _ARTICLE_SHARE * weight.get(container, 0)
    around = [box for box in (container, *container.iterancestors()) if box.tag in _DISCARDED_TAGS]
    inside = [box for box in container.iter(*_DISCARDED_TAGS) if weight.get(box, 0) > own]
    for box in (*around, *inside):
        make_plain_div(box)


def _unname_discarded(container: HtmlElement, weight: Mapping[HtmlElement, int], blocks: Sequence[TextBlock]) -> None:
    """Remove names for which trafilatura would discard boxes (`widget`), if a box with one is much of the article.

    A frame keeps the name by which it is found.
    """
    own = _ARTICLE_SHARE * weight.get(container, 0)
    boxes = [box for box in container.iter("div", "section", "span") if weight.get(box, 0) > own]
    discarded = _named([box for box in boxes if box.attrib], OVERALL_DISCARD_XPATH)
    article = discarded - _named([*discarded], _FRAMES)
    running = [block for block in blocks if block.weight > 0 and not block.has_boilerplate_name] if article else []
    held = Counter(box for block in running for box in block.element.iterancestors() if box in article)
    heavy = {box for box, count in held.items() if count >= _MIN_BLOCKS}
    names = {name for box in heavy for name in (box.get("class") or "").split()}
    same = [box for box in container.iter("*") if names.intersection((box.get("class") or "").split())] if names else []
    for box in _named(same, OVERALL_DISCARD_XPATH) | heavy:
        box.attrib.pop("class", None)
        box.attrib.pop("id", None)


def _named(boxes: Sequence[HtmlElement], searches: Iterable[XPath], *, most: int | None = None) -> set[HtmlElement]:
    """Return the boxes that trafilatura's searches find by their own names, the first `most` of each search."""
    if not boxes:
        return set()
    # A row of empty boxes with these names is searched in much less time.
    row = boxes[0].makeelement("div")
    row.extend([row.makeelement(box.tag, dict(box.items())) for box in boxes])
    found = (cast("list[HtmlElement]", search(row))[:most] for search in searches)
    return {boxes[row.index(each)] for several in found for each in several}


def _unwrap_lists_in_cells(container: HtmlElement) -> None:
    """Turn lists in table cells into paragraphs: trafilatura drops lists there."""
    for cell in container.iter("td", "th"):
        for part in cell.iter("ul", "ol", "dl", "li", "dt", "dd"):
            part.tag = "div" if part.tag in {"ul", "ol", "dl"} else "p"


def _wrap_bare_text(container: HtmlElement, density: TextDensity, *, prose: int) -> None:
    """Turn each run of text beside blocks into a paragraph: trafilatura loses some text that follows a block.

    Boxes of text between such runs become paragraphs, too, and so do the lines of a box that holds much of the `prose`
    in the container, divided by line breaks alone.
    """
    boxes = (box for box in container.iter(*_BARE_TEXT_TAGS) if density.own.get(box, 0) >= _MIN_BARE_TEXT_CHARS)
    for box in list(boxes):
        is_divided = density.own[box] >= _ARTICLE_SHARE * prose and _unwrap_around_breaks(box)
        blocks = [child for child in box if not _is_inline_run(child)]
        wrapped = [_wrap_run(box, before) for before in ((None, *blocks) if blocks or is_divided else ())]
        # Trafilatura leaves out boxes of text beside paragraphs: a lead.
        beside = box.itersiblings(preceding=True) if is_divided and box is not container else ()
        running = [each for each in beside if density.own.get(each, 0) >= MIN_SENTENCE_CHARS]
        for block in (*blocks, *running) if any(wrapped) else ():
            if _is_box_of_text(block) and text_length(block.text_content()) >= _MIN_BARE_TEXT_CHARS:
                block.tag = "p"


def _unwrap_around_breaks(box: HtmlElement) -> bool:
    """Unwrap inline elements around line breaks (`<b>` around all text); return whether breaks divide the box."""
    around: set[HtmlElement] = set()
    for line_break in box.iter("br"):
        inline = takewhile(lambda each: is_inline(each) and each is not box, line_break.iterancestors())
        around.update(takewhile(lambda each: each not in around, inline))
    # Outer ones first, so that nothing is moved twice.
    for part in [each for each in box.iter("*") if each in around] if around else ():
        if part.tag != "a":
            part.drop_tag()
    return box.find("br") is not None


def _is_inline_run(element: HtmlElement) -> bool:
    """Return whether an element is part of the text around it and holds no block."""
    return element.tag == "br" or (is_inline(element) and all(map(is_inline, element.iter("*"))))


def _is_box_of_text(element: HtmlElement) -> bool:
    return element.tag in _PLAIN_TAGS and all(map(_is_inline_run, element))


def _wrap_run(box: HtmlElement, before: HtmlElement | None) -> bool:
    """Turn the text at a box's beginning, or after a block in it, up to the next block, into a paragraph.

    Return False, and change nothing, if that text is short.
    """
    run = list(takewhile(_is_inline_run, box if before is None else before.itersiblings()))
    text = (box.text if before is None else before.tail) or ""
    if sum(map(text_length, (text, *(part.tail or "" for part in run)))) < _MIN_BARE_TEXT_CHARS:
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
    page.append(body := container.makeelement("body"))
    copied = container.__copy__()
    copied.tail = None
    body.append(copied)
    return page


def total_chars(blocks: Sequence[ArticleBlock]) -> int:
    """Return how many characters blocks have."""
    return sum(text_length(block.text) for block in blocks)


def _run_trafilatura(page: HtmlElement | str, *, fast: bool) -> list[ArticleBlock]:
    extracted = trafilatura.bare_extraction(page, fast=fast, options=_options(fast=fast))
    if not isinstance(extracted, Extracted) or extracted.body is None:
        return []
    return list(read_blocks(extracted.body))


@cache
def _options(*, fast: bool) -> Options:
    """Return trafilatura's options; cached because creating them reads a configuration file."""
    # With any output format but the default, trafilatura does not serialise the text, which is read from its tree here.
    return Options(fast=fast, comments=False, tables=True, output_format="txt")


# The floor: trafilatura's text of the unchanged page, used if it covers clearly more of the running text than ours.

# On larger pages trafilatura takes seconds. Only the largest of a thousand real news pages are about as large.
_MAX_CHARS_FOR_LIBRARY = 1_500_000
_MAX_TAGS_FOR_LIBRARY = 20_000


def extract_with_library(page: Page) -> list[ArticleBlock]:
    """Return trafilatura's text of a page as fetched; an empty list for a page so large that it would take seconds."""
    return _extract_untouched(prefilter_markup(decode(page.body, page.content_type).text))


def extract_from_scripts(page: Page) -> list[ArticleBlock]:
    """Return trafilatura's text of the markup in a page's scripts: the article of a page that its scripts render."""
    held = markup_in_scripts(decode(page.body, page.content_type).text)
    return _extract_untouched(f"<html><body><article>{held}</article></body></html>") if held else []


def _extract_untouched(markup: str) -> list[ArticleBlock]:
    is_large = len(markup) > _MAX_CHARS_FOR_LIBRARY or markup.count("<") > _MAX_TAGS_FOR_LIBRARY
    return [] if is_large else _run_trafilatura(markup, fast=False)


def shown_text(page: Page) -> str:
    """Return all text that a page shows. It is parsed again: extraction has taken its tree apart."""
    tree = open_document(page).tree
    strip_elements(tree, *NON_TEXT_TAGS, with_tail=False)
    return str(tree.text_content())
