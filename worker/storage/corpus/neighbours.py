"""Find the stored articles that a new one is compared with: earlier versions, marked pairs, index hits.

The judge compares texts in pairs, which is slow, so the number of neighbours is bounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Executable, Row, bindparam, delete, select, union_all

from worker.errors import StoreError
from worker.models import Article, Fingerprint, Kind, Neighbour
from worker.storage.corpus import index
from worker.storage.corpus.clusters import CURRENT, ClusterTable
from worker.storage.corpus.index import Match
from worker.storage.db.codec import storable
from worker.storage.db.schema import ARTICLES, MARKS
from worker.storage.db.sql import Insert, upsert

# People's decisions about pairs of articles, stored by canonical URL so that they outlive every new judgement.


SAME = "same"
DIFFERENT = "different"
ORIGINAL = "original"
"""A decision about one article, stored as a pair with itself: it is the original of the cluster it is in."""


def _replace_mark(statement: Insert) -> Executable:
    new = statement.excluded
    return statement.on_conflict_do_update(index_elements=["pair"], set_={"decided": new.decided, "at": new.at})


_MARK = upsert(MARKS, _replace_mark)
_MARKS_OF = union_all(
    select(MARKS.c.high.label("other"), MARKS.c.decided, MARKS.c.at).where(
        MARKS.c.low == bindparam("url"), MARKS.c.decided != ORIGINAL
    ),
    select(MARKS.c.low.label("other"), MARKS.c.decided, MARKS.c.at).where(
        MARKS.c.high == bindparam("url"), MARKS.c.decided != ORIGINAL
    ),
).order_by("at", "other")
_ORIGINALS = select(MARKS.c.low, MARKS.c.at).where(
    MARKS.c.decided == ORIGINAL, MARKS.c.low.in_(bindparam("urls", expanding=True))
)


_ANY_ORIGINAL = select(MARKS.c.pair).where(MARKS.c.decided == ORIGINAL).limit(1)


def save_mark(connection: Connection, one: int, other: int, *, decided: str, now: datetime) -> None:
    """Save the decision that two articles are `same` or `different`; it replaces an earlier one.

    Raises StoreError if an id is unknown, or if both ids have the same URL.
    """
    low, high = sorted((canonical_url_of(connection, one), canonical_url_of(connection, other)))
    if low == high:
        raise StoreError(f"articles {one} and {other} are versions of one page: there is nothing to mark")
    _save_pair(connection, low, high, decided, now=now)


def save_original(connection: Connection, url: str, *, of: Collection[str], now: datetime) -> None:
    """Save the decision that a page is the original of its cluster; `of` are the canonical URLs of the cluster.

    It replaces an earlier decision on any of these.
    """
    connection.execute(delete(MARKS).where(MARKS.c.decided == ORIGINAL, MARKS.c.low.in_(sorted(of))))
    _save_pair(connection, url, url, ORIGINAL, now=now)


def delete_mark(connection: Connection, one: int, other: int) -> bool:
    """Delete the decision about two articles; return whether there was one. Raises StoreError if an id is unknown."""
    key = pair_key(canonical_url_of(connection, one), canonical_url_of(connection, other))
    return connection.execute(delete(MARKS).where(MARKS.c.pair == key)).rowcount > 0


def pair_key(one: str, other: str) -> str:
    """Return the key of the mark on two canonical URLs."""
    low, high = sorted((one, other))
    return hashlib.sha256(f"{low} {high}".encode()).hexdigest()


def originals(connection: Connection, urls: Collection[str]) -> dict[str, datetime]:
    """Return which of the canonical URLs a person marked as the original, and when."""
    if connection.execute(_ANY_ORIGINAL).first() is None:
        return {}
    found = connection.execute(_ORIGINALS, {"urls": sorted(urls)})
    return {row.low: row.at for row in found}


def _save_pair(connection: Connection, low: str, high: str, decided: str, *, now: datetime) -> None:
    values = {"pair": pair_key(low, high), "low": low, "high": high, "decided": decided, "at": now}
    connection.execute(_MARK.on(connection), values)


def marks_of(connection: Connection, canonical_url: str) -> dict[str, str]:
    """Return the decisions on pairs with a URL, by the other URL, the latest last."""
    return {row.other: row.decided for row in connection.execute(_MARKS_OF, {"url": canonical_url})}


def canonical_url_of(connection: Connection, article_id: int) -> str:
    """Return the canonical URL of an article; raises StoreError if the id is unknown."""
    url = connection.execute(select(ARTICLES.c.canonical_url).where(ARTICLES.c.id == article_id)).scalar()
    if url is None:
        raise StoreError(f"there is no article {article_id} in the store: take an id that `duplicates` or `why` shows")
    return str(url)


MAX_HITS = 16
"""Index hits compared. Measured: of true pairs in a store, .998 or more meet among the 16 best (docs/dedupe.md)."""
MAX_VERSIONS = 4
"""Earlier versions of the same page compared; chosen, not measured: a page that goes back to an old text is rare."""
MAX_NEIGHBOURS = 32
"""Neighbours in all: each hit with the head of its cluster, so at most about twice MAX_HITS."""

PageVersions = Sequence[Row[int, str, int]]
"""Id, text hash and revision of the newest stored versions of a page, the newest first."""

_VERSIONS = (
    select(ARTICLES.c.id, ARTICLES.c.sha256, ARTICLES.c.revision)
    .where(ARTICLES.c.canonical_url == bindparam("url"))
    .order_by(ARTICLES.c.id.desc())
    .limit(MAX_VERSIONS)
)


def page_versions(connection: Connection, canonical_url: str) -> PageVersions:
    """Return the newest MAX_VERSIONS stored versions of a page."""
    return connection.execute(_VERSIONS, {"url": storable(canonical_url)}).all()


def find_neighbours(
    connection: Connection,
    article: Article,
    fingerprint: Fingerprint,
    *,
    earlier: Sequence[int],
    table: ClusterTable = CURRENT,
    max_hits: int = MAX_HITS,
) -> list[Neighbour]:
    """Return `earlier` versions of the article, pairs marked by people, index hits, and the heads of their clusters.

    In this order, at most MAX_NEIGHBOURS, and only articles that are in a cluster of the `table`.
    """
    hits = {hit.article_id: hit for hit in index.find_near(connection, fingerprint, limit=max_hits)}
    marked = marks_of(connection, storable(article.canonical_url))
    ids = list(dict.fromkeys([*earlier, *_marked_articles(connection, marked), *hits]))
    chosen = table.with_heads(connection, ids)[:MAX_NEIGHBOURS]
    rows = table.rows(connection, chosen)
    marked = {**marked, **_marked_different(article, rows.values(), marked)}
    original = _original_of_each(connection, storable(article.canonical_url), rows.values())
    return [
        _neighbour(row, hits.get(row.id), marked, original) for row in (rows[each] for each in chosen if each in rows)
    ]


def _original_of_each(connection: Connection, url: str, rows: Collection[Row[Any]]) -> dict[str, str]:
    """Return for each stored article's URL which of it and the new article people marked as original most recently."""
    urls = {row.canonical_url for row in rows} - {url}
    marked_at = originals(connection, {url, *urls}) if urls else {}
    if url not in marked_at:
        return dict.fromkeys(marked_at, "stored")
    newest = marked_at[url]
    return {each: "stored" if each in marked_at and marked_at[each] > newest else "article" for each in urls}


def _marked_different(article: Article, rows: Collection[Row[Any]], marked: Mapping[str, str]) -> dict[str, str]:
    """Return the URLs that count as marked different because the latest mark on their cluster is `different`."""
    latest = {row.cluster: decided for url, decided in marked.items() for row in rows if row.canonical_url == url}
    apart = [row for row in rows if latest.get(row.cluster) == DIFFERENT and (row.head or row.canonical_url in marked)]
    return {row.canonical_url: DIFFERENT for row in apart if row.canonical_url != article.canonical_url}


def _marked_articles(connection: Connection, marked: Mapping[str, str]) -> Sequence[int]:
    """Return the ids of articles with a marked URL, the newest first, at most MAX_HITS."""
    if not marked:
        return ()
    query = select(ARTICLES.c.id).where(ARTICLES.c.canonical_url.in_(sorted(marked)))
    return connection.execute(query.order_by(ARTICLES.c.id.desc()).limit(MAX_HITS)).scalars().all()


def _neighbour(row: Row[Any], hit: Match | None, marked: Mapping[str, str], original: Mapping[str, str]) -> Neighbour:
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
