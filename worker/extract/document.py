"""Decodes and parses one page; every later step reads from its `Document`.

Before that, scripts, styles and absurd repetition are cut: every such step takes time linear in the page's length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import lxml.html
from lxml.etree import ElementDefaultClassLookup, ParserError, XMLSyntaxError
from lxml.html import HtmlElement

from worker.charset import clean_markup, decode
from worker.errors import ExtractError
from worker.extract.json_ld import JsonLd, read_json_ld
from worker.extract.text import clean_line
from worker.models import Page

# Cuts from a page, before it is decoded and parsed, what holds no text and costs time: scripts, absurd repetition.
#
# Every step takes time linear in the page's length: this is what stands between a hostile page and the parser.


# The opening tag of what is cut out whole, with the end of the tag; or a comment that holds tags: others are left to
# the parser, who drops them.
_STRIPPED_TAGS = (b"script", b"style", b"svg", b"noscript", b"nav", b"button", b"picture", b"select", b"template")
_OPENING_TAG = re.compile(
    rb"<(?:(" + b"|".join(_STRIPPED_TAGS) + rb")(?=[\s/>])[^<>]*>|!--(?![^<>]*-->))", re.IGNORECASE
)
_CLOSING_TAGS = {name: re.compile(rb"</" + name + rb"[^<>]{0,200}>", re.IGNORECASE) for name in _STRIPPED_TAGS}


def _any_of(*names: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"<(?:" + b"|".join(names) + rb")(?=[\s/>])", re.IGNORECASE)


_PAGE_TAGS = (b"h1", b"article", b"main", b"body", b"html")
# What keeps a box from being cut: one of its own kind in it (the end that was found is not the outer one's then), or
# what it never holds where it is closed.
_KEPT_IF_HOLDING = {
    b"svg": _any_of(b"svg"),
    b"nav": _any_of(b"nav", b"p", *_PAGE_TAGS),
    b"template": _any_of(b"template", b"p", *_PAGE_TAGS),
    **{name: _any_of(name, b"p", b"div", *_PAGE_TAGS) for name in (b"button", b"picture", b"select")},
}
_COMMENT_END = re.compile(rb"--!?>")
_JSON_LD_TAG = re.compile(rb"(?:ld\+json|json\+ld)", re.IGNORECASE)
_LONG_VALUE = re.compile(r"""=\s*(?:"[^"<]{4000,}"|'[^'<]{4000,}')""")
_LONG_TAG = re.compile(r"<([a-zA-Z][a-zA-Z0-9]{0,20})[^<>]{60000,}>")
_HUGE_TAG = re.compile(r"<[a-zA-Z][^<>]{60000}")
_LONG_PIECE_CHARS = 60_000
_LONG_BLANKS = re.compile(r"\s{200,}")
_AMPERSANDS = re.compile(r"&{20,}")
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=_%-]{5000,}")
_BREAKS = re.compile(r"(?:<br\b[^<>]{0,200}>\s{0,100}){4,}", re.IGNORECASE)
_NESTING = re.compile(
    r"(?:<(div|span|b|i|u|em|strong|font|section|center|blockquote|ul|li|table|tr|td)\b[^<>]{0,200}>\s*){30,}"
)
# Real news pages reach 1.6 million characters and 20,000 tags.
_LARGE_PAGE_CHARS = 2_000_000
_MANY_TAGS = 40_000


def strip_scripts(body: bytes) -> bytes:
    """Cut scripts, styles, drawings, pictures, buttons and menus out of a page, two thirds of its bytes; JSON-LD stays.

    Works on bytes that nobody has decoded yet: no encoding in which a page can be written uses the byte of `<` for
    anything else, UTF-16 and UTF-32 excepted, in which nothing is found to be cut.
    """
    pieces: list[bytes] = []
    unclosed: set[bytes] = set()
    position = 0
    while opening := _OPENING_TAG.search(body, position):
        name = (opening.group(1) or b"").lower()
        end = None if name in unclosed else _end_of(opening, name)
        if end is None:
            # An opening without its end swallows nothing, and is not looked for again: that would be quadratic.
            unclosed.add(name)
            end = opening.end()
        elif _is_cut(opening, name, end):
            pieces.append(body[position : opening.start()])
            position = end
            continue
        pieces.append(body[position:end])
        position = end
    pieces.append(body[position:])
    return b"".join(pieces)


def _end_of(opening: re.Match[bytes], name: bytes) -> int | None:
    body = opening.string
    if name and body.endswith(b"/>", opening.start(), opening.end()):
        return opening.end()
    # `<!-->` is a whole comment (HTML, 13.2.5.43).
    closing = (
        _CLOSING_TAGS[name].search(body, opening.end()) if name else _COMMENT_END.search(body, opening.start() + 2)
    )
    return None if closing is None else closing.end()


def _is_cut(opening: re.Match[bytes], name: bytes, end: int) -> bool:
    if name == b"script":
        return _JSON_LD_TAG.search(opening.group()) is None
    kept = _KEPT_IF_HOLDING.get(name)
    return kept is None or kept.search(opening.string, opening.end(), end) is None


