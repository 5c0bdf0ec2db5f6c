"""Decides what two texts that share much are to each other, by rules that each have a name.

Two texts are one item when the longer has nearly all the words of the shorter. Then come the guards, each for a way in
which different items are worded alike: the same form filled in anew, or an old story under new facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.compare import Figures, Side, title_overlap
from worker.dedupe.differences import Passage, passages, slots
from worker.dedupe.rules import Rules
from worker.models import Relation

_FEWEST_SHINGLES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A text with what is known of where and when it was published."""

    side: Side
    host: str
    published_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a newcomer is to another text, by which rule, and what people should know besides."""

    relation: Relation
    rule: str
    notes: tuple[str, ...] = ()


def relate(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling:
    """Decide what a newcomer is to another text under another address."""
    if _too_little(newcomer.side, other.side):
        return _by_equality(newcomer.side, other.side)
    if figures.jaccard < rules.threshold and figures.of_shorter < rules.containment:
        return _unlike(newcomer, other, figures, rules=rules)
    guard = _template(newcomer, other, figures, rules=rules) or _news(newcomer, other, figures, rules=rules)
    return guard or _one_item(figures, rules=rules)


def _too_little(newcomer: Side, other: Side) -> bool:
    return min(len(newcomer.distinct), len(other.distinct)) < _FEWEST_SHINGLES


def _by_equality(newcomer: Side, other: Side) -> Ruling:
    equal = len(newcomer.words) > 0 and newcomer.words.hashes.tolist() == other.words.hashes.tolist()
    if equal:
        return Ruling(relation=Relation.COPY, rule="same words")
    return Ruling(relation=Relation.UNIQUE, rule="too little text to tell")


def _unlike(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling:
    if figures.of_shorter < rules.linked:
        return Ruling(relation=Relation.UNIQUE, rule="too little in common")
    template = _template(newcomer, other, figures, rules=rules)
    return template or Ruling(relation=Relation.FOLLOWUP, rule="much in common, more that differs")


def _template(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling | None:
    """Recognise a form filled in anew: other numbers or names in the same places, or a brief notice of another day."""
    found = slots(newcomer.side, other.side, figures)
    if found.numbers and found.numbers >= rules.clash * found.substitutions:
        return _ruled_template("other numbers in the same places", f"{found.numbers} of {found.substitutions} places")
    if found.renamed:
        return _ruled_template("another name in the same places", f"{found.renamed} places")
    if _titles_clash(newcomer.side, other.side):
        return _ruled_template("other numbers in the title")
    length = min(len(newcomer.side.words), len(other.side.words))
    if length < rules.brief and _apart(newcomer, other, rules=rules):
        return _ruled_template("brief and of another day")
    if length < rules.tiny and title_overlap(newcomer.side.title, other.side.title) < rules.same_title:
        return _ruled_template("tiny and under another title")
    return None


def _ruled_template(rule: str, *notes: str) -> Ruling:
    return Ruling(relation=Relation.TEMPLATE, rule=rule, notes=notes)


def _titles_clash(newcomer: Side, other: Side) -> bool:
    """Say whether two titles that are worded alike give different numbers, none of them in the other's text."""
    if title_overlap(newcomer.title, other.title) < 0.6:
        return False
    ours, theirs = newcomer.title_numbers, other.title_numbers
    return bool(ours - theirs) and bool(theirs - ours)


def _apart(newcomer: Piece, other: Piece, *, rules: Rules) -> bool:
    if newcomer.published_at is None or other.published_at is None:
        return False
    return abs(newcomer.published_at - other.published_at) > rules.apart


def _news(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling | None:
    """Recognise an old story under new facts: another title, and an opening that the other text lacks.

    Either the shorter text opens with news of its own, so it is no cut of the longer; or both are about as long, and
    the longer opens with news where the shorter opens otherwise, or with more news than a lead holds.
    """
    if title_overlap(newcomer.side.title, other.side.title) >= rules.same_title:
        return None
    ours = _opening(newcomer.side, figures.ours, other.side, rules=rules)
    theirs = _opening(other.side, figures.theirs, newcomer.side, rules=rules)
    shorter, longer = (ours, theirs) if figures.newcomer_is_shorter else (theirs, ours)
    own = max((each.words for each in shorter if each.new >= 2 and each.on_topic), default=0)
    if own >= rules.news:
        return Ruling(relation=Relation.FOLLOWUP, rule="the shorter opens with new facts", notes=(f"{own} words",))
    top = max((each.words for each in longer if each.new and each.on_topic), default=0)
    if figures.ratio >= rules.as_long and top >= (rules.news if shorter else rules.lead):
        return Ruling(relation=Relation.FOLLOWUP, rule="the longer opens with new facts", notes=(f"{top} words",))
    return None


def _opening(side: Side, marks: NDArray[np.bool_], other: Side, *, rules: Rules) -> list[Passage]:
    return [each for each in passages(side, marks, other) if each.start < rules.opening * len(side.words)]


def _one_item(figures: Figures, *, rules: Rules) -> Ruling:
    if not figures.newcomer_is_shorter and figures.ratio < rules.part:
        return Ruling(relation=Relation.FOLLOWUP, rule="holds the other as a small part")
    if figures.jaccard >= rules.threshold:
        return Ruling(relation=Relation.COPY, rule="jaccard")
    if min(figures.of_newcomer, figures.of_other) >= rules.containment:
        return Ruling(relation=Relation.COPY, rule="words in common")
    if figures.newcomer_is_shorter:
        return Ruling(relation=Relation.CONTAINED, rule="words of the shorter in the longer")
    return Ruling(relation=Relation.CONTAINS, rule="words of the shorter in the longer")
