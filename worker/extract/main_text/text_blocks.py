"""Measures the text and link density of a page's elements, and finds its text blocks.

`measure_density` goes over the tree once; the other functions and the later steps read its result. The last section
defines ArticleBlock, the unit of the extracted text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import cast

from lxml.etree import _Element
from lxml.html import HtmlElement

from worker.charset.characters import clean_line, count_words, fold, text_length
from worker.extract.document import INLINE_TAGS
from worker.extract.explain import MIN_SENTENCE_CHARS
from worker.models.base import dataclass

Counts = Mapping[HtmlElement, int]
"""A count for every element for which it is not 0."""


@dataclass(frozen=True, slots=True, eq=False)
class TextDensity:
    """How much text each element holds, in characters, with runs of blanks counted once.

    `chars` counts all text inside an element, `linked` the part of it in links, `links` the number of links with text,
    `sentences` the pieces of at least MIN_SENTENCE_CHARS outside links. `own` and `own_linked` count only text directly
    in the element or in inline elements. `elements` are all elements in page order; keeping them keeps lxml's proxies
    alive, which makes later passes cheap.
    """

    elements: Sequence[HtmlElement]
    chars: Counts
    linked: Counts
    links: Counts
    sentences: Counts
    own: Counts
    own_linked: Counts


def measure_density(tree: HtmlElement) -> TextDensity:
    """Return the density of every element in the page's body."""
    body = tree.find("body")
    elements = list((tree if body is None else body).iter("*"))
    # Plain dictionaries and few calls: this runs for every element of a page.
    chars, linked, links, sentences, own, own_linked = cast("list[dict[HtmlElement, int]]", [{} for _ in range(6)])
    # In reverse page order every element comes after its descendants.
    for element in reversed(elements):
        text, tail, held = element.text, element.tail, chars.get(element, 0)
        size = text_length(text) if text and not text.isspace() else 0
        after = text_length(tail) if tail and not tail.isspace() else 0
        if not (size or held or after):
            continue
        tag = element.tag
        if size:
            chars[element] = held = held + size
            own[element] = own.get(element, 0) + size
            if size >= MIN_SENTENCE_CHARS and tag != "a":
                sentences[element] = sentences.get(element, 0) + size
        if (parent := element.getparent()) is None:
            continue
        chars[parent] = chars.get(parent, 0) + held + after
        if running := sentences.get(element, 0) + (after if after >= MIN_SENTENCE_CHARS else 0):
            sentences[parent] = sentences.get(parent, 0) + running
        is_in_text = tag in INLINE_TAGS
        if beside := after + held * is_in_text:
            own[parent] = own.get(parent, 0) + beside
        if tag == "a" and held and element.get("href"):
            linked[element], links[element] = held, 1
        if element in linked:
            linked[parent] = linked.get(parent, 0) + linked[element]
            links[parent] = links.get(parent, 0) + links[element]
            own_linked[parent] = own_linked.get(parent, 0) + linked[element] * is_in_text
    return TextDensity(elements, chars, linked, links, sentences, own, own_linked)


def in_tables(blocks: Sequence[HtmlElement]) -> bool:
    """Return whether most of these blocks are in tables of a layout: the page has its menus and teasers there, too."""
    tables = [next(block.iterancestors("table"), None) for block in blocks]
    found = {table for table in tables if table is not None}
    of_data = {next(cell.iterancestors("table")) for table in found for cell in table.iter("th")}
    return 2 * sum(table in found - of_data for table in tables) > len(blocks)


def sum_beside_links(box: HtmlElement, count: Callable[[str], int], known: dict[HtmlElement, int]) -> int:
    """Return the sum of `count` over the pieces of text in a box that are not directly in a link.

    The sum is added to `known`, so that of nested boxes, inner ones first, each part is read once.
    """
    total, left = 0, [box]
    for part in left:  # which grows
        if part in known:
            total += known[part]
            continue
        total += count(text) if (text := part.text) and part.tag != "a" else 0
        for child in part.iterchildren("*"):
            left.append(child)
            total += count(tail) if (tail := child.tail) else 0
    known[box] = total
    return total


# fmt: off
_BLOCK_TAGS = frozenset((
    "p", "div", "li", "td", "dd", "h2", "h3", "h4", "blockquote", "article", "section", "main", "center", "pre",
))
# fmt: on
# All in characters, all chosen, not measured one by one; docs/extract.md has the result as a whole. Shorter texts are
# labels, not running text.
MIN_BLOCK_CHARS = 60
MAX_BOX_LEVELS = 4
"""How many ancestors of a block are looked at. Chosen, not measured."""
_MAX_WEIGHT_CHARS = 600  # a longer block counts only as this much, so that no single block outweighs an article
_KEY_CHARS = 80  # blocks that agree in so many folded characters repeat each other: about a line of text
# Characters that a cut through a word, or through a letter and its marks, can change in the folded text before it.
_CUT_CHARS = 8
# A plugin for cookie notices names its boxes `cli-…`.
_COOKIE_LAW_NAME = re.compile(r"\bcli-")


