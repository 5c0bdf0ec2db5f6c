"""Measures how much two texts have in common: exact figures on their shingles and words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.align import Alignment, align, apart
from worker.dedupe.facts import Facts, facts, numbers, word_pairs
from worker.dedupe.words import Words, distinct, shingles, words

LONG = 8
"""Words from which a stretch that only one text has is a passage, not an edit."""

_WORTH_ALIGNING = 0.15
_ISLAND = 2
_REPEATED = 30
_ON_TOPIC = 0.08
_FURNITURE = 20
_USUAL_LENGTH = 500
# Furniture is taken off a text only where the other one is, for the most part, in it, or where both have one title and
# a story's length in common: two texts that share nothing but furniture must not shrink to it.
_ONE_TITLE = 0.9
_A_STORY = 100
_MOST_OF_IT = 0.55


# Without slots: what only some comparisons need is found when first asked for.
@dataclass(frozen=True, kw_only=True)
class Side:
    """One text made ready for comparing: its words and its title's, all shingles in order, the distinct ones sorted."""

    words: Words
    title: Words
    every: NDArray[np.uint64]
    distinct: NDArray[np.uint64]

    @cached_property
    def pairs(self) -> NDArray[np.uint64]:
        """Return the distinct pairs of neighbouring words, sorted."""
        return distinct(word_pairs(self.words.hashes))

    @cached_property
    def facts(self) -> Facts:
        """Return the numbers and names of the text."""
        return facts(self.words, also=self.title)

    @cached_property
    def title_numbers(self) -> frozenset[tuple[str, ...] | tuple[int, ...]]:
        """Return the numbers of the title."""
        return numbers(self.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One of two compared texts: which of its words the other has, and which belong to the story both tell.

    The rest is page furniture: long stretches that the other text lacks and that speak of something else.
    """

    matched: NDArray[np.bool_]
    story: NDArray[np.bool_]

    @property
    def raw_share(self) -> float:
        """Return the share of all words that the other text has."""
        return float(self.matched.mean()) if len(self.matched) else 0.0

    @property
    def story_words(self) -> int:
        """Return how many words belong to the story."""
        return int(self.story.sum())

    @property
    def share(self) -> float:
        """Return the share of the story's words that the other text has."""
        return float(self.matched.sum() / self.story_words) if self.story_words else 0.0

    @property
    def own_passages(self) -> float:
        """Return the share of the story's words in passages that the other text lacks, small edits not counted."""
        own = sum(stop - start for start, stop in stretches(self.matched | ~self.story))
        return own / self.story_words if self.story_words else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a newcomer and another text have in common; `jaccard` and `containment` count distinct shingles."""

    jaccard: float
    containment: float
    ours: Half
    theirs: Half
    alignment: Alignment

    @property
    def newcomer_is_shorter(self) -> bool:
        """Whether the newcomer tells the story in at most as many words as the other."""
        return self.ours.story_words <= self.theirs.story_words

    @property
    def of_shorter(self) -> float:
        """Return the share of the shorter text's words that the longer has."""
        return self.ours.share if self.newcomer_is_shorter else self.theirs.share

    @property
    def ratio(self) -> float:
        """Return the length of the shorter page over that of the longer, furniture and all."""
        lengths = len(self.ours.matched), len(self.theirs.matched)
        return min(lengths) / max(*lengths, 1)

    @property
    def shared_words(self) -> int:
        """Return how many words of the newcomer the other text has."""
        return int(self.ours.matched.sum())


def prepare(text: str, *, title: str = "") -> Side:
    """Make a text ready for comparing."""
    cut = words(text)
    every = shingles(cut.hashes)
    return Side(words=cut, title=words(title), every=every, distinct=distinct(every))


def compare(newcomer: Side, other: Side) -> Figures:
    """Compare two texts; empty ones have nothing in common with anything."""
    few = min(len(newcomer.distinct), len(other.distinct))
    shared = np.intersect1d(newcomer.distinct, other.distinct, assume_unique=True)
    containment = len(shared) / few if few else 0.0
    alike = containment >= _WORTH_ALIGNING
    alignment = align(newcomer.words.hashes, other.words.hashes) if alike else apart(newcomer.words, other.words)
    # What a text says twice (a refrain, a table, a page that holds its article twice) cannot be aligned.
    ours = alignment.ours | _long_runs(_covered(newcomer, shared)) if alike else alignment.ours
    theirs = alignment.theirs | _long_runs(_covered(other, shared)) if alike else alignment.theirs
    one_title = title_overlap(newcomer.title, other.title) >= _ONE_TITLE and int(ours.sum()) >= _A_STORY
    return Figures(
        jaccard=len(shared) / max(1, len(newcomer.distinct) + len(other.distinct) - len(shared)),
        containment=containment,
        ours=_half(newcomer, ours, other, trim=one_title or _share(theirs) >= _MOST_OF_IT),
        theirs=_half(other, theirs, newcomer, trim=one_title or _share(ours) >= _MOST_OF_IT),
        alignment=alignment,
    )


def stretches(marks: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield where long runs of unmarked words begin and end; single marked words do not end one."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], ~marks, [False])).astype(np.int8)))
    start = stop = -1
    for left, right in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stop >= 0 and left - stop < _ISLAND:
            stop = right
            continue
        if stop - start >= LONG:
            yield start, stop
        start, stop = left, right
    if stop - start >= LONG:
        yield start, stop


def on_topic(side: Side, start: int, stop: int, other: Side) -> bool:
    """Say whether a stretch of a text speaks of what another text speaks of, by the pairs of words they share.

    Of the pairs in a follow-up's new passages the old story has 14% or more in 95 of 100; of those in passages of
    unrelated articles 5% to 12% or less, the more the longer the story is.
    """
    said = word_pairs(side.words.hashes[start:stop])
    places = np.minimum(np.searchsorted(other.pairs, said), max(0, len(other.pairs) - 1))
    known = other.pairs.take(places) == said if len(other.pairs) else np.zeros(len(said), dtype=np.bool_)
    longer = max(1.0, len(other.words) / _USUAL_LENGTH)
    return _share(known) >= _ON_TOPIC * min(1.5, math.pow(longer, 0.4))


def _half(side: Side, matched: NDArray[np.bool_], other: Side, *, trim: bool) -> Half:
    story = np.ones(len(matched), dtype=np.bool_)
    if trim:
        for start, stop in stretches(matched):
            if stop - start >= _FURNITURE and not on_topic(side, start, stop, other):
                story[start:stop] = matched[start:stop]
    return Half(matched=matched, story=story)


def _long_runs(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the marks that stand in runs of a passage's length."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marks, [False])).astype(np.int8)))
    kept = np.zeros(len(marks), dtype=np.bool_)
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stop - start >= _REPEATED:
            kept[start:stop] = True
    return kept


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
