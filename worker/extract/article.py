"""Extracts the article of one page or plain text: runs the steps, each of which has a module of its own.

    page | open_document | rights, title, dates | main text | drop boilerplate | quality filters | language | Article

`ArticleExtractor` runs inside the worker processes; everything outside uses `pool.ProcessExtractor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from worker.charset.characters import clean_line, clean_text, count_words, is_text, sha256_of
from worker.errors import ExtractError, FetchBlocked, SourceError, WorkerError
from worker.extract import quality
from worker.extract.document import Document, PageMarks, first_time_zone, open_document, read_marks
from worker.extract.explain import (
    ArticleFields,
    ExtractionExplanation,
    RemovalBudget,
    StepGuard,
    Trace,
    describe_error,
    short_field,
)
from worker.extract.fields.dates import DateContext, PageDate, find_modified, find_published
from worker.extract.fields.metadata import Title, find_fields, find_title
from worker.extract.ipc import ExtractRules
from worker.extract.main_text.body import extract_with_library
from worker.extract.main_text.boilerplate import drop_boilerplate, paragraph_key
from worker.extract.main_text.finder import find_main_text
from worker.extract.main_text.removal import remove_controls
from worker.extract.main_text.text_blocks import ArticleBlock
from worker.extract.multipage import (
    canonical_url_of,
    is_first_page,
    next_page_url,
    notes_on_other_sites,
    picture_url,
    split_pages,
)
from worker.extract.quality import LanguageDetector, require_rights
from worker.models import Article, Page, Rights, Text
from worker.models.base import dataclass
from worker.ports import Hints
from worker.urls import host_of

_MAX_GIVEN = 30  # tags and authors that are read of one input line; bounds the stored lists, chosen, not measured
_Dates = tuple[PageDate | None, PageDate | None]
_UNDATED: _Dates = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedPage:
    """What one page holds, before language identification and the last quality filters.

    `notes` are sentences for `why`. `fallbacks` names each step that had to be replaced: `library`, `json-ld`, `fault`.
    `paragraphs` are the keys by which the host's boilerplate is counted.
    """

    text: str
    words: int
    title: Title
    declared_language: str
    canonical_url: str
    host: str
    fields: ArticleFields
    published: PageDate | None
    modified: PageDate | None
    rights: Rights
    notes: tuple[str, ...]
    fallbacks: tuple[str, ...]
    paragraphs: tuple[int, ...]


_HEAD: Final = 65_536  # bytes by which binary data is told; chosen: beyond the longest heads of pages


def extract_page(page: Page, hints: Hints, rules: ExtractRules, *, fetched_at: datetime, trace: Trace) -> ExtractedPage:
    """Return what the page holds.

    Raises ExtractError with the reason if the page is no article, and FetchBlocked for a refused rights signal.
    """
    guard = StepGuard()
    document = _open_text(page)
    trace.figure("charset", document.charset)
    rights = require_rights(document, rules.refuse)
    title = guard.run("the title", lambda: find_title(document, feed_title=hints.title), default=Title())
    trace.field("title", title.text, title.origin)
    marks = guard.run("the marks of fields", lambda: read_marks(document), default=PageMarks())
    page_text = guard.run("looking for a wall", lambda: quality.text_of_paid_page(document), default="")
    budget = RemovalBudget(document.tree, trace)
    guard.run("taking out controls", lambda: remove_controls(document.tree, budget), default=None)
    dates = partial(_find_dates, document, hints, rules, title=title.text, fetched_at=fetched_at, trace=trace)
    published, modified = guard.run("the dates", dates, default=_UNDATED)
    main = find_main_text(
        page, document, budget, guard, trace, min_words=rules.min_words, may_reject=not hints.is_taken
    )
    text = _clean_blocks(main.blocks, document, title=title.text, learned=hints.boilerplate, trace=trace)
    words = count_words(text)
    trace.figure("words", words)
    if not hints.is_taken:
        quality.require_article(document, text, title.text, words=words, rules=rules, page_text=page_text)
    fields_of = partial(find_fields, document, marks, title=title.text, lead=main.lead, text=text)
    fields = guard.run("the fields", fields_of, default=ArticleFields())
    trace.fields(fields)
    return ExtractedPage(
        text=text,
        words=words,
        title=title,
        declared_language=document.language,
        canonical_url=canonical_url_of(document, hints),
        host=host_or_none(document.url),
        fields=fields,
        published=published,
        modified=modified,
        rights=rights,
        notes=(*notes_on_other_sites(document), *main.notes, *guard.faults),
        fallbacks=(*main.fallbacks, *("fault" for _ in guard.faults)),
        paragraphs=tuple(dict.fromkeys(paragraph_key(block.folded) for block in main.blocks)),
    )


def _open_text(page: Page) -> Document:
    """Decode and parse a page; raise ExtractError (`not-html`, `size`) if it is binary data, no HTML, or too large."""
    document = open_document(page)
    if not is_text(page.body[:_HEAD]) and not document.charset.startswith(("utf-16", "utf-32")):
        raise ExtractError("the page is not HTML: it holds binary data", reason="not-html")
    return document


def extract_page_with_library(page: Page, hints: Hints, fault: Exception) -> ExtractedPage:
    """Return what trafilatura alone extracts from a page on which our own extraction failed with `fault`."""
    blocks = extract_with_library(page)
    text = "\n".join(block.text for block in blocks)
    return ExtractedPage(
        text=text,
        words=count_words(text),
        title=Title(text=clean_line(hints.title or ""), origin="feed"),
        declared_language="",
        canonical_url=hints.canonical_url,
        host=host_or_none(page.final_url),
        fields=ArticleFields(),
        published=None,
        modified=None,
        rights=Rights(),
        notes=(f"the text is the library's reading of the page: our own failed: {describe_error(fault)}",),
        fallbacks=("fault",),
        paragraphs=tuple(dict.fromkeys(paragraph_key(block.folded) for block in blocks)),
    )


def _clean_blocks(
    blocks: Sequence[ArticleBlock], document: Document, *, title: str, learned: frozenset[int], trace: Trace
) -> str:
    cleaned = drop_boilerplate(blocks, title=title, url=document.url, learned=learned)
    trace.drop(cleaned.dropped)
    return "\n".join(block.text for block in cleaned.blocks)


def _find_dates(
    document: Document, hints: Hints, rules: ExtractRules, *, title: str, fetched_at: datetime, trace: Trace
) -> _Dates:
    context = DateContext(
        fetched_at=fetched_at,
        zone=first_time_zone(hints.timezone, rules.timezone),
        feed_published=hints.published_at,
        feed_modified=hints.modified_at,
        title=title,
    )
    published, modified = find_published(document, context), find_modified(document, context)
    for name, found in (("published", published), ("modified", modified)):
        if found is not None:
            trace.field(name, found.at.isoformat(), found.origin if found.sure else f"{found.origin}, a guess")
    return published, modified


def _given_fields(content: Text, *, page_url: str) -> ArticleFields:
    """Return the fields that came with a text, cleaned and bounded like those of a page."""
    given = content.fields
    tags, authors = (
        tuple(dict.fromkeys(filter(None, map(short_field, given.get(name) or ()))))[:_MAX_GIVEN]
        for name in ("tags", "authors")
    )
    texts = {name: short_field(value) for name, value in given.items() if isinstance(value, str)}
    image = picture_url(texts.pop("image", ""), page_url) or None
    single = {name: texts.get(name) or None for name in ("lead", "section", "description", "image_caption")}
    found = {**single, "image": image, "tags": tags, "authors": authors}
    origins = {name: "input" for name, value in found.items() if value}
    return ArticleFields(**single, image=image, tags=tags, authors=authors, origins=origins)


def host_or_none(url: str) -> str:
    """Return the host of a URL, an empty string if it has none."""
    try:
        return host_of(url)
    except SourceError:
        return ""


class ArticleExtractor:
    """Extracts one page or text at a time; holds the language model, and no state between pages."""

    def __init__(self, rules: ExtractRules) -> None:
        self._rules = rules
        self._languages = LanguageDetector()

    def read(self, content: Page | Text, hints: Hints, *, fetched_at: datetime, trace: Trace | None = None) -> Article:
        """Return the article of a page or text.

        Raises ExtractError with the reason if there is none, and FetchBlocked for a refused rights signal.
        """
        if isinstance(content, Text):
            return self._read_text(content, hints, fetched_at=fetched_at)
        return self._read_page(content, hints, fetched_at=fetched_at, trace=trace or Trace(enabled=False))

    def explain(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> ExtractionExplanation:
        """Return how the article was found, or why there is none."""
        trace = Trace()
        try:
            article = self.read(content, hints, fetched_at=fetched_at, trace=trace)
        except (ExtractError, FetchBlocked) as error:
            return trace.explanation(reason=error.reason, message=str(error))
        return trace.explanation(article=article)

    def _read_text(self, content: Text, hints: Hints, *, fetched_at: datetime) -> Article:
        text = clean_text(content.text)
        words = count_words(text)
        article = Article(
            url=hints.url,
            canonical_url=hints.canonical_url,
            source=hints.source,
            host=host_or_none(hints.url),
            title=clean_line(content.title or hints.title or ""),
            text=text,
            language=self._judge_text(text, words, hints),
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
        return _given_fields(content, page_url=hints.url).added_to(article)

    def _read_page(self, page: Page, hints: Hints, *, fetched_at: datetime, trace: Trace) -> Article:
        first, *others = pages = split_pages(page)
        try:
            extracted = extract_page(first, hints, self._rules, fetched_at=fetched_at, trace=trace)
        except (WorkerError, MemoryError):
            raise
        except Exception as error:
            if self._rules.refuse:
                raise  # the page's rights signals may not have been read
            extracted = extract_page_with_library(first, hints, error)
        for other in others:
            extracted = self._with_next_page(extracted, other, hints, fetched_at=fetched_at)
        if is_first_page(first.final_url) and (further := next_page_url(pages[-1])) is not None:
            note = f"the text goes on at {further}, which was not read"
            extracted = replace(extracted, notes=(*extracted.notes, note))
        language = self._judge_text(extracted.text, extracted.words, hints, declared=extracted.declared_language)
        trace.field("language", language, "text")
        article = Article(
            url=hints.url,
            canonical_url=extracted.canonical_url,
            source=hints.source,
            host=extracted.host,
            title=extracted.title.text,
            text=extracted.text,
            language=language,
            fetched_at=fetched_at,
            words=extracted.words,
            sha256=sha256_of(extracted.text),
            kind=hints.kind,
            published_at=extracted.published.at if extracted.published else None,
            published_at_from=extracted.published.origin if extracted.published else "",
            modified_at=extracted.modified.at if extracted.modified else None,
            modified_at_from=extracted.modified.origin if extracted.modified else "",
            external_id=hints.external_id,
            rights=extracted.rights,
            notes=extracted.notes,
            fallbacks=extracted.fallbacks,
            paragraphs=extracted.paragraphs,
        )
        return extracted.fields.added_to(article)

    def _with_next_page(
        self, extracted: ExtractedPage, page: Page, hints: Hints, *, fetched_at: datetime
    ) -> ExtractedPage:
        """Return the extracted page with the text of the article's next page appended, or a note why that failed."""
        try:
            further = extract_page(page, hints, self._rules, fetched_at=fetched_at, trace=Trace(enabled=False))
        except (ExtractError, FetchBlocked) as error:
            note = f"the text goes on at {page.final_url}, which gives none: {error}"
            return replace(extracted, notes=(*extracted.notes, note))
        known = frozenset(extracted.text.splitlines())
        lines = [*extracted.text.splitlines(), *(line for line in further.text.splitlines() if line not in known)]
        text = "\n".join(filter(None, lines))
        return replace(
            extracted,
            text=text,
            words=count_words(text),
            notes=(*extracted.notes, f"with the text of the next page, {page.final_url}"),
            paragraphs=tuple(dict.fromkeys((*extracted.paragraphs, *further.paragraphs))),
        )

    def _judge_text(self, text: str, words: int, hints: Hints, *, declared: str = "") -> str:
        """Return the language of a text; raise ExtractError (`empty`, `short`, `language`) if it is not wanted.

        If a person wants the page stored, any text will do.
        """
        if not text:
            raise ExtractError("no article text was found on the page", reason="empty")
        if not hints.is_taken:
            quality.require_words(words, min_words=self._rules.min_words)
        language = self._languages.identify(text, declared=declared)
        if not hints.is_taken:
            quality.require_language(language, wanted=self._rules.languages)
        return language
