"""Decides what two texts that share much are to each other, by rules that each have a name.

Two texts are one item when the longer has nearly all the words of the shorter. Then come the guards, each for a way in
which different items are worded alike: the same form filled in anew, or an old story under new facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from worker.dedupe.compare import Figures, Half, Side, title_overlap
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
    if not _alike(figures, rules=rules):
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


def _alike(figures: Figures, *, rules: Rules) -> bool:
    """Say whether the longer text has nearly all of the shorter: in whole stretches, or with small edits all over.

    Reports that two papers wrote from one source fail both: passages of their own, and every sentence turned.
    """
    if figures.jaccard >= rules.threshold:
        return True
    half = figures.ours if figures.newcomer_is_shorter else figures.theirs
    if half.share >= rules.containment and figures.containment >= rules.whole * rules.containment:
        return True
    if half.own_passages <= rules.own:
        return half.share >= rules.edited * rules.containment and figures.alignment.in_order >= rules.in_order
    return False


def _unlike(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling:
    if figures.of_shorter < rules.linked:
        return Ruling(relation=Relation.UNIQUE, rule="too little in common")
    template = _template(newcomer, other, figures, rules=rules)
    return template or Ruling(relation=Relation.FOLLOWUP, rule="much in common, more that differs")


def _template(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling | None:
    """Recognise a form filled in anew: other numbers or names in the same places, or a brief notice of another day."""
    found = slots(newcomer.side, other.side, figures)
    few = found.numbers == 1 and not found.at_the_top and _numbers(newcomer, other) >= rules.many_numbers
    if found.numbers and not few and found.numbers >= rules.clash * found.substitutions:
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


def _numbers(newcomer: Piece, other: Piece) -> int:
    return min(len({fact.key for fact in piece.side.facts.numbers}) for piece in (newcomer, other))


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
    """Recognise an old story under new facts: another title, and passages near the top that the other text lacks.

    Either the shorter text has news of its own there, so it is no cut of the longer; or both are about as long and the
    longer has news where the shorter says something else, or begins with more news than a lost lead would explain.
    """
    if title_overlap(newcomer.side.title, other.side.title) >= rules.same_title:
        return None
    ours = _opening(newcomer.side, figures.ours, other.side, rules=rules)
    theirs = _opening(other.side, figures.theirs, newcomer.side, rules=rules)
    shorter, longer, half = (
        (ours, theirs, figures.theirs) if figures.newcomer_is_shorter else (theirs, ours, figures.ours)
    )
    own = max((each.words for each in shorter if each.new >= 2), default=0)
    if own >= rules.news:
        return Ruling(relation=Relation.FOLLOWUP, rule="the shorter opens with new facts", notes=(f"{own} words",))
    top = sum(each.words for each in longer if each.new)
    begins_anew = top > rules.lead and _begins_anew(half, rules=rules)
    if figures.ratio >= rules.as_long and (begins_anew or (shorter and top >= rules.news)):
        return Ruling(relation=Relation.FOLLOWUP, rule="the longer opens with new facts", notes=(f"{top} words",))
    return None


def _opening(side: Side, half: Half, other: Side, *, rules: Rules) -> list[Passage]:
    """Return a text's own passages that start in the first part of the story."""
    places = np.flatnonzero(half.story)
    end = places[int(rules.opening * (len(places) - 1))] if len(places) else 0
    return [each for each in passages(side, half, other) if each.start <= end]


def _begins_anew(half: Half, *, rules: Rules) -> bool:
    first = half.matched[half.story][: rules.first]
    return len(first) > 0 and float(first.mean()) < 0.5


def _one_item(figures: Figures, *, rules: Rules) -> Ruling:
    if len(figures.theirs.matched) < rules.part * len(figures.ours.matched):
        return Ruling(relation=Relation.FOLLOWUP, rule="holds the other as a small part")
    if figures.jaccard >= rules.threshold:
        return Ruling(relation=Relation.COPY, rule="jaccard")
    return Ruling(relation=direction(figures, rules=rules), rule="words of the shorter in the longer")


def direction(figures: Figures, *, rules: Rules) -> Relation:
    """Say which of two texts of one item holds the other: what else a newcomer says, furniture or not, is not lost."""
    enough = rules.edited * rules.containment
    ours, theirs = figures.ours.raw_share, figures.theirs.raw_share
    if min(ours, theirs) >= rules.containment or (min(ours, theirs) >= enough and abs(ours - theirs) <= rules.own):
        return Relation.COPY
    return Relation.CONTAINS if theirs >= enough and theirs > ours else Relation.CONTAINED
