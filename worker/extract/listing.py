"""Tells listing, section and home pages from articles: they must never be stored as articles.

The figures were chosen on 1,001 articles and 118 listing pages: of the articles one is rejected, a blog's home page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lxml.html import HtmlElement

from worker.errors import ExtractError, SourceError
from worker.extract.document import Document
from worker.extract.measure import Extents
from worker.extract.outline import Passage, Shares, leads_elsewhere
from worker.extract.text import fold
from worker.urls import is_home

_LONG_LINK = 25
_LONG_HEADING = 25
_MANY_TEASERS = 5
_FEW_LINKS, _LINKS, _MANY_LINKS = 5, 10, 20
_MANY_LINKED = 1_600
_MOSTLY, _HALF, _MUCH = 0.8, 0.5, 0.4
_SCRAP, _LITTLE, _PARAGRAPHS = 200, 400, 500
_MANY_ITEMS = 10
_COLLECTIONS = frozenset({"collectionpage", "itemlist"})
_HEADINGS = ("h2", "h3", "h4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What of a page speaks for a list of other pages.

    `links` counts links as long as headlines, `headed` those of them that are headings, `items` the article elements;
    `together` is the most running text, in characters, of paragraphs side by side.
    """

    shares: Shares
    links: int
    headed: int
    items: int
    together: int
    is_home: bool
    is_collection: bool
    claims_article: bool
    is_headed_as_article: bool


def may_be_listing(document: Document, shares: Shares) -> bool:
    """Tell, at a glance, whether a page is worth a closer look: one that claims to be an article may read as one."""
    return not document.claims_article or shares.elsewhere > _HALF


def look_at(document: Document, extents: Extents, own: Sequence[Passage], shares: Shares) -> Looks:
    """Gather what of a page speaks for a list of other pages; `own` is the running text that is its own."""
    links = [
        link
        for link in extents.links
        if link.tag == "a" and extents.chars[link] >= _LONG_LINK and leads_elsewhere(link)
    ]
    together: Counter[HtmlElement | None] = Counter()
    for passage in own:
        together[passage.element.getparent()] += passage.chars - passage.linked
    return Looks(
        shares=shares,
        links=len(links),
        headed=sum(map(_is_headed, links)),
        items=sum(1 for element in extents.elements if element.tag == "article"),
        together=max(together.values(), default=0),
        is_home=_is_home(document.url),
        is_collection=not _COLLECTIONS.isdisjoint(document.structured.types),
        claims_article=document.claims_article,
        is_headed_as_article=_is_headed_as_article(document),
    )


def refuse_listing(looks: Looks) -> None:
    """Reject a page that lists articles rather than being one; raises ExtractError (`listing`)."""
    if kind := _kind_of_listing(looks):
        raise ExtractError(f"{kind}, not an article: {_figures(looks)}", reason="listing")


def _kind_of_listing(looks: Looks) -> str:
    shares, claims = looks.shares, looks.claims_article
    if looks.is_home and (_mostly_links(looks) if claims else looks.links >= _FEW_LINKS or shares.elsewhere > _MUCH):
        return "a home page"
    if claims or looks.is_headed_as_article:
        # Templates of listing pages copy what articles say of themselves: hardly a word of its own still tells them.
        many = shares.teaser_count >= _MANY_TEASERS or shares.links > _MANY_LINKED
        return "a listing page" if many and shares.elsewhere > _MOSTLY and shares.prose < _SCRAP else ""
    if looks.is_collection and looks.links >= _LINKS:
        return "a collection by its own word"
    hardly_anything = looks.links >= _FEW_LINKS and shares.prose < _LITTLE
    teasers = shares.teaser_count >= _MANY_TEASERS and shares.elsewhere > _MOSTLY and shares.prose < _LITTLE
    scattered = looks.together < _PARAGRAPHS
    items = looks.items >= _MANY_ITEMS and looks.headed >= _FEW_LINKS
    is_listing = hardly_anything or teasers or (scattered and (items or _mostly_links(looks)))
    return "a listing page" if is_listing else ""


def _mostly_links(looks: Looks) -> bool:
    return looks.links >= _MANY_LINKS and looks.shares.elsewhere > _HALF


def _is_headed(link: HtmlElement) -> bool:
    return next(link.iterancestors(*_HEADINGS), None) is not None or next(link.iter(*_HEADINGS), None) is not None


def _is_headed_as_article(document: Document) -> bool:
    """Whether a page that calls itself an article has a headline, and its title is that."""
    if not document.said("og:type").lower().startswith("article"):
        return False
    titles = fold(f"{document.title_tag} {document.said('og:title')} {document.structured.headline}")
    headings = (fold(heading.text_content()) for heading in document.tree.iter("h1"))
    return any(len(heading) >= _LONG_HEADING and heading in titles for heading in headings)


def _is_home(url: str) -> bool:
    try:
        return not url.startswith("file:") and is_home(url)
    except SourceError:
        return False


def _figures(looks: Looks) -> str:
    return (
        f"{looks.shares.elsewhere:.0%} of its text announces other pages ({looks.shares.teaser_count} teasers, "
        f"{looks.links} headlines that are links, {looks.shares.prose} characters of its own)"
    )
