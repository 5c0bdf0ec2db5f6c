"""Says of stored articles, as the database sees them, what state the candidates they were made of have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from worker.models import Relation, State, Verdict
from worker.storage.tables import DECISIONS, STANDINGS

_NOT_HEAD = '%"head":false%'
"""What a verdict says, as the codec writes it, where the newcomer did not become the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The articles of one relation and state, as a query of their ids."""

    relation: Relation
    state: State
    articles: Select[Any]


def standings() -> Iterator[Standing]:
    """Yield every relation with the state it gives; a longer text that did not become the head is a duplicate."""
    for relation in Relation:
        articles = select(STANDINGS.c.article_id).where(STANDINGS.c.relation == relation)
        taken, refused = (Verdict(relation=relation, head=head).state for head in (True, False))
        if taken is refused:
            yield Standing(relation=relation, state=taken, articles=articles)
            continue
        is_refused = ~STANDINGS.c.head & latest_verdict_of(STANDINGS.c.article_id).like(_NOT_HEAD)
        yield Standing(relation=relation, state=refused, articles=articles.where(is_refused))
        yield Standing(relation=relation, state=taken, articles=articles.where(~is_refused))


def latest_verdict_of(article_id: Any) -> Any:
    """Return the latest verdict on an article, as JSON, for use in a query."""
    newest = select(DECISIONS.c.verdict).where(DECISIONS.c.article_id == article_id)
    return newest.order_by(DECISIONS.c.id.desc()).limit(1).scalar_subquery()
