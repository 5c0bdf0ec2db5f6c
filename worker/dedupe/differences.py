"""Looks at where two texts differ: passages only one has, and slots that each fills with other facts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from worker.dedupe.align import Gap
from worker.dedupe.compare import Figures
from worker.dedupe.facts import Fact, numbers_in
from worker.dedupe.halves import Half, on_topic, stretches
from worker.dedupe.sides import Side
from worker.dedupe.words import Words, among

_LARGEST_SLOT = 12
_TOP = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch of the story that only one text has; `new` is how many numbers and names in it the other lacks."""

    start: int
    words: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How often words of one text stand against other words of the other, and how often the facts in them clash.

    `at_the_top` says whether numbers clash among the first words of both.
    `renamed` counts names that stand against other names where each is what its own title speaks of; `kept_numbers`
    the numbers and `kept_words` the words that both texts have.
    """

    substitutions: int
    numbers: int
    renamed: int
    at_the_top: bool
    kept_numbers: int
    kept_words: int

    @property
    def partiality(self) -> float:
        """Return how many times likelier a number is to be another one than a word to be another word."""
        number = self.numbers / max(1, self.numbers + self.kept_numbers)
        word = (self.substitutions - self.numbers) / max(1, self.kept_words)
        return number / word if word else math.inf


def passages(side: Side, half: Half, other: Side) -> list[Passage]:
    """Return the stretches of a text, page furniture left out, that the other lacks."""
    found = []
    for start, stop in stretches(half.matched | ~half.story):
        if not on_topic(side, start, stop, other):
            continue
        inside = [fact for fact in side.facts.all if fact.start >= start and fact.stop <= stop]
        new = sum(not other.facts.has(fact) for fact in inside)
        found.append(Passage(start=start, words=stop - start, new=new))
    return found


def slots(newcomer: Side, other: Side, figures: Figures) -> Slots:
    """Count the places where both texts go on alike after saying different things."""
    substitutions = numbers = renamed = 0
    at_the_top = False
    may_be_renamed = _has_own_subject(newcomer, other) and _has_own_subject(other, newcomer)
    for gap in figures.alignment.gaps:
        if not _is_slot(gap, newcomer, other):
            continue
        substitutions += 1
        ours, theirs = _inside(newcomer.facts.numbers, gap.ours), _inside(other.facts.numbers, gap.theirs)
        clashing = _clash(ours, theirs)
        numbers += clashing
        at_the_top = at_the_top or (clashing and max(gap.ours.start, gap.theirs.start) < _TOP)
        if may_be_renamed:
            ours, theirs = _inside(newcomer.facts.names, gap.ours), _inside(other.facts.names, gap.theirs)
            renamed += _renamed(newcomer, other, ours, theirs)
    return Slots(
        substitutions=substitutions,
        numbers=numbers,
        renamed=renamed,
        at_the_top=at_the_top,
        kept_numbers=min(_kept(newcomer, figures.ours), _kept(other, figures.theirs)),
        kept_words=min(int(figures.ours.matched.sum()), int(figures.theirs.matched.sum())),
    )


def _kept(side: Side, half: Half) -> int:
    """Return how many numbers of a text the other has where it says the same words."""
    return sum(bool(half.matched[number.start : number.stop].all()) for number in side.facts.numbers)


def other_numbers(ours: Words, theirs: Words) -> bool:
    """Say whether two short texts give different numbers where they say different things."""
    here, there = numbers_in(ours), numbers_in(theirs)
    matcher = SequenceMatcher(None, ours.hashes.tolist(), theirs.hashes.tolist(), autojunk=False)
    return any(
        _clash(_inside(here, range(a, b)), _inside(there, range(c, d))) for _, a, b, c, d in matcher.get_opcodes()
    )


def _clash(ours: list[Fact], theirs: list[Fact]) -> bool:
    if not ours or not theirs or {fact.key for fact in ours} & {fact.key for fact in theirs}:
        return False
    # 14 against 1.4 and 5,334,00 against 5,334,000 are one number typed in two ways.
    return not (len(ours) == len(theirs) == 1 and _digits(ours[0]) == _digits(theirs[0]))


def _has_own_subject(side: Side, other: Side) -> bool:
    """Say whether a text has a word of its title that stands nowhere in the other: no name of its own without one."""
    subject = side.title.hashes[among(side.title.hashes, side.vocabulary)]
    return not (among(subject, other.vocabulary) | np.isin(subject, other.title.hashes)).all()


def _renamed(newcomer: Side, other: Side, ours: list[Fact], theirs: list[Fact]) -> bool:
    return bool(ours) and bool(theirs) and _own(newcomer, ours[0], other) and _own(other, theirs[0], newcomer)


def _own(side: Side, name: Fact, other: Side) -> bool:
    """Say whether a name is what a text's title speaks of, and no part of it stands in the other text."""
    parts = side.words.hashes[name.start : name.stop]
    return bool(np.isin(parts[0], side.title.hashes)) and not other.facts.known.intersection(parts.tolist())


def _digits(number: Fact) -> str:
    digits = "".join(str(part) for part in number.key)
    return digits.rstrip("0") or "0"


def _is_slot(gap: Gap, newcomer: Side, other: Side) -> bool:
    if not gap.ours or not gap.theirs or max(len(gap.ours), len(gap.theirs)) > _LARGEST_SLOT:
        return False
    return gap.ours.stop < len(newcomer.words) and gap.theirs.stop < len(other.words)


def _inside(facts: tuple[Fact, ...], stretch: range) -> list[Fact]:
    return [fact for fact in facts if fact.start < stretch.stop and fact.stop > stretch.start]
