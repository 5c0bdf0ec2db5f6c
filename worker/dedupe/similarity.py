"""Measures the similarity of two texts: shared shingles, shared words, and which part of each text the other covers.

`compare` returns a `Similarity` with a `Coverage` of each text. All values are exact, and exchanging the two texts
gives the same values exchanged. A text's story is what is left of it without boilerplate: passages that the other text
lacks and that are on another topic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise, takewhile

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.alignment import Alignment, align_all, align_by, align_nothing
from worker.dedupe.prepared import PreparedText, title_overlap
from worker.dedupe.tokenizer import MIN_CONTAINMENT, in_sorted, shared_values, sorted_unique, word_pairs
from worker.models.base import dataclass

# Coverage: which words of one text the other has, and which belong to the story rather than to boilerplate.


PASSAGE_WORDS = 8
"""The length from which unmatched words are a passage rather than an edit. Chosen by hand, about half a sentence; all
features of the model were fitted with it."""

_MAX_ISLAND = 2
"""Fewer matched words than this do not split an unmatched passage: a single common word is chance."""

# Measured (docs/dedupe.md, "Verdicts"): passages of follow-ups share 14% or more of their word pairs with the old story
# in 95 of 100 cases, passages of unrelated articles 5% to 12% or less. The share that chance gives grows with the
# length of the text; `_USUAL_LENGTH` is the length in words for which the shares hold. Passages of fewer than
# `_MIN_BOILERPLATE_WORDS` have too few pairs for a share, so the bound for them is lower and they must fill whole
# lines.
_ON_TOPIC_SHARE = 0.08
_MIN_BOILERPLATE_WORDS = 20
_OFF_TOPIC_SHARE = 0.05
_USUAL_LENGTH = 500

# Signs of a text with single words exchanged all over: the least rate of small gaps per matched word in the text with
# fewer gaps and in the other, and the greatest mean length of a gap. Measured: words edited at random make gaps of 1.0
# to 1.6 words; labelled pairs that are not one item have gaps of 2.1 words at a rate of 5% in both texts, of 1.5 at
# 3.5%, and of 1.7 at 9% in one text.
_LIGHT_EDITS = ((0.05, 0.05, 1.8), (0.035, 0.035, 1.3), (0.0, 0.09, 1.5))


# Without slots, for `cached_property`: most pairs that share little need no word pairs.
@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Masks over the words of one of two compared texts: `matched` by the other, and belonging to the `story`."""

    text: PreparedText
    other: PreparedText
    matched: NDArray[np.bool_]
    story: NDArray[np.bool_]

    @cached_property
    def known_pairs(self) -> NDArray[np.bool_]:
        """Return for each word but the last whether the other text has it, followed by the next word, anywhere."""
        return in_sorted(word_pairs(self.text.words.hashes), self.other.pairs)

    def known_share(self, passages: Sequence[tuple[int, int]]) -> float:
        """Return the share (0..1) of the word pairs in some passages that the other text has."""
        known = [self.known_pairs[start : stop - 1] for start, stop in passages]
        return marked_share(known[0] if len(known) == 1 else np.concatenate(known))

    def is_on_topic(self, start: int, stop: int) -> bool:
        """Return whether a passage is on the topic of the other text, by the share of word pairs it has from it.

        The bound grows with the length of the other text, since a longer text has more pairs by chance.
        """
        longer = max(1.0, len(self.other.words) / _USUAL_LENGTH)
        return self.known_share([(start, stop)]) >= _ON_TOPIC_SHARE * min(1.5, math.pow(longer, 0.4))

    @property
    def raw_share(self) -> float:
        """Return the share (0..1) of all words that the other text has, boilerplate included."""
        return marked_share(self.matched)

    @property
    def story_words(self) -> int:
        """Return the number of words of the story."""
        return int(np.count_nonzero(self.story))

    @property
    def share(self) -> float:
        """Return the share (0..1) of the story's words that the other text has."""
        return int(np.count_nonzero(self.matched)) / self.story_words if self.story_words else 0.0

    @property
    def small_gaps(self) -> tuple[int, int]:
        """Return the number of gaps shorter than a passage between matched words, and the words in them."""
        lengths = (stop - start for start, stop in unmarked_runs(self.matched | ~self.story))
        small = [length for length in lengths if length < PASSAGE_WORDS]
        return len(small), sum(small)

    @property
    def own(self) -> list[tuple[int, int]]:
        """Return the start and stop index of each passage of the story that the other text lacks."""
        return list(unmatched_passages(self.matched | ~self.story))

    @property
    def own_passages(self) -> float:
        """Return the share (0..1) of the story's words in passages that the other text lacks; edits do not count."""
        own = sum(stop - start for start, stop in self.own)
        return own / self.story_words if self.story_words else 0.0


