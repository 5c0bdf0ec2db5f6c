"""Measures what decides whether two texts are one item: named figures, exact, the same either way round.

`shorter` and `longer` are the texts by how many words they tell the story in. Page furniture counts as no story.
Lengths and counts enter as `log(1 + n)`: one word more weighs less the more there are. What is not known is NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np

from worker.dedupe.compare import Figures
from worker.dedupe.differences import Slots, other_numbers, slots
from worker.dedupe.facts import word_pairs
from worker.dedupe.halves import Half, stretches
from worker.dedupe.sides import Side, title_overlap
from worker.dedupe.words import among

_DATE = re.compile(r"(?<![\d.,/-])(\d{1,2})(?:[-/.]| tháng )(\d{1,2})(?:[-/.](?:\d{4}|\d{2}))?(?![\d%])")
_NEAR_THE_TOP = 250
_BRIEF = 200
_SINGLE_WORDS = 1.8
_SLIPS = 2
_DAY = 86400

SIGNS: Final = MappingProxyType(
    {
        "both_have_passages": -1,
        "longest_passage": -1,
        "word_pairs": 1,
        "own_facts": -1,
        "edits": 0,
        "single_word_edits": 1,
        "clashes": -1,
        "clash_share": -1,
        "renamed": -1,
        "title": 1,
        "other_title_and_passages": -1,
        "numbers_in_like_titles": -1,
        "days": -1,
        "brief_and_days": -1,
        "both_have_dates": -1,
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

    @cached_property
    def dates(self) -> set[tuple[int, int]]:
        """Return the days and months named in the title, and in the story near the top."""
        side = self.piece.side
        found = {_day(match) for match in _matches(side.title.text)}
        end = int(side.words.ends[min(_NEAR_THE_TOP, len(side.words)) - 1]) if len(side.words) else 0
        for match in _matches(side.words.text[:end]):
            place = int(np.searchsorted(side.words.starts, match.start(), side="right")) - 1
            if self.half.story[max(0, place)]:
                found.add(_day(match))
        return found

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
    return {
        **_passages(shorter, longer),
        **_edits(figures),
        **_clashes(slots(newcomer.side, other.side, figures)),
        **_titles(shorter, longer),
        **_times(shorter, longer),
        "containment": figures.containment,
        "vocabulary": max(shorter.vocabulary, longer.vocabulary),
        "length": math.log1p(len(shorter.piece.side.words)),
        "ratio": shorter.half.story_words / max(1, longer.half.story_words),
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


def _clashes(found: Slots) -> dict[str, float]:
    return {
        "clashes": math.log1p(found.numbers),
        "clash_share": found.numbers / (found.substitutions + _SLIPS),
        "renamed": float(found.renamed > 0),
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


def _times(shorter: _Laid, longer: _Laid) -> dict[str, float]:
    one, two = shorter.piece.published_at, longer.piece.published_at
    days = math.log1p(abs((one - two).total_seconds() / _DAY)) if one and two else math.nan
    brief = max(0.0, 1.0 - len(shorter.piece.side.words) / _BRIEF)
    ours, theirs = shorter.dates, longer.dates
    return {
        "days": days,
        "brief_and_days": brief * (0.0 if math.isnan(days) else days),
        "both_have_dates": float(min(len(ours - theirs), len(theirs - ours))),
    }


def _matches(text: str) -> Iterator[re.Match[str]]:
    return (each for each in _DATE.finditer(text) if 1 <= int(each[1]) <= 31 and 1 <= int(each[2]) <= 12)


def _day(match: re.Match[str]) -> tuple[int, int]:
    return int(match[2]), int(match[1])