@dataclass(frozen=True, eq=False)
class TextBlock:
    """A block of running text on the page.

    `chars` is its length, `linked` how many of these characters are in links, and `is_inside_link` whether the whole
    block is inside a link.
    """

    element: HtmlElement
    chars: int
    linked: int
    is_inside_link: bool

    @property
    def is_linked(self) -> bool:
        """Whether most of the block is link text."""
        return self.is_inside_link or self.linked > self.chars / 2

    @property
    def weight(self) -> int:
        """How much unlinked text the block counts for: of a long one only the first _MAX_WEIGHT_CHARS."""
        return min(self.chars, _MAX_WEIGHT_CHARS) - self.linked

    @cached_property
    def text(self) -> str:
        """The block's text, without that of blocks inside it."""
        return clean_line("".join(self._pieces()))

    @cached_property
    def words(self) -> int:
        """How many words the text has."""
        return count_words(self.text)

    @cached_property
    def key(self) -> str:
        """The beginning of the text, folded: blocks with the same key repeat each other."""
        begin = ""
        for piece in self._pieces():
            begin += piece
            if len(begin) > 4 * _KEY_CHARS:
                break
        # Half of that is enough, unless it is mostly marks and blanks.
        folded = fold(clean_line(begin[: 2 * _KEY_CHARS]))
        if len(folded) <= _KEY_CHARS + _CUT_CHARS and len(begin) > 2 * _KEY_CHARS:
            folded = fold(clean_line(begin[: 4 * _KEY_CHARS]))
        return folded[:_KEY_CHARS]

    def _pieces(self) -> Iterator[str]:
        yield self.element.text or ""
        for child in self.element:
            if child.tag == "br":
                yield " "
            elif child.tag in INLINE_TAGS:
                yield "".join(child.itertext()) if len(child) else child.text or ""
            yield child.tail or ""

    @cached_property
    def has_boilerplate_name(self) -> bool:
        """Whether a box around the block is named as boilerplate: a cookie notice, a footer, a newsletter form."""
        near = islice(self.element.iterancestors(), MAX_BOX_LEVELS)
        return any(box.tag == "footer" or _names_boilerplate(box) for box in near if box.tag != "body")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextShares:
    """How many characters of a page are its own prose, teasers for other pages, and links; and how many teasers."""

    prose: int
    teasers: int
    links: int
    teaser_count: int

    @property
    def other_pages_share(self) -> float:
        """The share of the text that announces other pages, from 0 to 1."""
        total = self.prose + self.teasers + self.links
        return (self.teasers + self.links) / total if total else 0.0


def find_text_blocks(density: TextDensity) -> list[TextBlock]:
    """Return the blocks of running text, in page order."""
    own = density.own
    long = (each for each in density.elements if own.get(each, 0) >= MIN_BLOCK_CHARS and each.tag in _BLOCK_TAGS)
    return [TextBlock(each, own[each], density.own_linked.get(each, 0), _is_inside_link(each)) for each in long]


def _is_inside_link(element: HtmlElement) -> bool:
    # An anchor without an address is a link target in the text; if unclosed, it can contain half the article.
    return any(link.get("href") for link in element.iterancestors("a"))


@dataclass(frozen=True, slots=True)
class OwnPlaces:
    """What is no other page than this: the page at `address`, and for an article every place under its path `front`."""

    address: str
    front: str


def own_places(url: str, *, is_article: bool) -> OwnPlaces:
    """Return the places of the page at `url`; a page under the path of an article belongs to it."""
    address = without_host(url)
    path = address.partition("?")[0]
    return OwnPlaces(address, f"{path.rpartition('.')[0] or path}/" if is_article else "")


def links_to_other_page(link: HtmlElement, own: OwnPlaces | None = None) -> bool:
    """Return whether a link leads to another page than the `own` places; without these, to any page."""
    href = (link.get("href") or "").strip()
    if not href or href.startswith(("#", "javascript:", "mailto:", "tel:")):
        return False
    if own is None:
        return True
    address = without_host(href)
    if not own.front:
        return address != own.address
    path = address.partition("?")[0]
    return path not in {"", own.address.partition("?")[0]} and not path.startswith(own.front)


def without_host(url: str) -> str:
    """Return the path and query of an address, without a slash at the end of the path."""
    path, mark, query = url.partition("#")[0].partition("?")
    bare = path.rstrip("/")
    return ("/" + bare.partition("://")[2].partition("/")[2] if "://" in bare else bare) + mark + query


def measure_text_shares(blocks: Sequence[TextBlock], teasers: Mapping[HtmlElement, HtmlElement]) -> TextShares:
    """Return how much of the text is the page's own prose, teasers and links."""
    prose = announced = links = 0
    for block in blocks:
        if block.is_linked:
            links += block.chars
        elif block.element in teasers:
            announced += block.chars
        else:
            prose += block.chars
    return TextShares(prose=prose, teasers=announced, links=links, teaser_count=len(teasers))


