"""Reads the dates that stand beside the teasers of a listing page."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, tzinfo
from itertools import islice

from lxml import html

from worker import urls
from worker.errors import SourceError
from worker.models import Page
from worker.sources.dates import plausible, read_date
from worker.sources.links import document_of

_MAX_DATES = 1000
_MAX_CLIMB = 6
_MAX_LINKS = 12
_MAX_TEXT = 100
_NAMED = re.compile(r"(?:^|[\s_-])(?:time|date|datetime|published|pubdate|ngay|thoi-gian)(?:$|[\s_-])", re.IGNORECASE)


def teaser_dates(page: Page, articles: Collection[str], *, zone: tzinfo, now: datetime) -> Mapping[str, datetime]:
    """Return when articles of a page (by their keys) were published, as far as the page says so beside their links.

    A date belongs to an article where the smallest part of the page that has both a date and a link to an article has
    links to no other.
    """
    found: dict[str, datetime] = {}
    for element in islice(_dated(document_of(page)), _MAX_DATES):
        written = element.get("datetime") or element.get("content") or element.text_content()[:_MAX_TEXT]
        moment = plausible(read_date(written, zone=zone), now=now)
        key = _article_beside(element, articles, base=page.final_url) if moment else None
        if key and moment:
            found.setdefault(key, moment)
    return found


def _dated(root: html.HtmlElement) -> Iterator[html.HtmlElement]:
    for element in root.iter("time", "span", "div", "p", "small", "em", "i", "meta"):
        if element.tag == "time" or _NAMED.search(f"{element.get('class') or ''} {element.get('itemprop') or ''}"):
            yield element


def _article_beside(element: html.HtmlElement, articles: Collection[str], *, base: str) -> str | None:
    for outer in islice(element.iterancestors(), _MAX_CLIMB):
        anchors = list(islice(outer.iter("a"), _MAX_LINKS + 1))
        if len(anchors) > _MAX_LINKS:
            return None
        keys = {key for anchor in anchors if (key := _key(anchor.get("href") or "", base)) in articles}
        if keys:
            return keys.pop() if len(keys) == 1 else None
    return None


def _key(href: str, base: str) -> str:
    try:
        return urls.canonicalise(urls.resolve(href, base=base)) if href else ""
    except SourceError:
        return ""
