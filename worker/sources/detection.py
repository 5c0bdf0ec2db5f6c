"""Tells what kind of source, if any, a page is: for URLs given by hand."""

from __future__ import annotations

import re

from worker import urls
from worker.errors import SourceError
from worker.models import Page
from worker.sources.links import Link, document_of, links_of
from worker.sources.listings import articles_among
from worker.sources.patterns import read
from worker.sources.prose import reads_like_an_article
from worker.sources.shapes import Shape, shape_of

_HEAD = 300_000
_KINDS = {
    Shape.FEED: "feed",
    Shape.JSON: "feed",
    Shape.SITEMAP: "sitemap",
    Shape.URLS: "urls",
    Shape.WARC: "warc",
    Shape.TEXT: "urls",
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
    shape = shape_of(page.body)
    if shape in {Shape.HTML, Shape.XML}:
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
    own = read(Link(url=page.final_url, key=urls.canonicalise(page.final_url), text=""))
    if own.service:
        return "listing"
    numbered = bool(own.shape.number) or own.shape.dated
    if (numbered and own.shape.wordy) or reads_like_an_article(document_of(page)):
        return "article"
    says_so = _SAYS_ARTICLE.search(page.body, 0, _HEAD) is not None
    linked = len(articles_among(links_of(page), page))
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
    own = read(Link(url=page.final_url, key=urls.canonicalise(page.final_url), text=""))
    named = bool(own.shape.number) or own.shape.dated or own.shape.wordy
    linked = len(articles_among(links_of(page), page))
    if gate == "listing":
        return "article" if named and linked < _MANY else "listing"
    if named or reads_like_an_article(document_of(page)):
        return "article"
    if own.service and gate not in _NO_TEXT:
        return "listing"
    return "listing" if linked >= (_FEW if gate in _NO_TEXT else _MANY) else "article"
