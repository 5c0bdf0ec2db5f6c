"""Finds the main text of a page: reads it our way, and the library's way where there is a sign that ours lost text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lxml.html import HtmlElement

from worker.extract.account import Account
from worker.extract.blocks import Block
from worker.extract.body import read_body
from worker.extract.comments import drop_comments
from worker.extract.declared import declared_text
from worker.extract.document import Document
from worker.extract.explain import Trace
from worker.extract.guard import Guard
from worker.extract.lead import find_lead, put_lead_first
from worker.extract.library import is_ahead, read_as_it_comes
from worker.extract.links import drop_links_elsewhere
from worker.extract.listing import look_at, may_be_listing, refuse_listing
from worker.extract.measure import Extents, measure
from worker.extract.outline import Passage, find_passages, find_teasers, is_furniture, measure_shares
from worker.extract.text import count_words, fold
from worker.models import Page

# Less than this share of the running text that no step took out for a reason is a sign of loss.
_WHOLE = 0.5
_KEY = 80
_FEW_WORDS = 60
_LIVE = "liveblogposting"


@dataclass(frozen=True, slots=True, kw_only=True)
class MainText:
    """The blocks of the main text, and what there is to say of how they were found."""

    blocks: Sequence[Block]
    notes: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Own:
    """Our reading, its lead, and the page's running text that no step took out for a reason."""

    blocks: Sequence[Block] = ()
    lead: str = ""
    running: Sequence[Passage] = ()


def find_main_text(
    page: Page, document: Document, account: Account, guard: Guard, trace: Trace, *, least: int
) -> MainText:
    """Return the main text; raises ExtractError for a page that lists articles."""
    main = _better_reading(page, document, account, guard, trace, fewest=least)
    for note in main.notes:
        trace.figure("reading", note)
    return main


def _better_reading(
    page: Page, document: Document, account: Account, guard: Guard, trace: Trace, *, fewest: int
) -> MainText:
    own = guard.run("our reading", lambda: _own_reading(document, account, guard, trace), otherwise=_Own())
    none: list[Block] = []
    declared = guard.run("the declared text", lambda: declared_text(document.structured, own.blocks), otherwise=none)
    if declared:
        shown = f"{_chars(declared)} characters, {_chars(own.blocks)} are shown"
        note = f"the text is what the page declares in JSON-LD ({shown})"
        return MainText(blocks=declared, notes=(note,), fallbacks=("json-ld",))
    if not _may_have_lost(own, fewest=fewest):
        return MainText(blocks=put_lead_first(list(own.blocks), own.lead))
    theirs = guard.run("the library's reading", lambda: read_as_it_comes(page), otherwise=none)
    trace.figure("library read too", f"{_chars(theirs)} characters, ours {_chars(own.blocks)}")
    if not is_ahead(theirs, own.blocks, own.running):
        return MainText(blocks=put_lead_first(list(own.blocks), own.lead))
    note = f"the text is the library's reading of the page ({_chars(theirs)} characters, ours {_chars(own.blocks)})"
    return MainText(blocks=put_lead_first(theirs, own.lead), notes=(note,), fallbacks=("library",))


def _may_have_lost(own: _Own, *, fewest: int) -> bool:
    if count_words("\n".join(block.text for block in own.blocks)) < max(fewest, _FEW_WORDS):
        return True
    least = _chars(own.blocks) / _WHOLE
    if least >= sum(passage.chars - passage.linked for passage in own.running):
        return False
    # Some pages hold their article twice, for large screens and for small ones; and notices are no loss.
    distinct = {fold(each.text())[:_KEY]: each.chars - each.linked for each in own.running if not is_furniture(each)}
    return least < sum(distinct.values())


def _own_reading(document: Document, account: Account, guard: Guard, trace: Trace) -> _Own:
    tree = document.tree
    extents = measure(tree)
    passages = find_passages(extents)
    teasers = _teasers(document, extents, passages)
    shares = measure_shares(passages, teasers)
    trace.figure("prose", shares.prose)
    trace.figure("teasers", shares.teaser_count)
    trace.figure("share that announces other pages", f"{shares.elsewhere:.2f}")
    own = [each for each in passages if not each.is_linked and each.element not in teasers]
    if may_be_listing(document, shares) and count_words(document.structured.body) < _FEW_WORDS:
        refuse_listing(look_at(document, extents, own, shares))
    guard.run("readers' comments", lambda: drop_comments(tree, extents, passages, account), otherwise=None)
    lead = guard.run("the lead", lambda: find_lead(document, passages), otherwise="")
    trace.field("lead", lead, "page")
    guard.run(
        "links elsewhere",
        lambda: drop_links_elsewhere(extents, passages, teasers, account, url=document.url),
        otherwise=None,
    )
    running = [each for each in own if _is_within(each, document)]
    return _Own(read_body(tree, extents, passages), lead, running)


def _teasers(document: Document, extents: Extents, passages: Sequence[Passage]) -> dict[HtmlElement, HtmlElement]:
    """Return the passages that announce other pages: none on a live page, whose entries may have linked headlines."""
    if document.structured.article_type == _LIVE and _is_about(document):
        return {}
    return find_teasers(extents, passages, within=document.url if document.claims_article else "")


def _is_about(document: Document) -> bool:
    """Whether the headline of what JSON-LD describes is the page's own, not that of an item in a list."""
    headline = fold(document.structured.headline)
    shown = (fold(heading.text_content()) for heading in document.tree.iter("h1"))
    return bool(headline) and any(each and (each in headline or headline in each) for each in shown)


def _is_within(passage: Passage, document: Document) -> bool:
    return any(ancestor is document.tree for ancestor in passage.element.iterancestors())


def _chars(blocks: Sequence[Block]) -> int:
    return sum(len(block.text) for block in blocks)
