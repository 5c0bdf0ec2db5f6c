"""Decides what a newcomer is to the stored articles that share index keys with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worker.dedupe.compare import Figures, compare
from worker.dedupe.relate import Piece, Ruling, direction, relate
from worker.dedupe.rules import Rules
from worker.dedupe.sides import Side
from worker.models import Article, Comparison, Neighbour, Relation, Verdict

_MERGED = frozenset({Relation.REVISION, Relation.COPY, Relation.CONTAINED, Relation.CONTAINS})
_REWRITES = frozenset({Relation.COPY, Relation.CONTAINS})
_RANK = {
    Relation.REVISION: 0,
    Relation.COPY: 1,
    Relation.CONTAINED: 1,
    Relation.CONTAINS: 1,
    Relation.FOLLOWUP: 2,
    Relation.TEMPLATE: 2,
    Relation.UNIQUE: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """A neighbour laid along the newcomer."""

    neighbour: Neighbour
    piece: Piece
    figures: Figures


def judge(
    article: Article, neighbours: Sequence[Neighbour], *, rules: Rules, ready: Callable[[str, str], Side]
) -> Verdict:
    """Compare a newcomer with the heads among its neighbours and return the closest relation found.

    `ready` makes a text and its title ready for comparing.
    """
    newcomer = _piece(article, ready)
    matches = [_match(newcomer, neighbour, ready) for neighbour in neighbours if _worth_judging(neighbour)]
    considered = sorted((_judged(article, newcomer, match, matches, rules=rules) for match in matches), key=_closeness)
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


def _piece(item: Article | Neighbour, ready: Callable[[str, str], Side]) -> Piece:
    return Piece(side=ready(item.text, item.title), host=item.host, published_at=item.published_at)


def _match(newcomer: Piece, neighbour: Neighbour, ready: Callable[[str, str], Side]) -> _Match:
    piece = _piece(neighbour, ready)
    return _Match(neighbour=neighbour, piece=piece, figures=compare(newcomer.side, piece.side))


def _judged(article: Article, newcomer: Piece, match: _Match, matches: Sequence[_Match], *, rules: Rules) -> Comparison:
    ruling = _ruling(article, newcomer, match, rules=rules)
    if ruling.relation in _MERGED and not ruling.rule.startswith("marked"):
        ruling = _only_common(match, matches, rules=rules) or ruling
    return Comparison(
        article=match.neighbour.id,
        relation=ruling.relation,
        rule=ruling.rule,
        jaccard=match.figures.jaccard,
        containment=match.figures.containment,
        shared_words=match.figures.shared_words,
        notes=(f"{match.figures.of_shorter:.0%} of the shorter text's words", *ruling.notes),
    )


def _ruling(article: Article, newcomer: Piece, match: _Match, *, rules: Rules) -> Ruling:
    neighbour, figures = match.neighbour, match.figures
    if neighbour.marked == "different":
        return Ruling(relation=Relation.UNIQUE, rule="marked different")
    if neighbour.marked == "same":
        return Ruling(relation=direction(figures, rules=rules), rule="marked same")
    if neighbour.canonical_url == article.canonical_url:
        if figures.of_shorter >= rules.same_item:
            return Ruling(relation=Relation.REVISION, rule="same address")
        return Ruling(relation=Relation.UNIQUE, rule="another item under the same address")
    ruling = relate(newcomer, match.piece, figures, rules=rules)
    if ruling.relation in _REWRITES and _rewritten(newcomer, match, rules=rules):
        return Ruling(relation=Relation.REVISION, rule="the publisher's own rewrite", notes=ruling.notes)
    return ruling


def _rewritten(newcomer: Piece, match: _Match, *, rules: Rules) -> bool:
    """Say whether a publisher tells its own story again, later and in other words."""
    earlier, later = match.piece.published_at, newcomer.published_at
    in_order = earlier is None or later is None or earlier < later
    return newcomer.host == match.piece.host and in_order and match.figures.ours.raw_share < rules.rewritten


def _only_common(match: _Match, matches: Sequence[_Match], *, rules: Rules) -> Ruling | None:
    """Take back a match that rests on passages which many other clusters have."""
    others = {each.neighbour.cluster: each.figures.ours.matched for each in matches}
    others.pop(match.neighbour.cluster, None)
    if len(others) < rules.common or match.figures.jaccard == 1.0:
        return None
    spread = np.sum(np.stack(list(others.values())), axis=0)
    matched = match.figures.ours.matched
    rare = int((matched & (spread < rules.common)).sum())
    if rare >= rules.rare_share * matched.sum():
        return None
    return Ruling(relation=Relation.TEMPLATE, rule="what both have stands in many articles")


def _closeness(comparison: Comparison) -> tuple[bool, int, float, int]:
    by_people = comparison.rule == "marked same"
    return (not by_people, _RANK[comparison.relation], -comparison.jaccard - comparison.containment, comparison.article)


def _becomes_head(best: Comparison, article: Article, neighbours: Sequence[Neighbour], *, rules: Rules) -> bool:
    if best.relation in (Relation.REVISION, Relation.CONTAINS, Relation.FOLLOWUP, Relation.TEMPLATE):
        return True
    if rules.keep == "first" or best.relation is Relation.CONTAINED:
        return False
    other = next(neighbour for neighbour in neighbours if neighbour.id == best.article)
    return len(article.text) > len(other.text)
