"""Decides what two texts under different addresses are to each other: one item or two, and of which kind.

The fitted model says how probable it is that a corpus should keep only one of them. What is a fact comes before it: a
text too short to tell, and an item in a digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.dedupe.compare import Figures
from worker.dedupe.features import Piece, features
from worker.dedupe.model import Model
from worker.dedupe.reasons import reasons
from worker.dedupe.sides import Side
from worker.models import Relation

_FEWEST_SHINGLES = 8
_LINKED = 0.5
_OWN = 0.15
_FULL = 0.8
_MOST = 0.7
_AS_MUCH = 0.1
_PART = 0.125
_ON_ONE_MATTER = 0.5
_FORM = ("clash_rate", "clash_share", "renamed", "numbers_in_like_titles", "brief_and_days")
_NEWS = ("both_have_passages", "longest_passage", "own_facts", "other_title_and_passages", "own_dates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a newcomer is to another text, by which rule, how probably one item, and for which reasons."""

    relation: Relation
    rule: str
    notes: tuple[str, ...] = ()
    probability: float | None = None


def relate(newcomer: Piece, other: Piece, figures: Figures, *, merge_at: float, model: Model) -> Ruling:
    """Decide what a newcomer is to another text under another address."""
    if _too_little(newcomer.side, other.side):
        return _by_equality(newcomer.side, other.side)
    if not figures.shared_words:
        return Ruling(relation=Relation.UNIQUE, rule="too little in common")
    values = features(newcomer, other, figures)
    # A brief notice comes out again on another day, word for word, and is news.
    if not values["brief_and_days"] and _equal(newcomer.side, other.side, titles=True):
        return Ruling(relation=Relation.COPY, rule="same words", probability=1.0)
    parts = model.parts(values)
    probability = model.probability(parts)
    if probability >= merge_at:
        relation, rule = _one_item(figures)
    else:
        relation, rule = _two_items(figures, values, parts)
    return Ruling(relation=relation, rule=rule, notes=reasons(values, parts), probability=probability)


def _too_little(newcomer: Side, other: Side) -> bool:
    return min(len(newcomer.distinct), len(other.distinct)) < _FEWEST_SHINGLES


def _by_equality(newcomer: Side, other: Side) -> Ruling:
    if _equal(newcomer, other, titles=False):
        return Ruling(relation=Relation.COPY, rule="same words", probability=1.0)
    return Ruling(relation=Relation.UNIQUE, rule="too little text to tell")


def _equal(one: Side, two: Side, *, titles: bool) -> bool:
    """Say whether two texts consist of the same words, and their titles too where these count."""
    if titles and one.title.hashes.tolist() != two.title.hashes.tolist():
        return False
    return len(one.words) > 0 and one.words.hashes.tolist() == two.words.hashes.tolist()


def _one_item(figures: Figures) -> tuple[Relation, str]:
    if _in_a_digest(figures):
        return Relation.FOLLOWUP, "a small part of a text on other matters"
    return direction(figures), "probably one item"


def _two_items(figures: Figures, values: Mapping[str, float], parts: Mapping[str, float]) -> tuple[Relation, str]:
    """Say in which way two texts are two items: by which of their features speak the loudest against one."""
    if figures.of_shorter < _LINKED:
        return Relation.UNIQUE, "too little in common"
    form, news = (sum(min(0.0, parts[name]) for name in names) for names in (_FORM, _NEWS))
    if form < news:
        return Relation.TEMPLATE, "a form filled in anew"
    of_one_time = values["together"] >= 1.0 and not values["own_dates"]
    if of_one_time and min(figures.ours.own_passages, figures.theirs.own_passages) >= _OWN:
        return Relation.OVERLAP, "much in common, and each has much of its own"
    return Relation.FOLLOWUP, "much in common, and news besides"


def _in_a_digest(figures: Figures) -> bool:
    """Say whether one text is an item among many in the other: neither stands for the other."""
    longer = max((figures.ours, figures.theirs), key=lambda half: len(half.matched))
    return figures.ratio < _PART and longer.story_words < _ON_ONE_MATTER * len(longer.matched)


def direction(figures: Figures) -> Relation:
    """Say which of two texts of one item holds the other: what else a newcomer says, furniture or not, is not lost."""
    ours, theirs = figures.ours.raw_share, figures.theirs.raw_share
    if min(ours, theirs) >= _FULL or (min(ours, theirs) >= _MOST and abs(ours - theirs) <= _AS_MUCH):
        return Relation.COPY
    if max(ours, theirs) >= _MOST:
        return Relation.CONTAINS if theirs > ours else Relation.CONTAINED
    return _cleaner(figures)


def _cleaner(figures: Figures) -> Relation:
    """Say which of two texts is the fuller where each has furniture or lost something: by what both tell of the story.

    Where they tell as much, the one with less furniture is as good as the fuller.
    """
    ours, theirs = figures.ours.share, figures.theirs.share
    if abs(ours - theirs) <= _AS_MUCH:
        ours, theirs = figures.theirs.raw_share, figures.ours.raw_share
    return Relation.CONTAINS if theirs > ours else Relation.CONTAINED
