"""Decodes and parses one page; every later step reads the resulting `Document`.

Scripts, styles and absurd repetition are removed before parsing. Each step before the parser takes time linear in the
page's length, so a hostile page cannot stall it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import lxml.html
from lxml.etree import ElementDefaultClassLookup, ParserError, XMLSyntaxError, XPath
from lxml.html import HtmlElement

from worker.charset import decode
from worker.charset.characters import clean_line, clean_references
from worker.dates import ParsedDate, find_date, possible_dates
from worker.errors import ExtractError
from worker.extract.json_ld import JsonLd, read_json_ld
from worker.models import Page
from worker.models.base import dataclass

# Before decoding: remove elements that hold no text, as bytes.

_STRIPPED_TAGS = (b"script", b"style", b"svg", b"noscript", b"nav", b"button", b"picture", b"select", b"template")
# The opening tag of an element that is removed, or the beginning of a comment that contains tags. The parser drops
# comments without tags. The first letter settles most other tags.
_OPENING_TAG = re.compile(
    rb"<(?=[!bnpst])(?:(" + b"|".join(_STRIPPED_TAGS) + rb")(?=[\s/>])[^<>]*>|!--(?![^<>]*-->))", re.IGNORECASE
)
_CLOSING_TAGS = {name: re.compile(rb"</" + name + rb"(?=[\s/>])", re.IGNORECASE) for name in _STRIPPED_TAGS}


def _any_of(*names: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"<(?:" + b"|".join(names) + rb")(?=[\s/>])", re.IGNORECASE)


_PAGE_TAGS = (b"h1", b"article", b"main", b"body", b"html")
# An element is kept if it contains one of these: an element of its own kind, because the closing tag that was found
# then belongs to the inner one; or a tag that shows that it was never closed.
_KEPT_IF_HOLDING = {
    b"svg": _any_of(b"svg"),
    b"nav": _any_of(b"nav", b"p", *_PAGE_TAGS),
    b"template": _any_of(b"template", b"p", *_PAGE_TAGS),
    **{name: _any_of(name, b"p", b"div", *_PAGE_TAGS) for name in (b"button", b"picture", b"select")},
}
_COMMENT_END = re.compile(rb"--!?>")
_JSON_LD_TAG = re.compile(rb"ld\+json|json\+ld")
_LONG_VALUE = re.compile(r"""=\s*(?:"[^"<]{4000,}"|'[^'<]{4000,}')""")
_LONG_TAG = re.compile(r"<([a-zA-Z][a-zA-Z0-9]{0,20})[^<>]{60000,}>")
_HUGE_TAG = re.compile(r"<[a-zA-Z][^<>]{60000}")
# Where two brackets are further apart, in characters, a huge tag may be between them; the patterns above use the same
# number. Chosen, not measured.
_LONG_PIECE_CHARS = 60_000
_LONG_BLANKS = re.compile(r"\s{200,}")
_AMPERSANDS = re.compile(r"&{20,}")
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=_%-]{5000,}")
_BREAKS = re.compile(r"(?:<br\b[^<>]{0,200}>\s{0,100}){4,}", re.IGNORECASE)
_NESTING = re.compile(
    r"(?:<(div|span|b|i|u|em|strong|font|section|center|blockquote|ul|li|table|tr|td)\b[^<>]{0,200}>\s*){30,}"
)
# Only larger pages are searched for absurd repetition. Real news pages reach 1.6 million characters and 20,000 tags.
_LARGE_PAGE_CHARS = 2_000_000
_MANY_TAGS = 40_000
_TAG_CHARS = len("<b>")


def strip_scripts(body: bytes) -> bytes:
    """Return a page's bytes without scripts, styles, drawings, pictures, buttons and menus; JSON-LD stays.

    These are two thirds of a news page's bytes. Working on undecoded bytes is safe: in the encodings of the web, the
    byte of `<` means nothing else. UTF-16 and UTF-32 are the exception, and there nothing matches.
    """
    pieces: list[bytes] = []
    unclosed: set[bytes] = set()
    position = 0
    while opening := _OPENING_TAG.search(body, position):
        name = (opening.group(1) or b"").lower()
        end = None if name in unclosed else _end_of(opening, name)
        is_cut = end is not None and _is_cut(opening, name, end)
        if end is None:
            # An unclosed tag removes nothing. Its end is not searched for again, which would take quadratic time.
            unclosed.add(name)
            end = opening.end()
        pieces.append(body[position : opening.start() if is_cut else end])
        position = end
    pieces.append(body[position:])
    return b"".join(pieces)


