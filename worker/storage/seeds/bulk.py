"""Inserts many new articles in one transaction, with the same result as inserting them one by one.

The index keys of all are looked up at once. An article without a neighbour waits and is written together with others;
one with a neighbour is judged like any article, after what it shares keys with was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from datetime import datetime
from itertools import count
from typing import Final

from sqlalchemy import Connection, insert, select, text

from worker.models import Article, Fingerprint, Neighbour, PreparedSeed, Relation, Verdict
from worker.models.base import dataclass
from worker.storage.corpus import index
from worker.storage.corpus.neighbours import page_versions
from worker.storage.corpus.search_index import SEARCH_QUEUE
from worker.storage.corpus.settling import IncomingArticle, insert_article, insert_unique
from worker.storage.db.codec import storable
from worker.storage.db.schema import ARTICLES, MARKS
from worker.storage.db.sql import batched, is_sqlite

SeedJudge = Callable[[Article, Fingerprint, Sequence[Neighbour]], Verdict]
"""Returns the verdict on a seed's article, given its neighbours, as `Deduper.judge`."""
VALUES_AT_ONCE: Final = 500
"""Values in one `IN` list: below the 999 variables that an old SQLite allows."""
COPIES: Final = (Relation.SEED_COPY, Relation.COPY, Relation.CONTAINED)
"""The relations by which a seed is a copy of another text."""
_ADD_PAIRS = text(
    "INSERT INTO index_keys (key, article_id) "
    "SELECT * FROM unnest(CAST(:keys AS bigint[]), CAST(:articles AS bigint[]))"
)
_ADD_FINGERPRINT = insert(index.FINGERPRINTS)
_QUEUE_TEXT = insert(SEARCH_QUEUE)


@dataclass(slots=True)
class BulkInsert:
    """Inserts new articles in order; those without a neighbour are written together."""

    connection: Connection
    new: Sequence[PreparedSeed]
    judge: SeedJudge
    now: datetime
    copies: int = 0
    _waiting: list[tuple[int, PreparedSeed]] = field(default_factory=list)
    _waiting_keys: list[tuple[int, int]] = field(default_factory=list)
    _postings: dict[int, tuple[int, ...]] = field(init=False)
    _ids: Iterator[int] = field(init=False)
    _special: set[str] = field(init=False)

    def __post_init__(self) -> None:
        keys = {key for each in self.new for key in index.keys_of(each.fingerprint)}
        found = index.postings(self.connection, sorted(keys))
        self._postings = {key: tuple(articles) for key, articles in found.items()}
        self._ids = _article_ids(self.connection, len(self.new))
        self._special = _stored_or_marked(self.connection, [each.article.canonical_url for each in self.new])

    def near(self, new: Iterable[PreparedSeed]) -> set[int]:
        """Return the stored articles that share index keys with these."""
        return {match.article_id for each in new for match in index.rank(self._postings, each.fingerprint)}

    def add(self, prepared: PreparedSeed) -> int:
        """Insert an article, now or with the next ones, and return its id."""
        article_id, keys = next(self._ids), index.keys_of(prepared.fingerprint)
        url = storable(prepared.article.canonical_url)
        with_room = [key for key in keys if len(self._postings.get(key, ())) < index.MAX_POSTINGS]
        if url in self._special or index.rank(self._postings, prepared.fingerprint):
            if url in self._special or self._shares_with_waiting(keys):
                self.flush()
            self.copies += self._insert(prepared, article_id).relation in COPIES
        else:
            self._waiting.append((article_id, prepared))
            self._waiting_keys += [(key, article_id) for key in with_room]
        self._special.add(url)
        for key in with_room:
            self._postings[key] = (*self._postings.get(key, ()), article_id)
        return article_id

    def _shares_with_waiting(self, keys: Iterable[int]) -> bool:
        """Return whether an article that waits has one of the keys."""
        first = self._waiting[0][0] if self._waiting else None
        return first is not None and any(each >= first for key in keys for each in self._postings.get(key, ()))

    def _insert(self, prepared: PreparedSeed, article_id: int) -> Verdict:
        """Judge and insert one article against its neighbours."""
        article, fingerprint = prepared.article, prepared.fingerprint
        incoming = IncomingArticle(
            article=article,
            fingerprint=fingerprint,
            judge=lambda neighbours: self.judge(article, fingerprint, neighbours),
            now=self.now,
        )
        before = page_versions(self.connection, article.canonical_url)
        return insert_article(self.connection, incoming, before=before, article_id=article_id).verdict

    def flush(self) -> None:
        """Write the articles that wait."""
        if self._waiting:
            articles = [(article_id, each.article) for article_id, each in self._waiting]
            insert_unique(self.connection, articles, now=self.now)
            fingerprints = [(article_id, each.fingerprint) for article_id, each in self._waiting]
            _add_keys(self.connection, fingerprints, self._waiting_keys)
            # `ingest` and `run` put them into the index of full-text search beside their other work.
            self.connection.execute(_QUEUE_TEXT, [{"article_id": article_id} for article_id, _ in self._waiting])
            self._waiting.clear()
            self._waiting_keys.clear()


def _article_ids(connection: Connection, wanted: int) -> Iterator[int]:
    """Return the next ids of articles. On SQLite the transaction holds the write lock, so nobody else takes them."""
    if is_sqlite(connection):
        last = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = 'articles'")).scalar() or 0
        return count(int(last) + 1)
    taken = text("SELECT nextval(pg_get_serial_sequence('articles', 'id')) FROM generate_series(1, :wanted)")
    return iter(connection.execute(taken, {"wanted": wanted}).scalars().all())


def _stored_or_marked(connection: Connection, urls: Sequence[str]) -> set[str]:
    """Return the canonical URLs that have an article already, or a person's decision: their seeds are judged singly."""
    found: set[str] = set()
    for some in batched(map(storable, urls), VALUES_AT_ONCE):
        for column in (ARTICLES.c.canonical_url, MARKS.c.low, MARKS.c.high):
            found.update(connection.execute(select(column).where(column.in_(some))).scalars())
    return found


def _add_keys(
    connection: Connection, fingerprints: Sequence[tuple[int, Fingerprint]], keys: Iterable[tuple[int, int]]
) -> None:
    """Insert the index rows of several articles, given by id, that have none yet.

    `keys` are the pairs of a key and an article to insert: without those that MAX_POSTINGS articles have already.
    """
    connection.execute(_ADD_FINGERPRINT, [index.fingerprint_row(article_id, each) for article_id, each in fingerprints])
    # Sorted, so that neighbouring rows are written together: each page of the index is changed once.
    pairs = sorted(keys)
    if is_sqlite(connection):
        # SQLAlchemy takes longer over the parameters of so many rows than SQLite over the rows.
        connection.exec_driver_sql("INSERT INTO index_keys (key, article_id) VALUES (?, ?)", pairs)
    elif pairs:
        connection.execute(_ADD_PAIRS, {"keys": [key for key, _ in pairs], "articles": [of for _, of in pairs]})
