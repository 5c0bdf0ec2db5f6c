"""Finds what could be polled, from a site's home page and its robots.txt: feeds, sitemaps, sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from lxml import html

from worker import urls
from worker.charset import clean_bytes, decode_plain
from worker.errors import SourceError
from worker.models import Page
from worker.sources.entries import clean_title
from worker.sources.web.links import Link, link_features, page_links, parse_html

_FEED_TYPES = re.compile(r"application/(?:rss|atom|rdf|feed)\+(?:xml|json)|application/json|text/xml", re.IGNORECASE)
_FEED_LINK = re.compile(r"/(?:rss|feeds?|atom)(?:[/_.-]|\Z)|\.(?:rss|atom|rdf)\Z", re.IGNORECASE)
_SITEMAP_LINE = re.compile(rb"^[ \t]*sitemap[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_FEED_PATHS = (
    "/rss/home.rss", "/rss/trang-chu.rss", "/rss_feed/trang-chu", "/rss/tin-moi-nhat.rss", "/rss.xml", "/feed", "/rss",
    "/feed.xml", "/atom.xml", "/index.rss", "/home.rss", "/feeds/posts/default", "/feed.json",
)  # fmt: skip
_SITEMAP_PATHS = (
    "/sitemap.xml", "/sitemap_index.xml", "/news-sitemap.xml", "/sitemap-news.xml", "/sitemaps.xml", "/sitemap.xml.gz",
)  # fmt: skip
_MAX_SECTIONS = 30
_MAX_ROBOTS_BYTES = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Something that may be worth polling: what kind it is thought to be, and where it was seen.

    `seen` is `page` (the site says so itself), `robots`, `path` (a usual place), or `section`.
    """

    kind: str
    url: str
    seen: str
    title: str | None = None


def suggestions(home: Page, *, robots: bytes = b"") -> tuple[Suggestion, ...]:
    """Return what to test-poll for a site, the most promising first, each address once.

    A page that lists a site's feeds is suggested as a feed too: where one answers with HTML, call this on it again.
    Raises SourceError where the page is no HTML.
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
    """Return the feeds a page declares in its head, and those it links to."""
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
    """Return the sitemaps that a robots.txt names (RFC 9309, section 2.2.4)."""
    found = []
    for match in _SITEMAP_LINE.finditer(clean_bytes(robots[:_MAX_ROBOTS_BYTES]).replace(b"\r", b"\n")):
        try:
            url = urls.resolve(decode_plain(match[1]), base=base)
        except SourceError:
            continue
        found.append(Suggestion(kind="sitemap", url=url, seen="robots"))
    return tuple(found)


def usual_sitemaps(url: str) -> tuple[str, ...]:
    """Return the addresses at which sites usually keep their sitemaps."""
    return tuple(urls.resolve(path, base=url) for path in _SITEMAP_PATHS)


def _at_usual_paths(kind: str, paths: Iterable[str], home: Page) -> Iterator[Suggestion]:
    return (Suggestion(kind=kind, url=urls.resolve(path, base=home.final_url), seen="path") for path in paths)


def find_sections(page: Page) -> tuple[Suggestion, ...]:
    """Return the sections a site's menu leads to, the main ones first, at most 30."""
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
    features = link_features(link)
    pattern = features.pattern
    article = bool(pattern.number) or pattern.has_date or pattern.has_slug
    path = urlsplit(link.key).path
    return (
        not article
        and not features.is_service
        and not urls.is_home_key(link.key)
        and not urlsplit(link.key).query
        and path.count("/") <= 2
        and 1 <= len(link.text.split()) <= 6
    )
