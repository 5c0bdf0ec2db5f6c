"""Reads a page's JSON-LD (schema.org metadata in script elements), bounded in size and depth, and markup in scripts.

Broken JSON is repaired where that is simple; otherwise single fields are picked out of it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeGuard

from worker.charset import clean
from worker.models.base import dataclass

# Limits against hostile pages, all chosen, not measured, and all far above what news pages have: characters of one
# block and of all blocks, characters searched in a broken block, objects and list items, depth of nesting, values of a
# date field, names of the site or of the authors.
_MAX_BLOCK_CHARS = 2_000_000
_MAX_TOTAL_CHARS = 4_000_000
_MAX_SALVAGE_CHARS = 200_000
_MAX_OBJECTS = 500
_MAX_DEPTH = 12
_MAX_DATES = 10
_MAX_NAMES = 10
# The same for keywords, pictures, the steps of a breadcrumb trail, and the characters of one keyword list.
_MAX_KEYWORDS = 100
_MAX_IMAGES = 5
_MAX_STEPS = 10
_MAX_LIST_CHARS = 5_000
# Unix times are at most this large in nanoseconds, the smallest unit in use.
_MAX_UNIX_TIME = 10**19

# fmt: off
_ARTICLE_TYPES = frozenset({
    "newsarticle", "article", "reportagenewsarticle", "analysisnewsarticle", "opinionnewsarticle",
    "backgroundnewsarticle", "reviewnewsarticle", "askpublicnewsarticle", "satiricalarticle", "blogposting",
    "liveblogposting", "report", "scholarlyarticle", "techarticle", "advertisercontentarticle", "socialmediaposting",
})
# fmt: on
_PAGE_TYPES = frozenset({"webpage", "itempage", "aboutpage", "medicalwebpage", "faqpage"})
_SITE_TYPES = frozenset({"website", "organization", "newsmediaorganization"})
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_WRAPPING = re.compile(r"\A(?://)?\s{0,20}(?:<!\[CDATA\[|<!--)|(?://)?\s{0,20}(?:\]\]>|-->)\s{0,20};?\Z|;\Z")
_STRING_FIELD = re.compile(
    r'"(headline|datePublished|dateModified|dateCreated|articleBody|description|@type|inLanguage|isAccessibleForFree)"'
    r'\s*:\s*("(?:[^"\\]|\\.)*"|true|false|\d{8,19})'
)

_SIGN = re.compile(r"\s?\([a-z]{1,5}\)\Z")
_BETWEEN_NAMES = re.compile(r",| (?:and|và|und|&) ")

JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of the article: its URL as written, and its caption, which may be empty."""

    url: str
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crumb:
    """One step of a breadcrumb trail: a name, and the URL as written, which may be empty."""

    name: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLd:
    """The article's metadata in the page's JSON-LD; fields without a value are empty.

    `types` are the types of all objects on the page. `page_published` is the date of the page, not of its article.
    Dates are as written; a field may have several. `keywords` are as written: one may be a list with commas.
    `breadcrumbs` are the page's, from the front page down.
    """

    types: frozenset[str] = frozenset()
    article_type: str = ""
    headline: str = ""
    description: str = ""
    published: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()
    page_published: tuple[str, ...] = ()
    body: str = ""
    language: str = ""
    authors: tuple[str, ...] = ()
    accessible_for_free: bool | None = None
    licence: str = ""
    copyright_holder: str = ""
    site_names: tuple[str, ...] = ()
    url: str = ""
    sections: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    images: tuple[Picture, ...] = ()
    breadcrumbs: tuple[Crumb, ...] = ()

    @property
    def is_article(self) -> bool:
        """Whether an object on the page has one of schema.org's article types."""
        return bool(self.article_type)


