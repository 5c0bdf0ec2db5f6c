"""Measures the similarity of two texts: shared shingles, shared words, and which part of each text the other covers.

The figures are exact, and the same whichever text comes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.alignment import Alignment, align, align_nothing
from worker.dedupe.prepared import PreparedText, title_overlap
from worker.dedupe.tokenizer import in_sorted, word_pairs

# Says of one of two compared texts which words the other has, and which belong to the story that both tell.
#
# What belongs to no story is page furniture: stretches that the other text lacks and that speak of something else.


PASSAGE_WORDS = 8
"""Words from which a stretch that only one text has is a passage, not an edit."""

_LONGEST_ISLAND = 2
_ON_TOPIC_SHARE = 0.08
_BOILERPLATE_WORDS = 20
_OFF_TOPIC_SHARE = 0.05
_USUAL_LENGTH = 500
# Small gaps for each matched word, from which in the text that has fewer and in the other, and words in a gap up to
# which they are single words. Words edited at random make gaps of 1.0 to 1.6 words. Of the labelled pairs that are not
# one item those with gaps at 5% in both texts have 2.1 words in each, at 3.5% 1.5, and at 9% in one text 1.7.
_LIGHT_EDITS = ((0.05, 0.05, 1.8), (0.035, 0.035, 1.3), (0.0, 0.09, 1.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One of two compared texts: which of its words the other has, and which belong to the story both tell."""

    matched: NDArray[np.bool_]
    story: NDArray[np.bool_]

    @property
    def raw_share(self) -> float:
        """Return the share of all words that the other text has."""
        return marked_share(self.matched)

    @property
    def story_words(self) -> int:
        """Return how many words belong to the story."""
        return int(self.story.sum())

    @property
    def share(self) -> float:
        """Return the share of the story's words that the other text has."""
        return float(self.matched.sum() / self.story_words) if self.story_words else 0.0

    @property
    def small_gaps(self) -> tuple[int, int]:
        """Return how many small gaps there are between matched words, and how many words stand in them."""
        lengths = np.array([stop - start for start, stop in unmarked_runs(self.matched | ~self.story)], dtype=np.int64)
        small = lengths[lengths < PASSAGE_WORDS]
        return len(small), int(small.sum())

    @property
    def own_passages(self) -> float:
        """Return the share of the story's words in passages that the other text lacks, small edits not counted."""
        own = sum(stop - start for start, stop in unmatched_passages(self.matched | ~self.story))
        return own / self.story_words if self.story_words else 0.0


def full_coverage(matched: NDArray[np.bool_]) -> Coverage:
    """Return a text of which all belongs to the story."""
    return Coverage(matched=matched, story=np.ones(len(matched), dtype=np.bool_))


def is_lightly_edited(ours: Coverage, theirs: Coverage) -> bool:
    """Say whether one text is the other with single words exchanged all over.

    Who turns sentences, or writes an old story on, changes several words at once, or leaves the old ones alone.
    """
    (our_gaps, our_words), (their_gaps, their_words) = ours.small_gaps, theirs.small_gaps
    rates = our_gaps / max(1, int(ours.matched.sum())), their_gaps / max(1, int(theirs.matched.sum()))
    size = (our_words + their_words) / max(1, our_gaps + their_gaps)
    return any(min(rates) >= least and max(rates) >= most and size <= words for least, most, words in _LIGHT_EDITS)


def coverage_of(text: PreparedText, matched: NDArray[np.bool_], other: PreparedText, *, trim: bool) -> Coverage:
    """Return what of a text belongs to the story that the other tells too; all of it unless `trim`."""
    story = np.ones(len(matched), dtype=np.bool_)
    if trim:
        for stretch in unmatched_passages(matched):
            for start, stop in _find_boilerplate(text, *stretch, other):
                story[start:stop] = matched[start:stop]
    return Coverage(matched=matched, story=story)