def full_coverage(text: PreparedText, matched: NDArray[np.bool_], other: PreparedText) -> Coverage:
    """Return the coverage of a text without boilerplate: every word belongs to the story."""
    return Coverage(text=text, other=other, matched=matched, story=np.ones(len(matched), dtype=np.bool_))


def is_lightly_edited(ours: Coverage, theirs: Coverage) -> bool:
    """Return whether one text is the other with single words exchanged all over.

    A rewritten sentence changes several words at once, and a continued story leaves the old words unchanged.
    """
    (our_gaps, our_words), (their_gaps, their_words) = ours.small_gaps, theirs.small_gaps
    rates = our_gaps / _at_least_one(ours.matched), their_gaps / _at_least_one(theirs.matched)
    size = (our_words + their_words) / max(1, our_gaps + their_gaps)
    return any(min(rates) >= least and max(rates) >= most and size <= words for least, most, words in _LIGHT_EDITS)


def coverage_of(text: PreparedText, matched: NDArray[np.bool_], other: PreparedText, *, trim: bool) -> Coverage:
    """Return the coverage of a text; with `trim` its boilerplate does not belong to the story."""
    whole = full_coverage(text, matched, other)
    if not trim:
        return whole
    story = whole.story.copy()
    for passage in unmatched_passages(matched):
        for start, stop in _find_boilerplate(whole, *passage):
            story[start:stop] = matched[start:stop]
    return replace(whole, story=story)


