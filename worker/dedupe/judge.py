"""Decides what a newcomer is to the stored articles that share index keys with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from worker.dedupe.additions import addition
from worker.dedupe.common import only_common
from worker.dedupe.compare import Figures, compare
from worker.dedupe.features import Piece
from worker.dedupe.frames import only_a_frame
from worker.dedupe.heads import JOINING, Choice, Keep, choose, contender, publisher_of
from worker.dedupe.model import Model
from worker.dedupe.relate import Ruling, direction, relate
from worker.dedupe.sides import Side
from worker.models import Article, Comparison, Kind, Neighbour, Relation, Verdict
from worker.settings import DedupeSettings

_SAME_ADDRESS = "same address"
_SAME_ITEM = 0.3
"""The share of words under which a page with a new text has become another item."""
_REWRITTEN = 0.97
"""The share of an article's words in the publisher's own earlier story under which it is a rewrite of that."""
_FEWEST_CLUSTERS, _RARE_SHARE = 3, 0.15
"""Of the words two texts share, at least this share must not stand in so many other clusters (docs/dedupe.md)."""
_REWRITES = frozenset({Relation.COPY, Relation.CONTAINS})
_RANK = {
    Relation.REVISION: 0,
    Relation.COPY: 1,
    Relation.CONTAINED: 1,
    Relation.CONTAINS: 1,
    Relation.FOLLOWUP: 2,
    Relation.TEMPLATE: 2,
    Relation.OVERLAP: 2,
    Relation.UNIQUE: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What is judged by."""

    settings: DedupeSettings
    model: Model


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """A neighbour laid along the newcomer."""

    neighbour: Neighbour
    piece: Piece
    figures: Figures


def judge(
    article: Article,
    neighbours: Sequence[Neighbour],
    *,
    settings: DedupeSettings,
    model: Model,
    ready: Callable[[str, str], Side],
) -> Verdict:
    """Compare a newcomer with the heads among its neighbours and return the closest relation found.

    `ready` makes a text and its title ready for comparing.
    """
    terms = _Terms(settings=settings, model=model)
    newcomer = _piece(article, ready)
    matches = [_match(newcomer, neighbour, ready) for neighbour in neighbours if _worth_judging(neighbour)]
    considered = sorted((_judged(article, newcomer, match, matches, terms) for match in matches), key=_closeness)
    if not considered or considered[0].relation is Relation.UNIQUE:
        return Verdict(relation=Relation.UNIQUE, head=True, considered=tuple(considered))
    best = considered[0]
    choice = _choice(article, newcomer, best, matches, keep=settings.keep)
    return Verdict(
        relation=best.relation,
        head=choice.newcomer,
        best=best,
        considered=tuple(considered),
        reason=choice.reason,
    )


def _worth_judging(neighbour: Neighbour) -> bool:
    # Members are verified against the head of a cluster: chains of members would tie unlike texts together.
    return neighbour.head or bool(neighbour.marked)


def _piece(item: Article | Neighbour, ready: Callable[[str, str], Side]) -> Piece:
    return Piece(side=ready(item.text, item.title), host=item.host, published_at=item.published_at)


def _match(newcomer: Piece, neighbour: Neighbour, ready: Callable[[str, str], Side]) -> _Match:
    piece = _piece(neighbour, ready)
    return _Match(neighbour=neighbour, piece=piece, figures=compare(newcomer.side, piece.side))


def _judged(article: Article, newcomer: Piece, match: _Match, matches: Sequence[_Match], terms: _Terms) -> Comparison:
    ruling = _ruling(article, newcomer, match, terms)
    if ruling.relation in JOINING and not ruling.rule.startswith("marked"):
        framed = _framed(article, newcomer, match, ruling)
        ruling = framed or _only_common(match, matches, ruling) or ruling
    return Comparison(
        article=match.neighbour.id,
        relation=ruling.relation,
        rule=ruling.rule,
        jaccard=match.figures.jaccard,
        containment=match.figures.containment,
        shared_words=match.figures.shared_words,
        notes=(f"{match.figures.of_shorter:.0%} of the shorter text's words", *ruling.notes),
        probability=ruling.probability,
    )


