"""Clusters: which article is in which, which one is exported, and how a new verdict changes that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
from worker.storage.db.schema import ARTICLES, DECISIONS, STANDINGS, Values
from worker.storage.db.sql import among, is_sqlite

JOINING = frozenset({Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION})
"""Relations that put an article into the cluster of the one it was judged against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTable:
    """The statements on one table of standings: the one that holds, or the one a new judgement of all is made in."""

    clusters: Select[Any]
    founders: Select[Any]
    heads: Select[Any]
    articles: Select[Any]
    cluster: Select[Any]
    add: Executable
    step_down: Executable

    def with_heads(self, connection: Connection, ids: Sequence[int]) -> list[int]:
        """Return the ids that stand anywhere, with the head of each one's cluster before it, each once."""
        if not ids:
            return []
        cluster_of = {row.article_id: row.cluster for row in connection.execute(self.clusters, {"ids": ids})}
        heads = self._heads(connection, set(cluster_of.values()))
        pairs = [(heads.get(cluster_of[each], each), each) for each in ids if each in cluster_of]
        return list(dict.fromkeys(one for pair in pairs for one in pair))

    def rows(self, connection: Connection, ids: Sequence[int]) -> dict[int, Row[Any]]:
        """Return articles with their cluster and whether they are its head, by id."""
        return {row.id: row for row in connection.execute(self.articles, {"ids": ids})} if ids else {}

    def stand(self, connection: Connection, article_id: int, verdict: Verdict, *, also: Values | None = None) -> None:
        """Write where an article stands; where it becomes the head of a cluster, the old head steps down.

        `also` holds columns that only this table has.
        """
        cluster = article_id
        if verdict.relation in JOINING and verdict.best is not None:
            cluster = connection.execute(self.cluster, {"article": verdict.best.article}).scalar_one()
        head = cluster == article_id or verdict.head
        if cluster != article_id and head:
            connection.execute(self.step_down, {"of": cluster})
        place = {"article_id": article_id, "cluster": cluster, "head": head}
        connection.execute(self.add, {**place, **_figures(verdict), **(also or {})})

    def _heads(self, connection: Connection, clusters: Iterable[int]) -> dict[int, int]:
        # The founders' rows stand for their clusters: whoever changes a head holds the founder first, so the
        # statement after this lock reads heads nobody else can change before this transaction ends.
        founders = {"ids": sorted(clusters)}
        if not is_sqlite(connection):
            connection.execute(self.founders, founders).all()
        return {row.cluster: row.article_id for row in connection.execute(self.heads, founders)}


def cluster_table(table: Table) -> ClusterTable:
    """Return the statements on a table of standings, each made once."""
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
        step_down=update(table).where(of.cluster == bindparam("of"), of.head).values(head=False),
    )


CURRENT = cluster_table(STANDINGS)
"""The standings that hold."""


def _figures(verdict: Verdict) -> Values:
    """Return the figures of the verdict that standings repeat, for listing."""
    best = verdict.best
    return {
        "relation": verdict.relation,
        "judged_against": best.article if best else None,
        "jaccard": best.jaccard if best else 0.0,
        "containment": best.containment if best else 0.0,
        "shared_words": best.shared_words if best else 0,
    }


# Says of stored articles, as the database sees them, what state the candidates they were made of have.


_NOT_HEAD = '%"head":false%'
"""What a verdict says, as the codec writes it, where the newcomer did not become the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationState:
    """The articles of one relation and state, as a query of their ids."""

    relation: Relation
    state: State
    articles: Select[Any]


def relation_states() -> Iterator[RelationState]:
    """Yield every relation with the state it gives; a longer text that did not become the head is a duplicate."""
    for relation in Relation:
        articles = select(STANDINGS.c.article_id).where(STANDINGS.c.relation == relation)
        taken, refused = (Verdict(relation=relation, head=head).state for head in (True, False))
        if taken is refused:
            yield RelationState(relation=relation, state=taken, articles=articles)
            continue
        is_refused = ~STANDINGS.c.head & last_verdict_json(STANDINGS.c.article_id).like(_NOT_HEAD)
        yield RelationState(relation=relation, state=refused, articles=articles.where(is_refused))
        yield RelationState(relation=relation, state=taken, articles=articles.where(~is_refused))


def last_verdict_json(article_id: Any) -> Any:
    """Return the latest verdict on an article, as JSON, for use in a query."""
    newest = select(DECISIONS.c.verdict).where(DECISIONS.c.article_id == article_id)
    return newest.order_by(DECISIONS.c.id.desc()).limit(1).scalar_subquery()