def read_json_ld(blocks: Iterable[str], url: str = "") -> JsonLd:
    """Return the metadata in the JSON-LD blocks of the page at `url`; broken blocks are read as far as possible."""
    objects = list(islice((item for block in _bounded(blocks) for item in _objects(_load(block))), _MAX_OBJECTS))
    types = frozenset(name for item in objects for name in _types(item))
    articles = [item for item in objects if _article_type(item)]
    article = max(articles, key=lambda item: (_is_of_page(item, url), _field_count(item)), default=None)
    of_page = tuple(said for item in objects if _is_page(item) for said in _dates(item.get("datePublished")))
    site_names = tuple(dict.fromkeys(_site_names(objects)))[:_MAX_NAMES]
    breadcrumbs = _breadcrumbs(objects)
    if article is None:
        return JsonLd(types=types, page_published=of_page, site_names=site_names, breadcrumbs=breadcrumbs)
    by_id = {name: item for item in objects if isinstance(name := item.get("@id"), str) and len(item) > 1}
    return JsonLd(
        types=types,
        article_type=_article_type(article),
        headline=_text(article.get("headline")) or _text(article.get("name")),
        description=_text(article.get("description")),
        published=tuple(_dates(article.get("datePublished"))),
        created=tuple(_dates(article.get("dateCreated"))),
        modified=tuple(_dates(article.get("dateModified"))),
        page_published=of_page,
        body=_body(article),
        language=_text(article.get("inLanguage")),
        authors=tuple(_authors(article.get("author"), by_id)),
        accessible_for_free=_boolean(article.get("isAccessibleForFree")),
        licence=_text(article.get("license")),
        copyright_holder=next(_names(article.get("copyrightHolder")), ""),
        site_names=site_names,
        url=_text(article.get("url")),
        sections=tuple(islice(_names(article.get("articleSection")), _MAX_NAMES)),
        keywords=tuple(islice(_keywords(article.get("keywords")), _MAX_KEYWORDS)),
        images=tuple(islice(_pictures(article, by_id), _MAX_IMAGES)),
        breadcrumbs=breadcrumbs,
    )


def _bounded(blocks: Iterable[str]) -> Iterator[str]:
    total = 0
    for block in blocks:
        total += len(block)
        if total > _MAX_TOTAL_CHARS:
            return
        if len(block) <= _MAX_BLOCK_CHARS:
            yield block


def _load(block: str) -> object:
    for attempt in _repaired(block):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
    return _salvage(block)


def _repaired(block: str) -> Iterator[str]:
    """Yield a block as written, then with common mistakes repaired: comment marks, trailing commas, entities."""
    yield block
    bare = _WRAPPING.sub("", block.strip()).strip()
    yield bare
    yield _TRAILING_COMMA.sub(r"\1", bare)
    yield html.unescape(bare)


def _salvage(block: str) -> JsonObject:
    """Return the single fields that a regular expression finds in JSON that cannot be parsed."""
    found: JsonObject = {}
    for match in islice(_STRING_FIELD.finditer(block[:_MAX_SALVAGE_CHARS]), _MAX_OBJECTS):
        name, value = match.groups()
        try:
            found.setdefault(name, json.loads(value, strict=False))
        except ValueError:
            continue
    return found


def _objects(value: object, depth: int = 0) -> Iterator[JsonObject]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value[:_MAX_OBJECTS]:
            yield from _objects(item, depth + 1)
    elif isinstance(value, dict):
        yield value
        for key in ("@graph", "mainEntity", "mainEntityOfPage", "itemListElement", "hasPart"):
            if key != "hasPart" and isinstance(value.get(key), (list, dict)):
                yield from _objects(value[key], depth + 1)


def _types(item: JsonObject) -> Iterator[str]:
    kind = item.get("@type")
    for name in kind if isinstance(kind, list) else [kind]:
        if isinstance(name, str):
            yield name.rpartition("/")[2].rpartition(":")[2].lower()


def _article_type(item: JsonObject) -> str:
    return next((name for name in _types(item) if name in _ARTICLE_TYPES), "")


def _is_page(item: JsonObject) -> bool:
    return any(name in _PAGE_TYPES for name in _types(item))