def _end_of(opening: re.Match[bytes], name: bytes) -> int | None:
    body = opening.string
    if name and body.endswith(b"/>", opening.start(), opening.end()):
        return opening.end()
    if not name:  # `<!-->` is a whole comment (HTML, 13.2.5.43)
        closing = _COMMENT_END.search(body, opening.start() + 2)
        return None if closing is None else closing.end()
    closing = _CLOSING_TAGS[name].search(body, opening.end())
    # The tag ends at the next `>` (HTML, 13.2.5.7), also if its own was forgotten: `</script <!-- … -->`.
    return None if closing is None else body.find(b">", closing.end()) + 1 or None


def _is_cut(opening: re.Match[bytes], name: bytes, end: int) -> bool:
    if name == b"script":
        return b"json" not in (tag := opening.group().lower()) or _JSON_LD_TAG.search(tag) is None
    kept = _KEPT_IF_HOLDING.get(name)
    return kept is None or kept.search(opening.string, opening.end(), end) is None


def prefilter_markup(markup: str) -> str:
    """Return the markup without huge tags, deep nesting and other absurd repetition; the text does not change.

    A page of ordinary size is returned unchanged: parsing it costs less than searching it.
    """
    if _has_huge_tag(markup):
        markup = _LONG_TAG.sub(r"<\1>", _LONG_VALUE.sub('=""', markup))
    if len(markup) < _TAG_CHARS * _MANY_TAGS or (len(markup) < _LARGE_PAGE_CHARS and markup.count("<") <= _MANY_TAGS):
        return markup
    kept = _NESTING.sub("<div>", _BREAKS.sub("<br><br>", _LONG_VALUE.sub('=""', markup)))
    kept = _AMPERSANDS.sub("&amp;", _LONG_BLANKS.sub(" ", kept))
    return _LONG_RUN.sub(" ", kept)


def _has_huge_tag(markup: str) -> bool:
    """Return whether a tag is longer than _LONG_PIECE_CHARS; only after a bracket without another so near is one."""
    position = 0
    while 0 <= position < len(markup) - _LONG_PIECE_CHARS:
        following = markup.rfind("<", position + 1, position + _LONG_PIECE_CHARS)
        if following < 0 and _HUGE_TAG.match(markup, position):
            return True
        position = following if following >= 0 else markup.find("<", position + 1)
    return False


_JSON_LD_TYPE = re.compile(r"ld\+json|json\+ld", re.IGNORECASE)
# Five times as many as the largest of a thousand real pages has. Some steps are quadratic in places, and would take
# minutes beyond this.
_MAX_TAGS = 100_000
# Bounds the work on a hostile head. Chosen, not measured.
_MAX_META_ELEMENTS = 1_000


@dataclass(frozen=True, kw_only=True)
class Document:
    """A parsed page and the metadata of its head.

    `meta` maps the lower-case name of a meta element to its values in page order, `links` maps a `rel` to its
    addresses, `markup` is what was parsed, and `body` the bytes as fetched.
    """

    url: str
    tree: HtmlElement
    markup: bytes
    json_ld: JsonLd
    headers: Mapping[str, str]
    meta: Mapping[str, tuple[str, ...]]
    links: Mapping[str, tuple[str, ...]]
    title_tag: str
    charset: str
    body: bytes

    def meta_value(self, *names: str) -> str:
        """Return the value of the first of these meta names that the page has, an empty string if it has none."""
        return next((self.meta[name][0] for name in names if name in self.meta), "")

    @property
    def claims_article(self) -> bool:
        """Whether the page declares itself an article, in one of the ways that templates of listings do not copy."""
        return self.json_ld.is_article or "article:published_time" in self.meta

    @property
    def language(self) -> str:
        """The language tag that the page declares, as written."""
        return self.tree.get("lang") or self.meta_value("og:locale", "content-language") or self.json_ld.language


def open_document(page: Page) -> Document:
    """Decode and parse a page; raise ExtractError (`not-html`, `size`) if it is not HTML or has too many tags."""
    decoded = decode(strip_scripts(page.body), page.content_type)
    markup = prefilter_markup(clean_references(decoded.text)).encode()
    tree = _parse(markup)
    json_ld, declared, title = _read_head(tree)
    return Document(
        url=page.final_url,
        tree=tree,
        markup=markup,
        json_ld=read_json_ld(json_ld, page.final_url),
        headers=page.headers,
        meta=_metas(declared),
        links=_links(declared),
        title_tag=clean_line(title[:_MAX_META_ELEMENTS]),
        charset=f"{decoded.charset}, by {decoded.chosen_by}",
        body=page.body,
    )


