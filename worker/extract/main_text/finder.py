"""Finds the main text by our own extraction, by trafilatura's or from JSON-LD where ours has lost text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from lxml.etree import ParserError, XMLSyntaxError
from lxml.html import HtmlElement, fromstring

from worker.charset import decode
from worker.extract.document import Document, prefilter_markup
from worker.extract.explain import StepGuard, Trace
from worker.extract.json_ld import JsonLd
from worker.extract.main_text.body import extract_body, extract_untouched
from worker.extract.main_text.listing import gather_listing_signs, may_be_listing, reject_listing
from worker.extract.main_text.phrases import is_credit, is_prompt
from worker.extract.main_text.removal import RemovalBudget, remove_comments, remove_link_blocks
from worker.extract.main_text.text_blocks import (
    ArticleBlock,
    TextBlock,
    TextDensity,
    find_teasers,
    find_text_blocks,
    is_furniture,
    make_block,
    measure_density,
    measure_text_shares,
)
from worker.extract.text import clean_line, count_words, fold
from worker.models import Page

# Finds an article's lead (the "sapo") on its page, so that it stands first in the text, and once.


_NAMED = re.compile(
    r"(?:^|[\s_-])(?:sapo|lead|lede|standfirst|chapo|chapeau|dek|deck|summary|intro|sub-?headline|sub-?title|"
    r"description|excerpt|perex|preamble|ingress|bajada|entradilla|vorspann|einleitung)(?:$|[\s_-]|text|paragraph)",
    re.IGNORECASE,
)
# The same as systems that write names of their own do: `Article_elementLead__N3pGr`, `articleStandfirst`.
_NAMED_INSIDE = re.compile(r"(?<=[a-z])(?:Sapo|Lead|Lede|Standfirst|Summary|Subtitle|Intro|Excerpt)(?![a-z])")
_ABOUT_PEOPLE = re.compile(r"author|bio|byline|profile|product|caption|share|newsletter", re.IGNORECASE)
_SHORTEST, _LONGEST = 40, 1200
_KEY = 60
# What stands before a lead's first word: the paper or the place it was written (`(Báo X) - `, `HÀ NỘI – `).
_PLACE = re.compile(r"^[(\[]?[^\W\d_][\w .,]{1,40}[)\]]?\s*[-–—:|]\s+")
_NEAR = 40
_CUT = 12


def find_lead(document: Document, passages: Sequence[TextBlock]) -> str:
    """Return the page's lead as it stands on the page, an empty string where none is found.

    A lead is what the page's own description repeats, or what stands in a block named as one, near the heading.
    """
    described = _descriptions(document)
    heading = next(document.tree.iter("h1"), None)
    near = _following(document.tree, heading) if heading is not None else frozenset()
    for passage in _candidates(passages):
        is_named = passage.element in near and _is_named(passage.element)
        text = passage.text() if described or is_named else ""
        if text and (is_named or _is_described(text, described)) and _is_prose(text):
            return text
    return ""


def _descriptions(document: Document) -> frozenset[str]:
    said = [document.structured.description, document.said("og:description"), document.said("description")]
    return frozenset(folded for text in said if len(folded := fold(text)) >= _SHORTEST)


def _candidates(passages: Sequence[TextBlock]) -> Iterator[TextBlock]:
    """Yield the passages of the page's first half that may be leads; what a site says of itself stands below."""
    half = sum(passage.chars - passage.linked for passage in passages) / 2
    above = 0
    for passage in passages:
        if above > half:
            return
        above += passage.chars - passage.linked
        if _SHORTEST <= passage.chars <= _LONGEST and not passage.is_linked and _may_lead(passage.element):
            yield passage


def _may_lead(element: HtmlElement) -> bool:
    # What a site says of itself in its footer may be what its pages give as their description; so may a caption.
    return next(element.iterancestors("footer", "figcaption"), None) is None


def _is_prose(text: str) -> bool:
    return not is_prompt(text) and not is_credit(text)


def _is_described(text: str, described: Collection[str]) -> bool:
    """Whether a text begins as a description does; descriptions are cut short, and leads name a place or a paper."""
    bare = _PLACE.sub("", text)
    return _begins_as(text, described) or (bare != text and _begins_as(bare, described))


def _begins_as(text: str, described: Collection[str]) -> bool:
    head = fold(text[: 4 * _KEY])
    if len(head) >= _KEY and not any(description.startswith(head[:_KEY]) for description in described):
        return False
    folded = fold(text)
    return any(_agree(folded, description) for description in described)


def _agree(folded: str, description: str) -> bool:
    size = min(len(folded), len(description)) - _CUT
    return folded[:_KEY] == description[:_KEY] and folded[:size] == description[:size]


def _is_named(element: HtmlElement) -> bool:
    names = " ".join(_names(element))
    named = _NAMED.search(names) or _NAMED_INSIDE.search(names)
    return named is not None and not _ABOUT_PEOPLE.search(names)