def _is_of_page(article: JsonObject, url: str) -> bool:
    """Return whether an article has this address: pages declare the articles that they link to as well."""
    page = article.get("mainEntityOfPage")
    said = (article.get("url"), page.get("@id") if _is_object(page) else page, article.get("@id"))
    return any(isinstance(each, str) and _bare_address(each) == _bare_address(url) for each in said)


def _bare_address(url: str) -> str:
    return url.partition("://")[2].partition("#")[0].removeprefix("www.").rstrip("/")


def _field_count(item: JsonObject) -> int:
    """Return how many main fields an object has: the page's own article has more than stubs of related articles."""
    fields = ("headline", "datePublished", "author", "articleBody", "image", "publisher", "description")
    return sum(1 for field in fields if item.get(field))


def _text(value: object) -> str:
    if isinstance(value, list):
        return next((found for item in value if (found := _text(item))), "")
    if isinstance(value, dict):
        return next((found for key in ("name", "url", "@id", "@value") if (found := _text(value.get(key)))), "")
    return clean(html.unescape(value)).strip() if isinstance(value, str) else ""


def _body(article: JsonObject) -> str:
    """Return the article's text: `articleBody` or `text`, each possibly a list, else the entries of a live blog."""
    pieces = list(map(_text, _as_list(article.get("articleBody")) or _as_list(article.get("text"))))
    if not any(pieces):
        for entry in filter(_is_object, _as_list(article.get("liveBlogUpdate"))):
            pieces += [_text(entry.get("headline")), _text(entry.get("articleBody"))]
    return "\n".join(filter(None, pieces))


def _as_list(value: object) -> list[object]:
    """Return a list's first items, any other value as a list of one, and an empty list for an empty value."""
    return value[:_MAX_OBJECTS] if isinstance(value, list) else [value] if value else []


def _is_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)


def _dates(value: object) -> Iterator[str]:
    """Yield dates as written; a number is a Unix time in any unit."""
    for item in value[:_MAX_DATES] if isinstance(value, list) else [value]:
        if isinstance(item, int | float) and not isinstance(item, bool) and 0 < item < _MAX_UNIX_TIME:
            yield f"{item:.0f}"
        else:
            yield _text(item)


def _site_names(objects: Iterable[JsonObject]) -> Iterator[str]:
    """Yield the names of the site and its publisher."""
    for item in objects:
        if any(name in _SITE_TYPES for name in _types(item)):
            yield from _names(item)
        for member in ("publisher", "isPartOf"):
            yield from _names(item.get(member))