def unmarked_runs(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the start and stop index of each run of unmarked words."""
    # Searching bytes is several times as fast as finding the edges with numpy, since most texts have few runs.
    data, runs = marks.tobytes(), []
    start = data.find(0)
    while start >= 0:
        stop = data.find(1, start)
        if stop < 0:
            stop = len(data)
        runs.append((start, stop))
        start = data.find(0, stop)
    return runs


def unmatched_passages(marks: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the start and stop index of each unmarked passage; a single marked word does not split one."""
    start = stop = -1
    for left, right in unmarked_runs(marks):
        if stop >= 0 and left - stop < _MAX_ISLAND:
            stop = right
            continue
        if stop - start >= PASSAGE_WORDS:
            yield start, stop
        start, stop = left, right
    if stop - start >= PASSAGE_WORDS:
        yield start, stop


def marked_share(marks: NDArray[np.bool_]) -> float:
    """Return the share of words that are marked; 0 for no words."""
    # `count_nonzero` takes a tenth of the time of `mean` and `sum`, which convert the array first.
    return int(np.count_nonzero(marks)) / len(marks) if len(marks) else 0.0


def _at_least_one(marks: NDArray[np.bool_]) -> int:
    return max(1, int(np.count_nonzero(marks)))


def _find_boilerplate(coverage: Coverage, start: int, stop: int) -> list[tuple[int, int]]:
    """Return the boilerplate in a passage: all of it, or the lines at its beginning and its end."""
    if _is_boilerplate(coverage, start, stop):
        return [(start, stop)]
    lines = _whole_lines(coverage.text, start, stop)
    above = list(takewhile(lambda line: _is_boilerplate(coverage, *line), lines))
    below = takewhile(lambda line: _is_boilerplate(coverage, *line), reversed(lines[len(above) :]))
    return [*above, *below]


def _whole_lines(text: PreparedText, start: int, stop: int) -> list[tuple[int, int]]:
    """Return the start and stop index of each line of a passage; the first and last may be parts of lines."""
    inside = start + 1 + np.flatnonzero(text.line_starts[start + 1 : stop])
    return list(pairwise([start, *inside.tolist(), stop]))


def _is_boilerplate(coverage: Coverage, start: int, stop: int) -> bool:
    """Return whether words are boilerplate; a few words (a caption, a teaser) only if they fill whole lines."""
    if stop - start >= _MIN_BOILERPLATE_WORDS:
        return not coverage.is_on_topic(start, stop)
    begins = coverage.text.line_starts
    whole_lines = begins[start] and (stop == len(begins) or begins[stop])
    return bool(whole_lines) and coverage.known_share([(start, stop)]) < _OFF_TOPIC_SHARE


_MIN_REPEAT = 30
"""A run of shared shingles that is repeated within a text counts from this many words on. Chosen by hand."""

# Two texts that share only boilerplate must not be reduced to it. So boilerplate is removed from a text only if the
# other is mostly covered, or if both share `_MIN_STORY_WORDS` and have the same title, or titles about what they share
# (`TITLE_LEAD` more of the title's words there than in the rest), or only single words exchanged. Chosen by hand, and
# checked on the labelled pairs.
_SAME_TITLE_OVERLAP = 0.9
_MIN_STORY_WORDS = 100
_MOSTLY_COVERED = 0.55
TITLE_LEAD = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """What a text (`ours`) and another text (`theirs`) have in common.

    `jaccard` and `containment` are in 0..1 and count distinct shingles; `containment` is the share of the shorter
    text's shingles. `text_first` is true if the text comes before the other in the order in which pairs are compared.
    """

    jaccard: float
    containment: float
    ours: Coverage
    theirs: Coverage
    alignment: Alignment
    text_first: bool = True

    @property
    def swapped(self) -> Similarity:
        """Return the similarity with the two texts exchanged."""
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
        """Whether the text has fewer words of story than the other."""
        ours, theirs = self.ours.story_words, self.theirs.story_words
        return ours < theirs if ours != theirs else self.text_first

    @property
    def shorter(self) -> Coverage:
        """Return the coverage of the text with fewer words of story."""
        return self.ours if self.text_is_shorter else self.theirs

    @property
    def shorter_coverage(self) -> float:
        """Return the share (0..1) of the shorter text's story that the longer text has."""
        return self.shorter.share

    @property
    def ratio(self) -> float:
        """Return the length of the shorter text divided by that of the longer, boilerplate included."""
        lengths = len(self.ours.matched), len(self.theirs.matched)
        return min(lengths) / max(*lengths, 1)

    @property
    def shared_words(self) -> int:
        """Return how many words of the text the other has."""
        return int(np.count_nonzero(self.ours.matched))


def compare(text: PreparedText, other: PreparedText) -> Similarity:
    """Compare two texts; an empty text has nothing in common with any other."""
    # Which occurrence of a repeated word is matched depends on the order of the texts. A fixed order makes the verdict
    # independent of which text arrived first.
    if _comes_first(other, text):
        return _compare_in_order(other, text).swapped
    return _compare_in_order(text, other)


def _comes_first(one: PreparedText, two: PreparedText) -> bool:
    if len(one.words) != len(two.words):
        return len(one.words) < len(two.words)
    return one.words.hashes.tobytes() < two.words.hashes.tobytes()


def _without_boilerplate(
    one: PreparedText, two: PreparedText, *, jaccard: float, containment: float, alignment: Alignment
) -> Similarity:
    """Return the similarity of two texts of which every word belongs to the story, matched as they are aligned."""
    return Similarity(
        jaccard=jaccard,
        containment=containment,
        ours=full_coverage(one, alignment.ours, two),
        theirs=full_coverage(two, alignment.theirs, one),
        alignment=alignment,
    )


def _compare_in_order(one: PreparedText, two: PreparedText) -> Similarity:
    if len(one.words) and np.array_equal(one.words.hashes, two.words.hashes):
        return _without_boilerplate(one, two, jaccard=1.0, containment=1.0, alignment=align_all(one.words))
    few = min(len(one.distinct_shingles), len(two.distinct_shingles))
    shared = shared_values(one.distinct_shingles, two.distinct_shingles)
    jaccard = len(shared) / max(1, len(one.distinct_shingles) + len(two.distinct_shingles) - len(shared))
    containment = len(shared) / few if few else 0.0
    if containment < MIN_CONTAINMENT:
        alignment = align_nothing(one.words, two.words)
        return _without_boilerplate(one, two, jaccard=jaccard, containment=containment, alignment=alignment)
    alignment = align_by(one.words.hashes, one.unique_shingles, two.words.hashes, two.unique_shingles)
    here = _with_repeats(one, alignment.ours, shared, two)
    there = _with_repeats(two, alignment.theirs, shared, one)
    trim_one, trim_two = marked_share(there) >= _MOSTLY_COVERED, marked_share(here) >= _MOSTLY_COVERED
    if not (trim_one and trim_two) and _is_shared_the_story(one, here, two, there):
        trim_one = trim_two = True
    return Similarity(
        jaccard=jaccard,
        containment=containment,
        ours=coverage_of(one, here, two, trim=trim_one),
        theirs=coverage_of(two, there, one, trim=trim_two),
        alignment=alignment,
    )


def _is_shared_the_story(
    one: PreparedText, here: NDArray[np.bool_], two: PreparedText, there: NDArray[np.bool_]
) -> bool:
    """Return whether what two texts share is their story rather than boilerplate, by their titles or by the edits."""
    return int(np.count_nonzero(here)) >= _MIN_STORY_WORDS and (
        title_overlap(one.title, two.title) >= _SAME_TITLE_OVERLAP
        or is_lightly_edited(full_coverage(one, here, two), full_coverage(two, there, one))
        or _are_titles_about_shared(one, here, two, there)
    )


def _are_titles_about_shared(
    one: PreparedText, here: NDArray[np.bool_], two: PreparedText, there: NDArray[np.bool_]
) -> bool:
    """Return whether what two texts share is their story: one title is about it, and neither about anything else."""
    leads = [title_lead(one, here), title_lead(two, there)]
    return max(leads) >= TITLE_LEAD and min(leads) > -TITLE_LEAD


def title_lead(text: PreparedText, matched: NDArray[np.bool_]) -> float:
    """Return by how much more of its title's words a text has in its matched words than in its own passages."""
    own = np.zeros(len(matched), dtype=np.bool_)
    for start, stop in unmatched_passages(matched):
        own[start:stop] = True
    title = sorted_unique(text.title.hashes)
    shared, other = (
        marked_share(in_sorted(title, sorted_unique(text.words.hashes[marks]))) for marks in (matched, own)
    )
    return shared - other


def _with_repeats(
    text: PreparedText, aligned: NDArray[np.bool_], shared: NDArray[np.uint64], other: PreparedText
) -> NDArray[np.bool_]:
    """Mark also the words of unaligned passages that the other text repeats at a place matched otherwise.

    Repeated passages (a refrain, a table, a page that contains its article twice) cannot be aligned, so long runs of
    `shared` shingles count as matched too.
    """
    if aligned.all():
        return aligned
    matched = aligned | _long_runs(_words_in_shingles(text, shared))
    found = matched.copy()
    for start, stop in unmatched_passages(matched):
        found[start:stop] |= other.bigrams.find_repeat(text.words.hashes[start:stop])
    return found


def _long_runs(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep only the marks in runs of at least `_MIN_REPEAT` words."""
    kept = np.zeros(len(marks), dtype=np.bool_)
    for start, stop in unmarked_runs(~marks):
        if stop - start >= _MIN_REPEAT:
            kept[start:stop] = True
    return kept


def _words_in_shingles(text: PreparedText, shared: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return for each word of a text whether it is part of one of the `shared` shingles, a sorted array."""
    marks = np.zeros(len(text.words), dtype=np.bool_)
    known = in_sorted(text.shingles, shared)
    for offset in range(len(marks) - len(known) + 1):
        marks[offset : offset + len(known)] |= known
    return marks
