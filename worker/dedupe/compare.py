"""Measures how much two texts have in common: exact figures on their word shingles, numbers and names."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.words import Words, shingles, words

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One text made ready for comparing: its words, every shingle in order, the distinct ones sorted, its numbers."""

    words: Words
    every: NDArray[np.uint64]
    distinct: NDArray[np.uint64]
    numbers: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What two texts have in common, as shares; `covered` words of the newcomer stand in shingles of both."""

    jaccard: float
    containment: float
    in_other: float
    in_newcomer: float
    numbers: float
    covered: int


def prepare(text: str) -> Side:
    """Make a text ready for comparing."""
    cut = words(text)
    every = shingles(cut.hashes)
    return Side(words=cut, every=every, distinct=np.unique(every), numbers=frozenset(_NUMBER.findall(cut.text)))


def compare(newcomer: Side, other: Side) -> Figures:
    """Compare two texts; empty ones have nothing in common with anything."""
    ours, theirs = len(newcomer.distinct), len(other.distinct)
    if not ours or not theirs:
        return Figures(jaccard=0.0, containment=0.0, in_other=0.0, in_newcomer=0.0, numbers=0.0, covered=0)
    shared = np.intersect1d(newcomer.distinct, other.distinct, assume_unique=True)
    few, many = (newcomer, other) if ours <= theirs else (other, newcomer)
    return Figures(
        jaccard=len(shared) / (ours + theirs - len(shared)),
        containment=len(shared) / min(ours, theirs),
        in_other=len(shared) / ours,
        in_newcomer=len(shared) / theirs,
        numbers=len(few.numbers & many.numbers) / len(few.numbers) if few.numbers else 1.0,
        covered=int(covered(newcomer, shared).sum()),
    )


def covered(side: Side, shared: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each word of a text whether it stands in one of the shared shingles (sorted)."""
    marks = np.zeros(len(side.words), dtype=np.bool_)
    if not len(shared):
        return marks
    width = len(side.words) - len(side.every) + 1
    places = np.flatnonzero(np.isin(side.every, shared))
    for offset in range(width):
        marks[places + offset] = True
    return marks
