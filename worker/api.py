"""A corpus from Python: read it, look texts up, extract a page, compare two texts. `docs/api.md` has examples.

    from worker.api import Corpus, extract_page, fingerprint_text, compare

    with Corpus("data/corpus.db") as corpus:
        for text in corpus.texts(sources=["baoquocte"], min_words=200):
            print(text.id, text.article.title)

Everything blocks and only reads. Names in `__all__`, their parameters and the fields of their values stay; new ones are
added. Expected errors are subclasses of WorkerError, with a message for people.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from worker.errors import ExtractError, NotFoundError, SourceError, StoreError, UsageError, WorkerError
from worker.models import (
    Article,
    AuditReport,
    Comparison,
    DuplicateLink,
    Fingerprint,
    Kind,
    Neighbour,
    Page,
    Relation,
    SearchResult,
    Selection,
    StoredArticle,
    Tombstone,
)
from worker.runs.reading import ArticleHistory, load_history
from worker.storage.corpus.views import is_article_id
from worker.storage.store import open_store

if TYPE_CHECKING:
    from worker.extract.article import ArticleExtractor

__all__ = [
    "Article",
    "ArticleHistory",
    "AuditReport",
    "Comparison",
    "Corpus",
    "DuplicateLink",
    "ExtractError",
    "Fingerprint",
    "Kind",
    "NotFoundError",
    "Relation",
    "SearchResult",
    "SourceError",
    "StoreError",
    "StoredArticle",
    "Tombstone",
    "UsageError",
    "WorkerError",
    "compare",
    "extract_page",
    "fingerprint_text",
]

_NO_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""When a bare text counts as fetched: two of them are no days apart."""


