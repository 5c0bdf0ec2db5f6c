"""Measures how much two texts have in common: exact figures on their shingles and words, the same either way round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.align import Alignment, align, apart
from worker.dedupe.halves import Half, gaps, half, retouched, share, stretches, untrimmed
from worker.dedupe.sides import Side, title_overlap
from worker.dedupe.words import among

_WORTH_ALIGNING = 0.15
_REPEATED = 30
# Furniture is taken off a text only where the other one is, for the most part, in it, or where both have a story's
# length in common, and one title or single words exchanged all over it: two texts that share nothing but furniture must
# not shrink to it.
_ONE_TITLE = 0.9
_A_STORY = 100
_MOST_OF_IT = 0.55


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a newcomer and another text have in common; `jaccard` and `containment` count distinct shingles.

    `newcomer_first` says which text comes first in the order that all comparing is done in.
    """

    jaccard: float
    containment: float
    ours: Half
    theirs: Half
    alignment: Alignment
    newcomer_first: bool = True

    @property
    def turned(self) -> Figures:
        """Return the figures with the texts in each other's places."""
        return Figures(
            jaccard=self.jaccard,
            containment=self.containment,
            ours=self.theirs,
            theirs=self.ours,
            alignment=self.alignment.turned,
            newcomer_first=not self.newcomer_first,
        )

    @property
    def newcomer_is_shorter(self) -> bool:
        """Whether the newcomer tells the story in fewer words than the other."""
        ours, theirs = self.ours.story_words, self.theirs.story_words
        return ours < theirs if ours != theirs else self.newcomer_first

    @property
    def shorter(self) -> Half:
        """Return the text that tells the story in fewer words."""
        return self.ours if self.newcomer_is_shorter else self.theirs

    @property
    def of_shorter(self) -> float:
        """Return the share of the shorter text's words that the longer has."""
        return self.shorter.share

    @property
    def ratio(self) -> float:
        """Return the length of the shorter page over that of the longer, furniture and all."""
        lengths = len(self.ours.matched), len(self.theirs.matched)
        return min(lengths) / max(*lengths, 1)

    @property
    def shared_words(self) -> int:
        """Return how many words of the newcomer the other text has."""
        return int(self.ours.matched.sum())


def compare(newcomer: Side, other: Side) -> Figures:
    """Compare two texts; empty ones have nothing in common with anything."""
    # Where a word repeats, which of its places is matched depends on the order: one order makes one verdict.
    if _comes_first(other, newcomer):
        return _compared(other, newcomer).turned
    return _compared(newcomer, other)


def _comes_first(one: Side, two: Side) -> bool:
    if len(one.words) != len(two.words):
        return len(one.words) < len(two.words)
    return one.words.hashes.tobytes() < two.words.hashes.tobytes()


def _compared(one: Side, two: Side) -> Figures:
    few = min(len(one.distinct), len(two.distinct))
    shared = _common(one.distinct, two.distinct)
    jaccard = len(shared) / max(1, len(one.distinct) + len(two.distinct) - len(shared))
    containment = len(shared) / few if few else 0.0
    if containment < _WORTH_ALIGNING:
        alignment = apart(one.words, two.words)
        ours, theirs = untrimmed(alignment.ours), untrimmed(alignment.theirs)
        return Figures(jaccard=jaccard, containment=containment, ours=ours, theirs=theirs, alignment=alignment)
    alignment = align(one.words.hashes, two.words.hashes)
    # What a text says twice (a refrain, a table, a page that holds its article twice) cannot be aligned.
    here = _with_restated(one, alignment.ours | _long_runs(_covered(one, shared)), two)
    there = _with_restated(two, alignment.theirs | _long_runs(_covered(two, shared)), one)
    sure = int(here.sum()) >= _A_STORY and (
        title_overlap(one.title, two.title) >= _ONE_TITLE or retouched(untrimmed(here), untrimmed(there))
    )
    return Figures(
        jaccard=jaccard,
        containment=containment,
        ours=half(one, here, two, trim=sure or share(there) >= _MOST_OF_IT),
        theirs=half(two, there, one, trim=sure or share(here) >= _MOST_OF_IT),
        alignment=alignment,
    )


def _common(one: NDArray[np.uint64], two: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return what two sorted arrays without repetitions have in common."""
    short, long = (one, two) if len(one) <= len(two) else (two, one)
    return short[among(short, long)]


def _with_restated(side: Side, matched: NDArray[np.bool_], other: Side) -> NDArray[np.bool_]:
    """Add the words of passages that the other text says too, be it where it says something else besides."""
    found = matched.copy()
    for start, stop in stretches(matched):
        found[start:stop] |= other.places.said_again(side.words.hashes[start:stop])
    return found


def _long_runs(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the marks that stand in runs of a passage's length."""
    kept = np.zeros(len(marks), dtype=np.bool_)
    for start, stop in gaps(~marks):
        if stop - start >= _REPEATED:
            kept[start:stop] = True
    return kept


def _covered(side: Side, shared: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each word of a text whether it stands in one of the shared shingles (sorted)."""
    marks = np.zeros(len(side.words), dtype=np.bool_)
    places = np.flatnonzero(among(side.every, shared))
    for offset in range(len(side.words) - len(side.every) + 1):
        marks[places + offset] = True
    return marks
