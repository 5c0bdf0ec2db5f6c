"""Recognised copies as links to the text their cluster exports, with the figures of the comparison that counts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, case, null, select

from worker.models import Comparison, DuplicateLink, Relation, came_out
from worker.storage.codec import verdict_from_json
from worker.storage.marks import ORIGINAL
from worker.storage.states import latest_verdict_of
from worker.storage.tables import ARTICLES, MARKS, STANDINGS

KEEPING_BOTH = (Relation.FOLLOWUP, Relation.TEMPLATE, Relation.OVERLAP)
NEVER_HEAD = (Relation.COPY, Relation.CONTAINED)
_MEMBERS = select(
    STANDINGS.c.cluster, ARTICLES.c.id, ARTICLES.c.canonical_url, ARTICLES.c.host,
    ARTICLES.c.published_at, ARTICLES.c.published_at_from, ARTICLES.c.fetched_at,
).join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)  # fmt: skip
SEEN_FROM_THE_OTHER_SIDE = {Relation.CONTAINS: Relation.CONTAINED, Relation.CONTAINED: Relation.CONTAINS}


def links(*, that_keep_both: bool) -> Select[Any]:
    """Return the query of every linked article with the head it is linked to, ordered by id."""
    towards, head, head_article = STANDINGS.alias("towards"), STANDINGS.alias("head"), ARTICLES.alias("head_article")
    own = STANDINGS
    target = case((own.c.head, own.c.judged_against), else_=own.c.cluster)
    wanted = ~own.c.head
    if that_keep_both:
        wanted |= own.c.relation.in_(KEEPING_BOTH)
    return (
        select(
            ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.source, ARTICLES.c.title,
            ARTICLES.c.fetched_at, ARTICLES.c.published_at,
            own.c.head, own.c.relation, own.c.jaccard, own.c.containment, own.c.shared_words,
            latest_verdict_of(own.c.article_id).label("own_verdict"),
            head_article.c.id.label("head_id"),
            head_article.c.url.label("head_url"),
            head_article.c.title.label("head_title"),
            head_article.c.host.label("head_host"),
            head_article.c.fetched_at.label("head_fetched_at"),
            head_article.c.published_at.label("head_published_at"),
            head.c.cluster.label("head_cluster"),
            head.c.relation.label("head_relation"),
            case((own.c.relation.not_in(NEVER_HEAD) & ~own.c.head, latest_verdict_of(head.c.article_id)), else_=null())
            .label("head_verdict"),
        )
        .join(own, own.c.article_id == ARTICLES.c.id)
        .join(towards, towards.c.article_id == target)
        .join(head, (head.c.cluster == towards.c.cluster) & head.c.head)
        .join(head_article, head_article.c.id == head.c.article_id)
        .where(wanted)
        .order_by(ARTICLES.c.id)
    )  # fmt: skip


def first_hosts(connection: Connection) -> dict[int, str]:
    """Return where the text of each cluster of several articles came out first."""
    several = select(STANDINGS.c.cluster).where(~STANDINGS.c.head)
    told = {row.low for row in connection.execute(select(MARKS.c.low).where(MARKS.c.decided == ORIGINAL))}
    first: dict[int, tuple[bool, datetime, int, str]] = {}
    for row in connection.execute(_MEMBERS.where(STANDINGS.c.cluster.in_(several))):
        since = came_out(row.published_at, row.published_at_from, fetched_at=row.fetched_at)
        place = (row.canonical_url not in told, since, row.id, row.host)
        first[row.cluster] = min(place, first.get(row.cluster, place))
    return {cluster: host for cluster, (*_, host) in first.items()}


def link_from(row: Row[Any], firsts: Mapping[int, str]) -> DuplicateLink:
    """Return the link in one row of `links`; `firsts` is what `first_hosts` gives.

    An article that was head until a fuller or newer text came is linked by the comparison that text won with.
    """
    relation = Relation(row.relation)
    figures: Row[Any] | Comparison = row
    own = verdict_from_json(row.own_verdict).best if row.own_verdict is not None else None
    probability = own.probability if own else None
    if row.head_verdict is not None:
        won = _comparison_with(row.id, row.head_verdict)
        if won is not None:
            relation, figures = SEEN_FROM_THE_OTHER_SIDE.get(won.relation, won.relation), won
            probability = won.probability
        elif relation in {Relation.UNIQUE, *KEEPING_BOTH}:
            winner = Relation(row.head_relation)
            relation = SEEN_FROM_THE_OTHER_SIDE.get(winner, winner)
    return DuplicateLink(
        id=row.id,
        url=row.url,
        source=row.source,
        title=row.title,
        fetched_at=row.fetched_at,
        duplicate_of=row.head_id,
        duplicate_of_url=row.head_url,
        duplicate_of_title=row.head_title,
        relation=relation,
        jaccard=figures.jaccard,
        containment=figures.containment,
        shared_words=figures.shared_words,
        published_at=row.published_at,
        duplicate_of_published_at=row.head_published_at,
        duplicate_of_fetched_at=row.head_fetched_at,
        first_host=firsts.get(row.head_cluster, row.head_host),
        probability=probability,
    )


def _comparison_with(article_id: int, verdict: str) -> Comparison | None:
    decided = verdict_from_json(verdict)
    made = [decided.best, *decided.considered]
    return next((each for each in made if each is not None and each.article == article_id), None)
