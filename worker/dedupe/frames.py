"""Says whether two texts have no more in common than a frame: what a publisher sets around items of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.compare import Figures
from worker.dedupe.facts import word_pairs
from worker.dedupe.halves import LONG, share, stretches
from worker.dedupe.sides import Side, title_overlap
from worker.dedupe.words import among, distinct

# Who rewrites a lead speaks of the same. Of 446 labelled pairs that are one item none has passages of its own on both
# sides that share under 8% of their pairs of words with the other text; none under 16% where the titles share less than
# a fifth of their words; and none under 20% where both titles are told in such passages rather than in what is shared.
# Of 163 pairs that are two items, six are like the second, seven like the third.
_ANOTHER_STORY = 0.08
_UNDER_ANOTHER_TITLE = 0.16
_UNDER_ITS_TITLE = 0.2
_SAME_TITLE = 0.85
_OTHER_TITLE = 0.2
_TOLD = 0.5
_TOLD_MORE = 0.2
_AN_ITEM = 20
_A_STORY = 25
_A_GOOD_PART = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """What only one of two texts says: how many words, how strange to the other, and whether its title tells of it."""

    words: int
    part: float
    known: float
    is_its_title: bool


def only_a_frame(newcomer: Side, other: Side, figures: Figures, *, same_publisher: bool) -> bool:
    """Say whether each of two texts tells a story that the other lacks, so that what both have is a frame around it.

    Each title tells of what only its own text says; or one publisher gave two titles to two stories, or its two
    stories are a good part of both texts.
    """
    ours = _own(newcomer, figures.ours.matched, other)
    theirs = _own(other, figures.theirs.matched, newcomer)
    words, known = min(ours.words, theirs.words), max(ours.known, theirs.known)
    if ours.is_its_title and theirs.is_its_title and known < _UNDER_ITS_TITLE and words >= LONG:
        return True
    if not same_publisher or words < _AN_ITEM:
        return False
    titles = title_overlap(newcomer.title, other.title)
    if len(newcomer.title) and len(other.title) and titles < _OTHER_TITLE:
        return known < _UNDER_ANOTHER_TITLE
    if known >= _ANOTHER_STORY:
        return False
    if titles < _SAME_TITLE:
        return True
    return words >= _A_STORY and min(ours.part, theirs.part) >= _A_GOOD_PART


def _own(side: Side, matched: NDArray[np.bool_], other: Side) -> _Own:
    hashes = side.words.hashes
    passages = [hashes[start:stop] for start, stop in stretches(matched)]
    if not passages:
        return _Own(words=0, part=0.0, known=1.0, is_its_title=False)
    own = np.concatenate(passages)
    pairs = np.concatenate([word_pairs(each) for each in passages])
    title = distinct(side.title.hashes)
    told, shared = (share(np.isin(title, where)) for where in (own, hashes[matched]))
    return _Own(
        words=len(own),
        part=len(own) / len(hashes),
        known=share(among(pairs, other.pairs)),
        is_its_title=told >= max(_TOLD, shared + _TOLD_MORE),
    )
