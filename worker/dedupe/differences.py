"""Looks at where two texts differ: passages only one has, and slots that each fills with other facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.align import Gap
from worker.dedupe.compare import Figures, Side
from worker.dedupe.facts import Fact

_ISLAND = 2
_SHORTEST_PASSAGE = 8
_LARGEST_SLOT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch of words that only one text has, with the number of its facts that the other lacks and has.

    `inside` says whether words that both have stand before it.
    """

    start: int
    words: int
    new: int
    known: int
    inside: bool

    @property
    def on_topic(self) -> bool:
        """Whether it belongs to the story: page furniture stands around it and speaks of something else."""
        return self.inside or 2 * self.known >= self.new


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How often words of one text stand against other words of the other, and how often the facts in them clash.

    `renamed` counts names that stand against other names where each is what its own title speaks of.
    """

    substitutions: int
    numbers: int
    renamed: int


def passages(side: Side, marks: NDArray[np.bool_], other: Side) -> list[Passage]:
    """Return the stretches of a text that the other lacks; a few shared words do not end one."""
    found = []
    for start, stop in _stretches(marks):
        inside = [fact for fact in _facts(side) if fact.start >= start and fact.stop <= stop]
        new = sum(not other.facts.has(fact) for fact in inside)
        before = int(marks[:start].sum()) >= _SHORTEST_PASSAGE
        found.append(Passage(start=start, words=stop - start, new=new, known=len(inside) - new, inside=before))
    return found


def slots(newcomer: Side, other: Side, figures: Figures) -> Slots:
    """Count the places where both texts go on alike after saying different things."""
    substitutions = numbers = renamed = 0
    for gap in figures.alignment.gaps:
        if not _is_slot(gap, len(newcomer.words)):
            continue
        substitutions += 1
        ours, theirs = _inside(newcomer.facts.numbers, gap.ours), _inside(other.facts.numbers, gap.theirs)
        numbers += _clash(ours, theirs)
        ours, theirs = _inside(newcomer.facts.names, gap.ours), _inside(other.facts.names, gap.theirs)
        renamed += _renamed(newcomer, other, ours, theirs)
    return Slots(substitutions=substitutions, numbers=numbers, renamed=renamed)


def _clash(ours: list[Fact], theirs: list[Fact]) -> bool:
    if not ours or not theirs or {fact.key for fact in ours} & {fact.key for fact in theirs}:
        return False
    # 14 against 1.4 and 5,334,00 against 5,334,000 are one number typed in two ways.
    return not (len(ours) == len(theirs) == 1 and _digits(ours[0]) == _digits(theirs[0]))


def _renamed(newcomer: Side, other: Side, ours: list[Fact], theirs: list[Fact]) -> bool:
    if not ours or not theirs or other.facts.has(ours[0]) or newcomer.facts.has(theirs[0]):
        return False
    return _in_title(newcomer, ours[0]) and _in_title(other, theirs[0])


def _in_title(side: Side, name: Fact) -> bool:
    return bool((side.title.hashes == side.words.hashes[name.start]).any())


def _digits(number: Fact) -> str:
    digits = "".join(str(part) for part in number.key)
    return digits.rstrip("0") or "0"


def _is_slot(gap: Gap, length: int) -> bool:
    at_the_end = gap.ours.stop == length
    return (
        bool(gap.ours) and bool(gap.theirs) and max(len(gap.ours), len(gap.theirs)) <= _LARGEST_SLOT and not at_the_end
    )


def _inside(facts: tuple[Fact, ...], stretch: range) -> list[Fact]:
    return [fact for fact in facts if fact.start < stretch.stop and fact.stop > stretch.start]


def _facts(side: Side) -> tuple[Fact, ...]:
    return side.facts.numbers + side.facts.names


def _stretches(marks: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], ~marks, [False])).astype(np.int8)))
    start = stop = -1
    for left, right in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stop >= 0 and left - stop < _ISLAND:
            stop = right
            continue
        if stop - start >= _SHORTEST_PASSAGE:
            yield start, stop
        start, stop = left, right
    if stop - start >= _SHORTEST_PASSAGE:
        yield start, stop
