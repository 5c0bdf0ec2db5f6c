"""Takes the links out of a page, with what stands around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree, html

from worker import urls
from worker.errors import SourceError
from worker.models import Page
from worker.sources.declarations import as_utf8
from worker.sources.entries import clean_text
from worker.sources.guards import without_code

_MAX_LINKS = 5000
_MAX_TEXT = 400
_MAX_CLIMB = 12
_MAX_OTHERS = 5
_FURNITURE = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|footer|breadcrumbs?|topbar|submenu)(?:$|[\s_-])", re.IGNORECASE
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5"})
_TOP = frozenset({"body", "html", "main"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One address a page links to, with the best of the texts that lead there; `others` have the same key.

    `headed` says that one of the links stands in a heading, `furniture` that all stand in menus or the page's foot,
    `next_page` that the page calls it the next one.
    """

    url: str
    key: str
    text: str
    headed: bool = False
    furniture: bool = False
    next_page: bool = False
    others: tuple[str, ...] = ()


def links_of(page: Page) -> tuple[Link, ...]:
    """Return the links of a page to web addresses, one for each key, in the order of the page.

    Raises SourceError where the page is no HTML.
    """
    root = document_of(page)
    base = _base(root, page)
    found: dict[str, Link] = {}
    for anchor in _anchors(root):
        link = _link(anchor, base)
        if link is not None:
            known = found.get(link.key)
            found[link.key] = link if known is None else _merged(known, link)
    return tuple(found.values())


def document_of(page: Page) -> html.HtmlElement:
    """Parse a page; raises SourceError where there is nothing to parse."""
    try:
        markup = without_code(as_utf8(page.body, page.content_type))
        return html.document_fromstring(markup, parser=html.HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, ValueError) as exc:
        raise SourceError(f"{page.url}: the page cannot be read as HTML ({exc}); check the address") from exc


def _base(root: html.HtmlElement, page: Page) -> str:
    declared = next((element.get("href") for element in root.iter("base") if element.get("href")), None)
    try:
        return urls.resolve(declared, base=page.final_url) if declared else page.final_url
    except SourceError:
        return page.final_url


def _anchors(root: html.HtmlElement) -> Iterator[html.HtmlElement]:
    count = 0
    for anchor in root.iter("a", "link"):
        if anchor.get("href") and (anchor.tag == "a" or anchor.get("rel") == "next"):
            yield anchor
            count += 1
        if count >= _MAX_LINKS:
            return


def _link(anchor: html.HtmlElement, base: str) -> Link | None:
    href = (anchor.get("href") or "").strip()
    if not href or href.startswith(("#", "javascript:", "mailto:", "tel:")):
        return None
    try:
        url = urls.resolve(href, base=base)
        key = urls.canonicalise(url)
    except SourceError:
        return None
    if not url.startswith("http"):
        return None
    headed, furniture = _surroundings(anchor)
    return Link(
        url=url,
        key=key,
        text=_text(anchor),
        headed=headed,
        furniture=furniture,
        next_page="next" in (anchor.get("rel") or "").lower().split(),
    )


def _text(anchor: html.HtmlElement) -> str:
    text = clean_text("".join(str(piece) for piece in anchor.itertext())[:_MAX_TEXT])
    if text:
        return text
    image = next((image.get("alt") for image in anchor.iter("img") if image.get("alt")), None)
    return clean_text((anchor.get("title") or image or "")[:_MAX_TEXT])


def _surroundings(anchor: html.HtmlElement) -> tuple[bool, bool]:
    """Tell whether a link stands in a heading, or is one, and whether in a menu or the page's foot."""
    headed = any(str(child.tag) in _HEADINGS for child in anchor)
    for count, outer in enumerate(anchor.iterancestors()):
        tag = str(outer.tag)
        if tag in _TOP or count > _MAX_CLIMB:
            break
        headed = headed or tag in _HEADINGS
        if tag in {"nav", "footer"} or _FURNITURE.search(f"{outer.get('class') or ''} {outer.get('id') or ''}"):
            return headed, True
    return headed, False


def _merged(one: Link, other: Link) -> Link:
    """Return two links to one address as one; a link in a heading has the title, else the longer text."""
    best = max((one, other), key=lambda link: (link.headed and bool(link.text), len(link.text)))
    further = [url for url in (other.url, *other.others) if url != one.url]
    return Link(
        url=one.url,
        key=one.key,
        others=tuple(dict.fromkeys((*one.others, *further)))[:_MAX_OTHERS],
        text=best.text,
        headed=one.headed or other.headed,
        furniture=one.furniture and other.furniture,
        next_page=one.next_page or other.next_page,
    )
