"""Tells listing, section and home pages from articles: they must never be stored as articles.

A page that calls itself an article is one unless hardly anything on it is its own; any other is weighed by `likeness`.
Of 1,001 articles two are rejected, a page of webcams and a page that is mostly a menu.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lxml.html import HtmlElement

from worker.errors import ExtractError, SourceError
from worker.extract.cards import measure_flow
from worker.extract.document import Document
from worker.extract.likeness import THRESHOLD, Evidence, count_prices, likeness_of_listing, may_name_an_article
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
_SCRAP, _LITTLE = 200, 400
_MANY_ITEMS, _SCATTERED = 10, 100
_HEADINGS = ("h2", "h3", "h4")
_COLLECTIONS = frozenset({"collectionpage", "itemlist"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What of a page speaks for a list of other pages.

    `links` counts links as long as headlines, `headed` those of them that are headings, `items` the article elements;
    `cards` counts boxes side by side with a link each; `together` is the most words of paragraphs side by side.
    """

    shares: Shares
    links: int
    headed: int
    items: int
    cards: int
    together: int
    is_home: bool
    is_collection: bool
    claims_article: bool
    is_headed_as_article: bool
    likeness: float


def may_be_listing(document: Document, shares: Shares) -> bool:
    """Tell, at a glance, whether a page is worth a closer look: one that claims to be an article may read as one."""
    return not document.claims_article or shares.elsewhere > _HALF


def look_at(document: Document, extents: Extents, own: Sequence[Passage], shares: Shares) -> Looks:
    """Gather what of a page speaks for a list of other pages; `own` is the running text that is its own."""
    links = [link for link in extents.links if _is_headline(link, extents)]
    flow = measure_flow(extents, own)
    address = _address_of(document)
    home, is_headed = _is_home(address), _is_headed_by_title(document)
    says_article = document.said("og:type").lower().startswith("article")
    evidence = Evidence(
        flow=flow,
        elsewhere=shares.elsewhere,
        prices=count_prices(_text_of(document)),
        is_home=home,
        may_name_an_article=may_name_an_article(address),
        says_article=says_article,
        is_headed=is_headed,
    )
    return Looks(
        shares=shares,
        links=len(links),
        headed=sum(map(_is_headed, links)),
        items=sum(1 for element in extents.elements if element.tag == "article"),
        cards=flow.cards,
        together=flow.together,
        is_home=home,
        is_collection=not _COLLECTIONS.isdisjoint(document.structured.types),
        claims_article=document.claims_article,
        is_headed_as_article=says_article and is_headed,
        likeness=likeness_of_listing(evidence),
    )


def refuse_listing(looks: Looks) -> None:
    """Reject a page that lists articles rather than being one; raises ExtractError (`listing`)."""
    if kind := _kind_of_listing(looks):
        raise ExtractError(f"{kind}, not an article: {_figures(looks)}", reason="listing")


def _kind_of_listing(looks: Looks) -> str:
    shares = looks.shares
    if looks.claims_article and looks.is_home and looks.links >= _MANY_LINKS and shares.elsewhere > _HALF:
        return "a home page"
    is_list = looks.cards > 0 or looks.links >= _FEW_LINKS or shares.elsewhere > _MUCH
    if not looks.claims_article and is_list and looks.likeness > THRESHOLD:
        return "a home page" if looks.is_home else "a listing page"
    if looks.claims_article or looks.is_headed_as_article:
        # Templates of listing pages copy what articles say of themselves: hardly a word of its own still tells them.
        many = shares.teaser_count >= _MANY_TEASERS or shares.links > _MANY_LINKED
        return "a listing page" if many and shares.elsewhere > _MOSTLY and shares.prose < _SCRAP else ""
    if looks.is_collection and looks.links >= _LINKS:
        return "a collection by its own word"
    hardly_anything = looks.links >= _FEW_LINKS and shares.prose < _LITTLE
    items = looks.items >= _MANY_ITEMS and looks.headed >= _FEW_LINKS and looks.together < _SCATTERED
    return "a listing page" if hardly_anything or items else ""


def _is_headline(link: HtmlElement, extents: Extents) -> bool:
    return link.tag == "a" and extents.chars[link] >= _LONG_LINK and leads_elsewhere(link)


def _is_headed(link: HtmlElement) -> bool:
    return next(link.iterancestors(*_HEADINGS), None) is not None or next(link.iter(*_HEADINGS), None) is not None


def _is_headed_by_title(document: Document) -> bool:
    """Whether the page has a headline, and its title is that."""
    titles = fold(f"{document.title_tag} {document.said('og:title')} {document.structured.headline}")
    headings = (fold(heading.text_content()) for heading in document.tree.iter("h1"))
    return any(len(heading) >= _LONG_HEADING and heading in titles for heading in headings)


def _text_of(document: Document) -> str:
    return " ".join(document.tree.text_content().split())


def _address_of(document: Document) -> str:
    """Return the page's address: of a saved page the one it calls its own, empty where it names none."""
    if not document.url.startswith("file:"):
        return document.url
    said = (*document.links.get("canonical", ()), document.said("og:url"))
    return next((url for url in said if url.startswith(("https://", "http://"))), "")


def _is_home(url: str) -> bool:
    try:
        return bool(url) and is_home(url)
    except SourceError:
        return False


def _figures(looks: Looks) -> str:
    return (
        f"{looks.shares.elsewhere:.0%} of its text announces other pages ({looks.shares.teaser_count} teasers, "
        f"{looks.links} headlines that are links, {looks.shares.prose} characters of its own; "
        f"likeness {looks.likeness:.1f})"
    )
