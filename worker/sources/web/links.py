"""Extract the links of an HTML page and score how likely each leads to an article.

`page_links` collects links with their texts and their position on the page. `link_features` scores one link by its URL
and text alone. `article_url_patterns` learns from all links of a page how the site writes the URLs of its articles, so
that links with poor texts are recognised too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote, urlsplit

from lxml import etree, html

from worker import urls
from worker.errors import SourceError
from worker.models import Page
from worker.models.base import dataclass
from worker.sources.entries import one_line
from worker.sources.markup import strip_code, to_utf8

# Bounds for hostile pages; chosen well above what news pages have, not measured.
_MAX_LINKS = 5000  # links a page
_MAX_TEXT = 400  # characters of a link's text
_MAX_CLIMB = 12  # ancestors of a link that are searched for a heading or a menu
_MAX_OTHERS = 5  # further URLs with the same key
# Words in `class` or `id` that mark navigation.
_NAVIGATION = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|footer|breadcrumbs?|topbar|submenu)(?:$|[\s_-])", re.IGNORECASE
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5"})
_TOP = frozenset({"body", "html", "main"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """All links of a page to one canonical URL (`key`), merged.

    `url` is the first URL as resolved, `others` further URLs with the same key; `text` is the best link text.
    `in_heading`: at least one of the links is in a heading. `in_navigation`: all are in menus or in the footer.
    `is_next_page`: the page marks one with `rel="next"`.
    """

    url: str
    key: str
    text: str
    in_heading: bool = False
    in_navigation: bool = False
    is_next_page: bool = False
    others: tuple[str, ...] = ()


def page_links(page: Page) -> tuple[Link, ...]:
    """Return the http(s) links of a page, one for each key, in document order.

    Raises SourceError if the page cannot be parsed as HTML.
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
    """Return the root element of an HTML page; raises SourceError if it cannot be parsed."""
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
    """Return the link of an anchor, or None if it does not lead to a web page."""
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
    """Return whether a link is in (or around) a heading, and whether it is in navigation."""
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
    """Merge two links with one key; the text of a link in a heading is preferred, then the longer text."""
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


# What article URLs look like: file extension; number at the end of the last path segment or in the segment before;
# hash; date. Then path segments and endings of pages that are no articles, in English and Vietnamese.
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
# NFD does not decompose these letters.
_D_WITH_STROKE = str.maketrans("đĐ", "dD")


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPattern:
    """The form of a URL, which the articles of one site usually share.

    `number` is the style of the article number: the letters before it with zeros for its length (`a00`), `/` for a
    number in an inner path segment, `#` for a hash, `?` for a query parameter, or "". `has_slug`: the last path segment
    has at least five words.
    """

    extension: str
    number: str
    has_date: bool
    has_slug: bool
    is_nested: bool

    @property
    def is_article_like(self) -> bool:
        """Whether the URL alone looks like that of an article: it has a number, a date or a slug."""
        return bool(self.number) or self.has_date or self.has_slug


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFeatures:
    """What one link shows by itself.

    `score` is higher the more it looks like a link to an article (-4 to 10). `is_service`: the URL is that of a
    section, tag, author, search or account page.
    """

    pattern: UrlPattern
    score: int
    is_service: bool


def link_features(link: Link) -> LinkFeatures:
    """Return the features of a link, from its URL and text alone."""
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
    """Return the style of the article number in a URL; see `UrlPattern`."""
    number = _NUMBER.search(stem)
    if number:
        return f"{number[1]}{'0' * min(len(number[2]) // 4, 3)}"
    if _INNER_NUMBER.search(path):
        return "/"
    if _HASH.search(stem):
        return "#"
    return "?" if re.search(r"(?:\A|&)(?:id|p|aid|newsid|article_?id|sid)=\d{3,}(?:&|\Z)", query) else ""


def _score(link: Link, pattern: UrlPattern, words: list[str]) -> int:
    """Return the points of a link for being an article; `words` are those of its slug.

    The weights were set by hand. With them all 115 articles on three labelled listing pages are found, and no
    other link (docs/discovery.md).
    """
    text_words = _slug_words(link.text)
    length = _length(link.text)
    points = 2 * (length >= 6) + (length in {4, 5}) - (0 < length <= 2)
    points += 2 * bool(pattern.number) + 2 * pattern.has_date
    points += (len(words) >= 4) + (len(words) >= 7)
    points += len(words) >= 4 and _is_slug_of(words, text_words)
    points += link.in_heading
    return points - 3 * link.in_navigation


def _length(text: str) -> int:
    """Return the number of words of a text; two Chinese or Japanese characters count as one."""
    return max(len(text.split()), sum(letter >= "\u2e80" for letter in text) // 2)


def _slug_words(text: str) -> list[str]:
    """Return the words of a text as a slug spells them: lower-case ASCII without diacritics."""
    bare = "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
    return re.findall(r"[a-z0-9]+", bare.translate(_D_WITH_STROKE).lower())


def _is_slug_of(words: list[str], text_words: list[str]) -> bool:
    """Return whether a slug was made from a link text: 60% of the shorter one's words are in the other."""
    slug, text = set(words), set(text_words)
    return bool(text) and len(slug & text) >= 0.6 * min(len(slug), len(text))


def article_url_patterns(all_features: Iterable[LinkFeatures]) -> Mapping[UrlPattern, float]:
    """Return the URL patterns of a page's articles, each with the mean score of its links.

    A pattern needs a mean score of 3 from at least three links, or of 5 from fewer.
    """
    sums: dict[UrlPattern, list[int]] = {}
    for features in all_features:
        if not features.is_service:
            sums.setdefault(features.pattern, []).append(features.score)
    means = {pattern: sum(points) / len(points) for pattern, points in sums.items()}
    return {
        pattern: mean for pattern, mean in means.items() if mean >= 3.0 and (len(sums[pattern]) >= 3 or mean >= 5.0)
    }