def unmarked_runs(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where runs of unmarked words begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], ~marks, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def unmatched_passages(marks: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield where long runs of unmarked words begin and end; single marked words do not end one."""
    start = stop = -1
    for left, right in unmarked_runs(marks):
        if stop >= 0 and left - stop < _LONGEST_ISLAND:
            stop = right
            continue
        if stop - start >= PASSAGE_WORDS:
            yield start, stop
        start, stop = left, right
    if stop - start >= PASSAGE_WORDS:
        yield start, stop


def is_on_topic(text: PreparedText, start: int, stop: int, other: PreparedText) -> bool:
    """Say whether a stretch of a text speaks of what another text speaks of, by the pairs of words they share.

    Of the pairs in a follow-up's new passages the old story has 14% or more in 95 of 100; of those in passages of
    unrelated articles 5% to 12% or less, the more the longer the story is.
    """
    longer = max(1.0, len(other.words) / _USUAL_LENGTH)
    return _shared_pairs_of(text, start, stop, other) >= _ON_TOPIC_SHARE * min(1.5, math.pow(longer, 0.4))


def marked_share(marks: NDArray[np.bool_]) -> float:
    """Return the share of words that are marked; 0 for no words."""
    return float(marks.mean()) if len(marks) else 0.0


def _find_boilerplate(text: PreparedText, start: int, stop: int, other: PreparedText) -> list[tuple[int, int]]:
    """Return what of a stretch speaks of something else: all of it, or the lines at either end of it."""
    if _is_boilerplate(text, start, stop, other):
        return [(start, stop)]
    lines = _whole_lines(text, start, stop)
    above = list(takewhile(lambda line: _is_boilerplate(text, *line, other), lines))
    below = takewhile(lambda line: _is_boilerplate(text, *line, other), reversed(lines[len(above) :]))
    return [*above, *below]


def _whole_lines(text: PreparedText, start: int, stop: int) -> list[tuple[int, int]]:
    """Return the parts of a stretch by lines; what is only a part of a line stands in it too."""
    inside = start + 1 + np.flatnonzero(text.line_starts[start + 1 : stop])
    return list(pairwise([start, *inside.tolist(), stop]))


def _is_boilerplate(text: PreparedText, start: int, stop: int, other: PreparedText) -> bool:
    """Say whether words speak of something else; a few (a caption, a teaser) only where they fill lines."""
    if stop - start >= _BOILERPLATE_WORDS:
        return not is_on_topic(text, start, stop, other)
    whole_lines = text.line_starts[start] and (stop == len(text.words) or text.line_starts[stop])
    return bool(whole_lines) and _shared_pairs_of(text, start, stop, other) < _OFF_TOPIC_SHARE


def _shared_pairs_of(text: PreparedText, start: int, stop: int, other: PreparedText) -> float:
    """Return the share of a stretch's pairs of neighbouring words that stand in the other text."""
    return marked_share(in_sorted(word_pairs(text.words.hashes[start:stop]), other.pairs))


_LEAST_CONTAINMENT = 0.15
_SHORTEST_REPEAT = 30
# Furniture is taken off a text only where the other one is, for the most part, in it, or where both have a story's
# length in common, and one title or single words exchanged all over it: two texts that share nothing but furniture must
# not shrink to it.
_SAME_TITLE_OVERLAP = 0.9
_STORY_WORDS = 100
_MOSTLY_COVERED = 0.55


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """What a newcomer and another text have in common; `jaccard` and `containment` count distinct shingles.

    `newcomer_first` says which text comes first in the order that all comparing is done in.
    """

    jaccard: float
    containment: float
    ours: Coverage
    theirs: Coverage
    alignment: Alignment
    text_first: bool = True

    @property
    def swapped(self) -> Similarity:
        """Return the figures with the texts in each other's places."""
        return Similarity(
            jaccard=self.jaccard,
            containment=self.containment,
            ours=self.theirs,
            theirs=self.ours,
            alignment=self.alignment.swapped,
            text_first=not self.text_first,
        )

    @property
    def text_is_shorter(self) -> bool:
        """Whether the newcomer tells the story in fewer words than the other."""
        ours, theirs = self.ours.story_words, self.theirs.story_words
        return ours < theirs if ours != theirs else self.text_first

    @property
    def shorter(self) -> Coverage:
        """Return the text that tells the story in fewer words."""
        return self.ours if self.text_is_shorter else self.theirs

    @property
    def shorter_coverage(self) -> float:
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


def compare(text: PreparedText, other: PreparedText) -> Similarity:
    """Compare two texts; empty ones have nothing in common with anything."""
    # Where a word repeats, which of its places is matched depends on the order: one order makes one verdict.
    if _comes_first(other, text):
        return _compare_in_order(other, text).swapped
    return _compare_in_order(text, other)


def _comes_first(one: PreparedText, two: PreparedText) -> bool:
    if len(one.words) != len(two.words):
        return len(one.words) < len(two.words)
    return one.words.hashes.tobytes() < two.words.hashes.tobytes()


def _compare_in_order(one: PreparedText, two: PreparedText) -> Similarity:
    few = min(len(one.distinct_shingles), len(two.distinct_shingles))
    shared = _shared(one.distinct_shingles, two.distinct_shingles)
    jaccard = len(shared) / max(1, len(one.distinct_shingles) + len(two.distinct_shingles) - len(shared))
    containment = len(shared) / few if few else 0.0
    if containment < _LEAST_CONTAINMENT:
        alignment = align_nothing(one.words, two.words)
        ours, theirs = full_coverage(alignment.ours), full_coverage(alignment.theirs)
        return Similarity(jaccard=jaccard, containment=containment, ours=ours, theirs=theirs, alignment=alignment)
    alignment = align(one.words.hashes, two.words.hashes)
    # What a text says twice (a refrain, a table, a page that holds its article twice) cannot be aligned.
    here = _with_repeats(one, alignment.ours | _long_runs(_words_in_shingles(one, shared)), two)
    there = _with_repeats(two, alignment.theirs | _long_runs(_words_in_shingles(two, shared)), one)
    sure = int(here.sum()) >= _STORY_WORDS and (
        title_overlap(one.title, two.title) >= _SAME_TITLE_OVERLAP
        or is_lightly_edited(full_coverage(here), full_coverage(there))
    )
    return Similarity(
        jaccard=jaccard,
        containment=containment,
        ours=coverage_of(one, here, two, trim=sure or marked_share(there) >= _MOSTLY_COVERED),
        theirs=coverage_of(two, there, one, trim=sure or marked_share(here) >= _MOSTLY_COVERED),
        alignment=alignment,
    )


def _shared(one: NDArray[np.uint64], two: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return what two sorted arrays without repetitions have in common."""
    short, long = (one, two) if len(one) <= len(two) else (two, one)
    return short[in_sorted(short, long)]


def _with_repeats(text: PreparedText, matched: NDArray[np.bool_], other: PreparedText) -> NDArray[np.bool_]:
    """Add the words of passages that the other text says too, be it where it says something else besides."""
    found = matched.copy()
    for start, stop in unmatched_passages(matched):
        found[start:stop] |= other.bigrams.find_repeat(text.words.hashes[start:stop])
    return found


def _long_runs(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the marks that stand in runs of a passage's length."""
    kept = np.zeros(len(marks), dtype=np.bool_)
    for start, stop in unmarked_runs(~marks):
        if stop - start >= _SHORTEST_REPEAT:
            kept[start:stop] = True
    return kept


def _words_in_shingles(text: PreparedText, shared: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each word of a text whether it stands in one of the shared shingles (sorted)."""
    marks = np.zeros(len(text.words), dtype=np.bool_)
    places = np.flatnonzero(in_sorted(text.shingles, shared))
    for offset in range(len(text.words) - len(text.shingles) + 1):
        marks[places + offset] = True
    return marks