_PARSER = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False)
# A single element class: lxml.html's lookup by tag name is Python code that runs for every element touched.
_PARSER.set_element_class_lookup(ElementDefaultClassLookup(element=HtmlElement))


def _parse(markup: bytes) -> HtmlElement:
    if b"<" not in markup:
        raise ExtractError("the page is not HTML: it holds no tag", reason="not-html")
    if len(markup) > _TAG_CHARS * _MAX_TAGS and (tags := markup.count(b"<")) > _MAX_TAGS:
        raise ExtractError(f"no news page: it has {tags} tags, at most {_MAX_TAGS} are read", reason="size")
    try:
        return lxml.html.document_fromstring(markup, parser=_PARSER)
    except (ParserError, XMLSyntaxError) as error:
        raise ExtractError(f"the page cannot be parsed: {error}", reason="not-html") from error


def _read_head(tree: HtmlElement) -> tuple[list[str], list[dict[str, str]], str]:
    """Return a page's JSON-LD, the attributes of its `meta` and `link` elements, and its title.

    All in one walk: each goes through the whole page, also where the head has all that it looks for.
    """
    found: dict[object, list[HtmlElement]] = {"script": [], "meta": [], "title": []}
    for element in tree.iter("script", "meta", "link", "title"):
        found["meta" if (tag := element.tag) == "link" else tag].append(element)
    declared = [dict(element.items()) for element in found["meta"][:_MAX_META_ELEMENTS]]
    json_ld = [script.text or "" for script in found["script"] if _JSON_LD_TYPE.search(script.get("type") or "")]
    # Some content management systems write JSON-LD into a meta element.
    json_ld += [said.get("content", "") for said in declared if _JSON_LD_TYPE.search(said.get("name", ""))]
    return json_ld, declared, next((title.text or "" for title in found["title"]), "")


def _metas(declared: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    # In microdata, `link` elements can carry values as well.
    for said in declared:
        content = clean_line(said.get("content") or said.get("value") or "")
        for attribute in ("name", "property", "itemprop", "http-equiv") if content else ():
            if name := said.get(attribute, "").strip().lower():
                found.setdefault(name, []).append(content)
    return {name: tuple(values) for name, values in found.items()}


def _links(declared: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for said in declared:
        for rel in said.get("rel", "").lower().split():
            found.setdefault(rel, []).append(said.get("href", "").strip())
    return {rel: tuple(filter(None, targets)) for rel, targets in found.items()}


# What the markup says of the article besides its text. It is read before later steps remove parts of the tree.
# The numbers bound the work on a hostile page, in elements and characters. Chosen, not measured.
_MAX_MARKED = 60
_MAX_MARKED_CHARS = 1_000
_MAX_CAPTIONS = 20
_MAX_CAPTION_LEVELS = 4
# From an attribute to its element: the other way round, each takes twice the time.
_find_trails = XPath("(//@class | //@id)[contains(., 'readcrumb')]/.. | //@itemtype[contains(., 'Breadcr')]/..")
_find_captions = XPath("//@class[contains(., 'aption')]/parent::*[not(self::body or self::figure or .//img or .//p)]")
_PICTURE_URLS = ("src", "data-src", "data-original", "data-lazy-src")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A caption on the page, and the URLs of the pictures beside it, as written; none where they were removed."""

    text: str
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMarks:
    """Texts that the markup names: the steps of the breadcrumb trail, links with `rel=tag`, captions."""

    breadcrumbs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    captions: tuple[Caption, ...] = ()


def read_marks(document: Document) -> PageMarks:
    """Return what the markup names. Searches that cannot find anything are left out."""
    tree, markup = document.tree, document.markup
    trails = _elements(_find_trails, tree) if not document.json_ld.breadcrumbs and b"readcrumb" in markup else []
    links = (link for link in tree.iter("a") if "tag" in (link.get("rel") or "")) if b'tag"' in markup else ()
    tags = (link for link in islice(links, _MAX_MARKED) if "tag" in (link.get("rel") or "").lower().split())
    return PageMarks(
        breadcrumbs=next(filter(None, map(_trail_steps, trails)), ()),
        tags=tuple(filter(None, map(_short_text, tags))),
        captions=tuple(_captions(document)),
    )


def _captions(document: Document) -> Iterator[Caption]:
    """Yield the first captions of the page; without any `figcaption`, boxes whose class names a caption."""
    known: dict[HtmlElement, tuple[str, ...]] = {}
    shown = list(islice(document.tree.iter("figcaption"), _MAX_CAPTIONS))
    is_sure = bool(shown)
    if not is_sure and b"aption" in document.markup:
        shown = _elements(_find_captions, document.tree)[:_MAX_CAPTIONS]
    for each in shown:
        text, pictures = _short_text(each), _pictures_at(each, known)
        if text and (pictures or is_sure):
            yield Caption(text=text, pictures=pictures)


def _elements(search: XPath, tree: HtmlElement) -> list[HtmlElement]:
    return cast("list[HtmlElement]", search(tree))[:_MAX_MARKED]


def _short_text(element: HtmlElement) -> str:
    return clean_line("".join(islice(element.itertext(), _MAX_MARKED))[:_MAX_MARKED_CHARS])


def _trail_steps(trail: HtmlElement) -> tuple[str, ...]:
    """Return the texts of the links in a breadcrumb trail, and of list items without a link."""
    found = list(islice(trail.iter("a", "li"), _MAX_MARKED))
    return tuple(filter(None, (_short_text(each) for each in found if each.tag == "a" or each.find(".//a") is None)))


def _pictures_at(caption: HtmlElement, known: dict[HtmlElement, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the URLs of the pictures in the smallest box around a caption that has any; `known` are boxes seen."""
    for box in islice(caption.iterancestors(), _MAX_CAPTION_LEVELS):
        if box not in known:
            known[box] = tuple(islice(_picture_urls(box), _MAX_MARKED))
        if known[box] or box.tag == "figure":
            return known[box]
    return ()


def _picture_urls(box: HtmlElement) -> Iterator[str]:
    for picture in box.iter("img", "amp-img"):
        yield from (url for url in map(picture.get, _PICTURE_URLS) if url and not url.startswith("data:"))


# fmt: off
INLINE_TAGS = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var", "wbr",
))