def prefilter_markup(markup: str) -> str:
    """Cut what holds no text from a page that is larger or odder than pages are; the text stays as it is.

    An ordinary page is returned as it came: parsing it whole costs less than looking for what could be cut.
    """
    if _has_long_piece(markup) and _HUGE_TAG.search(markup) is not None:
        markup = _LONG_TAG.sub(r"<\1>", _LONG_VALUE.sub('=""', markup))
    if len(markup) < 3 * _MANY_TAGS or (len(markup) < _LARGE_PAGE_CHARS and markup.count("<") <= _MANY_TAGS):
        return markup
    kept = _NESTING.sub("<div>", _BREAKS.sub("<br><br>", _LONG_VALUE.sub('=""', markup)))
    kept = _AMPERSANDS.sub("&amp;", _LONG_BLANKS.sub(" ", kept))
    return _LONG_RUN.sub(" ", kept)


def _has_long_piece(markup: str) -> bool:
    """Tell whether two brackets stand far apart, in steps as long as that."""
    position = 0
    while len(markup) - position > _LONG_PIECE_CHARS:
        position = markup.rfind("<", position + 1, position + _LONG_PIECE_CHARS)
        if position < 0:
            return True
    return False


_JSON_LD_TYPE = re.compile(r"ld\+json|json\+ld", re.IGNORECASE)
# Five times as many as on the largest of a thousand real pages; steps that are quadratic somewhere take minutes.
_MAX_TAGS = 100_000
_MAX_META_ELEMENTS = 1_000


@dataclass(frozen=True, kw_only=True)
class Document:
    """A page's tree with what its head says.

    `meta` is by lower-case name, first value first; `links` by rel; `size` is in characters; `body` is as it came.
    """

    url: str
    tree: HtmlElement
    json_ld: JsonLd
    headers: Mapping[str, str]
    meta: Mapping[str, tuple[str, ...]]
    links: Mapping[str, tuple[str, ...]]
    title_tag: str
    charset: str
    size: int
    body: bytes

    def meta_value(self, *names: str) -> str:
        """Return the first meta value among the names, in their order."""
        return next((self.meta[name][0] for name in names if name in self.meta), "")

    @property
    def claims_article(self) -> bool:
        """Whether the page calls itself an article, in a way that templates of listing pages do not copy."""
        return self.json_ld.is_article or "article:published_time" in self.meta

    @property
    def language(self) -> str:
        """What the page says its language is."""
        return self.tree.get("lang") or self.meta_value("og:locale", "content-language") or self.json_ld.language


def open_document(page: Page) -> Document:
    """Decode and parse a page; raises ExtractError where there is nothing to parse."""
    decoded = decode(strip_scripts(page.body), page.content_type)
    markup = prefilter_markup(clean_markup(decoded.text))
    tree = _parse(markup)
    return Document(
        url=page.final_url,
        tree=tree,
        json_ld=read_json_ld(_json_ld(tree)),
        headers=page.headers,
        meta=_metas(tree),
        links=_links(tree),
        title_tag=clean_line((tree.findtext(".//title") or "")[:_MAX_META_ELEMENTS]),
        charset=f"{decoded.charset}, by {decoded.chosen_by}",
        size=len(markup),
        body=page.body,
    )


def _parse(markup: str) -> HtmlElement:
    if "<" not in markup:
        raise ExtractError("the page is not HTML: it holds no tag", reason="not-html")
    if len(markup) > _MAX_TAGS and (tags := markup.count("<")) > _MAX_TAGS:
        raise ExtractError(f"no news page: it has {tags} tags, at most {_MAX_TAGS} are read", reason="size")
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False)
    # One element class for all: lxml.html's own look-up by tag name is Python code, run for every element touched.
    parser.set_element_class_lookup(ElementDefaultClassLookup(element=HtmlElement))
    try:
        tree = lxml.html.document_fromstring(markup.encode(), parser=parser)
    except (ParserError, XMLSyntaxError) as error:
        raise ExtractError(f"the page cannot be parsed: {error}", reason="not-html") from error
    return tree


def _json_ld(tree: HtmlElement) -> list[str]:
    scripts = [script.text or "" for script in tree.iter("script") if _JSON_LD_TYPE.search(script.get("type") or "")]
    # Some systems write what was meant for a script into a meta element.
    metas = (
        meta for meta in islice(tree.iter("meta"), _MAX_META_ELEMENTS) if _JSON_LD_TYPE.search(meta.get("name") or "")
    )
    return [*scripts, *(meta.get("content") or "" for meta in metas)]


def _metas(tree: HtmlElement) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    # Microdata gives a value without words as `link`, too.
    for element in islice(tree.iter("meta", "link"), _MAX_META_ELEMENTS):
        content = clean_line(element.get("content") or "")
        for attribute in ("name", "property", "itemprop", "http-equiv"):
            name = (element.get(attribute) or "").strip().lower()
            if name and content:
                found.setdefault(name, []).append(content)
    return {name: tuple(values) for name, values in found.items()}


def _links(tree: HtmlElement) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for element in islice(tree.iter("link"), _MAX_META_ELEMENTS):
        for rel in (element.get("rel") or "").lower().split():
            found.setdefault(rel, []).append((element.get("href") or "").strip())
    return {rel: tuple(filter(None, targets)) for rel, targets in found.items()}


# fmt: off
INLINE_TAGS = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var", "wbr",
))


def is_inline(element: HtmlElement) -> bool:
    """Tell whether an element is part of the running text around it."""
    return element.tag in INLINE_TAGS
