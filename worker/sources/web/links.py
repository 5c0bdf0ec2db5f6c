"""Tells addresses of articles from those of sections, topics and services, and learns how a site writes them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from lxml import etree, html

from worker import urls
from worker.errors import SourceError
from worker.models import Page
from worker.sources.entries import one_line
from worker.sources.markup import strip_code, to_utf8

# Takes the links out of a page, with what stands around them.


_MAX_LINKS = 5000
_MAX_TEXT = 400
_MAX_CLIMB = 12
_MAX_OTHERS = 5
_NAVIGATION = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|footer|breadcrumbs?|topbar|submenu)(?:$|[\s_-])", re.IGNORECASE
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5"})
_TOP = frozenset({"body", "html", "main"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One address a page links to, with the best of the texts that lead there; `others` have the same key.

    `headed` says that one of the links stands in a heading, `furniture` that all stand in menus or the page's foot,
    `is_next_page` that the page calls it the next one.
    """

    url: str
    key: str
    text: str
    in_heading: bool = False
    in_navigation: bool = False
    is_next_page: bool = False
    others: tuple[str, ...] = ()


def page_links(page: Page) -> tuple[Link, ...]:
    """Return the links of a page to web addresses, one for each key, in the order of the page.

    Raises SourceError where the page is no HTML.
    """
    root = parse_html(page)
    base = _base(root, page)
    found: dict[str, Link] = {}
    for anchor in _anchors(root):
        link = _link(anchor, base)
        if link is not None:
            known = found.get(link.key)
            found[link.key] = link if known is None else _merged(known, link)
    return tuple(found.values())


def parse_html(page: Page) -> html.HtmlElement:
    """Parse a page; raises SourceError where there is nothing to parse."""
    try:
        markup = strip_code(to_utf8(page.body, page.content_type))
        return html.document_fromstring(markup, parser=html.HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, ValueError) as exc:
        raise SourceError(f"{page.url}: the page cannot be read as HTML ({exc}); check the address") from exc


def _base(root: html.HtmlElement, page: Page) -> str:
    declared = next((element.get("href") for element in root.iter("base") if element.get("href")), None)
    try:
        return urls.resolve(declared, base=page.final_url) if declared else page.final_url
    except SourceError:
        return page.final_url


def _anchors(root: html.HtmlElement) -> Iterator[html.HtmlElement]:
    count = 0
    for anchor in root.iter("a", "link"):
        if anchor.get("href") and (anchor.tag == "a" or anchor.get("rel") == "next"):
            yield anchor
            count += 1
        if count >= _MAX_LINKS:
            return


def _link(anchor: html.HtmlElement, base: str) -> Link | None:
    href = (anchor.get("href") or "").strip()
    if not href or href.startswith(("#", "javascript:", "mailto:", "tel:")):
        return None
    try:
        url = urls.resolve(href, base=base)
        key = urls.canonicalise(url)
    except SourceError:
        return None
    if not url.startswith("http"):
        return None
    in_heading, in_navigation = _position(anchor)
    return Link(
        url=url,
        key=key,
        text=_text(anchor),
        in_heading=in_heading,
        in_navigation=in_navigation,
        is_next_page="next" in (anchor.get("rel") or "").lower().split(),
    )


def _text(anchor: html.HtmlElement) -> str:
    text = one_line("".join(str(piece) for piece in anchor.itertext())[:_MAX_TEXT])
    if text:
        return text
    image = next((image.get("alt") for image in anchor.iter("img") if image.get("alt")), None)
    return one_line((anchor.get("title") or image or "")[:_MAX_TEXT])


def _position(anchor: html.HtmlElement) -> tuple[bool, bool]:
    """Tell whether a link stands in a heading, or is one, and whether in a menu or the page's foot."""
    in_heading = any(str(child.tag) in _HEADINGS for child in anchor)
    for count, outer in enumerate(anchor.iterancestors()):
        tag = str(outer.tag)
        if tag in _TOP or count > _MAX_CLIMB:
            break
        in_heading = in_heading or tag in _HEADINGS
        if tag in {"nav", "footer"} or _NAVIGATION.search(f"{outer.get('class') or ''} {outer.get('id') or ''}"):
            return in_heading, True
    return in_heading, False


def _merged(one: Link, other: Link) -> Link:
    """Return two links to one address as one; a link in a heading has the title, else the longer text."""
    best = max((one, other), key=lambda link: (link.in_heading and bool(link.text), len(link.text)))
    further = [url for url in (other.url, *other.others) if url != one.url]
    return Link(
        url=one.url,
        key=one.key,
        others=tuple(dict.fromkeys((*one.others, *further)))[:_MAX_OTHERS],
        text=best.text,
        in_heading=one.in_heading or other.in_heading,
        in_navigation=one.in_navigation and other.in_navigation,
        is_next_page=one.is_next_page or other.is_next_page,
    )


