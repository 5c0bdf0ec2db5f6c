"""Tells what kind of source, if any, a page is: for URLs given by hand."""

from __future__ import annotations

import re

from worker import urls
from worker.errors import SourceError
from worker.models import Page
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
    rb"""<meta[^>]{0,200}(?:property|name)\s*=\s*["']?(?:og:type["']?[^>]{0,100}content\s*=\s*["']?article|article:published_time)"""
    rb"""|"@type"\s*:\s*\[?\s*"(?:News|Report|Opinion|Analysis|Review)?(?:News)?Article\b|"@type"\s*:\s*\[?\s*"BlogPosting"
    |itemtype\s*=\s*["']?https?://schema\.org/(?:News)?Article""",
    re.IGNORECASE | re.VERBOSE,
)


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
    if urls.is_home(page.final_url):
        return "listing"
    return "article" if _SAYS_ARTICLE.search(page.body, 0, _HEAD) else "listing"
