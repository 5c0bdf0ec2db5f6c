"""Finds the main text: by our own extraction, or by trafilatura's or from JSON-LD if ours has lost text.

`find_main_text` is the entry point; the sections below find the lead, read the text that a page declares in JSON-LD,
and decide between the three.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from unicodedata import is_normalized

from lxml.etree import ParserError, XMLSyntaxError
from lxml.html import HtmlElement, fromstring

from worker.charset.characters import clean_line, count_words, fold, text_length
from worker.extract.document import Document
from worker.extract.explain import RemovalBudget, StepGuard, Trace, count_running_text, sentences_in
from worker.extract.json_ld import JsonLd, has_text_elsewhere
from worker.extract.main_text.body import (
    extract_body,
    extract_from_scripts,
    extract_with_library,
    shown_text,
    total_chars,
)
from worker.extract.main_text.boilerplate import count_block_words, covers_more, is_scrap
from worker.extract.main_text.listing import gather_listing_signs, may_be_listing, reject_listing
from worker.extract.main_text.phrases import is_credit, is_prompt
from worker.extract.main_text.removal import find_teasers, remove_comments, remove_link_blocks
from worker.extract.main_text.text_blocks import (
    ArticleBlock,
    TextBlock,
    TextDensity,
    find_text_blocks,
    make_block,
    measure_density,
    measure_text_shares,
)
from worker.models import Page
from worker.models.base import dataclass

# The lead (in Vietnamese "sapo"): it must come first in the text, and only once.


_LEAD_NAME = re.compile(
    r"(?:^|[\s_-])(?:sapo|lead|leader|lede|abstract|standfirst|chapo|chapeau|dek|deck|summary|intro|sub-?headline|"
    r"sub-?title|description|excerpt|perex|preamble|ingress|bajada|entradilla|vorspann|einleitung)(?:$|[\s_-]|text|paragraph)",
    re.IGNORECASE,
)
# The same names inside generated class names: `Article_elementLead__N3pGr`, `articleStandfirst`.
_LEAD_NAME_IN_CAMEL_CASE = re.compile(
    r"(?<=[a-z])(?:Sapo|Lead|Lede|Standfirst|Summary|Subtitle|Intro|Excerpt)(?![a-z])"
)
_NOT_LEAD_NAME = re.compile(r"author|bio|byline|profile|product|caption|share|newsletter", re.IGNORECASE)
# In characters, chosen, not measured: shorter blocks are labels, longer ones are body text.
_MIN_LEAD_CHARS, _MAX_LEAD_CHARS = 40, 1200
# A box named as a lead with more text than this holds more than the lead. Chosen, not measured.
_MAX_LEAD_BOX_CHARS = 600
# A lead and a description agree if so many folded characters do, and the rest up to the last _MAX_CUT_CHARS:
# descriptions are cut off, often within a word. Chosen, not measured.
_LEAD_KEY_CHARS = 60
_MAX_CUT_CHARS = 12
# The paper or the place before a lead's first word (`(Báo X) - `, `HÀ NỘI – `, `Berlin. `, `- `).
_DATELINE = re.compile(r"^(?:[(\[]?[^\W\d_][\w .,]{1,40}[)\]]?\s*[-–—:|]\s+|[^\W\d_][\w ]{1,40}\.\s+|[-–—]\s*)")
# A block named as a lead counts only so near below the heading. Chosen, not measured.
_MAX_BLOCKS_AFTER_HEADING = 40


def find_lead(document: Document, blocks: Sequence[TextBlock], teasers: Collection[HtmlElement] = ()) -> str:
    """Return the lead as written on the page, an empty string if there is none.

    A lead is a block that the page's description repeats, or a block near the heading, none of the `teasers`, whose
    class or id names a lead.
    """
    described = _descriptions(document)
    heading = next(document.tree.iter("h1"), None)
    near = _blocks_after(document.tree, heading) if heading is not None else frozenset()
    for block in _candidates(blocks):
        is_named = block.element in near and block.element not in teasers and _is_named(block.element)
        text = block.text if described or is_named else ""
        if text and (is_named or _is_described(text, described)) and not (is_prompt(text) or is_credit(text)):
            return _with_rest_of_box(block, blocks) if is_named else text
    return ""


def _with_rest_of_box(first: TextBlock, blocks: Sequence[TextBlock]) -> str:
    """Return the text of a box named as a lead that begins with this block; only the block's if that is too long."""
    box = first.element.getparent()
    if box is None or not _is_named(box, alone=True):
        return first.text
    parts = [block.text for block in blocks if block.element.getparent() is box]
    whole = " ".join(parts)
    return whole if parts[0] == first.text and len(whole) <= _MAX_LEAD_BOX_CHARS else first.text