def _names(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        name = _text(item.get("name")) if isinstance(item, dict) else _text(item)
        if name and not name.startswith(("http://", "https://")):
            yield name


def _authors(value: object, by_id: Mapping[str, JsonObject]) -> Iterator[str]:
    """Yield the names of an article's authors; an author may be a reference to another object on the page."""
    for author in islice(_as_list(value), _MAX_NAMES):
        for names in _names(_resolved(author, by_id)):
            yield from _split_people(names)


def _split_people(names: str) -> list[str]:
    """Return the names in the name of an author, without a sign in brackets (`Elena Oberholzer (obe)`).

    It is split (`Lê A, Trần B và Hồ C`) only if every part has the two words of a name.
    """
    parts = [part for part in map(_bare_name, _BETWEEN_NAMES.split(names)) if part]
    return parts if all(" " in part for part in parts) else list(filter(None, [_bare_name(names)]))


def _bare_name(name: str) -> str:
    return _SIGN.sub("", name.strip(" -–,;"))


def _resolved(value: object, by_id: Mapping[str, JsonObject]) -> object:
    """Return the object that a value refers to by `@id`, if it has nothing but that; else the value itself."""
    if not _is_object(value) or any(value.get(key) for key in ("name", "url", "contentUrl")):
        return value
    return by_id.get(_text(value.get("@id")), value)


def _keywords(value: object) -> Iterator[str]:
    """Yield keywords as written, without those of a list of machine terms (`DefinedTerm` has a name)."""
    for item in _as_list(value):
        text = _text(item.get("name") if _is_object(item) else item)
        if text:
            yield text[:_MAX_LIST_CHARS]


def _pictures(article: JsonObject, by_id: Mapping[str, JsonObject]) -> Iterator[Picture]:
    """Yield the pictures of an article, the main one first."""
    for member in ("image", "primaryImageOfPage", "thumbnailUrl"):
        for item in _as_list(article.get(member)):
            picture = _resolved(item, by_id)
            if _is_object(picture):
                url, caption = _text(picture.get("url")) or _text(picture.get("contentUrl")), picture.get("caption")
                yield from (Picture(url=url, caption=_text(caption)),) if url else ()
            elif url := _text(picture):
                yield Picture(url=url)


def _breadcrumbs(objects: Iterable[JsonObject]) -> tuple[Crumb, ...]:
    """Return the steps of the page's first breadcrumb trail that has any."""
    trails = (each for item in objects for each in (item, item.get("breadcrumb")) if _is_object(each))
    found = (_steps(trail) for trail in trails if "breadcrumblist" in _types(trail))
    return next(filter(None, found), ())


def _steps(trail: JsonObject) -> tuple[Crumb, ...]:
    elements = list(filter(_is_object, _as_list(trail.get("itemListElement"))))[:_MAX_STEPS]
    places = [each.get("position") for each in elements]
    if all(isinstance(place, int) for place in places):
        elements.sort(key=lambda each: each["position"])  # type: ignore[arg-type,return-value]
    return tuple(step for step in map(_step, elements) if step.name)


def _step(element: JsonObject) -> Crumb:
    item = element.get("item")
    inner: JsonObject = item if _is_object(item) else {}
    url = inner.get("@id") or inner.get("url") or (item if isinstance(item, str) else "")
    name = _text(element.get("name")) or _text(inner.get("name"))
    return Crumb(name="" if name.startswith(("http://", "https://")) else name, url=_text(url))


def _boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    said = _text(value).rpartition("/")[2].lower()
    return {"true": True, "false": False}.get(said)


# Markup in other scripts: the article of a page that its scripts render.


# A string in a script with so many paragraphs and characters can be an article. Chosen, not measured.
_MIN_PARAGRAPHS, _MIN_MARKUP_CHARS = 3, 500
_PARAGRAPH = re.compile(r"(?:<|u003c)p", re.IGNORECASE)
# The last string of a damaged script is not closed; it matches, too, so that the search takes linear time.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)


def markup_in_scripts(written: str) -> str:
    """Return the longest string with several paragraphs in a page's scripts; an empty string if there is none."""
    scripts = (part.partition("</script")[0] for part in written.split("<script")[1:])
    return max((held for script in scripts for held in _markup_strings(script, depth=2)), key=len, default="")


def _markup_strings(code: str, *, depth: int) -> Iterator[str]:
    """Yield the strings of a script that hold paragraphs; a string can hold JSON with such strings."""
    if len(_PARAGRAPH.findall(code)) < _MIN_PARAGRAPHS:
        return
    for literal in _STRING.findall(code):
        try:
            value = json.loads(literal, strict=False) if len(literal) >= _MIN_MARKUP_CHARS else ""
        except ValueError:
            continue
        inner = list(_markup_strings(value, depth=depth - 1)) if depth else []
        yield from inner or ([value] if value.count("<p") >= _MIN_PARAGRAPHS else [])


def has_text_elsewhere(body: bytes) -> bool:
    """Return whether a page has paragraphs where no step of ours looks: in scripts, or for readers without these."""
    lower = body.lower()
    return b"u003cp" in lower or any(
        b"<p" in part.partition(b"</" + tag)[0]
        for tag in (b"noscript", b"script")
        for part in lower.split(b"<" + tag)[1:]
    )