def _following(tree: HtmlElement, heading: HtmlElement) -> frozenset[HtmlElement]:
    """Return the blocks that come soon after the heading."""
    found: list[HtmlElement] = []
    seen = False
    for element in tree.iter("h1", "h2", "h3", "p", "div", "section"):
        seen = seen or element is heading
        if seen:
            found.append(element)
        if len(found) > _NEAR:
            break
    return frozenset(found)


def _names(element: HtmlElement) -> Iterator[str]:
    parent = element.getparent()
    for owner in (element, parent):
        if owner is not None:
            yield from filter(None, (owner.get("class"), owner.get("itemprop"), owner.get("id")))


def put_lead_first(blocks: list[ArticleBlock], lead: str) -> list[ArticleBlock]:
    """Return the blocks with the lead first and nowhere else.

    Where a block further down begins with the lead and goes on, the lead is the article's own running text: the
    blocks stay as they are.
    """
    key = fold(lead)
    if not key:
        return blocks
    places = [i for i, block in enumerate(blocks) if _is_same(block.folded, key)]
    if not places and key in " ".join(block.folded for block in blocks):
        # What is one block on the page, with line breaks in it, can be several here.
        return blocks
    if (places and places[0] > 3) or any(key in block.folded for i, block in enumerate(blocks) if i not in places):
        return blocks
    rest = [block for i, block in enumerate(blocks) if i not in places]
    return [ArticleBlock(kind="paragraph", text=clean_line(lead), folded=key), *rest]


def _is_same(folded: str, key: str) -> bool:
    if len(folded) < _SHORTEST:
        return False
    shorter, longer = sorted((folded, key), key=len)
    return shorter in longer and len(shorter) > 0.7 * len(longer)


# Decides between our reading of a page and the library's of the untouched page, by the running text in each.


_COVERED_KEY = 50
_LARGEST_FOR_LIBRARY = 1_500_000
_MAX_TAGS_FOR_LIBRARY = 20_000
# By how much running text the library's reading must be ahead, as a share of all and in characters.
_AHEAD_SHARE = 0.2
_LEAST_AHEAD = 200


def extract_with_library(page: Page) -> list[ArticleBlock]:
    """Return the library's reading of a page as it was fetched; none of a page so large that it would take seconds."""
    markup = prefilter_markup(decode(page.body, page.content_type).text)
    if len(markup) > _LARGEST_FOR_LIBRARY or markup.count("<") > _MAX_TAGS_FOR_LIBRARY:
        return []
    return extract_untouched(markup)


def covers_more(theirs: Sequence[ArticleBlock], ours: Sequence[ArticleBlock], running: Sequence[TextBlock]) -> bool:
    """Tell whether one reading holds clearly more of a page's running text than the other."""
    if not ours:
        return bool(theirs)
    keys = [(fold(passage.text())[:_COVERED_KEY], passage.chars) for passage in running]
    gain = _covered(theirs, keys) - _covered(ours, keys)
    return gain > max(_LEAST_AHEAD, _AHEAD_SHARE * sum(chars for _, chars in keys))


def _covered(blocks: Sequence[ArticleBlock], keys: Sequence[tuple[str, int]]) -> int:
    text = " ".join(block.folded for block in blocks)
    return sum(chars for key, chars in keys if key in text)


# The text that a page declares in its JSON-LD (`articleBody`): what there is of a page that a script draws.


_SHORTEST_DECLARED = 300
_MAX_SHOWN_SHARE = 0.5
_TAG = re.compile(r"</?(?:p|br|div|h[1-6]|li|ul|ol|a|b|i|em|strong|span|blockquote|figure|img)\b[^<>]{0,500}>", re.I)
_BOUND = re.compile(r"</?(?:p|br|div|h[1-6]|li|ul|ol|blockquote|figure|figcaption|table|tr)\b[^<>]{0,500}>", re.I)
_LINES = re.compile(r"[\r\n\u2028\u2029]+")


def find_declared_text(structured: JsonLd, shown: Sequence[ArticleBlock]) -> list[ArticleBlock]:
    """Return the blocks of the declared text where the page shows less than half of it, and asks no money for it."""
    if structured.accessible_for_free is False or len(structured.body) < _SHORTEST_DECLARED:
        return []
    lines = _paragraphs(structured.body)
    if sum(len(block.text) for block in shown) >= _MAX_SHOWN_SHARE * sum(map(len, lines)):
        return []
    return [make_block("paragraph", line) for line in lines]


def _paragraphs(body: str) -> list[str]:
    if not _TAG.search(body):
        return [line for line in map(clean_line, _LINES.split(body)) if line]
    pieces = (_plain(piece) for piece in _BOUND.split(body))
    return [line for line in map(clean_line, pieces) if line]


def _plain(markup: str) -> str:
    if "<" not in markup and "&" not in markup:
        return markup
    try:
        return "".join(map(str, fromstring(f"<div>{markup}</div>").itertext()))
    except (ParserError, XMLSyntaxError):
        return markup


# Less than this share of the running text that no step took out for a reason is a sign of loss.
_NO_LOSS_SHARE = 0.5
_DISTINCT_KEY = 80
_FEW_WORDS = 60
_LIVE = "liveblogposting"


