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
    rb"""|"@type"\s*:\s*\[?\s*"(?:(?:News|Report|OpinionNews|AnalysisNews|ReviewNews)?Article|BlogPosting)["]"""
    rb"""|itemtype\s*=\s*["']?https?://schema\.org/(?:News)?Article""",
    re.IGNORECASE,
)
_MANY = 10


def detect(page: Page) -> str:
    """Return `feed`, `sitemap`, `urls`, `warc`, `listing` or `article`; raises SourceError for what is none of them."""
    shape = shape_of(page.body)
    if shape in {Shape.HTML, Shape.XML}:
        return _kind_of_page(page)
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
