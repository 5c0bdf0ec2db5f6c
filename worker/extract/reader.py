"""Turns pages and plain texts into articles, whatever they come as."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from worker.errors import ExtractError, FetchBlocked, WorkerError
from worker.extract import gates
from worker.extract.explain import Explanation, Trace
from worker.extract.language import Languages
from worker.extract.page import PageReading, host_or_none, read_page, read_plainly
from worker.extract.rules import ExtractRules
from worker.extract.text import clean_line, clean_text, count_words, sha256_of
from worker.models import Article, Page, Text
from worker.multipage import begins_article, next_page, parts
from worker.ports import Hints


class Reader:
    """Reads one page or text at a time; holds the language model, and nothing of what it has read."""

    def __init__(self, rules: ExtractRules) -> None:
        self._rules = rules
        self._languages = Languages()

    def read(self, content: Page | Text, hints: Hints, *, fetched_at: datetime, trace: Trace | None = None) -> Article:
        """Return the article; raises ExtractError with the reason, FetchBlocked for a refused rights signal."""
        if isinstance(content, Text):
            return self._read_text(content, hints, fetched_at=fetched_at)
        return self._read_page(content, hints, fetched_at=fetched_at, trace=trace or Trace(asked=False))

    def explain(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Explanation:
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
        first, *others = pages = parts(page)
        try:
            reading = read_page(first, hints, self._rules, fetched_at=fetched_at, trace=trace)
        except (WorkerError, MemoryError):
            raise
        except Exception as error:
            if self._rules.refuse:
                raise  # what the page reserves may not have been read
            reading = read_plainly(first, hints, error)
        for other in others:
            reading = self._gone_on(reading, other, hints, fetched_at=fetched_at)
        if begins_article(first.final_url) and (further := next_page(pages[-1])) is not None:
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

    def _gone_on(self, reading: PageReading, page: Page, hints: Hints, *, fetched_at: datetime) -> PageReading:
        """Return a reading with what a further page of the article adds to it."""
        try:
            further = read_page(page, hints, self._rules, fetched_at=fetched_at, trace=Trace(asked=False))
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
        gates.require_words(words, least=self._rules.min_words)
        language = self._languages.identify(text, declared=declared)
        gates.require_language(language, wanted=self._rules.languages)
        return language
