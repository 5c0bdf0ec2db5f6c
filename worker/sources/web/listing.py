"""Read listing pages: section fronts, home pages, archive pages.

`parse_listing` returns the articles on a page and the next page to read. Links count as articles by the source's option
`article_pattern` or, without it, by their score and the URL patterns of the page (`worker.sources.web.links`).
`listing_dates` reads the dates beside the links; only `backfill` needs them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import islice
from urllib.parse import urlsplit

from lxml import html

from worker import urls
from worker.dates.parsing import plausible_date, read_date
from worker.errors import SourceError
from worker.models import Discovery, Page, Source
from worker.sources.content import ContentKind, sniff_content
from worker.sources.entries import Entry, build_discovery, clean_title, link_policy
from worker.sources.web.links import (
    Link,
    LinkFeatures,
    UrlPattern,
    article_url_patterns,
    link_features,
    page_links,
    parse_html,
)

# The score a link needs if its URL pattern is not one of the page's articles. Chosen together
# with the scores, see `worker.sources.web.links`.
_MIN_SCORE_ALONE = 6
_NEXT_WORDS = frozenset(
    ["›", "»", ">", ">>", "next", "next page", "older posts", "sau", "trang sau", "tiếp", "tiếp theo", "trang tiếp"]
)
_PAGE_NUMBER = re.compile(r"(?:page|trang|paged|[?&/_-]pg?)[-_/=.]?(\d{1,5})(?!\d)", re.IGNORECASE)


def parse_listing(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return the articles on a listing page and, up to the source's option `pages`, the URL of the next page.

    Raises SourceError if the page is not HTML.
    """
    kind = sniff_content(page.body)
    if kind not in {ContentKind.HTML, ContentKind.XML}:
        raise SourceError(f"{page.url}: this is {kind.value}, not a listing page; check the source's address and kind")
    links = page_links(page)
    entries = [
        Entry(link=url, title=clean_title(link.text))
        for link in article_links(links, page, source)
        for url in (link.url, *link.others)
    ]
    return build_discovery(
        entries,
        page=page,
        source=source,
        policy=link_policy(source, page),
        now=now,
        follow=_next_pages(links, page, source),
        notes=() if entries else ("no article links were found; set the option article_pattern",),
    )


def article_links(links: Sequence[Link], page: Page, source: Source) -> list[Link]:
    """Return the links to articles: those whose URL `article_pattern` matches, or the likely ones without a pattern."""
    pattern = source.options.article_pattern
    return [link for link in links if pattern.search(link.url)] if pattern else likely_articles(links, page)


def likely_articles(links: Sequence[Link], page: Page) -> list[Link]:
    """Return the links to articles on the page's own site, by their scores and the page's URL patterns."""
    own_links = [link for link in _same_site_links(links, page) if not urls.is_home_key(link.key)]
    all_features = [(link, link_features(link)) for link in own_links]
    patterns = article_url_patterns(features for _, features in all_features)
    return [link for link, features in all_features if _is_article(features, patterns)]


def _same_site_links(links: Sequence[Link], page: Page) -> list[Link]:
    """Return the links to other pages of the same site."""
    own = urls.canonicalise(page.final_url)
    return [link for link in links if link.key != own and urls.same_site(link.url, own)]


def _is_article(features: LinkFeatures, patterns: Collection[UrlPattern]) -> bool:
    enough = 1 if features.pattern in patterns else _MIN_SCORE_ALONE
    return features.score >= enough and not features.is_service


def _next_pages(links: Sequence[Link], page: Page, source: Source) -> tuple[str, ...]:
    if page_number(page.final_url) >= source.options.pages:
        return ()
    following = next_listing_page(links, page)
    return (following.url,) if following else ()


def page_number(url: str) -> int:
    """Return the page number in the URL of a listing page, or 1."""
    parts = urlsplit(url)
    found = _PAGE_NUMBER.search(f"{parts.path}?{parts.query}")
    return max(int(found[1]), 1) if found else 1


def next_listing_page(links: Sequence[Link], page: Page) -> Link | None:
    """Return the link to the next page: one with `rel="next"`, else with the next number, else with a word for next."""
    own = urls.canonicalise(page.final_url)
    near = _same_site_links(links, page)
    declared = next((link for link in near if link.is_next_page), None)
    if declared:
        return declared
    here = next((int(link.text) for link in links if link.key == own and link.text.isdecimal()), page_number(own))
    further = [link for link in near if _is_further_page(link.key, own)]
    numbered = next((link for link in further if link.text == str(here + 1)), None)
    return numbered or next((link for link in further if link.text.lower() in _NEXT_WORDS), None)


def _is_further_page(key: str, own: str) -> bool:
    """Return whether a URL is another page of a listing: it begins like the listing's URL, and a number follows."""
    stem = re.sub(r"(?:\.\w{2,5}|[-_/?=]?(?:page|trang|p)?[-_/=]?\d+)*\Z", "", own.partition("?")[0])
    return key.startswith(stem.rstrip("/")) and re.search(r"\d", key[len(stem.rstrip("/")) :]) is not None


# Dates beside the teasers of a listing page. The bounds keep hostile pages cheap; they were chosen, not measured.

_MAX_DATES = 1000  # elements with a date
_MAX_CLIMB = 6  # ancestors of a date that may be its teaser
_MAX_LINKS = 12  # links in a teaser (heading, picture, section, author, comments); an element with more is a list
_MAX_TEXT = 100  # characters of a date
_DATE_CLASS = re.compile(
    r"(?:^|[\s_-])(?:time|date|datetime|published|pubdate|ngay|thoi-gian)(?:$|[\s_-])", re.IGNORECASE
)


def listing_dates(page: Page, articles: Collection[str], *, zone: tzinfo, now: datetime) -> Mapping[str, datetime]:
    """Return the publication dates shown beside the links to articles, by the canonical URL (`articles`: those wanted).

    A date belongs to an article if the smallest element that contains the date and a link to an article contains links
    to no other article. Dates without a zone are in `zone`.
    """
    found: dict[str, datetime] = {}
    for element in islice(_elements_with_dates(parse_html(page)), _MAX_DATES):
        written = element.get("datetime") or element.get("content") or element.text_content()[:_MAX_TEXT]
        moment = plausible_date(read_date(written, zone=zone), now=now)
        key = _article_beside(element, articles, base=page.final_url) if moment else None
        if key and moment:
            found.setdefault(key, moment)
    return found


def _elements_with_dates(root: html.HtmlElement) -> Iterator[html.HtmlElement]:
    for element in root.iter("time", "span", "div", "p", "small", "em", "i", "meta"):
        if element.tag == "time" or _DATE_CLASS.search(f"{element.get('class') or ''} {element.get('itemprop') or ''}"):
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
