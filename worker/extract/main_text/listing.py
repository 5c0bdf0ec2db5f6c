"""Recognises listing, section and home pages, which must never be stored as articles.

A page that declares itself an article is one, unless it has hardly any text of its own; so is one with the text of its
headline. Any other page is scored by a logistic regression. docs/extract.md has its measurement.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log2
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from worker.charset.characters import fold
from worker.errors import ExtractError, SourceError
from worker.extract.document import INLINE_TAGS, Document
from worker.extract.main_text.phrases import ends_sentence, headline_words, repeats_headline
from worker.extract.main_text.text_blocks import (
    TextBlock,
    TextDensity,
    TextShares,
    links_to_other_page,
    own_places,
    without_host,
)
from worker.models.base import dataclass
from worker.urls import is_home
from worker.urls.keys import AddressShape, address_shape

# Cards: sibling elements of the same tag and class, each with a link to a different page.

# So many siblings, of which this share must have links and of these links this share different targets, and so much
# text in all make a set of cards. Chosen; measured together in the score below.
_MIN_CARDS, _MIN_CARD_SHARE, _MIN_CARD_CHARS = 5, 0.8, 100
# An article has paragraphs of this length side by side. Chosen; measured as part of the score below.
_LONG_PARAGRAPH_WORDS = 25
# The text in these belongs to a running text, with links or without.
_NEVER_CARDS = INLINE_TAGS | {"p", "h1", "h2", "h3", "h4", "h5", "h6", "br", "dt", "dd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardLayout:
    """How a page's running text is laid out, in cards or in one piece.

    `words_in_cards` and `words_outside` count the words inside and outside cards. `sibling_words` is the largest number
    of words in blocks with one parent, `sibling_paragraphs` the largest number of long ones outside cards.
    """

    cards: int
    words_in_cards: int
    words_outside: int
    sibling_words: int
    sibling_paragraphs: int


def measure_card_layout(own: Iterable[TextBlock], cards: frozenset[HtmlElement]) -> CardLayout:
    """Return how the running text is laid out; `own` are the blocks that do not announce other pages."""
    words_in_cards = words_outside = 0
    sibling_words: Counter[HtmlElement | None] = Counter()
    sibling_paragraphs: Counter[HtmlElement | None] = Counter()
    for block in own:
        parent, words = block.element.getparent(), block.words
        sibling_words[parent] += words
        if _is_in(block.element, cards):
            words_in_cards += words
            continue
        words_outside += words
        if words >= _LONG_PARAGRAPH_WORDS:
            sibling_paragraphs[parent] += 1
    return CardLayout(
        cards=len(cards),
        words_in_cards=words_in_cards,
        words_outside=words_outside,
        sibling_words=max(sibling_words.values(), default=0),
        sibling_paragraphs=max(sibling_paragraphs.values(), default=0),
    )


def find_cards(density: TextDensity) -> frozenset[HtmlElement]:
    """Return the cards of a page; of nested cards only the outermost."""
    alike: dict[tuple[HtmlElement | None, object, str], list[HtmlElement]] = defaultdict(list)
    for element in density.elements:
        if element in density.chars and (tag := element.tag) not in _NEVER_CARDS:
            first_class = (element.get("class") or "").partition(" ")[0]
            alike[(element.getparent(), tag, first_class)].append(element)
    found: set[HtmlElement] = set()
    for group in alike.values():
        if len(group) >= _MIN_CARDS and _are_cards(group, density) and not _is_in(group[0], found):
            found.update(group)
    return frozenset(found)


def _are_cards(group: Sequence[HtmlElement], density: TextDensity) -> bool:
    linking = [element for element in group if density.links.get(element)]
    if len(linking) < _MIN_CARD_SHARE * len(group) or sum(density.chars[each] for each in group) < _MIN_CARD_CHARS:
        return False
    targets = {target for element in linking if (target := _first_target(element))}
    return len(targets) >= _MIN_CARD_SHARE * len(linking)


def _first_target(element: HtmlElement) -> str:
    return next((link.get("href") or "" for link in element.iter("a") if links_to_other_page(link)), "")


def _is_in(element: HtmlElement, boxes: set[HtmlElement] | frozenset[HtmlElement]) -> bool:
    return element in boxes or any(ancestor in boxes for ancestor in element.iterancestors())


# The score: a logistic regression, fitted by `python -m tests.bench.fit_listings`; docs/extract.md has the figures.

_PRICE = re.compile(r"[$€£¥₫₹]\s?\d|\d\s?(?:€|₫|USD|EUR|zł|kr)\b")
_LONG_SLUG = 40  # in letters: a longer slug is no more typical of articles
LISTING_THRESHOLD = 0.35
"""Above 0, where both are equally likely: a lost article is worse than a listing too many."""
# For declared articles that are mostly other pages' text and pages with the text of their headline; and for pages with
# hardly any text. Chosen.
_DECLARED_THRESHOLD, _SCRAP_THRESHOLD = 2.0, -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingFeatures:
    """What the score is computed from.

    `other_pages_share` is the share of the text that announces other pages, `prices` the number of prices,
    `page_numbers` that of links to numbered pages.
    `is_named_list`: its classes name an archive. `has_headlined_text`: it holds the text of its headline.
    `has_article_type`: `og:type` is an article. `has_title_heading`: its title is also a heading on it.
    """

    flow: CardLayout
    other_pages_share: float
    prices: int
    page_numbers: int
    is_home: bool
    is_named_list: bool
    has_headlined_text: bool
    address: AddressShape
    has_article_type: bool
    has_title_heading: bool

    def terms(self) -> dict[str, float]:
        """Return the terms of the score by name, without their weights."""
        flow, address = self.flow, self.address
        return {
            "cards": _log2(flow.cards),
            "share of words in cards": flow.words_in_cards / max(1, flow.words_in_cards + flow.words_outside),
            # Long cards are sections of a text.
            "words per card": _log2(flow.words_in_cards / max(1, flow.cards)),
            "words side by side": _log2(flow.sibling_words),
            "long paragraphs side by side": _log2(flow.sibling_paragraphs),
            "share that announces other pages": self.other_pages_share,
            "prices": _log2(self.prices),
            "numbered pages": _log2(self.page_numbers),
            "home page": self.is_home,
            "name of an archive": self.is_named_list,
            "text of the headline": self.has_headlined_text,
            "og:type article": self.has_article_type,
            "title is a heading": self.has_title_heading,
            "letters of the slug": min(address.slug_letters, _LONG_SLUG) / 10,
            "digits in the address": _log2(address.digits),
            "day in the address": address.is_dated,
            "folder of a list": address.is_in_list,
        }


# Fitted; in the order of the terms.
_INTERCEPT = 1.97
# fmt: off
_WEIGHTS = (
    0.41, 2.33, -0.50, -0.48, -0.81, 1.84, 0.66, 0.25, 1.67, 2.54, -1.56, -0.95, -2.01, -0.68, -0.57, -2.09, 2.23,
)
# fmt: on


def listing_score(features: ListingFeatures) -> float:
    """Return the log odds that a page is a listing rather than an article; 0 means equally likely."""
    return _INTERCEPT + sum(weight * term for weight, term in zip(_WEIGHTS, features.terms().values(), strict=True))


def _log2(count: float) -> float:
    return log2(1 + count)


# The text of a page's headline: a run of paragraphs that repeats its words.

# A shorter run is a note; at least such shares of it are sentences and of the page's own prose are in it. All chosen;
# docs/extract.md has what they reach.
_MIN_RUN_WORDS, _MIN_IN_SENTENCES, _MIN_SHARE_OF_PROSE = 40, 0.8, 0.5
_HEADING_TAGS = frozenset({"h2", "h3", "h4"})


def has_headlined_text(
    document: Document,
    density: TextDensity,
    own: Sequence[TextBlock],
    shares: TextShares,
    cards: frozenset[HtmlElement],
    *,
    address: str,
) -> bool:
    """Return whether the page at `address` holds the text of the headline in its title, whatever else is on it.

    That is one run of paragraphs in sentences, outside cards and without linked headlines between them, that repeats
    most words of the headline.
    """
    headings = [heading.text_content() for heading in document.tree.iter("h1") if heading.find(".//a") is None]
    site = f"{urlsplit(address).netloc} {document.meta_value('og:site_name')}"
    headline = headline_words(document.title_tag, headings=headings, site=site)
    runs = [run for run in _runs(density, own) if _is_running_text(run, shares)] if headline else []
    found = [run for run in runs if repeats_headline(headline, " ".join(block.text for block in run))]
    return any(not any(_is_in(block.element, cards) or block.has_boilerplate_name for block in run) for run in found)


def _is_running_text(run: Sequence[TextBlock], shares: TextShares) -> bool:
    words = sum(block.words for block in run)
    in_sentences = sum(block.words for block in run if ends_sentence(block.text))
    is_long = words >= _MIN_RUN_WORDS and in_sentences >= _MIN_IN_SENTENCES * words
    return is_long and sum(block.chars for block in run) >= _MIN_SHARE_OF_PROSE * shares.prose


def _runs(density: TextDensity, own: Sequence[TextBlock]) -> Iterator[Sequence[TextBlock]]:
    """Yield the blocks that follow each other without a linked headline between them."""
    blocks = {block.element: block for block in own}
    run: list[TextBlock] = []
    for element in density.elements:
        if element in blocks:
            run.append(blocks[element])
        elif element in density.links and _parts_runs(element, density, blocks):
            yield run
            run = []
    yield run


def _parts_runs(element: HtmlElement, density: TextDensity, blocks: Mapping[HtmlElement, TextBlock]) -> bool:
    is_outside = not any(ancestor in blocks for ancestor in element.iterancestors())
    return element.tag in _HEADING_TAGS or (is_outside and _is_headline(element, density))


# The decision. The thresholds below are chosen, not fitted one by one; docs/extract.md has the decision as a whole.

# In characters: links and headings as long as headlines.
_MIN_HEADLINE_LINK_CHARS, _MIN_HEADING_CHARS = 25, 25
# So many teasers, headline links or characters of link text are typical of listings.
_MANY_TEASERS, _FEW_LINKS, _LINKS, _MANY_LINKED_CHARS = 5, 5, 10, 1_600
_MOSTLY, _HALF, _MUCH = 0.8, 0.5, 0.4  # shares of the text that announce other pages
# So little text of its own, in characters, is hardly an article. Links to further pages have at most so many digits.
_SCRAP_CHARS, _MAX_PAGE_DIGITS = 200, 4
# Fewer links to places below the page's address are its print view and its comments.
_MANY_ENTRIES, _FEW_WORDS, _MIN_PLACES_BELOW = 10, 100, 3
# Words in the classes of `html` and `body`, mostly as WordPress writes them.
_ARCHIVE_WORDS = frozenset(("archive", "category", "categorypath", "paged", "tag", "taxonomy", "term"))
_ARTICLE_WORDS = frozenset(("single", "singular", "article", "post", "postid", "detail", "details", "story", "entry"))
_WORDS = re.compile(r"[a-z]+")
_COLLECTIONS = frozenset({"collectionpage", "itemlist"})
_HREF = re.compile(r"""\bhref=["']?+([^"'#\s<>]++)(#?)""")  # an address with a part is a link to comments


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingSigns:
    """The signs that a page is a listing; `links` counts headlines that are links, `entries` linked `article`s."""

    shares: TextShares
    links: int
    entries: int
    is_collection: bool
    claims_article: bool
    features: ListingFeatures
    score: float

    @property
    def shows_list(self) -> bool:
        """Whether there is any sign of a list: without one, the score is not used."""
        return self.features.flow.cards > 0 or self.links >= _FEW_LINKS or self.shares.other_pages_share > _MUCH


def may_be_listing(document: Document, shares: TextShares) -> bool:
    """Return whether the signs must be gathered at all: a declared article with mostly its own text cannot fail."""
    return not document.claims_article or shares.other_pages_share > _HALF


def gather_listing_signs(
    document: Document, density: TextDensity, own: Sequence[TextBlock], shares: TextShares
) -> ListingSigns:
    """Return the signs that a page is a listing; `own` are the blocks that do not announce other pages."""
    address, cards = _page_address(document), find_cards(density)
    shape, at_home, is_named_list = address_shape(address), _is_home(address), _is_named_list(document)
    is_collection = not _COLLECTIONS.isdisjoint(document.json_ld.types)
    may_have_text = not (at_home or shape.is_in_list or is_collection or is_named_list)
    features = ListingFeatures(
        flow=measure_card_layout(own, cards),
        other_pages_share=shares.other_pages_share,
        prices=len(_PRICE.findall(" ".join(document.tree.text_content().split()))),
        page_numbers=_count_page_numbers(density),
        is_home=at_home,
        is_named_list=is_named_list,
        has_headlined_text=may_have_text and has_headlined_text(document, density, own, shares, cards, address=address),
        address=shape,
        has_article_type=document.meta_value("og:type").lower().startswith("article"),
        has_title_heading=_has_title_heading(document),
    )
    return ListingSigns(
        shares=shares,
        links=sum(1 for link in density.links if _is_headline(link, density)),
        entries=sum(1 for element in density.elements if element.tag == "article" and _is_headed(element)),
        is_collection=is_collection,
        claims_article=document.claims_article,
        features=features,
        score=listing_score(features),
    )


def reject_listing(signs: ListingSigns) -> None:
    """Raise ExtractError (`listing`) for a page that lists articles."""
    if kind := _listing_kind(signs):
        raise ExtractError(f"{kind}, not an article: {_describe(signs)}", reason="listing")


def _listing_kind(signs: ListingSigns) -> str:
    """Return which kind of listing a page is, an empty string for an article."""
    shares, features, has_text = signs.shares, signs.features, signs.features.has_headlined_text
    many = shares.teaser_count >= _MANY_TEASERS or shares.links > _MANY_LINKED_CHARS
    # Templates of listing pages copy the declarations of articles; such a page has hardly any text of its own.
    is_scrap = many and shares.other_pages_share > _MOSTLY and shares.prose < _SCRAP_CHARS
    threshold = _DECLARED_THRESHOLD if has_text or signs.claims_article else LISTING_THRESHOLD
    is_likely_scrap = is_scrap and not has_text and signs.score > _SCRAP_THRESHOLD
    if is_likely_scrap or (signs.shows_list and signs.score > threshold):
        return "a home page" if features.is_home else "a listing page"
    if has_text or signs.claims_article or (features.has_article_type and features.has_title_heading):
        return ""
    if signs.is_collection and signs.links >= _LINKS:
        return "a collection by its own word"
    # Headlines in `article` elements, each with its lead beside it, read like running text.
    return "a listing page" if signs.entries >= _MANY_ENTRIES and features.flow.sibling_words < _FEW_WORDS else ""


def _is_headline(link: HtmlElement, density: TextDensity) -> bool:
    return link.tag == "a" and density.chars[link] >= _MIN_HEADLINE_LINK_CHARS and links_to_other_page(link)


def _is_headed(entry: HtmlElement) -> bool:
    """Return whether an element has a heading that is a link to another page."""
    return any(links_to_other_page(link) for heading in entry.iter(*_HEADING_TAGS) for link in heading.iter("a"))


def _count_page_numbers(density: TextDensity) -> int:
    short = (link for link in density.links if link.tag == "a" and density.chars[link] <= _MAX_PAGE_DIGITS)
    return sum(1 for link in short if link.get("href") and (link.text_content() or "").strip().isdigit())


def _is_named_list(document: Document) -> bool:
    """Return whether the classes of the page name an archive, and no single article."""
    named = (document.tree, *document.tree.iterchildren("body"))
    names = " ".join(filter(None, (element.get(each) for element in named for each in ("class", "id"))))
    words = frozenset(_WORDS.findall(names.lower()))
    return not words.isdisjoint(_ARCHIVE_WORDS) and words.isdisjoint(_ARTICLE_WORDS)


def _has_title_heading(document: Document) -> bool:
    """Return whether the page's title is also a heading on it."""
    titles = fold(f"{document.title_tag} {document.meta_value('og:title')} {document.json_ld.headline}")
    headings = (fold(heading.text_content()) for heading in document.tree.iter("h1"))
    return any(len(heading) >= _MIN_HEADING_CHARS and heading in titles for heading in headings)


def _page_address(document: Document) -> str:
    """Return the page's address; if it says nothing, the canonical one, or an empty string."""
    said = (*document.links.get("canonical", ()), document.meta_value("og:url"))
    names_page = address_shape(document.url).says_much or _is_home(document.url)
    if not document.url.startswith("file:") and (names_page or _confirms_address(document, said)):
        return document.url
    return next((url for url in said if url.startswith(("https://", "http://"))), "")


def _confirms_address(document: Document, said: Iterable[str]) -> bool:
    """Return whether a page, its menus included, names its address: as canonical, in a link to it or in links below."""
    own = own_places(document.url, is_article=True)
    linked = (url for url, part in _HREF.findall(document.body.decode("latin-1")) if not part)
    places = {without_host(url) for url in (*said, *linked)}
    below = sum(place.startswith(own.front) for place in places)
    return own.address in places or (own.front != "/" and below >= _MIN_PLACES_BELOW)


def _is_home(url: str) -> bool:
    try:
        return bool(url) and is_home(url)
    except SourceError:
        return False


def _describe(signs: ListingSigns) -> str:
    parts = {name: weight * term for weight, (name, term) in zip(_WEIGHTS, signs.features.terms().items(), strict=True)}
    strongest = sorted((name for name in parts if parts[name] > 0), key=lambda name: -parts[name])[:3]
    return (
        f"{signs.shares.other_pages_share:.0%} of its text announces other pages ({signs.shares.teaser_count} teasers, "
        f"{signs.links} headlines that are links, {signs.shares.prose} characters of its own; "
        f"likeness {signs.score:.1f}: {', '.join(strongest)})"
    )
