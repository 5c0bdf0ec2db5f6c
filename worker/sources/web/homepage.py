"""Suggest sources of a site from its home page and robots.txt: feeds, sitemaps, section pages.

`sources add` fetches the home page, test-polls the suggestions in order and ranks the results
(`worker.sources.web.ranking`). Nothing is fetched here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from lxml import html

from worker import urls
from worker.charset import clean_bytes, decode_plain
from worker.errors import SourceError
from worker.models import Page
from worker.models.base import dataclass
from worker.sources.entries import clean_title
from worker.sources.web.links import Link, link_features, page_links, parse_html

_FEED_TYPES = re.compile(r"application/(?:rss|atom|rdf|feed)\+(?:xml|json)|application/json|text/xml", re.IGNORECASE)
_FEED_LINK = re.compile(r"/(?:rss|feeds?|atom)(?:[/_.-]|\Z)|\.(?:rss|atom|rdf)\Z", re.IGNORECASE)
_SITEMAP_LINE = re.compile(rb"^[ \t]*sitemap[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
# Where feeds and sitemaps usually are, Vietnamese news sites first.
_FEED_PATHS = (
    "/rss/home.rss", "/rss/trang-chu.rss", "/rss_feed/trang-chu", "/rss/tin-moi-nhat.rss", "/rss.xml", "/feed", "/rss",
    "/feed.xml", "/atom.xml", "/index.rss", "/home.rss", "/feeds/posts/default", "/feed.json",
)  # fmt: skip
_SITEMAP_PATHS = (
    "/sitemap.xml", "/sitemap_index.xml", "/news-sitemap.xml", "/sitemap-news.xml", "/sitemaps.xml", "/sitemap.xml.gz",
)  # fmt: skip
_MAX_SECTIONS = 30  # each costs at least one polite request; chosen, not measured
_MAX_ROBOTS_BYTES = 500_000  # RFC 9309, section 2.5: parsers must read at least 500 KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A URL that may be worth polling, with its presumed kind.

    `seen` is where it was found: `page` (declared or linked on the home page), `robots` (named in robots.txt), `path`
    (guessed from usual paths) or `section` (a menu entry).
    """

    kind: str
    url: str
    seen: str
    title: str | None = None


def suggestions(home: Page, *, robots: bytes = b"") -> tuple[Suggestion, ...]:
    """Return the URLs to test-poll for a site, the most promising first, each once.

    A page that lists the site's feeds is suggested as a feed, too: if such a URL returns HTML, call `declared_feeds` on
    it. Raises SourceError if the home page is not HTML.
    """
    found = [
        *declared_feeds(home),
        *sitemaps_in_robots(robots, base=home.final_url),
        *_at_usual_paths("sitemap", _SITEMAP_PATHS, home),
        *_at_usual_paths("feed", _FEED_PATHS, home),
        Suggestion(kind="listing", url=home.final_url, seen="page", title=None),
        *find_sections(home),
    ]
    once: dict[str, Suggestion] = {}
    for suggestion in found:
        once.setdefault(urls.canonicalise(suggestion.url), suggestion)
    return tuple(once.values())


def declared_feeds(page: Page) -> tuple[Suggestion, ...]:
    """Return the feeds that a page declares with `<link rel="alternate">`, then those that it links to."""
    root = parse_html(page)
    declared = (
        (element.get("href") or "", element.get("title")) for element in root.iter("link") if _declares_feed(element)
    )
    linked = ((link.url, link.text) for link in page_links(page) if _FEED_LINK.search(urlsplit(link.url).path))
    return tuple(_feeds((*declared, *linked), page))


def _declares_feed(element: html.HtmlElement) -> bool:
    relations = (element.get("rel") or "").lower().split()
    kind = element.get("type") or ""
    return "feed" in relations or ("alternate" in relations and _FEED_TYPES.fullmatch(kind.strip()) is not None)


def _feeds(places: Iterable[tuple[str, str | None]], page: Page) -> Iterator[Suggestion]:
    for href, title in places:
        try:
            url = urls.resolve(href, base=page.final_url)
        except SourceError:
            continue
        if not re.search(r"/wp-json/|oembed|/comments/feed", url):
            yield Suggestion(kind="feed", url=url, seen="page", title=clean_title(title))


def sitemaps_in_robots(robots: bytes, *, base: str) -> tuple[Suggestion, ...]:
    """Return the sitemaps named in a robots.txt (RFC 9309, section 2.2.4)."""
    found = []
    for match in _SITEMAP_LINE.finditer(clean_bytes(robots[:_MAX_ROBOTS_BYTES]).replace(b"\r", b"\n")):
        try:
            url = urls.resolve(decode_plain(match[1]), base=base)
        except SourceError:
            continue
        found.append(Suggestion(kind="sitemap", url=url, seen="robots"))
    return tuple(found)


def usual_sitemaps(url: str) -> tuple[str, ...]:
    """Return the URLs at which the sitemaps of a site usually are."""
    return tuple(urls.resolve(path, base=url) for path in _SITEMAP_PATHS)


def _at_usual_paths(kind: str, paths: Iterable[str], home: Page) -> Iterator[Suggestion]:
    return (Suggestion(kind=kind, url=urls.resolve(path, base=home.final_url), seen="path") for path in paths)


def find_sections(page: Page) -> tuple[Suggestion, ...]:
    """Return the section pages in a site's menu, the shortest paths first, at most 30."""
    host = urls.host_of(page.final_url)
    sections = [
        link for link in page_links(page) if link.in_navigation and urls.host_of(link.url) == host and _is_section(link)
    ]
    sections.sort(key=lambda link: urlsplit(link.key).path.count("/"))
    return tuple(
        Suggestion(kind="listing", url=link.url, seen="section", title=clean_title(link.text))
        for link in sections[:_MAX_SECTIONS]
    )


def _is_section(link: Link) -> bool:
    """Return whether a menu link leads to a section: a short path and text, and no article, service or home page."""
    features = link_features(link)
    path = urlsplit(link.key).path
    return (
        not features.pattern.is_article_like
        and not features.is_service
        and not urls.is_home_key(link.key)
        and not urlsplit(link.key).query
        and path.count("/") <= 2
        and 1 <= len(link.text.split()) <= 6
    )
