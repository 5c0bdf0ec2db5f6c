"""Looks at where two texts differ: passages only one has, and slots that each fills with other facts."""

from __future__ import annotations

from collections import Counter
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
    """A stretch of words that only one text has, with the number of its facts that the other lacks and has."""

    start: int
    words: int
    new: int
    known: int

    @property
    def on_topic(self) -> bool:
        """Whether it speaks of what the other text speaks of; page furniture speaks of something else."""
        return 2 * self.known >= self.new


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How often words of one text stand against other words of the other, and how often the facts in them clash.

    `renamed` counts repetitions of one name standing against one other name.
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
        found.append(Passage(start=start, words=stop - start, new=new, known=len(inside) - new))
    return found


def slots(newcomer: Side, other: Side, figures: Figures) -> Slots:
    """Count the places where both texts go on alike after saying different things."""
    substitutions = numbers = 0
    renamed: Counter[tuple[object, object]] = Counter()
    for gap in figures.alignment.gaps:
        if not _is_slot(gap, len(newcomer.words)):
            continue
        substitutions += 1
        ours, theirs = _inside(newcomer.facts.numbers, gap.ours), _inside(other.facts.numbers, gap.theirs)
        numbers += _clash(ours, theirs)
        ours, theirs = _inside(newcomer.facts.names, gap.ours), _inside(other.facts.names, gap.theirs)
        if len(ours) == len(theirs) == 1 and not (other.facts.has(ours[0]) or newcomer.facts.has(theirs[0])):
            renamed[ours[0].key, theirs[0].key] += 1
    return Slots(
        substitutions=substitutions,
        numbers=numbers,
        renamed=sum(count for count in renamed.values() if count > 1),
    )


def _clash(ours: list[Fact], theirs: list[Fact]) -> bool:
    if not ours or not theirs or {fact.key for fact in ours} & {fact.key for fact in theirs}:
        return False
    # 14 against 1.4 and 5,334,00 against 5,334,000 are one number typed in two ways.
    return _digits(ours) != _digits(theirs)


def _digits(facts: list[Fact]) -> str:
    digits = "".join(str(fact.key) for fact in facts)
    return digits.rstrip("0") if len(facts) > 1 else digits


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
