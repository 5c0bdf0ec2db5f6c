"""Decides what a newcomer is to the stored articles that share index keys with it."""

from __future__ import annotations

from collections.abc import Sequence

from worker.dedupe.compare import Figures, Side, compare, prepare
from worker.dedupe.rules import Rules
from worker.models import Article, Comparison, Neighbour, Relation, Verdict

_RANK = {
    Relation.REVISION: 0,
    Relation.COPY: 1,
    Relation.CONTAINED: 2,
    Relation.CONTAINS: 3,
    Relation.FOLLOWUP: 4,
    Relation.TEMPLATE: 5,
    Relation.UNIQUE: 6,
}


def judge(article: Article, neighbours: Sequence[Neighbour], *, rules: Rules) -> Verdict:
    """Compare a newcomer with the heads among its neighbours and return the closest relation found."""
    side = prepare(article.text)
    considered = sorted(
        (_judged(article, side, neighbour, rules=rules) for neighbour in neighbours if _worth_judging(neighbour)),
        key=_closeness,
    )
    if not considered or considered[0].relation is Relation.UNIQUE:
        return Verdict(relation=Relation.UNIQUE, head=True, considered=tuple(considered))
    best = considered[0]
    return Verdict(
        relation=best.relation,
        head=_becomes_head(best, article, neighbours, rules=rules),
        best=best,
        considered=tuple(considered),
    )


def _worth_judging(neighbour: Neighbour) -> bool:
    # Members are verified against the head of a cluster: chains of members would tie unlike texts together.
    return neighbour.head or bool(neighbour.marked)


def _closeness(comparison: Comparison) -> tuple[bool, int, float, int]:
    by_people = comparison.rule == "marked same"
    return (not by_people, _RANK[comparison.relation], -comparison.jaccard - comparison.containment, comparison.article)


def _judged(article: Article, side: Side, neighbour: Neighbour, *, rules: Rules) -> Comparison:
    figures = compare(side, prepare(neighbour.text))
    relation, rule = _relation(article, neighbour, figures, rules=rules)
    return Comparison(
        article=neighbour.id,
        relation=relation,
        rule=rule,
        jaccard=figures.jaccard,
        containment=figures.containment,
        shared_words=figures.covered,
    )


def _relation(article: Article, neighbour: Neighbour, figures: Figures, *, rules: Rules) -> tuple[Relation, str]:
    if neighbour.marked == "different":
        return Relation.UNIQUE, "marked different"
    if neighbour.marked == "same":
        return _direction(figures, rules=rules), "marked same"
    if neighbour.canonical_url == article.canonical_url:
        if figures.containment >= rules.same_item:
            return Relation.REVISION, "same address"
        return Relation.UNIQUE, "same address, another item"
    alike = figures.jaccard >= rules.threshold or figures.containment >= rules.containment
    if not alike:
        return Relation.UNIQUE, "too little in common"
    if figures.numbers < rules.facts:
        return Relation.FOLLOWUP, "numbers differ"
    return _direction(figures, rules=rules), "jaccard" if figures.jaccard >= rules.threshold else "containment"


def _direction(figures: Figures, *, rules: Rules) -> Relation:
    if figures.jaccard >= rules.threshold:
        return Relation.COPY
    return Relation.CONTAINED if figures.in_other >= figures.in_newcomer else Relation.CONTAINS


def _becomes_head(best: Comparison, article: Article, neighbours: Sequence[Neighbour], *, rules: Rules) -> bool:
    if best.relation in (Relation.REVISION, Relation.CONTAINS, Relation.FOLLOWUP, Relation.TEMPLATE):
        return True
    if rules.keep == "first" or best.relation is Relation.CONTAINED:
        return False
    other = next(neighbour for neighbour in neighbours if neighbour.id == best.article)
    return len(article.text) > len(other.text)