def is_inline(element: HtmlElement) -> bool:
    """Return whether an element is part of the running text around it."""
    return element.tag in INLINE_TAGS


# Parses the dates of one page in the page's time zone, language and order of day and month, by `worker.dates`.

_MACHINE_READABLE = ("content", "datetime", "title", "data-datetime", "data-timestamp", "data-time")


@dataclass(frozen=True, slots=True, kw_only=True)
class DateParser:
    """Parses the dates of a page.

    `zone` applies to dates without one, `language` (ISO 639-1) to names of months, `month_first` to `3/4/2024`.
    """

    zone: tzinfo
    language: str = ""
    month_first: bool = False

    def parse_value(self, value: str) -> Iterator[datetime]:
        """Yield the possible meanings of a value that consists of a date, the most likely first."""
        return possible_dates(value, zone=self.zone, month_first=self.month_first, language=self.language)

    def find_in_text(self, text: str) -> ParsedDate | None:
        """Return the first date in a line of text, None if it has none."""
        return find_date(text, default_zone=self.zone, month_first=self.month_first, language=self.language)

    def values_of_element(self, element: HtmlElement, text: str) -> Iterator[str]:
        """Yield the element's machine-readable attributes and its text, as far as they can be parsed as dates."""
        for value in (*map(element.get, _MACHINE_READABLE), text):
            if value and any(char.isdigit() for char in value) and next(self.parse_value(value), None) is not None:
                yield value


# Country codes and top-level domains whose English puts the day first.
_DAY_FIRST_ENGLISH = frozenset(
    ("gb", "uk", "au", "nz", "ie", "in", "za", "sg", "my", "ke", "ng", "hk", "pk", "lk", "gh", "tz", "ug", "zm", "eu")
)


def first_time_zone(*names: str | None) -> tzinfo:
    """Return the first of these time zones that exists, UTC if none does."""
    for name in filter(None, names):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return UTC


def writes_month_first(document: Document) -> bool:
    """Return whether `3/4/2024` is 4 March: on English pages, unless their region or domain is a day-first country."""
    language, _, region = document.language.lower().replace("_", "-").partition("-")
    country = document.url.partition("://")[2].partition("/")[0].rpartition(".")[2]
    return language == "en" and not {region[:2], country} & _DAY_FIRST_ENGLISH
