"""Lets texts meet as they do in the worker, without the ledger around: fingerprint, index rows, neighbours, judge."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import create_engine

from tests.bench.articles import Piece
from worker.dedupe.judge import Deduper
from worker.models import Article, Kind, Neighbour, Verdict
from worker.storage.corpus import index
from worker.storage.db.schema import METADATA

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOST_HITS = 16


class Corpus:
    """Stored articles and their index, in memory; every article is the head of its own cluster."""

    def __init__(self, deduper: Deduper | None = None, *, kind: Kind = Kind.ARTICLE) -> None:
        self.deduper = deduper or Deduper()
        self._kind = kind
        self._pieces: list[Piece] = []
        engine = create_engine("sqlite://")
        METADATA.create_all(engine, tables=[index.INDEX_KEYS, index.FINGERPRINTS])
        self._connection = engine.connect()

    def add(self, piece: Piece) -> int:
        """Store an article and return its id."""
        self._pieces.append(piece)
        number = len(self._pieces) - 1
        index.add(self._connection, number, self.deduper.fingerprint(as_article(piece)))
        return number

    def piece(self, number: int) -> Piece:
        """Return a stored article by its id."""
        return self._pieces[number]

    def near(self, piece: Piece) -> list[Neighbour]:
        """Return the stored articles that share index keys with an article."""
        print_of = self.deduper.fingerprint(as_article(piece))
        hits = index.find_near(self._connection, print_of, limit=MOST_HITS)
        found = [as_neighbour(self._pieces[hit.article_id], number=hit.article_id) for hit in hits]
        return [replace(each, kind=self._kind) for each in found]

    def judge(self, piece: Piece, neighbours: Sequence[Neighbour] | None = None) -> Verdict:
        """Return what an article is to the stored ones."""
        article = as_article(piece)
        found = self.near(piece) if neighbours is None else neighbours
        return self.deduper.judge(article, self.deduper.fingerprint(article), found)


def met(newcomer: Piece, stored: Piece, deduper: Deduper) -> Verdict:
    """Return what a newcomer is to one stored article, whether or not the index would have brought them together."""
    article = as_article(newcomer)
    return deduper.judge(article, deduper.fingerprint(article), [as_neighbour(stored, number=1)])


def as_article(piece: Piece, *, host: str = "one.example") -> Article:
    """Return an article as the extractor would have handed it on."""
    return Article(
        url=f"https://{host}/{piece.key}",
        canonical_url=f"https://{host}/{piece.key}",
        source="bench",
        host=host,
        title=piece.title,
        text=piece.text,
        language="vi",
        fetched_at=NOW,
        words=len(piece.text.split()),
        sha256=hashlib.sha256(piece.text.encode()).hexdigest(),
        published_at=piece.published_at,
    )


def as_neighbour(piece: Piece, *, number: int, host: str = "two.example") -> Neighbour:
    """Return a stored article that is the head of its own cluster."""
    return Neighbour(
        id=number,
        cluster=number,
        head=True,
        kind=Kind.ARTICLE,
        url=f"https://{host}/{number}",
        canonical_url=f"https://{host}/{number}",
        source="bench",
        host=host,
        title=piece.title,
        text=piece.text,
        published_at=piece.published_at,
        fetched_at=NOW,
    )