def _descriptions(document: Document) -> frozenset[str]:
    said = [document.json_ld.description, document.meta_value("og:description"), document.meta_value("description")]
    return frozenset(folded for text in said if len(folded := fold(text)) >= _MIN_LEAD_CHARS)


def _candidates(blocks: Sequence[TextBlock]) -> Iterator[TextBlock]:
    """Yield the blocks in the first half of the page's text that may be the lead; notices of the site come later."""
    half = sum(block.chars - block.linked for block in blocks) / 2
    above = 0
    for block in blocks:
        if above > half:
            return
        above += block.chars - block.linked
        if _MIN_LEAD_CHARS <= block.chars <= _MAX_LEAD_CHARS and not block.is_linked and _may_lead(block.element):
            yield block


def _may_lead(element: HtmlElement) -> bool:
    # A site's footer or a caption can equal the description of its pages.
    return next(element.iterancestors("footer", "figcaption"), None) is None


def _is_described(text: str, described: Collection[str]) -> bool:
    """Return whether a text begins like a description, with or without its dateline."""
    bare = _DATELINE.sub("", text)
    return _begins_as(text, described) or (bare != text and _begins_as(bare, described))


def _begins_as(text: str, described: Collection[str]) -> bool:
    head = fold(text[: 4 * _LEAD_KEY_CHARS])
    if len(head) >= _LEAD_KEY_CHARS and not any(
        description.startswith(head[:_LEAD_KEY_CHARS]) for description in described
    ):
        return False
    folded = fold(text)
    return any(_begin_alike(folded, description) for description in described)


def _begin_alike(folded: str, description: str) -> bool:
    size = min(len(folded), len(description)) - _MAX_CUT_CHARS
    return folded[:_LEAD_KEY_CHARS] == description[:_LEAD_KEY_CHARS] and folded[:size] == description[:size]


def _is_named(element: HtmlElement, *, alone: bool = False) -> bool:
    """Return whether an element is named as a lead, or the one around it unless it `alone` counts."""
    names = " ".join(_names(element, alone=alone))
    named = _LEAD_NAME.search(names) or _LEAD_NAME_IN_CAMEL_CASE.search(names)
    return named is not None and not _NOT_LEAD_NAME.search(names)


def _blocks_after(tree: HtmlElement, heading: HtmlElement) -> frozenset[HtmlElement]:
    """Return the elements that follow soon after the heading."""
    found: list[HtmlElement] = []
    seen = False
    for element in tree.iter("h1", "h2", "h3", "p", "div", "section"):
        seen = seen or element is heading
        if seen:
            found.append(element)
        if len(found) > _MAX_BLOCKS_AFTER_HEADING:
            break
    return frozenset(found)


def _names(element: HtmlElement, *, alone: bool) -> Iterator[str]:
    parent = None if alone else element.getparent()
    for owner in (element, parent):
        if owner is not None:
            yield from filter(None, (owner.get("class"), owner.get("itemprop"), owner.get("id"), owner.get("type")))


def put_lead_first(blocks: list[ArticleBlock], lead: str) -> list[ArticleBlock]:
    """Return the blocks with the lead first and nowhere else.

    If a block contains the lead and more, the lead is part of the running text, and the blocks are returned unchanged.
    """
    key = fold(lead)
    if not key:
        return blocks
    indexes = [i for i, block in enumerate(blocks) if _is_same(block.folded, key)]
    if not indexes and key in " ".join(block.folded for block in blocks):
        # A block with line breaks on the page can be several blocks here, and so can a box.
        return blocks
    if not indexes and len(lead) <= _MAX_LEAD_BOX_CHARS:
        # The box is partly in the text.
        long = (i for i, block in enumerate(blocks[:4]) if len(block.folded) >= max(_MIN_LEAD_CHARS, len(key) / 4))
        indexes = [i for i in long if blocks[i].folded in key]
    if (indexes and indexes[0] > 3) or any(key in block.folded for i, block in enumerate(blocks) if i not in indexes):
        return blocks
    rest = [block for i, block in enumerate(blocks) if i not in indexes]
    return [ArticleBlock(kind="paragraph", text=clean_line(lead), folded=key), *rest]


def _is_same(folded: str, key: str) -> bool:
    if len(folded) < _MIN_LEAD_CHARS:
        return False
    shorter, longer = sorted((folded, key), key=len)
    return shorter in longer and len(shorter) > 0.7 * len(longer)


# The text that a page declares in JSON-LD (`articleBody`): often the only text of a page that is rendered by a script.


