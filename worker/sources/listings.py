"""Reads listing pages: section fronts, home pages, archives."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from worker import urls
from worker.errors import SourceError
from worker.models import Discovery, Page, Source
from worker.sources.entries import Entry, clean_title, discovery, scope_of
from worker.sources.links import Link, links_of
from worker.sources.patterns import AddressShape, Reading, article_shapes, read
from worker.sources.shapes import Shape, shape_of

_ALONE = 6
_NEXT_WORDS = frozenset(
    ["›", "»", ">", ">>", "next", "next page", "older posts", "sau", "trang sau", "tiếp", "tiếp theo", "trang tiếp"]
)
_PAGE_NUMBER = re.compile(r"(?:page|trang|paged|[?&/_-]pg?)[-_/=.]?(\d{1,5})(?!\d)", re.IGNORECASE)


def parse_listing(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return the articles a listing page shows, and the page after it within the source's option `pages`.

    The option `article_pattern`, a regular expression on the whole address, tells articles apart where learning from
    the page does not. Raises SourceError where the page is no HTML.
    """
    shape = shape_of(page.body)
    if shape not in {Shape.HTML, Shape.XML}:
        raise SourceError(f"{page.url}: this is {shape.value}, not a listing page; check the source's address and kind")
    links = links_of(page)
    entries = [
        Entry(link=url, title=clean_title(link.text))
        for link in articles_listed(links, page, source)
        for url in (link.url, *link.others)
    ]
    return discovery(
        entries,
        page=page,
        source=source,
        scope=scope_of(source, page.url, page.final_url),
        now=now,
        follow=_following(links, page, source),
        notes=() if entries else ("no article links were found; set the option article_pattern",),
    )


def articles_listed(links: Sequence[Link], page: Page, source: Source) -> list[Link]:
    """Return the links to articles: by the source's pattern where it has one, else as learned from the page."""
    pattern = source.options.article_pattern
    return [link for link in links if pattern.search(link.url)] if pattern else articles_among(links, page)


def articles_among(links: Sequence[Link], page: Page) -> list[Link]:
    """Return the links that lead to articles of the page's own site, by their structure and by the site's pattern."""
    near = [link for link in _near(links, page) if not urls.is_home_key(link.key)]
    readings = [(link, read(link)) for link in near]
    shapes = article_shapes(reading for _, reading in readings)
    return [link for link, reading in readings if _is_article(reading, shapes)]


def _near(links: Sequence[Link], page: Page) -> list[Link]:
    """Return the links to other pages of the page's own site."""
    own = urls.canonicalise(page.final_url)
    return [link for link in links if link.key != own and urls.same_site(link.url, own)]


def _is_article(reading: Reading, shapes: Collection[AddressShape]) -> bool:
    enough = 1 if reading.shape in shapes else _ALONE
    return reading.points >= enough and not reading.service


def _following(links: Sequence[Link], page: Page, source: Source) -> tuple[str, ...]:
    number = page_number(page.final_url)
    return () if number >= source.options.pages else tuple(link.url for link in (next_page(links, page),) if link)


def page_number(url: str) -> int:
    """Return which page of a listing an address is; 1 where it does not say."""
    parts = urlsplit(url)
    found = _PAGE_NUMBER.search(f"{parts.path}?{parts.query}")
    return max(int(found[1]), 1) if found else 1


def next_page(links: Sequence[Link], page: Page) -> Link | None:
    """Return the link to the page after this one: the one that says so, or the one with the next number."""
    own = urls.canonicalise(page.final_url)
    near = _near(links, page)
    said = next((link for link in near if link.next_page), None)
    if said:
        return said
    here = next((int(link.text) for link in links if link.key == own and link.text.isdecimal()), page_number(own))
    further = [link for link in near if _belongs(link.key, own)]
    numbered = next((link for link in further if link.text == str(here + 1)), None)
    return numbered or next((link for link in further if link.text.lower() in _NEXT_WORDS), None)


def _belongs(key: str, own: str) -> bool:
    """Tell whether an address is a further page of a listing: it begins like the listing and carries a number."""
    stem = re.sub(r"(?:\.\w{2,5}|[-_/?=]?(?:page|trang|p)?[-_/=]?\d+)*\Z", "", own.partition("?")[0])
    return key.startswith(stem.rstrip("/")) and re.search(r"\d", key[len(stem.rstrip("/")) :]) is not None
