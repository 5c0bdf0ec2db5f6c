"""Articles on several pages: finds the next page, and joins the pages of an article into one stored body.

A joined body holds the bodies one after another, each but the first after an HTML comment with its address. So a stored
article can be extracted again offline.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from worker.errors import SourceError
from worker.models import Page
from worker.urls import resolve, same_site

_BOUNDARY_MARK: Final = b"\n<!-- corpus-worker: the article goes on: "
_BOUNDARY: Final = re.compile(re.escape(_BOUNDARY_MARK) + rb"([!-~]{1,2100}) -->\n")
# A longer tag is no link to a next page. Chosen, not measured.
_MAX_LINK_CHARS: Final = 600
_LINK: Final = re.compile(rb"<(?:a|link)\s([^<>]{0,%d})>" % _MAX_LINK_CHARS, re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(
    rb"(?<![^\s])(rel|href)\s?=\s?(?:\"([^\"]{0,600})\"|'([^']{0,600})'|([^\s\"'<>]{1,600}))", re.IGNORECASE
)
# Bounds the work on a hostile page. Chosen, not measured.
_MAX_LINKS: Final = 3_000
_PAGE_PARAMETERS: Final = frozenset({"page", "p", "pg", "pn", "paged", "trang", "seite", "pagina", "pageno", "page_no"})
# `/bai-viet/2`, `/bai-viet-p2.html`, `/bai-viet_2.html`, `/bai-viet/page/2/`
_NUMBERED_PATH: Final = re.compile(
    r"(?:/(?:page|trang|seite|pagina|p)[/-]?|[-_,](?:p|page|trang|seite)?-?|/)(?P<number>\d{1,2})"
    r"(?P<ending>\.[a-z]{2,5})?/?\Z",
    re.IGNORECASE,
)


def next_page_url(page: Page) -> str | None:
    """Return the address of the article's next page, None if the page links none.

    `rel=next` can also mean the next article of a blog or the next page of a list. So only an address counts that
    equals this page's own except for the page number, which must be one higher.
    """
    for written in _next_links(page.body):
        try:
            url = resolve(written, base=page.final_url)
        except SourceError:
            continue
        if is_next_page(url, page.final_url):
            return url
    return None


def _next_links(body: bytes) -> Iterator[str]:
    """Yield the addresses that a page links with `rel=next`, as written."""
    for link in islice(_links_with(b"next", body), _MAX_LINKS):
        said = {match[1].lower(): match[2] or match[3] or match[4] for match in _ATTRIBUTE.finditer(link[1])}
        if b"next" in (said.get(b"rel") or b"").lower().split() and (href := said.get(b"href")):
            yield html.unescape(href.decode("utf-8", "replace"))


def _links_with(word: bytes, body: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the link tags that contain a word in lower case, without reading all the others."""
    lower, position = body.lower(), 0
    while (found := lower.find(word, position)) >= 0:
        position = found + len(word)
        opening = body.rfind(b"<", max(0, found - _MAX_LINK_CHARS - len(b"<link ")), found)
        link = _LINK.match(body, opening) if opening >= 0 else None
        if link is not None and link.end() > found:
            position = link.end()
            yield link


def is_first_page(url: str) -> bool:
    """Return whether a URL carries no page number above one, in its query or its path."""
    return _split_page_parameter(url)[1] <= 1 and not _split_page_path(url)[1]


def is_next_page(url: str, of: str) -> bool:
    """Return whether a URL is the page after `of` in the same article."""
    if not same_site(url, of) or urlsplit(url).netloc != urlsplit(of).netloc:
        return False
    (rest, number), (own_rest, own_number) = _split_page_parameter(url), _split_page_parameter(of)
    if number:
        return rest == own_rest and number == max(own_number, 1) + 1
    stem, number = _split_page_path(url)
    own_stem, own_number = _split_page_path(of)
    if number == 2:
        return stem == _without_slash(of)
    return number > 2 and own_number == number - 1 and stem == own_stem


def join_pages(pages: Sequence[Page]) -> Page:
    """Return the pages of one article as one: the first page, with the bodies of the others appended to its own."""
    first, *others = pages
    rest = (b"%s%s -->\n%s" % (_BOUNDARY_MARK, page.final_url.encode("ascii", "replace"), page.body) for page in others)
    return replace(first, body=b"".join((first.body, *rest)))


def split_pages(page: Page) -> list[Page]:
    """Return the pages that `join_pages` joined; only the page itself if it is a single one."""
    if _BOUNDARY_MARK not in page.body:
        return [page]
    body, *rest = _BOUNDARY.split(page.body)
    addresses, bodies = rest[::2], rest[1::2]
    others = [
        replace(page, final_url=address.decode("ascii"), body=each)
        for address, each in zip(addresses, bodies, strict=True)
    ]
    return [replace(page, body=body), *others]


def _split_page_parameter(url: str) -> tuple[str, int]:
    """Return a URL's path and query without the page parameter, and the page number; 0 if there is none."""
    parts_of = urlsplit(url)
    number, kept = 0, []
    for name, value in parse_qsl(parts_of.query, keep_blank_values=True):
        if name.lower() in _PAGE_PARAMETERS and value.isdecimal() and len(value) <= 2:
            number = int(value)
        else:
            kept.append((name, value))
    return f"{parts_of.path.rstrip('/')}?{urlencode(kept)}", number


def _split_page_path(url: str) -> tuple[str, int]:
    """Return a URL's path and query without the page number in the path, and that number; 0 if there is none."""
    parts_of = urlsplit(url)
    match = _NUMBERED_PATH.search(parts_of.path, 1)
    if match is None:
        return _without_slash(url), 0
    return f"{parts_of.path[: match.start()]}{match['ending'] or ''}?{parts_of.query}", int(match["number"])


def _without_slash(url: str) -> str:
    parts_of = urlsplit(url)
    return f"{parts_of.path.rstrip('/')}?{parts_of.query}"
