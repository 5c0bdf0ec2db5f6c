"""Tells what kind of source, if any, a page is: for URLs given by hand."""

from __future__ import annotations

import re

from lxml import html

from worker import urls
from worker.errors import SourceError
from worker.models import Page
from worker.sources.content import ContentKind, sniff_content
from worker.sources.web.links import Link, link_features, page_links, parse_html
from worker.sources.web.listing import likely_articles

# Tells running text from teasers, for a page that does not say what it is.


_MIN_PROSE_WORDS = 12  # words outside links, for a paragraph to be prose
_MIN_PROSE_PARAGRAPHS = 3  # such paragraphs side by side
_MIN_HEADLINE_WORDS = 4  # words of a link that may be a headline
_LINKS_PER_PARAGRAPH = 12


def is_probably_article(tree: html.HtmlElement) -> bool:
    """Tell whether most of what stands outside links is a run of long paragraphs.

    A listing has teasers too, but each beside a link of its own, and many more links than teasers.
    """
    runs: dict[object, int] = {}
    for paragraph in tree.iter("p"):
        if _is_prose(paragraph) and (parent := paragraph.getparent()) is not None:
            runs[parent] = runs.get(parent, 0) + 1
    longest = max(runs.values(), default=0)
    links = sum(1 for link in tree.iter("a") if len(_words(link)) >= _MIN_HEADLINE_WORDS)
    return longest >= _MIN_PROSE_PARAGRAPHS and links <= longest * _LINKS_PER_PARAGRAPH


def _is_prose(paragraph: html.HtmlElement) -> bool:
    linked = sum(len(_words(link)) for link in paragraph.iter("a"))
    return len(_words(paragraph)) - linked >= _MIN_PROSE_WORDS


def _words(element: html.HtmlElement) -> list[str]:
    return str(element.text_content()).split()


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
_MIN_LINKS_OF_LISTING = 10
_MIN_LINKS_WITHOUT_TEXT = 3
_GATES_WITHOUT_TEXT = frozenset({"short", "empty"})


def detect(page: Page, *, gate: str | None = None) -> str:
    """Return `feed`, `sitemap`, `urls`, `warc`, `listing` or `article`; raises SourceError for what is none of them.

    `gate` is why extraction found no article on the page, empty where it found one. With it the page is taken for an
    article unless it is clearly none; without it the page is weighed.
    """
    kind = sniff_content(page.body)
    if kind in {ContentKind.HTML, ContentKind.XML}:
        return _kind_of_page(page) if gate is None else _kind_by_gate(page, gate)
    if kind in _KINDS:
        return _KINDS[kind]
    raise SourceError(
        f"{page.url}: this is {kind.value}, not an article, feed, sitemap or listing page; check the address"
    )


def _kind_of_page(page: Page) -> str:
    """Weigh what the address looks like, what the page says of itself, its prose, and how many articles it links to."""
    if urls.is_home(page.final_url):
        return "listing"
    own = link_features(Link(url=page.final_url, key=urls.canonicalise(page.final_url), text=""))
    if own.is_service:
        return "listing"
    numbered = bool(own.pattern.number) or own.pattern.has_date
    if (numbered and own.pattern.has_slug) or is_probably_article(parse_html(page)):
        return "article"
    declares_article = _DECLARES_ARTICLE.search(page.body, 0, _HEAD) is not None
    linked = len(likely_articles(page_links(page), page))
    if numbered or own.pattern.has_slug:
        return "article" if declares_article or linked < _MIN_LINKS_OF_LISTING else "listing"
    return "article" if linked < (_MIN_LINKS_OF_LISTING if declares_article else 1) else "listing"


def _kind_by_gate(page: Page, gate: str) -> str:
    """Take a page for an article unless it is clearly none.

    It is none where it is a front page, where it calls itself a list of others, where extraction saw a listing, and
    where there is little prose beside many links to articles. Measured on 933 real articles and 118 listing pages.
    """
    if urls.is_home(page.final_url):
        return "listing"
    if _DECLARES_ARTICLE.search(page.body, 0, _HEAD):
        return "article"
    if _DECLARES_LISTING.search(page.body, 0, _HEAD):
        return "listing"
    own = link_features(Link(url=page.final_url, key=urls.canonicalise(page.final_url), text=""))
    has_article_url = bool(own.pattern.number) or own.pattern.has_date or own.pattern.has_slug
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
