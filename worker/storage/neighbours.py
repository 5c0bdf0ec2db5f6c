"""Which stored articles a newcomer has to be compared with, and everything judging needs of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, select

from worker.models import Article, Fingerprint, Kind, Neighbour
from worker.storage import index
from worker.storage.codec import clean
from worker.storage.dialect import is_sqlite
from worker.storage.index import Hit
from worker.storage.marks import marks_of
from worker.storage.tables import ARTICLES, STANDINGS

MOST_HITS = 16
MOST_VERSIONS = 4
MOST_NEIGHBOURS = 32

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_VERSIONS = (
    select(ARTICLES.c.id, ARTICLES.c.sha256, ARTICLES.c.revision)
    .where(ARTICLES.c.canonical_url == bindparam("url"))
    .order_by(ARTICLES.c.id.desc())
    .limit(MOST_VERSIONS)
)
_CLUSTERS = select(STANDINGS.c.article_id, STANDINGS.c.cluster).where(STANDINGS.c.article_id.in_(_IDS))
_LOCK_FOUNDERS = (
    select(STANDINGS.c.article_id)
    .where(STANDINGS.c.article_id.in_(_IDS))
    .order_by(STANDINGS.c.article_id)
    .with_for_update()
)
_HEADS = select(STANDINGS.c.cluster, STANDINGS.c.article_id).where(STANDINGS.c.cluster.in_(_IDS), STANDINGS.c.head)
_NEIGHBOURS = (
    select(ARTICLES, STANDINGS.c.cluster, STANDINGS.c.head)
    .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    .where(ARTICLES.c.id.in_(_IDS))
)


def versions(connection: Connection, canonical_url: str) -> Sequence[Row[int, str, int]]:
    """Return id, text hash and number of the newest versions of a page that are stored, the newest first."""
    return connection.execute(_VERSIONS, {"url": clean(canonical_url)}).all()


def gather(
    connection: Connection,
    article: Article,
    fingerprint: Fingerprint,
    *,
    earlier: Sequence[int],
    leave_out: int | None = None,
) -> list[Neighbour]:
    """Return `earlier` versions of the article, what people marked, index hits, and the heads of their clusters.

    At most MOST_NEIGHBOURS, the most telling first. `leave_out` is an article that must not meet itself.
    """
    hits = {hit.article_id: hit for hit in index.near(connection, fingerprint, limit=MOST_HITS)}
    marked = marks_of(connection, clean(article.canonical_url))
    ids = [*earlier, *_marked_articles(connection, marked), *hits]
    found = [each for each in dict.fromkeys(ids) if each != leave_out]
    with_heads = _with_heads(connection, found)
    chosen = [each for each in with_heads if each != leave_out][:MOST_NEIGHBOURS]
    rows = _rows(connection, chosen)
    return [_neighbour(rows[each], hits.get(each), marked) for each in chosen if each in rows]


def _marked_articles(connection: Connection, marked: Mapping[str, str]) -> Sequence[int]:
    if not marked:
        return ()
    theirs = select(ARTICLES.c.id).where(ARTICLES.c.canonical_url.in_(sorted(marked)))
    return connection.execute(theirs.order_by(ARTICLES.c.id.desc()).limit(MOST_HITS)).scalars().all()


def _with_heads(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Return the ids with the head of each one's cluster before it, each once."""
    if not ids:
        return []
    own = connection.execute(_CLUSTERS, {"ids": ids}).all()
    cluster_of = {row.article_id: row.cluster for row in own}
    heads = _heads(connection, set(cluster_of.values()))
    pairs = [(heads.get(cluster_of[each], each), each) for each in ids if each in cluster_of]
    return list(dict.fromkeys(one for pair in pairs for one in pair))


def _heads(connection: Connection, clusters: Iterable[int]) -> dict[int, int]:
    # The founders' rows stand for their clusters: whoever changes a head holds the founder first, so the statement
    # after this lock reads heads nobody else can change before this transaction ends.
    founders = {"ids": sorted(clusters)}
    if not is_sqlite(connection):
        connection.execute(_LOCK_FOUNDERS, founders).all()
    return {row.cluster: row.article_id for row in connection.execute(_HEADS, founders)}


def _rows(connection: Connection, ids: Sequence[int]) -> dict[int, Row[Any]]:
    return {row.id: row for row in connection.execute(_NEIGHBOURS, {"ids": ids})} if ids else {}


def _neighbour(row: Row[Any], hit: Hit | None, marked: Mapping[str, str]) -> Neighbour:
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
        fetched_at=row.fetched_at,
        shared_bands=hit.shared_bands if hit else 0,
        shared_anchors=hit.shared_anchors if hit else 0,
        marked=marked.get(row.canonical_url, ""),
    )
