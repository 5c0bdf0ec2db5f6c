"""Reads one page from bytes to article: the order of the steps, each of which is a module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.errors import FetchBlocked, SourceError
from worker.extract import gates
from worker.extract.account import Account
from worker.extract.blocks import Block
from worker.extract.boilerplate import drop_boilerplate
from worker.extract.dates import Circumstances, Found, find_modified, find_published, zone_of
from worker.extract.document import Document, open_document
from worker.extract.explain import Trace
from worker.extract.frames import strip_frames
from worker.extract.guard import Guard, described
from worker.extract.identity import addresses_elsewhere, key_of
from worker.extract.learned import key_of_folded
from worker.extract.library import read_as_it_comes
from worker.extract.main_text import find_main_text
from worker.extract.rights import find_rights, refused_signal
from worker.extract.rules import ExtractRules
from worker.extract.text import clean_line, count_words
from worker.extract.title import Title, find_title
from worker.models import Page, Rights
from worker.ports import Hints
from worker.urls import host_of

_MOST_AUTHORS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PageReading:
    """What was read off one page, before its language is known and the last gates are passed."""

    text: str
    words: int
    title: Title
    declared_language: str
    canonical_url: str
    host: str
    authors: tuple[str, ...]
    published: Found | None
    modified: Found | None
    rights: Rights
    notes: tuple[str, ...]
    fallbacks: tuple[str, ...]
    paragraphs: tuple[int, ...]


def read_page(page: Page, hints: Hints, rules: ExtractRules, *, fetched_at: datetime, trace: Trace) -> PageReading:
    """Return what the page holds; raises ExtractError with the reason, FetchBlocked for a refused rights signal."""
    guard = Guard()
    document = open_document(page)
    trace.figure("charset", document.charset)
    rights = find_rights(document)
    if signal := refused_signal(rights, rules.refuse):
        raise FetchBlocked(f"the page reserves its rights: {signal}", reason="rights")
    title = guard.run("the title", lambda: find_title(document, feed_title=hints.title), otherwise=Title())
    trace.field("title", title.text, title.origin)
    is_walled = guard.run("looking for a wall", lambda: gates.is_walled(document), otherwise=False)
    account = Account(document.tree, trace)
    guard.run("taking out controls", lambda: strip_frames(document.tree, account), otherwise=None)
    undated: tuple[Found | None, Found | None] = (None, None)
    published, modified = guard.run(
        "the dates",
        lambda: _dates(document, hints, rules, title=title.text, fetched_at=fetched_at, trace=trace),
        otherwise=undated,
    )
    main = find_main_text(page, document, account, guard, trace, least=rules.min_words)
    text = _cleaned(main.blocks, document, title=title.text, learned=hints.boilerplate, trace=trace)
    words = count_words(text)
    trace.figure("words", words)
    gates.require_article(document, text, title=title.text, words=words, least=rules.min_words, is_walled=is_walled)
    return PageReading(
        text=text,
        words=words,
        title=title,
        declared_language=document.language,
        canonical_url=key_of(document, hints),
        host=host_or_none(document.url),
        authors=tuple(filter(None, map(clean_line, document.structured.authors)))[:_MOST_AUTHORS],
        published=published,
        modified=modified,
        rights=rights,
        notes=(*addresses_elsewhere(document), *main.notes, *guard.faults),
        fallbacks=(*main.fallbacks, *("fault" for _ in guard.faults)),
        paragraphs=tuple(dict.fromkeys(key_of_folded(block.folded) for block in main.blocks)),
    )


def read_plainly(page: Page, hints: Hints, fault: Exception) -> PageReading:
    """Return what the library alone reads off a page on which our own reading failed as a whole."""
    blocks = read_as_it_comes(page)
    text = "\n".join(block.text for block in blocks)
    return PageReading(
        text=text,
        words=count_words(text),
        title=Title(text=clean_line(hints.title or ""), origin="feed"),
        declared_language="",
        canonical_url=hints.canonical_url,
        host=host_or_none(page.final_url),
        authors=(),
        published=None,
        modified=None,
        rights=Rights(),
        notes=(f"the text is the library's reading of the page: our own failed: {described(fault)}",),
        fallbacks=("fault",),
        paragraphs=tuple(dict.fromkeys(key_of_folded(block.folded) for block in blocks)),
    )


def _cleaned(blocks: Sequence[Block], document: Document, *, title: str, learned: frozenset[int], trace: Trace) -> str:
    cleaned = drop_boilerplate(blocks, title=title, url=document.url, learned=learned)
    trace.drop(cleaned.dropped)
    return "\n".join(block.text for block in cleaned.blocks)


def _dates(
    document: Document, hints: Hints, rules: ExtractRules, *, title: str, fetched_at: datetime, trace: Trace
) -> tuple[Found | None, Found | None]:
    circumstances = Circumstances(
        fetched_at=fetched_at,
        zone=zone_of(hints.timezone, rules.timezone),
        feed_published=hints.published_at,
        feed_modified=hints.modified_at,
        title=title,
    )
    published, modified = find_published(document, circumstances), find_modified(document, circumstances)
    for name, found in (("published", published), ("modified", modified)):
        if found is not None:
            trace.field(name, found.at.isoformat(), found.origin if found.sure else f"{found.origin}, a guess")
    return published, modified


def host_or_none(url: str) -> str:
    """Return the host of a URL, an empty string where it has none."""
    try:
        return host_of(url)
    except SourceError:
        return ""
