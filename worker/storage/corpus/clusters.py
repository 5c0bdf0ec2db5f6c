"""Clusters of copies: which article is in which, which one is exported, and how a new verdict changes that.

A cluster is named by the id of its first article (its founder). Its head is the article that is exported. The table is
called `standings`; a new judgement of the whole store fills a second table of the same shape, so every statement here
is built for a given table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Row,
    Select,
    Table,
    bindparam,
    insert,
    select,
    update,
)

from worker.models import Relation, State, Verdict
from worker.models.base import dataclass
from worker.storage.db.schema import ARTICLES, DECISIONS, STANDINGS, Values
from worker.storage.db.sql import among, is_sqlite

JOINING = frozenset({Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION})
"""Relations that put an article into the cluster of the article it was judged against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTable:
    """The statements on one table of clusters: the current one, or the draft of a new judgement of the whole store."""

    clusters: Select[Any]
    founders: Select[Any]
    heads: Select[Any]
    articles: Select[Any]
    cluster: Select[Any]
    add: Executable
    demote_head: Executable

    def with_heads(self, connection: Connection, ids: Sequence[int]) -> list[int]:
        """Return the ids that are in a cluster, each once, with the head of its cluster before it.

        On PostgreSQL the founders of the clusters are locked, so that the heads cannot change until the commit.
        """
        if not ids:
            return []
        cluster_of = {row.article_id: row.cluster for row in connection.execute(self.clusters, {"ids": ids})}
        heads = self._heads(connection, set(cluster_of.values()))
        pairs = [(heads.get(cluster_of[each], each), each) for each in ids if each in cluster_of]
        return list(dict.fromkeys(one for pair in pairs for one in pair))

    def rows(self, connection: Connection, ids: Sequence[int]) -> dict[int, Row[Any]]:
        """Return the rows of articles by id, each with its cluster and whether it is the head."""
        return {row.id: row for row in connection.execute(self.articles, {"ids": ids})} if ids else {}

    def assign(self, connection: Connection, article_id: int, verdict: Verdict, *, extra: Values | None = None) -> None:
        """Put a new article into its cluster; if it becomes the head, the old head is demoted.

        `extra` holds columns that only this table has.
        """
        cluster = article_id
        if verdict.relation in JOINING and verdict.best is not None:
            cluster = connection.execute(self.cluster, {"article": verdict.best.article}).scalar_one()
        head = cluster == article_id or verdict.head
        if cluster != article_id and head:
            connection.execute(self.demote_head, {"of": cluster})
        values = {"article_id": article_id, "cluster": cluster, "head": head}
        connection.execute(self.add, {**values, **_similarity_values(verdict), **(extra or {})})

    def found(self, connection: Connection, ids: Sequence[int]) -> None:
        """Put new articles without a neighbour into a cluster of their own each."""
        alone = _similarity_values(Verdict(relation=Relation.UNIQUE, head=True))
        connection.execute(self.add, [{"article_id": each, "cluster": each, "head": True, **alone} for each in ids])

    def _heads(self, connection: Connection, clusters: Iterable[int]) -> dict[int, int]:
        """Return the head of each cluster, locking the clusters on PostgreSQL."""
        # The founder's row is the lock of its cluster: every transaction that changes a head locks the founder first.
        # So the heads read after this lock cannot change before this transaction ends.
        ids = {"ids": sorted(clusters)}
        if not is_sqlite(connection):
            connection.execute(self.founders, ids).all()
        return {row.cluster: row.article_id for row in connection.execute(self.heads, ids)}


def cluster_table(table: Table) -> ClusterTable:
    """Return the statements on a table of clusters; call it once a table, since building them is slow."""
    of = table.c
    return ClusterTable(
        clusters=select(of.article_id, of.cluster).where(among(of.article_id, "ids")),
        founders=select(of.article_id).where(among(of.article_id, "ids")).order_by(of.article_id).with_for_update(),
        heads=select(of.cluster, of.article_id).where(among(of.cluster, "ids"), of.head),
        articles=select(ARTICLES, of.cluster, of.head)
        .join(table, of.article_id == ARTICLES.c.id)
        .where(among(ARTICLES.c.id, "ids")),
        cluster=select(of.cluster).where(of.article_id == bindparam("article")),
        add=insert(table),
        demote_head=update(table).where(of.cluster == bindparam("of"), of.head).values(head=False),
    )


CURRENT = cluster_table(STANDINGS)
"""The clusters that hold now."""


def _similarity_values(verdict: Verdict) -> Values:
    """Return the similarity of the deciding comparison, stored beside the cluster so that lists need no verdicts."""
    best = verdict.best
    return {
        "relation": verdict.relation,
        "judged_against": best.article if best else None,
        "jaccard": best.jaccard if best else 0.0,
        "containment": best.containment if best else 0.0,
        "shared_words": best.shared_words if best else 0,
    }


# The state that a candidate has by the relation of its article, as conditions for queries.


_NOT_HEAD_JSON = '%"head":false%'
"""A pattern for verdicts, as the codec writes them, by which the article did not become the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationState:
    """One relation with a state it leads to, and the query for the ids of the articles that have both."""

    relation: Relation
    state: State
    articles: Select[Any]


def relation_states() -> Iterator[RelationState]:
    """Yield every relation with the state it leads to.

    A relation whose state depends on whether the article became the head is yielded twice: a longer text that did not
    become the head is a duplicate.
    """
    for relation in Relation:
        articles = select(STANDINGS.c.article_id).where(STANDINGS.c.relation == relation)
        as_head, otherwise = (Verdict(relation=relation, head=head).state for head in (True, False))
        if as_head is otherwise:
            yield RelationState(relation=relation, state=as_head, articles=articles)
            continue
        is_not_head = ~STANDINGS.c.head & last_verdict_json(STANDINGS.c.article_id).like(_NOT_HEAD_JSON)
        yield RelationState(relation=relation, state=otherwise, articles=articles.where(is_not_head))
        yield RelationState(relation=relation, state=as_head, articles=articles.where(~is_not_head))


def last_verdict_json(article_id: Any) -> Any:
    """Return the subquery for the latest verdict on an article, as JSON."""
    newest = select(DECISIONS.c.verdict).where(DECISIONS.c.article_id == article_id)
    return newest.order_by(DECISIONS.c.id.desc()).limit(1).scalar_subquery()