def _ruling(article: Article, newcomer: Piece, match: _Match, terms: _Terms) -> Ruling:
    neighbour, figures = match.neighbour, match.figures
    if neighbour.marked == "different":
        return Ruling(relation=Relation.UNIQUE, rule="marked different")
    if neighbour.marked == "same":
        return Ruling(relation=direction(figures), rule="marked same")
    same_publisher = publisher_of(neighbour.host) == publisher_of(article.host)
    if same_publisher and neighbour.canonical_url == article.canonical_url:
        if figures.of_shorter >= _SAME_ITEM:
            return Ruling(relation=Relation.REVISION, rule=_SAME_ADDRESS)
        return Ruling(relation=Relation.UNIQUE, rule="another item under the same address")
    ruling = relate(newcomer, match.piece, figures, merge_at=terms.settings.probability, model=terms.model)
    if ruling.relation in _REWRITES and _rewritten(newcomer, match):
        return replace(ruling, relation=Relation.REVISION, rule="the publisher's own rewrite")
    return ruling


def _rewritten(newcomer: Piece, match: _Match) -> bool:
    """Say whether a publisher tells its own story again, later and in other words."""
    earlier, later = match.piece.published_at, newcomer.published_at
    in_order = earlier is None or later is None or earlier < later
    own = bool(newcomer.host) and publisher_of(newcomer.host) == publisher_of(match.piece.host)
    return own and in_order and match.figures.ours.raw_share < _REWRITTEN


def _framed(article: Article, newcomer: Piece, match: _Match, ruling: Ruling) -> Ruling | None:
    """Take back a match that rests on what a publisher sets around different items."""
    if ruling.rule == _SAME_ADDRESS:
        return None
    # Files without a host are one collector's; but what stands around a seed was left there by whoever scraped it.
    seeds = Kind.SEED in (article.kind, match.neighbour.kind)
    own = not seeds and publisher_of(newcomer.host) == publisher_of(match.piece.host)
    if only_a_frame(newcomer.side, match.piece.side, match.figures, same_publisher=own):
        return replace(ruling, relation=Relation.TEMPLATE, rule="one frame around different items")
    return None


def _only_common(match: _Match, matches: Sequence[_Match], ruling: Ruling) -> Ruling | None:
    """Take back a match that rests on passages which many other clusters have."""
    others = {each.neighbour.cluster: each.figures for each in matches}
    others.pop(match.neighbour.cluster, None)
    if only_common(match.figures, list(others.values()), least=_FEWEST_CLUSTERS, rare_share=_RARE_SHARE):
        return replace(ruling, relation=Relation.TEMPLATE, rule="what both have stands in many articles")
    return None


def _closeness(comparison: Comparison) -> tuple[bool, int, float, int]:
    by_people = comparison.rule == "marked same"
    return (not by_people, _RANK[comparison.relation], -comparison.jaccard - comparison.containment, comparison.article)


def _choice(article: Article, newcomer: Piece, best: Comparison, matches: Sequence[_Match], *, keep: Keep) -> Choice:
    """Say whether a newcomer becomes the head of the cluster it joins, or heads one of its own."""
    if best.relation not in JOINING:
        return Choice(newcomer=True, reason="")
    joined = next(match for match in matches if match.neighbour.id == best.article)
    # What a person called the same need not be the head of its cluster, and that is what the newcomer is held against.
    head = next((each for each in matches if each.neighbour.head and _together(each, joined)), joined)
    return choose(
        contender(article),
        contender(head.neighbour),
        best.relation if head is joined else direction(head.figures),
        keep=keep,
        adds=lambda: addition(newcomer.side, head.piece.side, head.figures),
        original=head.neighbour.original,
        reworded=head.figures.ours.raw_share < _REWRITTEN,
    )


def _together(one: _Match, other: _Match) -> bool:
    return one.neighbour.cluster == other.neighbour.cluster
