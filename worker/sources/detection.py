"""Decide what a URL given by hand is: an article, or a source (feed, sitemap, listing page, URL list, WARC file).

`ingest URL` uses `detect` for a page it has fetched: an article is stored, a source is polled once. The content type of
the response is not trusted; the body, the URL and the links of the page decide.
"""

from __future__ import annotations

import re

from lxml import html

from worker import urls
from worker.errors import SourceError
from worker.models import Page
from worker.sources.content import ContentKind, sniff_content
from worker.sources.web.links import Link, link_features, page_links, parse_html
from worker.sources.web.listing import likely_articles

# The four limits of `is_probably_article`, chosen by hand. Only the whole decision was measured, see `_detect_by_gate`.
_MIN_PROSE_WORDS = 12  # a paragraph with so many words outside links is prose
_MIN_PROSE_PARAGRAPHS = 3  # an article has so many prose paragraphs under one parent element
_MIN_HEADLINE_WORDS = 4  # a link text of so many words may be a headline
_LINKS_PER_PARAGRAPH = 12  # a page with more headlines than this for each prose paragraph is a listing


def is_probably_article(tree: html.HtmlElement) -> bool:
    """Return whether the text outside links is mostly a run of long paragraphs.

    A listing page has teasers too, but it has many more headline links than teasers, and each teaser is in an element
    of its own beside its link.
    """
    runs: dict[object, int] = {}  # number of prose paragraphs by parent element
    for paragraph in tree.iter("p"):
        if _is_prose(paragraph) and (parent := paragraph.getparent()) is not None:
            runs[parent] = runs.get(parent, 0) + 1
    longest = max(runs.values(), default=0)
    links = sum(1 for link in tree.iter("a") if len(_words(link)) >= _MIN_HEADLINE_WORDS)
    return longest >= _MIN_PROSE_PARAGRAPHS and links <= longest * _LINKS_PER_PARAGRAPH


def _is_prose(paragraph: html.HtmlElement) -> bool:
    """Return whether a paragraph has enough words outside its links."""
    linked = sum(len(_words(link)) for link in paragraph.iter("a"))
    return len(_words(paragraph)) - linked >= _MIN_PROSE_WORDS


def _words(element: html.HtmlElement) -> list[str]:
    return str(element.text_content()).split()


# Bytes of a page searched for declarations. They belong into the head or the first elements; reading on costs time.
_HEAD = 300_000
_KINDS = {
    ContentKind.FEED: "feed",
    ContentKind.JSON: "feed",
    ContentKind.SITEMAP: "sitemap",
    ContentKind.URLS: "urls",
    ContentKind.WARC: "warc",
    ContentKind.TEXT: "urls",
}
_DECLARES_ARTICLE = re.compile(
    rb"""<meta[^>]{0,200}(?:property|name)\s*=\s*["']?article:published_time"""
    rb"""|"@type"\s{0,20}:\s{0,20}\[?\s{0,20}"(?:(?:News|Report|\w{1,20}News)?Article|(?:Live)?BlogPosting)["]"""
    rb"""|itemtype\s*=\s*["']?https?://schema\.org/(?:News)?Article""",
    re.IGNORECASE,
)
_DECLARES_LISTING = re.compile(
    rb""""@type"\s{0,20}:\s{0,20}\[?\s{0,20}"(?:Collection|SearchResults|Profile)Page["]""", re.IGNORECASE
)
# How many links to articles make a page a listing: ten beside some text, as an article links to related ones, and three
# on a page on which extraction found no text. Measured together, see `_detect_by_gate`.
_MIN_LINKS_OF_LISTING = 10
_MIN_LINKS_WITHOUT_TEXT = 3
# The quality filters of `worker.extract` that reject a page for having too little text.
_GATES_WITHOUT_TEXT = frozenset({"short", "empty"})


def detect(page: Page, *, gate: str | None = None) -> str:
    """Return `feed`, `sitemap`, `urls`, `warc`, `listing` or `article`.

    `gate` is the name of the quality filter that rejected the page in extraction, or "" if extraction found an article.
    With a gate, an HTML page counts as an article unless it is clearly none. Without one (None: extraction did not run)
    the evidence for both is compared. Raises SourceError for a body that is none of these (an image, for example).
    """
    kind = sniff_content(page.body)
    if kind in {ContentKind.HTML, ContentKind.XML}:
        return _detect_page(page) if gate is None else _detect_by_gate(page, gate)
    if kind in _KINDS:
        return _KINDS[kind]
    raise SourceError(
        f"{page.url}: this is {kind.value}, not an article, feed, sitemap or listing page; check the address"
    )


def _detect_page(page: Page) -> str:
    """Return `article` or `listing` by the page's URL, what it declares, its prose and its number of article links."""
    if urls.is_home(page.final_url):
        return "listing"
    own = link_features(Link(url=page.final_url, key=urls.canonicalise(page.final_url), text=""))
    if own.is_service:
        return "listing"
    has_number = bool(own.pattern.number) or own.pattern.has_date
    if (has_number and own.pattern.has_slug) or is_probably_article(parse_html(page)):
        return "article"
    declares_article = _DECLARES_ARTICLE.search(page.body, 0, _HEAD) is not None
    linked = len(likely_articles(page_links(page), page))
    if own.pattern.is_article_like:
        return "article" if declares_article or linked < _MIN_LINKS_OF_LISTING else "listing"
    return "article" if linked < (_MIN_LINKS_OF_LISTING if declares_article else 1) else "listing"


def _detect_by_gate(page: Page, gate: str) -> str:
    """Return `article` unless the page is clearly a listing.

    It is a listing if it is a front page, if it declares itself a collection, if extraction rejected it as a listing,
    or if it has many links to articles and little prose. Measured on 933 real articles and 118 listing pages.
    """
    if urls.is_home(page.final_url):
        return "listing"
    if _DECLARES_ARTICLE.search(page.body, 0, _HEAD):
        return "article"
    if _DECLARES_LISTING.search(page.body, 0, _HEAD):
        return "listing"
    own = link_features(Link(url=page.final_url, key=urls.canonicalise(page.final_url), text=""))
    has_article_url = own.pattern.is_article_like
    linked = len(likely_articles(page_links(page), page))
    if gate == "listing":
        return "article" if has_article_url and linked < _MIN_LINKS_OF_LISTING else "listing"
    if has_article_url or is_probably_article(parse_html(page)):
        return "article"
    if own.is_service and gate not in _GATES_WITHOUT_TEXT:
        return "listing"
    return (
        "listing"
        if linked >= (_MIN_LINKS_WITHOUT_TEXT if gate in _GATES_WITHOUT_TEXT else _MIN_LINKS_OF_LISTING)
        else "article"
    )
