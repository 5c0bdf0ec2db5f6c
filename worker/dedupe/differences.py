"""Looks at where two texts say different things in the same places, and whether these are other numbers."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from worker.dedupe.align import Gap
from worker.dedupe.compare import Figures
from worker.dedupe.facts import Fact, numbers_in
from worker.dedupe.sides import Side
from worker.dedupe.words import Words, among

_LARGEST_SLOT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How often words of one text stand against other words of the other, and how often the facts in them clash.

    `renamed` counts names that stand against other names where each is what its own title speaks of.
    """

    substitutions: int
    numbers: int
    renamed: int


def slots(newcomer: Side, other: Side, figures: Figures) -> Slots:
    """Count the places where both texts go on alike after saying different things."""
    found = [gap for gap in figures.alignment.gaps if _is_slot(gap, newcomer, other)]
    ours, theirs = newcomer.facts, other.facts
    may_be_renamed = _has_own_subject(newcomer, other) and _has_own_subject(other, newcomer)
    clashing = [gap for gap in found if _clash(_inside(ours.numbers, gap.ours), _inside(theirs.numbers, gap.theirs))]
    return Slots(
        substitutions=len(found),
        numbers=len(clashing),
        renamed=sum(_renamed(newcomer, other, gap) for gap in found) if may_be_renamed else 0,
    )


def other_numbers(ours: Words, theirs: Words) -> bool:
    """Say whether two short texts give different numbers where they say different things."""
    here, there = numbers_in(ours), numbers_in(theirs)
    matcher = SequenceMatcher(None, ours.hashes.tolist(), theirs.hashes.tolist(), autojunk=False)
    return any(
        _clash(_inside(here, range(a, b)), _inside(there, range(c, d))) for _, a, b, c, d in matcher.get_opcodes()
    )


def renumbered(ours: Side, theirs: Side) -> bool:
    """Say whether two titles give other numbers as the items of a series do.

    The titles are worded alike but for the numbers, or each text gives its title's number, and the other nowhere.
    """
    if not other_numbers(ours.title, theirs.title):
        return False
    if _without_numbers(ours.title) == _without_numbers(theirs.title):
        return True
    return _gives_its_own(ours, theirs) and _gives_its_own(theirs, ours)


def _without_numbers(cut: Words) -> set[int]:
    kept = np.ones(len(cut), dtype=np.bool_)
    for fact in numbers_in(cut):
        kept[fact.start : fact.stop] = False
    return set(cut.hashes[kept].tolist())


def _gives_its_own(side: Side, other: Side) -> bool:
    own = side.title_numbers - other.title_numbers
    if not own:
        return False
    told = {fact.key for fact in side.facts.numbers}
    return bool((own & told) - {fact.key for fact in other.facts.numbers})


def _clash(ours: list[Fact], theirs: list[Fact]) -> bool:
    if not ours or not theirs or {fact.key for fact in ours} & {fact.key for fact in theirs}:
        return False
    # 14 against 1.4 and 5,334,00 against 5,334,000 are one number typed in two ways.
    return not (len(ours) == len(theirs) == 1 and _digits(ours[0]) == _digits(theirs[0]))


def _has_own_subject(side: Side, other: Side) -> bool:
    """Say whether a text has a word of its title that stands nowhere in the other: no name of its own without one."""
    subject = side.title.hashes[among(side.title.hashes, side.vocabulary)]
    return not (among(subject, other.vocabulary) | np.isin(subject, other.title.hashes)).all()


def _renamed(newcomer: Side, other: Side, gap: Gap) -> bool:
    ours, theirs = _inside(newcomer.facts.names, gap.ours), _inside(other.facts.names, gap.theirs)
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
