"""Reads one page from bytes to article: the order of the steps, each of which is a module of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from worker.errors import FetchBlocked, SourceError
from worker.extract import gates
from worker.extract.blocks import Block
from worker.extract.body import read_body, strip_dead
from worker.extract.boilerplate import drop_boilerplate
from worker.extract.comments import drop_comments
from worker.extract.dates import Circumstances, Found, find_modified, find_published, zone_of
from worker.extract.document import Document, open_document
from worker.extract.explain import Trace
from worker.extract.identity import addresses_elsewhere, key_of
from worker.extract.lead import find_lead, put_lead_first
from worker.extract.learned import key_of_folded
from worker.extract.links import drop_links_elsewhere
from worker.extract.listing import refuse_listing
from worker.extract.measure import measure
from worker.extract.outline import find_passages, find_teasers, measure_shares
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
    paragraphs: tuple[int, ...]
    notes: tuple[str, ...] = ()


def read_page(page: Page, hints: Hints, rules: ExtractRules, *, fetched_at: datetime, trace: Trace) -> PageReading:
    """Return what the page holds; raises ExtractError with the reason, FetchBlocked for a refused rights signal."""
    document = open_document(page)
    trace.figure("charset", document.charset)
    rights = find_rights(document)
    if signal := refused_signal(rights, rules.refuse):
        raise FetchBlocked(f"the page reserves its rights: {signal}", reason="rights")
    title = find_title(document, feed_title=hints.title)
    trace.field("title", title.text, title.origin)
    strip_dead(document.tree)
    published, modified = _dates(document, hints, rules, fetched_at=fetched_at, trace=trace)
    blocks = _main_text(document, trace)
    cleaned = drop_boilerplate(blocks, title=title.text, url=document.url, learned=hints.boilerplate)
    trace.drop(cleaned.dropped)
    text = "\n".join(block.text for block in cleaned.blocks)
    words = count_words(text)
    trace.figure("words", words)
    gates.require_article(document, text, title=title.text, words=words, least=rules.min_words)
    return PageReading(
        text=text,
        words=words,
        title=title,
        declared_language=document.language,
        canonical_url=key_of(document, hints),
        notes=addresses_elsewhere(document),
        host=host_or_none(document.url),
        authors=tuple(filter(None, map(clean_line, document.structured.authors)))[:_MOST_AUTHORS],
        published=published,
        modified=modified,
        rights=rights,
        paragraphs=tuple(dict.fromkeys(key_of_folded(block.folded) for block in blocks)),
    )


def _dates(
    document: Document, hints: Hints, rules: ExtractRules, *, fetched_at: datetime, trace: Trace
) -> tuple[Found | None, Found | None]:
    circumstances = Circumstances(
        fetched_at=fetched_at,
        zone=zone_of(hints.timezone, rules.timezone),
        feed_published=hints.published_at,
        feed_modified=hints.modified_at,
    )
    published, modified = find_published(document, circumstances), find_modified(document, circumstances)
    for name, found in (("published", published), ("modified", modified)):
        if found is not None:
            trace.field(name, found.at.isoformat(), found.origin if found.sure else f"{found.origin}, a guess")
    return published, modified


def _main_text(document: Document, trace: Trace) -> list[Block]:
    extents = measure(document.tree)
    passages = find_passages(extents)
    teasers = find_teasers(extents, passages)
    shares = measure_shares(passages, teasers)
    trace.figure("prose", shares.prose)
    trace.figure("teasers", shares.teaser_count)
    trace.figure("share that announces other pages", f"{shares.elsewhere:.2f}")
    refuse_listing(document, shares)
    drop_comments(document.tree, extents, passages, trace)
    lead = find_lead(document, passages)
    trace.field("lead", lead, "page")
    drop_links_elsewhere(extents, passages, teasers, trace)
    return put_lead_first(read_body(document.tree, extents, passages), lead)


def host_or_none(url: str) -> str:
    """Return the host of a URL, an empty string where it has none."""
    try:
        return host_of(url)
    except SourceError:
        return ""
