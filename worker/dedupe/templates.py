"""Recognises pairs that share only a template: a publisher's frame around its items, or text of many articles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.prepared import PreparedText, title_overlap
from worker.dedupe.similarity import PASSAGE_WORDS, Similarity, marked_share, unmatched_passages
from worker.dedupe.tokenizer import in_sorted, sorted_unique, word_pairs

# Who rewrites a lead speaks of the same. Of 446 labelled pairs that are one item none has passages of its own on both
# sides that share under 8% of their pairs of words with the other text; none under 16% where the titles share less than
# a fifth of their words; and none under 20% where both titles are told in such passages rather than in what is shared.
# Of 163 pairs that are two items, six are like the second, seven like the third.
_ANOTHER_STORY = 0.08
_UNDER_ANOTHER_TITLE = 0.16
_UNDER_ITS_TITLE = 0.2
_SAME_TITLE = 0.85
_OTHER_TITLE = 0.2
_TITLE_TOLD = 0.5
_TITLE_TOLD_MORE = 0.2
_ITEM_WORDS = 20
_STORY_WORDS = 25
_STORY_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _OwnPassages:
    """What only one of two texts says: how many words, how strange to the other, and whether its title tells of it."""

    words: int
    part: float
    known: float
    is_its_title: bool


def shares_only_frame(
    newcomer: PreparedText, other: PreparedText, figures: Similarity, *, same_publisher: bool
) -> bool:
    """Say whether each of two texts tells a story that the other lacks, so that what both have is a frame around it.

    Each title tells of what only its own text says; or one publisher gave two titles to two stories, or its two
    stories are a good part of both texts.
    """
    ours = _own_passages(newcomer, figures.ours.matched, other)
    theirs = _own_passages(other, figures.theirs.matched, newcomer)
    words, known = min(ours.words, theirs.words), max(ours.known, theirs.known)
    if ours.is_its_title and theirs.is_its_title and known < _UNDER_ITS_TITLE and words >= PASSAGE_WORDS:
        return True
    if not same_publisher or words < _ITEM_WORDS:
        return False
    titles = title_overlap(newcomer.title, other.title)
    if len(newcomer.title) and len(other.title) and titles < _OTHER_TITLE:
        return known < _UNDER_ANOTHER_TITLE
    if known >= _ANOTHER_STORY:
        return False
    if titles < _SAME_TITLE:
        return True
    return words >= _STORY_WORDS and min(ours.part, theirs.part) >= _STORY_SHARE


def _own_passages(side: PreparedText, matched: NDArray[np.bool_], other: PreparedText) -> _OwnPassages:
    hashes = side.words.hashes
    passages = [hashes[start:stop] for start, stop in unmatched_passages(matched)]
    if not passages:
        return _OwnPassages(words=0, part=0.0, known=1.0, is_its_title=False)
    own = np.concatenate(passages)
    pairs = np.concatenate([word_pairs(each) for each in passages])
    title = sorted_unique(side.title.hashes)
    told, shared = (marked_share(np.isin(title, where)) for where in (own, hashes[matched]))
    return _OwnPassages(
        words=len(own),
        part=len(own) / len(hashes),
        known=marked_share(in_sorted(pairs, other.pairs)),
        is_its_title=told >= max(_TITLE_TOLD, shared + _TITLE_TOLD_MORE),
    )


# Says whether two texts have no more in common than what stands in many texts: a form, a notice, a sign-off.


# A text of which the form is most is another item in that form. One that is much longer than what it has of the
# newcomer holds it among other matter, as a digest does or a follow-up that quotes it whole: that makes nothing common.
_FORM_SHARE = 0.8


def shares_only_common_text(
    figures: Similarity, others: Sequence[Similarity], *, least: int, rare_share: float
) -> bool:
    """Say whether under `rare_share` of what a newcomer and a text share is not in `least` other clusters as well.

    `others` are the figures of the newcomer with one text of each other cluster.
    """
    in_forms = [each.ours.matched for each in others if not _holds_among_other_matter(each)]
    if len(in_forms) < least or figures.jaccard == 1.0:
        return False
    spread = np.sum(np.stack(in_forms), axis=0)
    matched = figures.ours.matched
    rare = int((matched & (spread < least)).sum())
    return rare < rare_share * int(matched.sum())


def _holds_among_other_matter(figures: Similarity) -> bool:
    return figures.theirs.raw_share < _FORM_SHARE * figures.ours.raw_share
