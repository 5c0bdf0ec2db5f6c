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


_LONG = 12  # words outside links, for a paragraph to be prose
_ENOUGH = 3  # such paragraphs side by side
_HEADLINE = 4  # words of a link that may be a headline
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
    links = sum(1 for link in tree.iter("a") if len(_words(link)) >= _HEADLINE)
    return longest >= _ENOUGH and links <= longest * _LINKS_PER_PARAGRAPH


def _is_prose(paragraph: html.HtmlElement) -> bool:
    linked = sum(len(_words(link)) for link in paragraph.iter("a"))
    return len(_words(paragraph)) - linked >= _LONG


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
_SAYS_ARTICLE = re.compile(
    rb"""<meta[^>]{0,200}(?:property|name)\s*=\s*["']?article:published_time"""
    rb"""|"@type"\s{0,20}:\s{0,20}\[?\s{0,20}"(?:(?:News|Report|\w{1,20}News)?Article|(?:Live)?BlogPosting)["]"""
    rb"""|itemtype\s*=\s*["']?https?://schema\.org/(?:News)?Article""",
    re.IGNORECASE,
)
_SAYS_LISTING = re.compile(
    rb""""@type"\s{0,20}:\s{0,20}\[?\s{0,20}"(?:Collection|SearchResults|Profile)Page["]""", re.IGNORECASE
)
_MANY = 10
_FEW = 3
_NO_TEXT = frozenset({"short", "empty"})


def detect(page: Page, *, gate: str | None = None) -> str:
    """Return `feed`, `sitemap`, `urls`, `warc`, `listing` or `article`; raises SourceError for what is none of them.

    `gate` is why extraction found no article on the page, empty where it found one. With it the page is taken for an
    article unless it is clearly none; without it the page is weighed.
    """
    shape = sniff_content(page.body)
    if shape in {ContentKind.HTML, ContentKind.XML}:
        return _kind_of_page(page) if gate is None else _kind_by_gate(page, gate)
    if shape in _KINDS:
        return _KINDS[shape]
    raise SourceError(
        f"{page.url}: this is {shape.value}, not an article, feed, sitemap or listing page; check the address"
    )


def _kind_of_page(page: Page) -> str:
    """Weigh what the address looks like, what the page says of itself, its prose, and how many articles it links to."""
    if urls.is_home(page.final_url):
        return "listing"
    own = link_features(Link(url=page.final_url, key=urls.canonicalise(page.final_url), text=""))
    if own.service:
        return "listing"
    numbered = bool(own.shape.number) or own.shape.dated
    if (numbered and own.shape.wordy) or is_probably_article(parse_html(page)):
        return "article"
    says_so = _SAYS_ARTICLE.search(page.body, 0, _HEAD) is not None
    linked = len(likely_articles(page_links(page), page))
    if numbered or own.shape.wordy:
        return "article" if says_so or linked < _MANY else "listing"
    return "article" if linked < (_MANY if says_so else 1) else "listing"


def _kind_by_gate(page: Page, gate: str) -> str:
    """Take a page for an article unless it is clearly none.

    It is none where it is a front page, where it calls itself a list of others, where extraction saw a listing, and
    where there is little prose beside many links to articles. Measured on 933 real articles and 118 listing pages.
    """
    if urls.is_home(page.final_url):
        return "listing"
    if _SAYS_ARTICLE.search(page.body, 0, _HEAD):
        return "article"
    if _SAYS_LISTING.search(page.body, 0, _HEAD):
        return "listing"
    own = link_features(Link(url=page.final_url, key=urls.canonicalise(page.final_url), text=""))
    named = bool(own.shape.number) or own.shape.dated or own.shape.wordy
    linked = len(likely_articles(page_links(page), page))
    if gate == "listing":
        return "article" if named and linked < _MANY else "listing"
    if named or is_probably_article(parse_html(page)):
        return "article"
    if own.service and gate not in _NO_TEXT:
        return "listing"
    return "listing" if linked >= (_FEW if gate in _NO_TEXT else _MANY) else "article"
