"""Articles extracted from one page more than once: the newest counts, in the place of the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select

from worker.models import Comparison, Relation, Verdict
from worker.storage.tables import ARTICLES

EXTRACTED_AGAIN = "extracted again"
"""The rule by which an article stands behind a newer one of the same page."""

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_OTHER = ARTICLES.alias("other")
_OF_ONE_PAGE = (
    select(ARTICLES.c.id, _OTHER.c.id.label("other"))
    .join(_OTHER, (_OTHER.c.candidate_id == ARTICLES.c.candidate_id) & (_OTHER.c.page_id == ARTICLES.c.page_id))
    .where(ARTICLES.c.id.in_(_IDS))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The articles of one page, as ids: `first` gives the place in the order of arrival, `newest` is what counts."""

    first: int
    newest: int


def places(connection: Connection, ids: Iterable[int]) -> dict[int, Place]:
    """Return the place of each article, by its id."""
    asked = sorted(set(ids))
    found = {each: {each} for each in asked}
    for row in connection.execute(_OF_ONE_PAGE, {"ids": asked}):
        found[row.id].add(row.other)
    return {each: Place(first=min(same), newest=max(same)) for each, same in found.items()}


def behind(newest: int, against: Sequence[Comparison]) -> Verdict:
    """Return the verdict on an article that a newer one of the same page replaces, with the figures between the two."""
    figures = next((each for each in against if each.article == newest), None) or Comparison(
        article=newest, relation=Relation.REVISION, rule=EXTRACTED_AGAIN, jaccard=0.0, containment=0.0, shared_words=0
    )
    best = replace(figures, relation=Relation.REVISION, rule=EXTRACTED_AGAIN)
    return Verdict(relation=Relation.REVISION, head=False, best=best, considered=(best,))