class Corpus:
    """The corpus in a store, opened for reading; to be closed after use, or used as a context manager.

    `store` is a SQLAlchemy URL as in `[store] url`, or the path of a SQLite file. A daemon may write to it meanwhile.
    Raises StoreError if the store is missing, of another version or unreachable.
    """

    def __init__(self, store: str | os.PathLike[str]) -> None:
        self._store = open_store(_url_of(store), parameters=None, create=False)
        self._reader = self._store.reader

    @classmethod
    def configured(cls, config: str | os.PathLike[str] | None = None) -> Self:
        """Open the store of a configuration and the environment; without `config`, the one that commands would find."""
        from worker.config.load import load_settings, require_config

        path = require_config(os.environ) if config is None else Path(config)
        return cls(load_settings(path, os.environ).store.url)

    def __iter__(self) -> Iterator[StoredArticle]:
        """Yield every text that `export` would write, ordered by id."""
        return self.texts()

    def texts(
        self,
        *,
        since: datetime | None = None,
        before: datetime | None = None,
        sources: Iterable[str] = (),
        languages: Iterable[str] = (),
        kinds: Iterable[Kind | str] = (),
        min_words: int = 0,
        copies: bool = False,
    ) -> Iterator[StoredArticle]:
        """Yield the texts that meet all conditions, ordered by id; one of each cluster, or with `copies` all of them.

        `since` and `before` bound the time of publication, or of fetching where that is unknown; both need a time zone.
        All texts come from one snapshot of the store, in bounded memory. Raises UsageError for a condition that cannot
        be.
        """
        wanted = Selection(
            since=_with_zone(since),
            before=_with_zone(before),
            sources=_names(sources, "sources"),
            languages=_names(languages, "languages"),
            kinds=tuple(_kind(kind) for kind in _names(kinds, "kinds")),
            min_words=min_words,
            copies=copies,
        )
        return self._texts(wanted)

    def _texts(self, wanted: Selection) -> Iterator[StoredArticle]:
        with self._reader.snapshot() as corpus:
            yield from corpus.texts(wanted)

    def get(self, url_or_id: str | int) -> StoredArticle | None:
        """Return an article by its id, or the newest version by any URL of its page; None if there is none."""
        if isinstance(url_or_id, int) or is_article_id(url_or_id):
            return self._reader.article(int(url_or_id))
        found = self._reader.candidate(url_or_id)
        return self._reader.article(max(found.articles)) if found and found.articles else None

    def why(self, url_or_id: str | int) -> ArticleHistory:
        """Return the history of a page or article: discovered where, fetched when, judged how; as the command `why`.

        Raises NotFoundError if the store knows no such URL or id.
        """
        return load_history(self._reader, str(url_or_id))

    def duplicates(self, *, links_that_keep_both: bool = False) -> Iterator[DuplicateLink]:
        """Yield the recognised copies, each with the text that is exported instead; see the command `duplicates`."""
        return self._reader.duplicates(links_that_keep_both=links_that_keep_both)

    def search(self, query: str, *, limit: int = 20, offset: int = 0) -> SearchResult:
        """Return the texts that have every word of a query, best first; the query is as for the command `search`."""
        return self._reader.search(query, limit=limit, offset=offset)

    def counts(self) -> AuditReport:
        """Return how many texts, articles, seeds and candidates by state there are."""
        return self._reader.counts()

    def removed(self) -> tuple[Tombstone, ...]:
        """Return the articles that `forget` has removed, by id, so that copies of the corpus can follow."""
        return self._reader.removed()

    def close(self) -> None:
        """Close every connection."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _url_of(store: str | os.PathLike[str]) -> str:
    text = os.fspath(store)
    return text if "://" in text else f"sqlite:///{text}"


def _with_zone(time: datetime | None) -> datetime | None:
    if time is not None and time.tzinfo is None:
        raise UsageError(f"{time.isoformat()}: has no time zone; write datetime(…, tzinfo=UTC)")
    return time


def _names(values: Iterable[str], parameter: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise UsageError(f'{parameter}="{values}": give a list, {parameter}=["{values}"]')
    return tuple(values)


def _kind(kind: str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        raise UsageError(f"there is no kind {kind!r}; there are {', '.join(Kind)}") from None


# Extraction: what the worker would make of a page.


def extract_page(
    html: bytes | str,
    url: str,
    *,
    languages: Iterable[str] = (),
    min_words: int = 60,
    timezone: str = "Asia/Ho_Chi_Minh",
    fetched_at: datetime | None = None,
) -> Article:
    """Return the article on a web page: text, title, date, authors and more, as the worker would store it.

    `url` is the page's address. `languages` refuses all others if it is given; `timezone` is for dates that have none.
    `fetched_at` is now by default. The page is worked on in this process, without a limit on time and memory: leave
    hostile pages to the worker, which uses processes of their own. Raises ExtractError, with the `reason`, if the page
    has no article, and SourceError for an unusable URL.
    """
    from worker.clock import SystemClock
    from worker.ports import Hints
    from worker.urls import canonicalise, resolve

    at = _with_zone(fetched_at) or SystemClock().now()
    body, charset = (html.encode("utf-8", "replace"), "; charset=utf-8") if isinstance(html, str) else (html, "")
    address = resolve(url)
    page = Page(
        url=address, final_url=address, status=200, body=body, fetched_at=at, content_type=f"text/html{charset}"
    )
    hints = Hints(url=address, canonical_url=canonicalise(url), source="", timezone=timezone)
    return _extractor(_names(languages, "languages"), min_words).read(page, hints, fetched_at=at)


@lru_cache(maxsize=4)  # chosen: a program uses one or two sets of rules; each holds the language model
def _extractor(languages: tuple[str, ...], min_words: int) -> ArticleExtractor:
    from worker.extract.article import ArticleExtractor
    from worker.extract.ipc import ExtractRules

    return ArticleExtractor(ExtractRules(languages=languages, min_words=min_words))


# Comparison: how alike two texts are, and whether a corpus should keep both.


def fingerprint_text(text: str) -> Fingerprint:
    """Return the fingerprint of a text: MinHash signature, LSH bands and sampled shingles, as stores hold them."""
    from worker.dedupe.fingerprint import fingerprint

    return fingerprint(text)


def compare(one: str | Article | StoredArticle, other: str | Article | StoredArticle) -> Comparison:
    """Return how the first of two texts relates to the second, by the shipped judge, with figures and probability.

    Titles, dates and addresses count where articles are given; bare texts have none. `article` is the id of the second
    if it is a stored article, else 0.
    """
    from worker.dedupe.judge import Deduper

    newcomer, known = _article_of(one, "one"), _article_of(other, "other")
    judge = Deduper()
    number = other.id if isinstance(other, StoredArticle) else 0
    neighbour = Neighbour.of(known, number, cluster=number, head=True)
    verdict = judge.judge(newcomer, judge.fingerprint(newcomer), [neighbour])
    return verdict.considered[0] if verdict.considered else _unlike(number)


def _unlike(number: int) -> Comparison:
    """Return the comparison of texts one of which has no words."""
    return Comparison(
        article=number, relation=Relation.UNIQUE, rule="no words", jaccard=0.0, containment=0.0, shared_words=0
    )


def _article_of(given: str | Article | StoredArticle, name: str) -> Article:
    if isinstance(given, StoredArticle):
        return given.article
    if isinstance(given, Article):
        return given
    return Article(
        url=f"text:{name}",
        canonical_url=f"text:{name}",
        source="",
        host="",
        title="",
        text=given,
        language="",
        fetched_at=_NO_TIME,
        words=len(given.split()),
        sha256=hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest(),
    )
