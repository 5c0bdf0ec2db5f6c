"""Extracts the article of one page or plain text: the order of the steps, each of which is in a module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from worker.errors import ExtractError, FetchBlocked, SourceError, WorkerError
from worker.extract import quality
from worker.extract.document import Document, open_document
from worker.extract.explain import ExtractionExplanation, StepGuard, Trace, describe_error
from worker.extract.fields.date_parser import first_time_zone
from worker.extract.fields.dates import DateContext, PageDate, find_modified, find_published
from worker.extract.fields.metadata import (
    Title,
    canonical_url_of,
    find_rights,
    find_title,
    notes_on_other_sites,
    refused_signal,
)
from worker.extract.ipc import ExtractRules
from worker.extract.main_text.boilerplate import drop_boilerplate, folded_paragraph_key
from worker.extract.main_text.finder import extract_with_library, find_main_text
from worker.extract.main_text.removal import RemovalBudget, remove_controls
from worker.extract.main_text.text_blocks import ArticleBlock
from worker.extract.multipage import is_first_page, next_page_url, split_pages
from worker.extract.quality import LanguageDetector
from worker.extract.text import clean_line, clean_text, count_words, sha256_of
from worker.models import Article, Page, Rights, Text
from worker.ports import Hints
from worker.urls import host_of

# Reads one page from bytes to article: the order of the steps, each of which is a module of its own.


_MAX_AUTHORS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedPage:
    """What was read off one page, before its language is known and the last gates are passed."""

    text: str
    words: int
    title: Title
    declared_language: str
    canonical_url: str
    host: str
    authors: tuple[str, ...]
    published: PageDate | None
    modified: PageDate | None
    rights: Rights
    notes: tuple[str, ...]
    fallbacks: tuple[str, ...]
    paragraphs: tuple[int, ...]


def extract_page(page: Page, hints: Hints, rules: ExtractRules, *, fetched_at: datetime, trace: Trace) -> ExtractedPage:
    """Return what the page holds; raises ExtractError with the reason, FetchBlocked for a refused rights signal."""
    guard = StepGuard()
    document = open_document(page)
    trace.figure("charset", document.charset)
    rights = find_rights(document)
    if signal := refused_signal(rights, rules.refuse):
        raise FetchBlocked(f"the page reserves its rights: {signal}", reason="rights")
    title = guard.run("the title", lambda: find_title(document, feed_title=hints.title), otherwise=Title())
    trace.field("title", title.text, title.origin)
    is_walled = guard.run("looking for a wall", lambda: quality.is_walled(document), otherwise=False)
    account = RemovalBudget(document.tree, trace)
    guard.run("taking out controls", lambda: remove_controls(document.tree, account), otherwise=None)
    undated: tuple[PageDate | None, PageDate | None] = (None, None)
    published, modified = guard.run(
        "the dates",
        lambda: _find_dates(document, hints, rules, title=title.text, fetched_at=fetched_at, trace=trace),
        otherwise=undated,
    )
    main = find_main_text(page, document, account, guard, trace, least=rules.min_words)
    text = _clean_blocks(main.blocks, document, title=title.text, learned=hints.boilerplate, trace=trace)
    words = count_words(text)
    trace.figure("words", words)
    quality.require_article(document, text, title=title.text, words=words, least=rules.min_words, is_walled=is_walled)
    return ExtractedPage(
        text=text,
        words=words,
        title=title,
        declared_language=document.language,
        canonical_url=canonical_url_of(document, hints),
        host=host_or_none(document.url),
        authors=tuple(filter(None, map(clean_line, document.structured.authors)))[:_MAX_AUTHORS],
        published=published,
        modified=modified,
        rights=rights,
        notes=(*notes_on_other_sites(document), *main.notes, *guard.faults),
        fallbacks=(*main.fallbacks, *("fault" for _ in guard.faults)),
        paragraphs=tuple(dict.fromkeys(folded_paragraph_key(block.folded) for block in main.blocks)),
    )


def extract_page_plainly(page: Page, hints: Hints, fault: Exception) -> ExtractedPage:
    """Return what the library alone reads off a page on which our own reading failed as a whole."""
    blocks = extract_with_library(page)
    text = "\n".join(block.text for block in blocks)
    return ExtractedPage(
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
        notes=(f"the text is the library's reading of the page: our own failed: {describe_error(fault)}",),
        fallbacks=("fault",),
        paragraphs=tuple(dict.fromkeys(folded_paragraph_key(block.folded) for block in blocks)),
    )


def _clean_blocks(
    blocks: Sequence[ArticleBlock], document: Document, *, title: str, learned: frozenset[int], trace: Trace
) -> str:
    cleaned = drop_boilerplate(blocks, title=title, url=document.url, learned=learned)
    trace.drop(cleaned.dropped)
    return "\n".join(block.text for block in cleaned.blocks)


def _find_dates(
    document: Document, hints: Hints, rules: ExtractRules, *, title: str, fetched_at: datetime, trace: Trace
) -> tuple[PageDate | None, PageDate | None]:
    circumstances = DateContext(
        fetched_at=fetched_at,
        zone=first_time_zone(hints.timezone, rules.timezone),
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


class ArticleExtractor:
    """Reads one page or text at a time; holds the language model, and nothing of what it has read."""

    def __init__(self, rules: ExtractRules) -> None:
        self._rules = rules
        self._languages = LanguageDetector()

    def read(self, content: Page | Text, hints: Hints, *, fetched_at: datetime, trace: Trace | None = None) -> Article:
        """Return the article; raises ExtractError with the reason, FetchBlocked for a refused rights signal."""
        if isinstance(content, Text):
            return self._read_text(content, hints, fetched_at=fetched_at)
        return self._read_page(content, hints, fetched_at=fetched_at, trace=trace or Trace(asked=False))

    def explain(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> ExtractionExplanation:
        """Return how the article came about, or why there is none."""
        trace = Trace()
        try:
            article = self.read(content, hints, fetched_at=fetched_at, trace=trace)
        except (ExtractError, FetchBlocked) as error:
            return trace.explanation(reason=error.reason, message=str(error))
        return trace.explanation(article=article)

    def _read_text(self, content: Text, hints: Hints, *, fetched_at: datetime) -> Article:
        text = clean_text(content.text)
        words = count_words(text)
        return Article(
            url=hints.url,
            canonical_url=hints.canonical_url,
            source=hints.source,
            host=host_or_none(hints.url),
            title=clean_line(content.title or hints.title or ""),
            text=text,
            language=self._judge_text(text, words),
            fetched_at=fetched_at,
            words=words,
            sha256=sha256_of(text),
            kind=hints.kind,
            published_at=hints.published_at,
            published_at_from="input" if hints.published_at else "",
            modified_at=hints.modified_at,
            modified_at_from="input" if hints.modified_at else "",
            external_id=hints.external_id,
        )

    def _read_page(self, page: Page, hints: Hints, *, fetched_at: datetime, trace: Trace) -> Article:
        first, *others = pages = split_pages(page)
        try:
            reading = extract_page(first, hints, self._rules, fetched_at=fetched_at, trace=trace)
        except (WorkerError, MemoryError):
            raise
        except Exception as error:
            if self._rules.refuse:
                raise  # what the page reserves may not have been read
            reading = extract_page_plainly(first, hints, error)
        for other in others:
            reading = self._gone_on(reading, other, hints, fetched_at=fetched_at)
        if is_first_page(first.final_url) and (further := next_page_url(pages[-1])) is not None:
            reading = replace(reading, notes=(*reading.notes, f"the text goes on at {further}, which was not read"))
        language = self._judge_text(reading.text, reading.words, declared=reading.declared_language)
        trace.field("language", language, "text")
        return Article(
            url=hints.url,
            canonical_url=reading.canonical_url,
            source=hints.source,
            host=reading.host,
            title=reading.title.text,
            text=reading.text,
            language=language,
            fetched_at=fetched_at,
            words=reading.words,
            sha256=sha256_of(reading.text),
            kind=hints.kind,
            authors=reading.authors,
            published_at=reading.published.at if reading.published else None,
            published_at_from=reading.published.origin if reading.published else "",
            modified_at=reading.modified.at if reading.modified else None,
            modified_at_from=reading.modified.origin if reading.modified else "",
            external_id=hints.external_id,
            rights=reading.rights,
            notes=reading.notes,
            fallbacks=reading.fallbacks,
            paragraphs=reading.paragraphs,
        )

    def _gone_on(self, reading: ExtractedPage, page: Page, hints: Hints, *, fetched_at: datetime) -> ExtractedPage:
        """Return a reading with what a further page of the article adds to it."""
        try:
            further = extract_page(page, hints, self._rules, fetched_at=fetched_at, trace=Trace(asked=False))
        except (ExtractError, FetchBlocked) as error:
            note = f"the text goes on at {page.final_url}, which gives none: {error}"
            return replace(reading, notes=(*reading.notes, note))
        known = frozenset(reading.text.splitlines())
        lines = [*reading.text.splitlines(), *(line for line in further.text.splitlines() if line not in known)]
        text = "\n".join(filter(None, lines))
        return replace(
            reading,
            text=text,
            words=count_words(text),
            notes=(*reading.notes, f"with the text of the next page, {page.final_url}"),
            paragraphs=tuple(dict.fromkeys((*reading.paragraphs, *further.paragraphs))),
        )

    def _judge_text(self, text: str, words: int, *, declared: str = "") -> str:
        if not text:
            raise ExtractError("no article text was found on the page", reason="empty")
        quality.require_words(words, least=self._rules.min_words)
        language = self._languages.identify(text, declared=declared)
        quality.require_language(language, wanted=self._rules.languages)
        return language
