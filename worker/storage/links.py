"""Recognised copies as links to the text their cluster exports, with the figures of the comparison that counts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, case, null, select

from worker.models import Comparison, DuplicateLink, Relation
from worker.storage.codec import verdict_from_json
from worker.storage.tables import ARTICLES, DECISIONS, STANDINGS

KEEPING_BOTH = (Relation.FOLLOWUP, Relation.TEMPLATE, Relation.OVERLAP)
NEVER_HEAD = (Relation.COPY, Relation.CONTAINED)
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
            ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.source, ARTICLES.c.title, ARTICLES.c.fetched_at,
            own.c.head, own.c.relation, own.c.jaccard, own.c.containment, own.c.shared_words,
            head_article.c.id.label("head_id"),
            head_article.c.url.label("head_url"),
            head_article.c.title.label("head_title"),
            head.c.relation.label("head_relation"),
            case((own.c.relation.not_in(NEVER_HEAD) & ~own.c.head, _latest_verdict(head.c.article_id)), else_=null())
            .label("head_verdict"),
        )
        .join(own, own.c.article_id == ARTICLES.c.id)
        .join(towards, towards.c.article_id == target)
        .join(head, (head.c.cluster == towards.c.cluster) & head.c.head)
        .join(head_article, head_article.c.id == head.c.article_id)
        .where(wanted)
        .order_by(ARTICLES.c.id)
    )  # fmt: skip


def link_from(row: Row[Any]) -> DuplicateLink:
    """Return the link in one row of `links`.

    An article that was head until a fuller or newer text came is linked by the comparison that text won with.
    """
    relation = Relation(row.relation)
    figures: Row[Any] | Comparison = row
    if row.head_verdict is not None:
        won = _comparison_with(row.id, row.head_verdict)
        if won is not None:
            relation, figures = SEEN_FROM_THE_OTHER_SIDE.get(won.relation, won.relation), won
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
    )


def _latest_verdict(article_id: Any) -> Any:
    newest = select(DECISIONS.c.verdict).where(DECISIONS.c.article_id == article_id)
    return newest.order_by(DECISIONS.c.id.desc()).limit(1).scalar_subquery()


def _comparison_with(article_id: int, verdict: str) -> Comparison | None:
    decided = verdict_from_json(verdict)
    made = [decided.best, *decided.considered]
    return next((each for each in made if each is not None and each.article == article_id), None)
