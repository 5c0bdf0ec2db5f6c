"""Measures what decides whether two texts are one item: named figures, exact, the same either way round.

`shorter` and `longer` are the texts by how many words they tell the story in. Page furniture counts as no story.
Lengths and counts enter as `log(1 + n)`: one word more weighs less the more there are. A date that is not known speaks
neither way; nor does one that is far off, but for brief notices: it is only the word of whoever published the text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Final

from worker.dedupe.compare import Figures
from worker.dedupe.differences import other_numbers, renumbered, slots
from worker.dedupe.facts import word_pairs
from worker.dedupe.halves import Half, stretches
from worker.dedupe.sides import Side, title_overlap
from worker.dedupe.words import among

_BRIEF = 200
_A_DAY = math.log(2)
_TWO_DAYS = math.log(3)
_A_HUNDRED = 100
_SINGLE_WORDS = 1.8
_SLIPS = 5
_DAY = 86400

SIGNS: Final = MappingProxyType(
    {
        "both_have_passages": -1,
        "longest_passage": -1,
        "word_pairs": 1,
        "own_facts": -1,
        "edits": 0,
        "single_word_edits": 1,
        "clash_rate": -1,
        "clash_share": -1,
        "renamed": -1,
        "title": 1,
        "other_title_and_passages": -1,
        "numbers_in_like_titles": -1,
        "together": 1,
        "brief_and_days": -1,
        "own_dates": -1,
        "containment": 1,
        "vocabulary": 1,
        "length": 0,
        "ratio": 0,
    }
)
"""The features, and whether more of each speaks for one item (1), against it (-1), or either (0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A text with what is known of where and when it was published."""

    side: Side
    host: str
    published_at: datetime | None


# Without slots: what several features need is found once.
@dataclass(frozen=True, kw_only=True)
class _Laid:
    """One of two texts as it is laid along the other."""

    piece: Piece
    half: Half
    other: Piece

    @cached_property
    def own(self) -> list[int]:
        """Return the lengths of the passages that the other text lacks."""
        return [stop - start for start, stop in stretches(self.half.matched | ~self.half.story)]

    @property
    def known_pairs(self) -> float:
        """Return the share of the story's pairs of neighbouring words that stand anywhere in the other text."""
        inside = self.half.story[1:] & self.half.story[:-1]
        pairs = word_pairs(self.piece.side.words.hashes)[inside]
        return float(among(pairs, self.other.side.pairs).mean()) if len(pairs) else 0.0

    @property
    def own_facts(self) -> int:
        """Return how many numbers and names that the other text does not say stand in words that it lacks."""
        side, known, own = self.piece.side, self.other.side.facts, self.half.story & ~self.half.matched
        return len({each.key for each in side.facts.all if own[each.start : each.stop].all() and not known.has(each)})

    @property
    def vocabulary(self) -> float:
        """Return the share of the distinct words that the other text has."""
        words = self.piece.side.vocabulary
        return float(among(words, self.other.side.vocabulary).mean()) if len(words) else 0.0


def features(newcomer: Piece, other: Piece, figures: Figures) -> dict[str, float]:
    """Return the features of two texts by their names."""
    ours = _Laid(piece=newcomer, half=figures.ours, other=other)
    theirs = _Laid(piece=other, half=figures.theirs, other=newcomer)
    shorter, longer = (ours, theirs) if figures.newcomer_is_shorter else (theirs, ours)
    one, two = newcomer.side, other.side
    return {
        **_passages(shorter, longer),
        **_edits(figures),
        **_clashes(one, two, figures),
        **_titles(shorter, longer),
        **times(newcomer, other),
        "own_dates": float(min(len(one.dates - two.dates), len(two.dates - one.dates))),
        "containment": figures.containment,
        "vocabulary": max(shorter.vocabulary, longer.vocabulary),
        "length": math.log1p(len(shorter.piece.side.words)),
        "ratio": shorter.half.story_words / max(1, longer.half.story_words),
    }


def times(newcomer: Piece, other: Piece) -> dict[str, float]:
    """Return the features of two texts that depend on when they were published."""
    one, two = newcomer.published_at, other.published_at
    if one is None or two is None:
        return {"together": 0.0, "brief_and_days": 0.0}
    days = math.log1p(abs((one - two).total_seconds() / _DAY))
    brief = max(0.0, 1.0 - max(len(newcomer.side.words), len(other.side.words)) / _BRIEF)
    return {
        "together": min(1.0, max(0.0, (_TWO_DAYS - days) / (_TWO_DAYS - _A_DAY))),
        "brief_and_days": brief * max(0.0, days - _A_DAY),
    }


def _passages(shorter: _Laid, longer: _Laid) -> dict[str, float]:
    return {
        "both_have_passages": math.log1p(min(_size(shorter.own), _size(longer.own))),
        "longest_passage": math.log1p(max(shorter.own, default=0)),
        "word_pairs": shorter.known_pairs,
        "own_facts": math.log1p(shorter.own_facts),
    }


def _size(lengths: list[int]) -> float:
    """Return the root of the sum of squares: long passages count for more than as many words in short ones."""
    return math.sqrt(sum(length * length for length in lengths))


def _edits(figures: Figures) -> dict[str, float]:
    """Return how often words differ all over, in the text where they do less often, and where they are single."""
    (our_gaps, our_words), (their_gaps, their_words) = figures.ours.touches, figures.theirs.touches
    ours, theirs = (max(1, int(half.matched.sum())) for half in (figures.ours, figures.theirs))
    rate = min(our_gaps / ours, their_gaps / theirs)
    size = (our_words + their_words) / max(1, our_gaps + their_gaps)
    return {"edits": rate, "single_word_edits": rate if size < _SINGLE_WORDS else 0.0}


def _clashes(one: Side, two: Side, figures: Figures) -> dict[str, float]:
    found = slots(one, two, figures)
    return {
        "clash_rate": _A_HUNDRED * found.numbers / (int(figures.shorter.matched.sum()) + _A_HUNDRED),
        "clash_share": found.numbers / (found.substitutions + _SLIPS),
        "renamed": float(found.renamed > 0 or renumbered(one, two)),
    }


def _titles(shorter: _Laid, longer: _Laid) -> dict[str, float]:
    one, two = shorter.piece.side, longer.piece.side
    overlap = title_overlap(one.title, two.title)
    ours, theirs = one.title_numbers, two.title_numbers
    clash = bool(ours - theirs and theirs - ours) and other_numbers(one.title, two.title)
    return {
        "title": overlap,
        "other_title_and_passages": (1.0 - overlap) * shorter.half.own_passages,
        "numbers_in_like_titles": overlap * clash,
    }