@dataclass(frozen=True, slots=True, kw_only=True)
class MainText:
    """The blocks of the main text, and what there is to say of how they were found."""

    blocks: Sequence[ArticleBlock]
    notes: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _OwnReading:
    """Our reading, its lead, and the page's running text that no step took out for a reason."""

    blocks: Sequence[ArticleBlock] = ()
    lead: str = ""
    running: Sequence[TextBlock] = ()


def find_main_text(
    page: Page, document: Document, account: RemovalBudget, guard: StepGuard, trace: Trace, *, least: int
) -> MainText:
    """Return the main text; raises ExtractError for a page that lists articles."""
    main = _better_reading(page, document, account, guard, trace, fewest=least)
    for note in main.notes:
        trace.figure("reading", note)
    return main


def _better_reading(
    page: Page, document: Document, account: RemovalBudget, guard: StepGuard, trace: Trace, *, fewest: int
) -> MainText:
    own = guard.run("our reading", lambda: _own_reading(document, account, guard, trace), otherwise=_OwnReading())
    none: list[ArticleBlock] = []
    declared = guard.run(
        "the declared text", lambda: find_declared_text(document.structured, own.blocks), otherwise=none
    )
    if declared:
        shown = f"{_chars(declared)} characters, {_chars(own.blocks)} are shown"
        note = f"the text is what the page declares in JSON-LD ({shown})"
        return MainText(blocks=declared, notes=(note,), fallbacks=("json-ld",))
    if not _may_have_lost(own, fewest=fewest):
        return MainText(blocks=put_lead_first(list(own.blocks), own.lead))
    theirs = guard.run("the library's reading", lambda: extract_with_library(page), otherwise=none)
    trace.figure("library read too", f"{_chars(theirs)} characters, ours {_chars(own.blocks)}")
    if not covers_more(theirs, own.blocks, own.running):
        return MainText(blocks=put_lead_first(list(own.blocks), own.lead))
    note = f"the text is the library's reading of the page ({_chars(theirs)} characters, ours {_chars(own.blocks)})"
    return MainText(blocks=put_lead_first(theirs, own.lead), notes=(note,), fallbacks=("library",))


def _may_have_lost(own: _OwnReading, *, fewest: int) -> bool:
    if count_words("\n".join(block.text for block in own.blocks)) < max(fewest, _FEW_WORDS):
        return True
    least = _chars(own.blocks) / _NO_LOSS_SHARE
    if least >= sum(passage.chars - passage.linked for passage in own.running):
        return False
    # Some pages hold their article twice, for large screens and for small ones; and notices are no loss.
    distinct = {
        fold(each.text())[:_DISTINCT_KEY]: each.chars - each.linked for each in own.running if not is_furniture(each)
    }
    return least < sum(distinct.values())


def _own_reading(document: Document, account: RemovalBudget, guard: StepGuard, trace: Trace) -> _OwnReading:
    tree = document.tree
    extents = measure_density(tree)
    passages = find_text_blocks(extents)
    teasers = _teasers(document, extents, passages)
    shares = measure_text_shares(passages, teasers)
    trace.figure("prose", shares.prose)
    trace.figure("teasers", shares.teaser_count)
    trace.figure("share that announces other pages", f"{shares.elsewhere:.2f}")
    own = [each for each in passages if not each.is_linked and each.element not in teasers]
    if may_be_listing(document, shares) and count_words(document.structured.body) < _FEW_WORDS:
        reject_listing(gather_listing_signs(document, extents, own, shares))
    guard.run("readers' comments", lambda: remove_comments(tree, extents, passages, account), otherwise=None)
    lead = guard.run("the lead", lambda: find_lead(document, passages), otherwise="")
    trace.field("lead", lead, "page")
    guard.run(
        "links elsewhere",
        lambda: remove_link_blocks(extents, passages, teasers, account, url=document.url),
        otherwise=None,
    )
    running = [each for each in own if _is_within(each, document)]
    return _OwnReading(extract_body(tree, extents, passages), lead, running)


def _teasers(document: Document, extents: TextDensity, passages: Sequence[TextBlock]) -> dict[HtmlElement, HtmlElement]:
    """Return the passages that announce other pages: none on a live page, whose entries may have linked headlines."""
    if document.structured.article_type == _LIVE and _is_about(document):
        return {}
    return find_teasers(extents, passages, within=document.url if document.claims_article else "")


def _is_about(document: Document) -> bool:
    """Whether the headline of what JSON-LD describes is the page's own, not that of an item in a list."""
    headline = fold(document.structured.headline)
    shown = (fold(heading.text_content()) for heading in document.tree.iter("h1"))
    return bool(headline) and any(each and (each in headline or headline in each) for each in shown)


def _is_within(passage: TextBlock, document: Document) -> bool:
    return any(ancestor is document.tree for ancestor in passage.element.iterancestors())


def _chars(blocks: Sequence[ArticleBlock]) -> int:
    return sum(len(block.text) for block in blocks)