# A shorter declaration is a summary. Chosen, not measured.
_MIN_DECLARED_CHARS = 300
# The declared text is used if the page shows less than this share of it (docs/extract.md).
_MAX_SHOWN_SHARE = 0.5
_TAG = re.compile(r"</?(?:p|br|div|h[1-6]|li|ul|ol|a|b|i|em|strong|span|blockquote|figure|img)\b[^<>]{0,500}>", re.I)
_BLOCK_TAG = re.compile(r"</?(?:p|br|div|h[1-6]|li|ul|ol|blockquote|figure|figcaption|table|tr)\b[^<>]{0,500}>", re.I)
_LINE_BREAKS = re.compile(r"[\r\n\u2028\u2029]+")


def find_declared_text(json_ld: JsonLd, shown: Sequence[ArticleBlock]) -> list[ArticleBlock]:
    """Return the blocks of the declared text if the page shows less than half of it and is free; else an empty list."""
    body = json_ld.body
    if json_ld.accessible_for_free is False or (size := text_length(body)) < _MIN_DECLARED_CHARS:
        return []
    shown_chars = total_chars(shown)
    # Its lines are no longer than the declared text, if that is normalised.
    if shown_chars >= _MAX_SHOWN_SHARE * size and is_normalized("NFC", body):
        return []
    lines = _paragraphs(body)
    is_shown = shown_chars >= _MAX_SHOWN_SHARE * sum(map(text_length, lines))
    return [] if is_shown else [make_block("paragraph", line) for line in lines]


def _paragraphs(body: str) -> list[str]:
    if not _TAG.search(body):
        return [line for line in map(clean_line, _LINE_BREAKS.split(body)) if line]
    pieces = (_plain(piece) for piece in _BLOCK_TAG.split(body))
    return [line for line in map(clean_line, pieces) if line]


def _plain(markup: str) -> str:
    if "<" not in markup and "&" not in markup:
        return markup
    try:
        return "".join(map(str, fromstring(f"<div>{markup}</div>").itertext()))
    except (ParserError, XMLSyntaxError):
        return markup


# The decision between the three.


# Our text has lost something if it is shorter than this share of the running text that no step removed for a reason, or
# has fewer than so many words: 18 of 1,003 articles are then read by trafilatura, too (docs/extract.md).
_NO_LOSS_SHARE = 0.5
_FEW_WORDS = 60
# A box named as comments may be the article only below a text as short as an introduction (docs/extract.md).
_INTRODUCTION_CHARS = 1_000
_LIVE_BLOG_TYPE = "liveblogposting"


@dataclass(frozen=True, slots=True, kw_only=True)
class MainText:
    """The blocks of the main text; `notes` and `fallbacks` say whether they come from trafilatura or JSON-LD.

    `lead` is the lead as the page shows it.
    """

    blocks: Sequence[ArticleBlock]
    lead: str = ""
    notes: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _OwnReading:
    """Our own text, its lead, the running text left on the page, and the boxes removed only for their name.

    Not `is_rendered`: the page shows no text at all without its scripts, so that no other reading can find any.
    """

    blocks: Sequence[ArticleBlock] = ()
    lead: str = ""
    left: Sequence[TextBlock] = ()
    removed_by_name: Sequence[HtmlElement] = ()
    is_rendered: bool = True

    @property
    def doubtful(self) -> int:
        """How many characters of running text were removed only for the name of their box."""
        return sum(map(count_running_text, self.removed_by_name))

    @property
    def running(self) -> Sequence[str]:
        """The running text that no step removed for a reason."""
        doubtful = (piece for box in self.removed_by_name for piece in sentences_in(box))
        return [*(block.text for block in self.left), *doubtful]


def find_main_text(
    page: Page,
    document: Document,
    budget: RemovalBudget,
    guard: StepGuard,
    trace: Trace,
    *,
    min_words: int,
    may_reject: bool = True,
) -> MainText:
    """Return the main text; raise ExtractError (`listing`) for a page that lists articles, if it may be rejected."""
    own_reading = partial(_own_reading, document, budget, guard, trace, may_reject=may_reject)
    own = guard.run("our reading", own_reading, default=_OwnReading())
    main = _better_reading(page, document, own, guard, trace, min_words=min_words)
    for note in main.notes:
        trace.figure("reading", note)
    return main


