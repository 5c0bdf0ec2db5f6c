"""Reads one page from bytes to article: the order of the steps, each of which is a module of its own."""

from __future__ import annotations

from datetime import datetime

from worker.errors import ExtractError, FetchBlocked, SourceError
from worker.extract import gates
from worker.extract.body import read_body, strip_dead
from worker.extract.boilerplate import drop_boilerplate
from worker.extract.dates import Circumstances, find_modified, find_published, zone_of
from worker.extract.document import Document, open_document
from worker.extract.language import Languages
from worker.extract.lead import find_lead, put_lead_first
from worker.extract.links import drop_links_elsewhere
from worker.extract.listing import refuse_listing
from worker.extract.outline import find_passages, measure_shares
from worker.extract.rights import find_rights, refused_signal
from worker.extract.rules import ExtractRules
from worker.extract.text import clean_line, clean_text, count_words, sha256_of
from worker.extract.title import find_title
from worker.models import Article, Page, Text
from worker.ports import Hints
from worker.urls import host_of, trusted_canonical


class Reader:
    """Turns pages and plain texts into articles; holds the language model, and nothing of what it has read."""

    def __init__(self, rules: ExtractRules) -> None:
        self._rules = rules
        self._languages = Languages()

    def read(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        """Return the article; raises ExtractError with the reason, FetchBlocked for a refused rights signal."""
        if isinstance(content, Text):
            return self._read_text(content, hints, fetched_at=fetched_at)
        return self._read_page(content, hints, fetched_at=fetched_at)

    def _read_text(self, content: Text, hints: Hints, *, fetched_at: datetime) -> Article:
        text = clean_text(content.text)
        language = self._judge_text(text)
        return Article(
            url=hints.url,
            canonical_url=hints.canonical_url,
            source=hints.source,
            host=host_or_none(hints.url),
            title=clean_line(content.title or hints.title or ""),
            text=text,
            language=language,
            fetched_at=fetched_at,
            words=count_words(text),
            sha256=sha256_of(text),
            kind=hints.kind,
            published_at=hints.published_at,
            published_at_from="input" if hints.published_at else "",
            modified_at=hints.modified_at,
            external_id=hints.external_id,
        )

    def _read_page(self, page: Page, hints: Hints, *, fetched_at: datetime) -> Article:
        document = open_document(page)
        rights = find_rights(document)
        if signal := refused_signal(rights, self._rules.refuse):
            raise FetchBlocked(f"the page reserves its rights: {signal}", reason="rights")
        title = find_title(document, feed_title=hints.title)
        circumstances = Circumstances(
            fetched_at=fetched_at,
            zone=zone_of(hints.timezone, self._rules.timezone),
            feed_published=hints.published_at,
            feed_modified=hints.modified_at,
        )
        published = find_published(document, circumstances)
        modified = find_modified(document, circumstances)
        strip_dead(document.tree)
        passages = find_passages(document.tree)
        refuse_listing(document, measure_shares(passages))
        lead = find_lead(document, passages)
        drop_links_elsewhere(document.tree, passages)
        blocks = put_lead_first(read_body(document.tree, passages), lead)
        cleaned = drop_boilerplate(blocks, title=title.text)
        text = "\n".join(block.text for block in cleaned.blocks)
        language = self._judge_text(text, declared=document.language)
        return Article(
            url=hints.url,
            canonical_url=_canonical(document, hints),
            source=hints.source,
            host=host_or_none(document.url),
            title=title.text,
            text=text,
            language=language,
            fetched_at=fetched_at,
            words=count_words(text),
            sha256=sha256_of(text),
            kind=hints.kind,
            authors=tuple(filter(None, map(clean_line, document.structured.authors)))[:20],
            published_at=published.at if published else None,
            published_at_from=published.origin if published else "",
            modified_at=modified.at if modified else None,
            external_id=hints.external_id,
            rights=rights,
        )

    def _judge_text(self, text: str, *, declared: str = "") -> str:
        if not text:
            raise ExtractError("no article text was found on the page", reason="empty")
        gates.require_words(count_words(text), least=self._rules.min_words)
        language = self._languages.identify(text, declared=declared)
        gates.require_language(language, wanted=self._rules.languages)
        return language


def _canonical(document: Document, hints: Hints) -> str:
    declared = next(iter(document.links.get("canonical", ())), None)
    return trusted_canonical(declared, page_url=document.url) or hints.canonical_url


def host_or_none(url: str) -> str:
    """Return the host of a URL, an empty string where it has none."""
    try:
        return host_of(url)
    except SourceError:
        return ""