_ENDING = re.compile(r"\.[a-z]{2,5}\Z", re.IGNORECASE)
_NUMBER = re.compile(r"(?:\A|(?<=[-_./,]))([a-z]{0,6})(\d{4,})\Z", re.IGNORECASE)
_INNER_NUMBER = re.compile(r"/(?:article|artikel|story|post|news|[a-z])?-?\d{5,}/[^/]+\Z")
_HASH = re.compile(r"(?:\A|-)(?=(?:[a-z]*\d){3})(?=\d*[a-z])[a-z0-9]{10,32}\Z")
_DATED = re.compile(r"/(?:19|20)\d{2}[/-](?:0?[1-9]|1[0-2]|[a-z]{3})(?:[/-]\d{1,2})?(?:/|-)")
_WORD_BREAK = re.compile(r"[-_.+ ]+")
_SERVICE = re.compile(
    r"/(?:tags?|topics?|(?:nhom-)?chu-de|su-kien|dong-su-kien|chuyen-muc|chuyen-trang|category|categories|sections?|authors?|"
    r"tac-gia|search|tim-kiem|page|trang|login|dang-nhap|dang-ky|register|subscribe|rss|lien-he|contact|about|gioi-thieu|"
    r"privacy|policy|terms|quang-cao|advertise|newsletters?|sitemap|account|help|jobs?|tuyen-dung|download|static|profile)"
    r"(?:[-_]?\d+)?(?:[/.?]|\Z)",
    re.IGNORECASE,
)
_TAGGED = re.compile(r"[-_](?:tag|topic|sk|event|cat|author)\d{3}\w*\Z", re.IGNORECASE)
_D_WITH_STROKE = str.maketrans("đĐ", "dD")


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPattern:
    """How an address is written: what all articles of one site have in common."""

    extension: str
    number: str
    has_date: bool
    has_slug: bool
    is_nested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFeatures:
    """What an address and the link to it say by themselves: the pattern, and points for being an article."""

    pattern: UrlPattern
    score: int
    is_service: bool


def link_features(link: Link) -> LinkFeatures:
    """Return what a link says by itself."""
    parts = urlsplit(link.key)
    path = unquote(parts.path).lower()
    last = path.rstrip("/").rpartition("/")[2]
    extension = _ENDING.search(last)
    stem = last[: extension.start()] if extension else last
    number = _number_style(stem, path, parts.query)
    words = [word for word in _WORD_BREAK.split(stem) if word and not word.isdigit()]
    pattern = UrlPattern(
        extension=extension[0] if extension else "",
        number=number,
        has_date=_DATED.search(path) is not None,
        has_slug=len(words) >= 5,
        is_nested=path.count("/") > 2,
    )
    is_service = _SERVICE.search(path) is not None or _TAGGED.search(stem) is not None
    return LinkFeatures(pattern=pattern, score=_score(link, pattern, words), is_service=is_service)


def _number_style(stem: str, path: str, query: str) -> str:
    """Return how an address carries the article's number: the letters before it, or a sign; empty for none."""
    number = _NUMBER.search(stem)
    if number:
        return f"{number[1]}{'0' * min(len(number[2]) // 4, 3)}"
    if _INNER_NUMBER.search(path):
        return "/"
    if _HASH.search(stem):
        return "#"
    return "?" if re.search(r"(?:\A|&)(?:id|p|aid|newsid|article_?id|sid)=\d{3,}(?:&|\Z)", query) else ""


def _score(link: Link, pattern: UrlPattern, words: list[str]) -> int:
    said = _slug_words(link.text)
    length = _length(link.text)
    points = 2 * (length >= 6) + (length in {4, 5}) - (0 < length <= 2)
    points += 2 * bool(pattern.number) + 2 * pattern.has_date
    points += (len(words) >= 4) + (len(words) >= 7)
    points += len(words) >= 4 and _is_slug_of(words, said)
    points += link.in_heading
    return points - 3 * link.in_navigation


def _length(text: str) -> int:
    """Return the number of words of a text; scripts that do not part words count by letters."""
    return max(len(text.split()), sum(letter >= "\u2e80" for letter in text) // 2)


def _slug_words(text: str) -> list[str]:
    """Return the words of a text as an address would spell them: without marks, in small letters."""
    bare = "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
    return re.findall(r"[a-z0-9]+", bare.translate(_D_WITH_STROKE).lower())


def _is_slug_of(words: list[str], said: list[str]) -> bool:
    """Tell whether a slug was made of a title."""
    return bool(said) and len(set(words) & set(said)) >= 0.6 * min(len(set(words)), len(set(said)))


def article_url_patterns(all_features: Iterable[LinkFeatures]) -> Mapping[UrlPattern, float]:
    """Learn from one page the pattern of its articles: each with the mean points of the links written so."""
    sums: dict[UrlPattern, list[int]] = {}
    for features in all_features:
        if not features.is_service:
            sums.setdefault(features.pattern, []).append(features.score)
    means = {pattern: sum(points) / len(points) for pattern, points in sums.items()}
    return {
        pattern: mean for pattern, mean in means.items() if mean >= 3.0 and (len(sums[pattern]) >= 3 or mean >= 5.0)
    }
