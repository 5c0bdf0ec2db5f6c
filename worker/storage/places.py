"""Articles extracted from one page more than once: the newest counts, in the place of the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select

from worker.models import Comparison, Relation, Verdict
from worker.storage.tables import ARTICLES

EXTRACTED_AGAIN = "extracted again"
"""The rule by which an article stands behind a newer one of the same page."""

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_OTHER = ARTICLES.alias("other")
_OF_ONE_CANDIDATE = (
    select(ARTICLES.c.id, _OTHER.c.id.label("other"), _OTHER.c.page_id)
    .join(_OTHER, _OTHER.c.candidate_id == ARTICLES.c.candidate_id)
    .where(ARTICLES.c.id.in_(_IDS), ARTICLES.c.page_id.is_not(None))
    .order_by(ARTICLES.c.id, _OTHER.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The articles of one page, as ids: `first` gives the place in the order of arrival, `newest` is what counts."""

    first: int
    newest: int


def places(connection: Connection, ids: Iterable[int]) -> dict[int, Place]:
    """Return the place of each article, by its id."""
    asked = sorted(set(ids))
    found = {each: Place(first=each, newest=each) for each in asked}
    made = connection.execute(_OF_ONE_CANDIDATE, {"ids": asked})
    for article_id, versions in groupby(made, key=lambda row: row.id):
        # A page that came back after another one is a new version, not an old one extracted again.
        runs = (tuple(run) for _, run in groupby(versions, key=lambda row: row.page_id))
        same = next(run for run in ([row.other for row in run] for run in runs) if article_id in run)
        found[article_id] = Place(first=same[0], newest=same[-1])
    return found


def behind(newest: int, against: Sequence[Comparison]) -> Verdict:
    """Return the verdict on an article that a newer one of the same page replaces, with the figures between the two."""
    figures = next((each for each in against if each.article == newest), None) or Comparison(
        article=newest, relation=Relation.REVISION, rule=EXTRACTED_AGAIN, jaccard=0.0, containment=0.0, shared_words=0
    )
    best = replace(figures, relation=Relation.REVISION, rule=EXTRACTED_AGAIN)
    return Verdict(relation=Relation.REVISION, head=False, best=best, considered=(best,), reason=EXTRACTED_AGAIN)
