"""Measures how much two texts have in common: exact figures on their shingles and words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.align import Alignment, align
from worker.dedupe.facts import Facts, facts, numbers
from worker.dedupe.words import Words, shingles, words

_WORTH_ALIGNING = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One text made ready for comparing: its words, every shingle in order, the distinct ones sorted, its facts."""

    words: Words
    every: NDArray[np.uint64]
    distinct: NDArray[np.uint64]
    title: Words
    facts: Facts
    title_numbers: frozenset[tuple[str, ...] | tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a newcomer and another text have in common.

    `jaccard` and `containment` count distinct shingles; `ours` and `theirs` say of each word of the newcomer and of
    the other whether it stands in the other text too; `shared_words` is the number of such words of the newcomer.
    """

    jaccard: float
    containment: float
    ours: NDArray[np.bool_]
    theirs: NDArray[np.bool_]
    alignment: Alignment

    @property
    def newcomer_is_shorter(self) -> bool:
        """Whether the newcomer has at most as many words as the other."""
        return len(self.ours) <= len(self.theirs)

    @property
    def of_newcomer(self) -> float:
        """Return the share of the newcomer's words that the other text has."""
        return _share(self.ours)

    @property
    def of_other(self) -> float:
        """Return the share of the other text's words that the newcomer has."""
        return _share(self.theirs)

    @property
    def of_shorter(self) -> float:
        """Return the share of the shorter text's words that the longer has."""
        return self.of_newcomer if self.newcomer_is_shorter else self.of_other

    @property
    def ratio(self) -> float:
        """Return the length of the shorter text over that of the longer, in words."""
        return min(len(self.ours), len(self.theirs)) / max(len(self.ours), len(self.theirs), 1)

    @property
    def shared_words(self) -> int:
        """Return how many words of the newcomer the other text has."""
        return int(self.ours.sum())


def prepare(text: str, *, title: str = "") -> Side:
    """Make a text ready for comparing."""
    cut = words(text)
    every = shingles(cut.hashes)
    heading = words(title)
    return Side(
        words=cut,
        every=every,
        distinct=np.unique(every),
        title=heading,
        facts=facts(cut, also=heading),
        title_numbers=numbers(heading),
    )


def compare(newcomer: Side, other: Side) -> Figures:
    """Compare two texts; empty ones have nothing in common with anything."""
    few = min(len(newcomer.distinct), len(other.distinct))
    shared = np.intersect1d(newcomer.distinct, other.distinct, assume_unique=True)
    containment = len(shared) / few if few else 0.0
    nothing: NDArray[np.uint64] = newcomer.words.hashes[:0]
    alike = containment >= _WORTH_ALIGNING
    alignment = align(newcomer.words.hashes, other.words.hashes) if alike else align(nothing, nothing)
    # Without one shingle that is unique in both (a table, a refrain) there is nothing to align by.
    aligned = bool(alignment.runs)
    return Figures(
        jaccard=len(shared) / max(1, len(newcomer.distinct) + len(other.distinct) - len(shared)),
        containment=containment,
        ours=alignment.ours if aligned else _covered(newcomer, shared),
        theirs=alignment.theirs if aligned else _covered(other, shared),
        alignment=alignment,
    )


def title_overlap(one: Words, two: Words) -> float:
    """Return the share of the shorter title's distinct words that the longer has; 0 where one is missing."""
    ours, theirs = set(one.hashes.tolist()), set(two.hashes.tolist())
    return len(ours & theirs) / min(len(ours), len(theirs)) if ours and theirs else 0.0


def _share(marks: NDArray[np.bool_]) -> float:
    return float(marks.mean()) if len(marks) else 0.0


def _covered(side: Side, shared: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each word of a text whether it stands in one of the shared shingles (sorted)."""
    marks = np.zeros(len(side.words), dtype=np.bool_)
    if not len(shared):
        return marks
    places = np.flatnonzero(np.isin(side.every, shared))
    for offset in range(len(side.words) - len(side.every) + 1):
        marks[places + offset] = True
    return marks