def _names_boilerplate(box: HtmlElement) -> bool:
    names = f"{box.get('id')} {box.get('class')}".lower()
    # Not a pattern: in lower case, this is five times as fast, and it runs for four boxes around every block.
    return (
        "cookie" in names
        or "consent" in names
        or "gdpr" in names
        or "privacy" in names
        or "footer" in names
        or "newsletter" in names
        or "testimonial" in names
        or "disclaimer" in names
        or ("cli-" in names and _COOKIE_LAW_NAME.search(names) is not None)
    )


def weigh_elements(body: HtmlElement, blocks: Sequence[TextBlock]) -> dict[HtmlElement, int]:
    """Return how much unlinked running text each element holds; each block counts for its weight."""
    # Most blocks have their parent in common: the way up from it is gone once for all of them.
    beside: dict[HtmlElement | None, int] = defaultdict(int)
    for block in blocks:
        if (own := block.weight) > 0:
            beside[block.element.getparent()] += own
    weight: dict[HtmlElement, int] = defaultdict(int)
    for parent, total in beside.items():
        box = parent
        while box is not None:
            weight[box] += total
            box = None if box is body else box.getparent()
    return weight


def find_container(body: HtmlElement, weight: Mapping[HtmlElement, int], *, share: float) -> HtmlElement:
    """Return the container of the running text.

    From the body down, the search follows the heaviest child as long as it holds at least `share` of its parent's text.
    """
    container = body
    while (child := _heaviest(container, weight)) is not None:
        if weight[child] < share * weight[container] or child.tag in {"p", "ul", "ol", "table", "tr", "tbody"}:
            break
        container = child
    return container


def _heaviest(element: HtmlElement, weight: Mapping[HtmlElement, int]) -> HtmlElement | None:
    return max((child for child in element if child in weight), key=weight.__getitem__, default=None)


# Blocks of the extracted text, read from trafilatura's result tree.

_BLOCK_KINDS = {
    "p": "paragraph",
    "head": "heading",
    "item": "item",
    "quote": "quote",
    "code": "paragraph",
    "row": "row",
}
# Elements that begin and end a block; every other element is part of the text around it.
_BOUNDARY_TAGS = frozenset(
    {*_BLOCK_KINDS, "list", "table", "cell", "div", "main", "article", "section", "fn", "ab", "done"}
)
# Recursion stops here and deeper text is joined: Python's limit is 3,000 frames in a worker process. Chosen.
_MAX_DEPTH = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleBlock:
    """One block of text: `kind` is `paragraph`, `heading`, `item`, `quote` or `row`; `folded` is for comparison."""

    kind: str
    text: str
    folded: str


def make_block(kind: str, text: str) -> ArticleBlock:
    """Return a block; its text is folded once because several steps compare it."""
    return ArticleBlock(kind=kind, text=text, folded=fold(text))


def read_blocks(body: _Element) -> Iterator[ArticleBlock]:
    """Yield all text of an extracted body as blocks in page order, each piece once.

    Text between two blocks is a block of its own. A table row is one block, its cells separated by bars.
    """
    for kind, raw in _split_pieces(body, "paragraph", depth=0):
        if text := clean_line(raw):
            yield make_block(kind, text)


def _split_pieces(element: _Element, kind: str, *, depth: int) -> Iterator[tuple[str, str]]:
    """Yield an element's text without its tail: pairs of kind and text, split at block boundaries and line breaks."""
    pieces = [element.text or ""]
    for child in element:
        tag = str(child.tag)
        if tag in _BOUNDARY_TAGS or (tag == "lb" and kind != "heading"):
            yield kind, "".join(pieces)
            pieces = []
            yield from _pieces_of_child(child, _kind_in(kind, tag), depth=depth + 1)
        elif tag == "lb":
            pieces.append(" ")
        else:
            is_deep = depth >= _MAX_DEPTH
            *blocks, (_, last) = [(kind, _flat_text(child))] if is_deep else _split_pieces(child, kind, depth=depth + 1)
            if blocks:
                (_, first), *rest = blocks
                yield kind, "".join((*pieces, first))
                yield from rest
                pieces = []
            pieces.append(last)
        pieces.append(child.tail or "")
    yield kind, "".join(pieces)


def _kind_in(kind: str, tag: str) -> str:
    """Return the kind of the text in an element; a paragraph in a list item or quote has the kind of that."""
    return kind if tag == "p" and kind in {"item", "quote"} else _BLOCK_KINDS.get(tag, kind)


def _pieces_of_child(child: _Element, kind: str, *, depth: int) -> Iterator[tuple[str, str]]:
    if child.tag == "row":
        cells = (clean_line(" ".join(text for _, text in _split_pieces(cell, kind, depth=depth))) for cell in child)
        yield kind, " | ".join(filter(None, cells))
    elif depth >= _MAX_DEPTH:
        yield kind, _flat_text(child)
    else:
        yield from _split_pieces(child, kind, depth=depth)


def _flat_text(element: _Element) -> str:
    return " ".join(str(piece) for piece in element.itertext())