def _better_reading(
    page: Page, document: Document, own: _OwnReading, guard: StepGuard, trace: Trace, *, min_words: int
) -> MainText:
    none: list[ArticleBlock] = []
    declared = guard.run("the declared text", lambda: find_declared_text(document.json_ld, own.blocks), default=none)
    if declared:
        shown = f"{total_chars(declared)} characters, {total_chars(own.blocks)} are shown"
        note = f"the text is what the page declares in JSON-LD ({shown})"
        return MainText(blocks=declared, lead=own.lead, notes=(note,), fallbacks=("json-ld",))
    if not _may_have_lost(own, min_words=min_words):
        return MainText(blocks=put_lead_first(list(own.blocks), own.lead), lead=own.lead)
    few = max(min_words, _FEW_WORDS)
    is_free = document.json_ld.accessible_for_free is not False
    theirs = guard.run("the library's reading", lambda: extract_with_library(page), default=none)
    if is_free and count_block_words(theirs) < few:
        scripted = guard.run("the text in scripts", lambda: extract_from_scripts(page), default=none)
        theirs = max(theirs, scripted, key=total_chars)
    trace.figure("library read too", f"{total_chars(theirs)} characters, ours {total_chars(own.blocks)}")
    if not covers_more(theirs, own.blocks, own.running) and not (
        is_free and is_scrap(own.blocks, theirs, partial(shown_text, page), few=few)
    ):
        return MainText(blocks=put_lead_first(list(own.blocks), own.lead), lead=own.lead)
    sizes = f"{total_chars(theirs)} characters, ours {total_chars(own.blocks)}"
    note = f"the text is the library's reading of the page ({sizes})"
    return MainText(blocks=put_lead_first(theirs, own.lead), lead=own.lead, notes=(note,), fallbacks=("library",))


def _may_have_lost(own: _OwnReading, *, min_words: int) -> bool:
    if not own.is_rendered:
        return False
    few = max(min_words, _FEW_WORDS)
    # Words are counted only if there may be few: marks between blanks are no words.
    if sum(block.text.count(" ") for block in own.blocks) < 4 * few and count_block_words(own.blocks) < few:
        return True
    threshold, doubtful = total_chars(own.blocks) / _NO_LOSS_SHARE, own.doubtful
    if threshold >= doubtful + sum(block.chars - block.linked for block in own.left):
        return False
    # Some pages hold their article twice, for large screens and for small ones. Notices on cookies are no loss either.
    distinct = {each.key: each.chars - each.linked for each in own.left if not each.has_boilerplate_name}
    return threshold < doubtful + sum(distinct.values())


def _own_reading(
    document: Document, budget: RemovalBudget, guard: StepGuard, trace: Trace, *, may_reject: bool
) -> _OwnReading:
    tree = document.tree
    density = measure_density(tree)
    blocks = find_text_blocks(density)
    teasers = _teasers(document, density, blocks)
    shares = measure_text_shares(blocks, teasers)
    trace.figure("prose", shares.prose)
    trace.figure("teasers", shares.teaser_count)
    trace.figure("share that announces other pages", f"{shares.other_pages_share:.2f}")
    own = [each for each in blocks if not each.is_linked and each.element not in teasers]
    is_found = False
    if may_reject and may_be_listing(document, shares) and count_words(document.json_ld.body) < _FEW_WORDS:
        signs = gather_listing_signs(document, density, own, shares)
        reject_listing(signs)
        is_found = signs.features.has_headlined_text
    guard.run("readers' comments", lambda: remove_comments(tree, density, blocks, budget), default=None)
    lead = guard.run("the lead", lambda: find_lead(document, blocks, teasers if is_found else ()), default="")
    guard.run(
        "links elsewhere",
        lambda: remove_link_blocks(density, blocks, teasers, budget, url=document.url, is_text_found=is_found),
        default=None,
    )
    left = [each for each in own if any(ancestor is tree for ancestor in each.element.iterancestors())]
    body = extract_body(tree, density, blocks)
    return _OwnReading(
        body,
        lead,
        left,
        budget.doubtful if total_chars(body) < _INTRODUCTION_CHARS else (),
        is_rendered=bool(density.chars) or has_text_elsewhere(document.body),
    )


def _teasers(document: Document, density: TextDensity, blocks: Sequence[TextBlock]) -> dict[HtmlElement, HtmlElement]:
    """Return the blocks that announce other pages; none for a live blog, whose entries may have linked headlines."""
    if document.json_ld.article_type == _LIVE_BLOG_TYPE and _describes_this_page(document):
        return {}
    return find_teasers(density, blocks, url=document.url, is_article=document.claims_article)


def _describes_this_page(document: Document) -> bool:
    """Return whether the JSON-LD headline is the page's own heading, not that of an item in a list."""
    headline = fold(document.json_ld.headline)
    shown = (fold(heading.text_content()) for heading in document.tree.iter("h1"))
    return bool(headline) and any(each and (each in headline or headline in each) for each in shown)
