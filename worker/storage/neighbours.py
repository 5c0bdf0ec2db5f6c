"""Which stored articles a newcomer has to be compared with, and everything judging needs of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from worker.models import Article, Fingerprint, Kind, Neighbour
from worker.storage import index
from worker.storage.codec import clean
from worker.storage.index import Hit
from worker.storage.marks import DIFFERENT, marks_of, originals
from worker.storage.standings import HOLDING, StandingBook
from worker.storage.tables import ARTICLES

MOST_HITS = 16
MOST_VERSIONS = 4
MOST_NEIGHBOURS = 32

Versions = Sequence[Row[int, str, int]]
"""Id, text hash and number of the newest versions of a page that are stored, the newest first."""

_VERSIONS = (
    select(ARTICLES.c.id, ARTICLES.c.sha256, ARTICLES.c.revision)
    .where(ARTICLES.c.canonical_url == bindparam("url"))
    .order_by(ARTICLES.c.id.desc())
    .limit(MOST_VERSIONS)
)


def versions(connection: Connection, canonical_url: str) -> Versions:
    """Return the newest versions of a page that are stored."""
    return connection.execute(_VERSIONS, {"url": clean(canonical_url)}).all()


def gather(
    connection: Connection,
    article: Article,
    fingerprint: Fingerprint,
    *,
    earlier: Sequence[int],
    book: StandingBook = HOLDING,
    most_hits: int = MOST_HITS,
) -> list[Neighbour]:
    """Return `earlier` versions of the article, what people marked, index hits, and the heads of their clusters.

    At most MOST_NEIGHBOURS, the most telling first; only articles that stand somewhere in the `book`.
    """
    hits = {hit.article_id: hit for hit in index.near(connection, fingerprint, limit=most_hits)}
    marked = marks_of(connection, clean(article.canonical_url))
    ids = list(dict.fromkeys([*earlier, *_marked_articles(connection, marked), *hits]))
    chosen = book.with_heads(connection, ids)[:MOST_NEIGHBOURS]
    rows = book.rows(connection, chosen)
    marked = {**marked, **_told_apart(article, rows.values(), marked)}
    original = _originals(connection, clean(article.canonical_url), rows.values())
    return [
        _neighbour(row, hits.get(row.id), marked, original) for row in (rows[each] for each in chosen if each in rows)
    ]


def _originals(connection: Connection, url: str, rows: Collection[Row[Any]]) -> dict[str, str]:
    """Return which of the newcomer and a stored article is the original by the latest word, by the latter's URL."""
    urls = {row.canonical_url for row in rows} - {url}
    told = originals(connection, {url, *urls}) if urls else {}
    if url not in told:
        return dict.fromkeys(told, "stored")
    return {each: "stored" if each in told and told[each] > told[url] else "newcomer" for each in urls}


def _told_apart(article: Article, rows: Collection[Row[Any]], marked: Mapping[str, str]) -> dict[str, str]:
    """Return what is different because the latest word about its cluster says so of another article in it."""
    latest = {row.cluster: word for url, word in marked.items() for row in rows if row.canonical_url == url}
    apart = [row for row in rows if latest.get(row.cluster) == DIFFERENT and (row.head or row.canonical_url in marked)]
    return {row.canonical_url: DIFFERENT for row in apart if row.canonical_url != article.canonical_url}


def _marked_articles(connection: Connection, marked: Mapping[str, str]) -> Sequence[int]:
    if not marked:
        return ()
    theirs = select(ARTICLES.c.id).where(ARTICLES.c.canonical_url.in_(sorted(marked)))
    return connection.execute(theirs.order_by(ARTICLES.c.id.desc()).limit(MOST_HITS)).scalars().all()


def _neighbour(row: Row[Any], hit: Hit | None, marked: Mapping[str, str], original: Mapping[str, str]) -> Neighbour:
    return Neighbour(
        id=row.id,
        cluster=row.cluster,
        head=row.head,
        kind=Kind(row.kind),
        url=row.url,
        canonical_url=row.canonical_url,
        source=row.source,
        host=row.host,
        title=row.title,
        text=row.text,
        published_at=row.published_at,
        published_at_from=row.published_at_from,
        fetched_at=row.fetched_at,
        shared_bands=hit.shared_bands if hit else 0,
        shared_anchors=hit.shared_anchors if hit else 0,
        marked=marked.get(row.canonical_url, ""),
        original=original.get(row.canonical_url, ""),
    )
