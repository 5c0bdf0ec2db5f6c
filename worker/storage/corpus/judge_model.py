"""The judge's data in a store: fitted weights, the parameters of its verdicts, labelled pairs and unsure pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from sqlalchemy import Connection, func, select

from worker.models import Article, Relation
from worker.storage.corpus.views import article_from
from worker.storage.db.codec import verdict_from_json
from worker.storage.db.migrate import read_meta, write_meta
from worker.storage.db.schema import ARTICLES, DECISIONS, MARKS

WEIGHTS: Final = "taught weights"
TERMS: Final = "judged by"
"""Keys of the `meta` table; they are in existing stores, so they stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsurePair:
    """Two articles about which the judge was unsure: the probability, the decision, their titles and URLs."""

    article: int
    other: int
    probability: float
    relation: Relation
    title: str = ""
    other_title: str = ""
    url: str = ""
    other_url: str = ""


def weights(connection: Connection) -> str | None:
    """Return the weights fitted to this store's labels as JSON, None if it has none of its own."""
    return read_meta(connection, WEIGHTS)


def save_weights(connection: Connection, text: str) -> None:
    """Save the weights fitted to this store's labels."""
    write_meta(connection, WEIGHTS, text)


def terms(connection: Connection) -> str | None:
    """Return the judge's parameters by which the stored verdicts were made, None if they are unknown."""
    return read_meta(connection, TERMS)


def save_first_terms(connection: Connection, text: str) -> None:
    """Save the judge's parameters in a store without articles; do nothing in any other."""
    if connection.execute(select(ARTICLES.c.id).limit(1)).first() is None:
        write_meta(connection, TERMS, text)


def save_terms(connection: Connection, text: str) -> None:
    """Save the judge's parameters after every article was judged by them."""
    write_meta(connection, TERMS, text)


def marked_pairs(connection: Connection) -> Iterator[tuple[Article, Article, str]]:
    """Yield each pair marked by a person: the newest articles of both URLs, and the decision."""
    for mark in connection.execute(select(MARKS).order_by(MARKS.c.pair)).all():
        one, other = _newest(connection, mark.low), _newest(connection, mark.high)
        if one is not None and other is not None:
            yield one, other, mark.decided


def _newest(connection: Connection, url: str) -> Article | None:
    """Return the newest article with a canonical URL, None if none is stored any more."""
    query = select(ARTICLES).where(ARTICLES.c.canonical_url == url).order_by(ARTICLES.c.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else article_from(row)


def unsure_pairs(connection: Connection, *, merge_at: float, limit: int) -> list[UnsurePair]:
    """Return at most `limit` unmarked pairs whose probability is nearest to `merge_at`, the nearest first."""
    newest = select(func.max(DECISIONS.c.id)).group_by(DECISIONS.c.article_id)
    rows = connection.execute(select(DECISIONS.c.article_id, DECISIONS.c.verdict).where(DECISIONS.c.id.in_(newest)))
    # Twice as many as wanted, because marked pairs and deleted articles drop out below.
    nearest = nsmallest(2 * limit, _compared(rows), key=lambda each: (abs(each.probability - merge_at), each.article))
    marked = {frozenset((row.low, row.high)) for row in connection.execute(select(MARKS.c.low, MARKS.c.high))}
    ids = {number for each in nearest for number in (each.article, each.other)}
    columns = (ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.canonical_url, ARTICLES.c.title)
    known = {row.id: row for row in connection.execute(select(*columns).where(ARTICLES.c.id.in_(ids)))}
    found = []
    for each in nearest:
        one, other = known.get(each.article), known.get(each.other)
        if one and other and frozenset((one.canonical_url, other.canonical_url)) not in marked:
            found.append(
                UnsurePair(
                    article=one.id, other=other.id, probability=each.probability, relation=each.relation,
                    title=one.title, other_title=other.title, url=one.url, other_url=other.url,
                )
            )  # fmt: skip
    return found[:limit]


def _compared(rows: object) -> Iterator[UnsurePair]:
    """Yield every pair with a probability in the verdicts of these rows, without titles and URLs."""
    for row in rows:  # type: ignore[attr-defined]
        for each in verdict_from_json(row.verdict).considered:
            if each.probability is not None:
                yield UnsurePair(
                    article=row.article_id, other=each.article, probability=each.probability, relation=each.relation
                )
