"""Decides what two texts that share much are to each other, by rules that each have a name.

Two texts are one item when the longer has nearly all the words of the shorter. Then come the guards, each for a way in
which different items are worded alike: the same form filled in anew, or an old story under new facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from worker.dedupe.compare import Figures
from worker.dedupe.differences import Passage, Slots, other_numbers, passages, slots
from worker.dedupe.halves import Half
from worker.dedupe.rules import Rules
from worker.dedupe.sides import Side, title_overlap
from worker.dedupe.words import distinct
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
    if not figures.shared_words:
        return Ruling(relation=Relation.UNIQUE, rule="too little in common")
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
    shorter = figures.shorter
    if shorter.share >= rules.containment and figures.containment >= rules.whole * rules.containment:
        return True
    if figures.retouched:
        return max(shorter.share, figures.longer.share) >= rules.retouched * rules.containment
    if shorter.own_passages <= rules.own and figures.longer.share >= rules.told:
        return shorter.share >= rules.edited * rules.containment and figures.alignment.in_order >= rules.in_order
    return False


def _unlike(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling:
    if figures.of_shorter < rules.linked:
        return Ruling(relation=Relation.UNIQUE, rule="too little in common")
    template = _template(newcomer, other, figures, rules=rules)
    return template or Ruling(relation=Relation.FOLLOWUP, rule="much in common, more that differs")


def _template(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling | None:
    """Recognise a form filled in anew: other numbers or names in the same places, or a brief notice of another day."""
    found = slots(newcomer.side, other.side, figures)
    if found.numbers >= max(1, rules.clash * found.substitutions) and not _is_slip(found, newcomer, other, rules=rules):
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


def _is_slip(found: Slots, newcomer: Piece, other: Piece, *, rules: Rules) -> bool:
    """Say whether other numbers are no more than edits among edits, or one misprint deep in a text of many numbers."""
    if found.partiality < rules.partial:
        return True
    if found.numbers != 1:
        return False
    among_edits = found.numbers < rules.lone_clash * found.substitutions
    return among_edits or (not found.at_the_top and _numbers(newcomer, other) >= rules.many_numbers)


def _numbers(newcomer: Piece, other: Piece) -> int:
    return min(len({fact.key for fact in piece.side.facts.numbers}) for piece in (newcomer, other))


def _ruled_template(rule: str, *notes: str) -> Ruling:
    return Ruling(relation=Relation.TEMPLATE, rule=rule, notes=notes)


def _titles_clash(newcomer: Side, other: Side) -> bool:
    """Say whether two titles that are worded alike give different numbers in the same places."""
    if title_overlap(newcomer.title, other.title) < 0.6:
        return False
    ours, theirs = newcomer.title_numbers, other.title_numbers
    if not (ours - theirs and theirs - ours):
        return False
    return other_numbers(newcomer.title, other.title)


def _apart(newcomer: Piece, other: Piece, *, rules: Rules) -> bool:
    if newcomer.published_at is None or other.published_at is None:
        return False
    return abs(newcomer.published_at - other.published_at) > rules.apart


def _news(newcomer: Piece, other: Piece, figures: Figures, *, rules: Rules) -> Ruling | None:
    """Recognise an old story under new facts: another title, and passages near the top that the other text lacks.

    Either the shorter text has news of its own there, so it is no cut of the longer; or both are about as long and the
    longer has news where the shorter says something else, or begins with more news than a lost lead would explain.
    """
    first, second = newcomer.side, other.side
    if figures.retouched or title_overlap(first.title, second.title) >= rules.same_title:
        return None
    short, long = (first, second) if figures.newcomer_is_shorter else (second, first)
    shorter = _opening(short, figures.shorter, long, rules=rules)
    own = max((each.words for each in shorter if each.new >= 2), default=0)
    if own >= rules.news:
        return Ruling(relation=Relation.FOLLOWUP, rule="the shorter opens with new facts", notes=(f"{own} words",))
    longer = _opening(long, figures.longer, short, rules=rules)
    top = sum(each.words for each in longer if each.new)
    begins_anew = top > rules.lead and _begins_anew(figures.longer, rules=rules)
    if sum(each.words for each in shorter) >= rules.news:
        anew = begins_anew or top >= rules.news
    else:
        anew = begins_anew and _stands_alone(short, figures.shorter, long, longer, rules=rules)
    if anew and figures.ratio >= rules.as_long:
        return Ruling(relation=Relation.FOLLOWUP, rule="the longer opens with new facts", notes=(f"{top} words",))
    return None


def _stands_alone(short: Side, half: Half, long: Side, lacking: Sequence[Passage], *, rules: Rules) -> bool:
    """Say whether a text that adds nothing to a longer one is a story by itself, no cut of it that lost its opening.

    Then both have wholly different titles, or its title is told where it begins rather than in what it lacks.
    """
    title = distinct(short.title.hashes)
    if not len(title) or not len(long.title):
        return False
    if title_overlap(short.title, long.title) < rules.other_title:
        return True
    beginning = short.words.hashes[half.story][: rules.lead]
    lost = [long.words.hashes[each.start : each.start + each.words] for each in lacking]
    told = float(np.isin(title, beginning).mean())
    return told >= rules.title_told and told >= float(np.isin(title, np.concatenate(lost)).mean())


def _opening(side: Side, half: Half, other: Side, *, rules: Rules) -> list[Passage]:
    """Return a text's own passages that start in the first part of the story."""
    places = np.flatnonzero(half.story)
    end = places[int(rules.opening * (len(places) - 1))] if len(places) else 0
    return [each for each in passages(side, half, other) if each.start <= end]


def _begins_anew(half: Half, *, rules: Rules) -> bool:
    first = half.matched[half.story][: rules.first]
    return len(first) > 0 and float(first.mean()) < 0.5


def _one_item(figures: Figures, *, rules: Rules) -> Ruling:
    if _in_a_digest(figures, rules=rules):
        return Ruling(relation=Relation.FOLLOWUP, rule="a small part of a text on other matters")
    if figures.jaccard >= rules.threshold:
        return Ruling(relation=Relation.COPY, rule="jaccard")
    return Ruling(relation=direction(figures, rules=rules), rule="words of the shorter in the longer")


def _in_a_digest(figures: Figures, *, rules: Rules) -> bool:
    """Say whether one text is an item among many in the other: neither stands for the other."""
    longer = max((figures.ours, figures.theirs), key=lambda half: len(half.matched))
    return figures.ratio < rules.part and longer.story_words < rules.on_one_matter * len(longer.matched)


def direction(figures: Figures, *, rules: Rules) -> Relation:
    """Say which of two texts of one item holds the other: what else a newcomer says, furniture or not, is not lost."""
    enough = rules.edited * rules.containment
    ours, theirs = figures.ours.raw_share, figures.theirs.raw_share
    if min(ours, theirs) >= rules.containment:
        return Relation.COPY
    if min(ours, theirs) >= enough and abs(ours - theirs) <= rules.own:
        return Relation.COPY
    if max(ours, theirs) >= enough:
        return Relation.CONTAINS if theirs > ours else Relation.CONTAINED
    return _cleaner(figures, rules=rules)


def _cleaner(figures: Figures, *, rules: Rules) -> Relation:
    """Say which of two texts is the fuller where each has furniture or lost something: by what both tell of the story.

    Where they tell as much, the one with less furniture is as good as the fuller.
    """
    ours, theirs = figures.ours.share, figures.theirs.share
    if abs(ours - theirs) <= rules.own:
        ours, theirs = figures.theirs.raw_share, figures.ours.raw_share
    return Relation.CONTAINS if theirs > ours else Relation.CONTAINED
