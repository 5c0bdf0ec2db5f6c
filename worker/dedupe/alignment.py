"""Aligns two texts word by word, and returns the passages that they share.

Common runs of words are found through shingles that occur once in each text. They may be anywhere in the texts, so that
moved paragraphs are found too. The words between two runs that are neighbours in both texts are then matched one by
one. `align` works on word hashes, for the judge; `align_passages` returns text, for `why`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.charset.characters import count_words
from worker.dedupe.tokenizer import SHINGLE, Words, in_sorted, shingles, sorted_unique, tokenize, word_pairs
from worker.models.base import dataclass
from worker.models.records import AlignedPassage, AlignedPassages

# Chosen by hand, not measured one by one; the model was fitted to what they give. In numbers of words. Matching a gap
# word by word takes time in proportion to the product of its lengths, so long gaps are left out, and `_MAX_CELLS`
# bounds the work for one pair. In a gap longer than `_SMALL_GAP`, single common words and gaps with few matches are
# chance. A run that was moved counts from `_MIN_MOVED` words on; a shorter one is a phrase.
_MAX_GAP = 400
_SMALL_GAP = 12
_MIN_RUN = 2
_WORDS_BESIDE_A_MOVE = 40
_MIN_MATCHED_SHARE = 0.3
_MIN_MOVED = 12
_MAX_CELLS = 2_000_000


class Run(NamedTuple):
    """A run of `length` words in both texts: it starts at `ours` in the first and at `theirs` in the second."""

    ours: int
    theirs: int
    length: int


class Gap(NamedTuple):
    """The words of each text between two runs that are neighbours in both: the texts differ there."""

    ours: range
    theirs: range


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """The runs in the order of the first text, the gaps between them, and a mask of the matched words of each text."""

    runs: tuple[Run, ...]
    gaps: tuple[Gap, ...]
    ours: NDArray[np.bool_]
    theirs: NDArray[np.bool_]

    @property
    def swapped(self) -> Alignment:
        """Return the alignment with the two texts exchanged."""
        return Alignment(
            runs=tuple(sorted(Run(run.theirs, run.ours, run.length) for run in self.runs)),
            gaps=tuple(sorted((Gap(gap.theirs, gap.ours) for gap in self.gaps), key=lambda gap: gap.ours.start)),
            ours=self.theirs,
            theirs=self.ours,
        )


class UniqueShingles(NamedTuple):
    """The shingles that occur once in a text, sorted, and the index of the word where each begins."""

    values: NDArray[np.uint64]
    places: NDArray[np.intp]

    @classmethod
    def of(cls, every: NDArray[np.uint64]) -> UniqueShingles:
        """Return those of a text, given all of its shingles in order."""
        order = np.argsort(every)
        ordered = every[order]
        differs = np.ones(len(ordered) + 1, dtype=np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=differs[1:-1])
        once = differs[1:] & differs[:-1]
        return cls(ordered[once], order[once])


def align(ours: NDArray[np.uint64], theirs: NDArray[np.uint64]) -> Alignment:
    """Align two texts given as arrays of word hashes, in the order of the words."""
    if len(ours) and np.array_equal(ours, theirs):
        return align_all(ours)
    return align_by(ours, UniqueShingles.of(shingles(ours)), theirs, UniqueShingles.of(shingles(theirs)))


def align_by(
    ours: NDArray[np.uint64], here: UniqueShingles, theirs: NDArray[np.uint64], there: UniqueShingles
) -> Alignment:
    """Align two different texts, given their word hashes and the shingles that occur once in each."""
    found = _runs_on_diagonals(here, there) if min(len(ours), len(theirs)) >= SHINGLE else []
    runs = _without_phrases(_without_overlaps(found))
    runs = sorted([*runs, *_match_gaps(_gaps(runs, len(ours), len(theirs)), ours, theirs)])
    if not _are_in_one_order(found) and len(ours) * len(theirs) <= _MAX_CELLS:
        runs = _as_form(ours, theirs) or runs
    gaps = _gaps(runs, len(ours), len(theirs))
    # The words just before and after a moved passage are matched with those around the passage in the other text.
    beside = _match_gaps(_gaps_beside_moves(runs, len(ours), len(theirs)), ours, theirs)
    runs = sorted([*runs, *beside])
    return Alignment(
        runs=tuple(runs),
        gaps=tuple(gaps),
        ours=_mask(((run.ours, run.length) for run in runs), len(ours)),
        theirs=_mask(((run.theirs, run.length) for run in runs), len(theirs)),
    )


def _as_form(ours: NDArray[np.uint64], theirs: NDArray[np.uint64]) -> list[Run]:
    """Return the runs in one order of two texts that differ in short gaps alone, as a form filled in anew; else none.

    Such texts have some phrases at other places by chance, which would draw their lines apart.
    """
    runs = [run for run in _longest_in_order(ours, theirs, most=_SMALL_GAP) if run.length >= _MIN_RUN]
    gaps = _gaps(runs, len(ours), len(theirs))
    return runs if all(max(len(gap.ours), len(gap.theirs)) <= _SMALL_GAP for gap in gaps) else []


def _longest_in_order(ours: NDArray[np.uint64], theirs: NDArray[np.uint64], *, most: int) -> list[Run]:
    """Return the runs of a longest common subsequence of two texts; none if it leaves out more than `most` in a row.

    Bit-parallel (Hyyrö 2004): each row is an integer, in which a bit is 0 where one more word of `theirs` is matched.
    """
    places: dict[int, int] = {}
    for at, word in enumerate(theirs.tolist()):
        places[word] = places.get(word, 0) | 1 << at
    every = (1 << len(theirs)) - 1
    rows = [every]
    for word in ours.tolist():
        row = rows[-1]
        known = row & places.get(word, 0)
        rows.append((row + known | row - known) & every)
    return _runs_of_rows(rows, len(theirs), most=most)


def _runs_of_rows(rows: list[int], end: int, *, most: int) -> list[Run]:
    """Return the runs that the rows of `_longest_in_order` describe, found from the ends of the texts back."""
    runs: list[Run] = []
    here, there, last = len(rows) - 1, end, Run(len(rows) - 1, end, 0)
    while here and there:
        if max(last.ours - here, last.theirs - there) > most:
            return []
        if rows[here] >> there - 1 & 1:
            there -= 1
        elif not rows[here - 1] >> there - 1 & 1:
            here -= 1
        else:
            here, there = here - 1, there - 1
            follows = bool(runs) and (last.ours, last.theirs) == (here + 1, there + 1)
            last = Run(here, there, runs.pop().length + 1 if follows else 1)
            runs.append(last)
    return runs[::-1]


def align_all(ours: Sized) -> Alignment:
    """Return the alignment of a text with one of the same words."""
    every = _mask([(0, len(ours))], len(ours))
    return Alignment(runs=(Run(0, 0, len(ours)),), gaps=(), ours=every, theirs=every.copy())


def align_nothing(ours: Sized, theirs: Sized) -> Alignment:
    """Return the alignment of two texts that have nothing in common."""
    return Alignment(runs=(), gaps=(), ours=_mask((), len(ours)), theirs=_mask((), len(theirs)))


def _runs_on_diagonals(here: UniqueShingles, there: UniqueShingles) -> list[Run]:
    """Return the runs of shingles that occur once in each text, joined if they overlap at one distance of the texts."""
    if not len(here.values) or not len(there.values):
        return []
    at = there.values.searchsorted(here.values)
    known = there.values.take(at, mode="clip") == here.values
    mine, other = here.places[known], there.places[at[known]]
    if not len(mine):
        return []
    order = mine.argsort()
    mine, other = mine[order], other[order]
    # Two shingles at most SHINGLE words apart at the same distance leave no word between them unmatched.
    apart = mine[1:] - mine[:-1]
    breaks = np.flatnonzero((other[1:] - other[:-1] != apart) | (apart > SHINGLE)).tolist()
    starts, ends = [0, *(place + 1 for place in breaks)], [*breaks, len(mine) - 1]
    return [
        Run(a, b, z - a + SHINGLE)
        for a, b, z in zip(mine[starts].tolist(), other[starts].tolist(), mine[ends].tolist(), strict=True)
    ]


def _without_overlaps(runs: list[Run]) -> list[Run]:
    """Shorten each run by the words that an earlier run covers in either text."""
    kept: list[Run] = []
    for run in runs:
        overlap = max((last.ours + last.length - run.ours for last in kept[-1:]), default=0)
        for last in kept[-1:]:
            if last.theirs <= run.theirs:
                overlap = max(overlap, last.theirs + last.length - run.theirs)
        overlap = max(overlap, 0)
        if run.length > overlap:
            kept.append(Run(run.ours + overlap, run.theirs + overlap, run.length - overlap))
    return kept


def _without_phrases(runs: list[Run]) -> list[Run]:
    """Remove runs in another order in the other text that are shorter than `_MIN_MOVED` words: phrases, not moves."""
    while not _are_in_one_order(runs):
        chains: list[list[Run]] = []
        last = -2
        for rank, run in _by_rank_in_other(runs):
            if rank == last + 1:
                chains[-1].append(run)
            else:
                chains.append([run])
            last = rank
        kept = [run for chain in chains if sum(each.length for each in chain) >= _MIN_MOVED for run in chain]
        if len(kept) in (0, len(runs)):
            break
        runs = kept
    return runs


def _are_in_one_order(runs: Sequence[Run]) -> bool:
    """Return whether runs in the order of the first text are in that of the other as well."""
    return all(before.theirs <= after.theirs for before, after in pairwise(runs))


def _by_rank_in_other(runs: Sequence[Run]) -> list[tuple[int, Run]]:
    """Return each run with its rank in the order of the other text."""
    rank = {run: place for place, run in enumerate(sorted(runs, key=lambda run: run.theirs))}
    return [(rank[run], run) for run in runs]


def _gaps(runs: list[Run], ours: int, theirs: int) -> list[Gap]:
    """Return the gaps between runs that are neighbours in both texts, of which at least one side has words."""
    fences = [(-1, Run(0, 0, 0)), *_by_rank_in_other(runs), (len(runs), Run(ours, theirs, 0))]
    gaps = []
    for (rank, before), (next_rank, after) in pairwise(fences):
        gap = Gap(range(before.ours + before.length, after.ours), range(before.theirs + before.length, after.theirs))
        if next_rank == rank + 1 and (gap.ours or gap.theirs):
            gaps.append(gap)
    return gaps


def _gaps_beside_moves(runs: list[Run], ours: int, theirs: int) -> list[Gap]:
    """Return the words beside each run that has different neighbours in the two texts, as gaps."""
    if _are_in_one_order(runs):
        return []
    here = [Run(0, 0, 0), *runs, Run(ours, theirs, 0)]
    there = [here[0], *sorted(runs, key=lambda run: run.theirs), here[-1]]
    after = dict(pairwise(there))
    before = {later: earlier for earlier, later in after.items()}
    gaps = []
    for left, right in pairwise(here):
        if after.get(left) is not right:
            mine = range(left.ours + left.length, right.ours)
            if left in after:
                other = range(left.theirs + left.length, after[left].theirs)
                gaps.append(Gap(mine[:_WORDS_BESIDE_A_MOVE], other[:_WORDS_BESIDE_A_MOVE]))
            if right in before:
                earlier = before[right]
                other = range(earlier.theirs + earlier.length, right.theirs)
                gaps.append(Gap(mine[-_WORDS_BESIDE_A_MOVE:], other[-_WORDS_BESIDE_A_MOVE:]))
    return gaps


def _match_gaps(gaps: list[Gap], ours: NDArray[np.uint64], theirs: NDArray[np.uint64]) -> list[Run]:
    """Match gaps word by word up to a limit of work; the remaining gaps of very long texts stay unmatched."""
    found: list[Run] = []
    work = 0
    for gap in gaps:
        if max(len(gap.ours), len(gap.theirs)) <= _MAX_GAP:
            work += len(gap.ours) * len(gap.theirs)
        if work > _MAX_CELLS:
            break
        found.extend(_match_gap(gap, ours, theirs))
    return found


def _match_gap(gap: Gap, ours: NDArray[np.uint64], theirs: NDArray[np.uint64]) -> list[Run]:
    """Return the runs of a gap matched word by word; none if the gap is too long or the matches look like chance."""
    longest = max(len(gap.ours), len(gap.theirs))
    if not gap.ours or not gap.theirs or longest > _MAX_GAP:
        return []
    a, b = ours[gap.ours.start : gap.ours.stop], theirs[gap.theirs.start : gap.theirs.stop]
    # Two passages on the same topic share single words; only an edited passage keeps many of its words in order.
    least, enough = (1, 0.0) if longest <= _SMALL_GAP else (_MIN_RUN, _MIN_MATCHED_SHARE * min(len(a), len(b)))
    if enough and _words_in_shared_pairs(a, b) < enough:
        return []
    here, there = a.tolist(), b.tolist()
    if set(here).isdisjoint(there):
        return []
    blocks = SequenceMatcher(None, here, there, autojunk=False).get_matching_blocks()
    runs = [Run(gap.ours.start + i, gap.theirs.start + j, n) for i, j, n in blocks if n >= least]
    return runs if sum(run.length for run in runs) >= enough else []


def _words_in_shared_pairs(ours: NDArray[np.uint64], theirs: NDArray[np.uint64]) -> int:
    """Return how many words are in a pair of neighbours that the other text has: as many as can be in runs, or more."""
    known = in_sorted(word_pairs(ours), sorted_unique(word_pairs(theirs)))
    marks = np.zeros(len(ours), dtype=np.bool_)
    marks[:-1] = known
    marks[1:] |= known
    return int(np.count_nonzero(marks))


def _mask(ranges: Iterable[tuple[int, int]], length: int) -> NDArray[np.bool_]:
    """Return a mask of `length` words with the given ranges (start and count) set."""
    marks = np.zeros(length, dtype=np.bool_)
    for start, count in ranges:
        marks[start : start + count] = True
    return marks


_MIN_SHOWN_WORDS = 3  # chosen, not measured: shorter shared runs make a list of passages unreadable


def align_passages(text: str, other: str) -> AlignedPassages:
    """Align two texts and return their passages, in time proportional to their lengths."""
    ours, theirs = tokenize(text), tokenize(other)
    runs = _whole_runs(align(ours.hashes, theirs.hashes).runs, len(ours), len(theirs))
    passages = tuple(_aligned_passages(ours, theirs, runs))
    shared = sum(count_words(each.text) for each in passages if each.shared)
    return AlignedPassages(passages=passages, shared_words=shared)


def _whole_runs(runs: tuple[Run, ...], ours: int, theirs: int) -> list[Run]:
    """Join runs that are adjacent in both texts; remove short runs and runs that overlap a longer one."""
    joined: list[Run] = []
    for run in runs:
        last = joined[-1] if joined else None
        if last and (last.ours + last.length, last.theirs + last.length) == (run.ours, run.theirs):
            joined[-1] = Run(last.ours, last.theirs, last.length + run.length)
        else:
            joined.append(run)
    whole = ours == theirs == sum(run.length for run in joined)
    taken_here, taken_there = bytearray(ours), bytearray(theirs)
    kept = []
    for run in sorted(joined, key=lambda run: -run.length):
        here, there = slice(run.ours, run.ours + run.length), slice(run.theirs, run.theirs + run.length)
        if (run.length < _MIN_SHOWN_WORDS and not whole) or any(taken_here[here]) or any(taken_there[there]):
            continue
        taken_here[here] = taken_there[there] = b"\1" * run.length
        kept.append(run)
    return sorted(kept)


def _aligned_passages(ours: Words, theirs: Words, runs: list[Run]) -> Iterator[AlignedPassage]:
    """Yield the shared and differing passages in the order of the first text."""
    unseen = _unmatched_between(runs, len(theirs))
    place = 0
    for run in [*runs, Run(len(ours), len(theirs), 0)]:
        before = unseen.pop(run.theirs, (0, 0))
        if place < run.ours or before[0] < before[1]:
            yield AlignedPassage(shared=False, text=_text_of(ours, place, run.ours), other=_text_of(theirs, *before))
        place = run.ours + run.length
        if run.length:
            other = _text_of(theirs, run.theirs, run.theirs + run.length)
            yield AlignedPassage(shared=True, text=_text_of(ours, run.ours, place), other=other)


def _unmatched_between(runs: list[Run], length: int) -> dict[int, tuple[int, int]]:
    """Return the passages that only the other text has, keyed by the start of the run that follows each."""
    passages = {}
    place = 0
    for run in [*sorted(runs, key=lambda run: run.theirs), Run(0, length, 0)]:
        passages[run.theirs] = (place, run.theirs)
        place = run.theirs + run.length
    return passages


def _text_of(words: Words, start: int, end: int) -> str:
    return words.text[words.starts[start] : words.ends[end - 1]] if start < end else ""
