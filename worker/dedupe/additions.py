"""Says what a longer text adds to a shorter one that it holds: more of the story, or foreign matter."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.compare import Figures
from worker.dedupe.facts import word_pairs
from worker.dedupe.halves import LONG, share, stretches
from worker.dedupe.sides import Side
from worker.dedupe.words import among, distinct

_FEWEST_WORDS = 20
_MOST_LOST = 0.15
_LOST_FOR_GAINED = 0.25
# Of the pairs of neighbouring words in the rest of an article its first part has 7% or more in 93 of 100, in another
# article 7% or more in 4 of 100. Pairs of the title help where a writer repeats nothing else.
_KNOWN_PAIRS = 0.07
_FEW_KNOWN_PAIRS = 0.01
_TITLE_PAIRS = 0.005
# How many times as often as words that stand some places apart neighbouring ones are a pair of the older text's, where
# passages go on with its story; of 119 articles' ends all have more. Words dealt at random have as often.
_TIMES_BY_CHANCE = 2.0
_APART = (3, 4, 5, 6)
_SAID_AGAIN = 0.6
_USUAL_LENGTH = 500
_MOST_SCALED = 1.5
# Places where a few words stand between the older text's own, for each word that both have. Fuller texts that people
# labelled have up to 1.8% in 90 of 100, a negation in every sentence gives 2.9% or more in 95 of 100; at half of that
# what tells them apart is that an editor also drops and exchanges words.
_INSERTED = 0.016
_FEW_INSERTED = 0.008
_ONE_SIDED = 0.75
_FEWEST_INSERTED = 3
_SHORTEST_WRAPPING = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """What a text says beside an older one: `words` in passages of its own, and `lost` words of passages it lacks.

    `foreign` says why the addition is no more of the story, and is empty where it is; `of` is the length of the older
    text.
    """

    words: int
    lost: int
    of: int
    foreign: str = ""

    @property
    def missing(self) -> str:
        """What the text lacks to stand for the older one, empty where it lacks nothing of weight."""
        if self.words < _FEWEST_WORDS:
            return "it adds nothing of weight"
        if self.lost > max(_MOST_LOST * self.of, _LOST_FOR_GAINED * self.words):
            return "it lacks passages of the other"
        return ""


def addition(newcomer: Side, older: Side, figures: Figures) -> Addition:
    """Return what a newcomer adds to an older text; `figures` are those of the newcomer against it."""
    own = [each for each in stretches(figures.ours.matched) if _known(newcomer, [each], older) < _SAID_AGAIN]
    lost = stretches(figures.theirs.matched | ~figures.theirs.story)
    return Addition(
        words=_words(own),
        lost=_words(lost),
        of=len(older.words),
        foreign=_foreign(newcomer, older, figures, own),
    )


def _words(passages: Iterable[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in passages)


def _foreign(newcomer: Side, older: Side, figures: Figures, own: list[tuple[int, int]]) -> str:
    if _is_interspersed(figures):
        return "it puts words of its own into the sentences of the other"
    if _words(own) < _FEWEST_WORDS:
        return ""
    if _wraps(len(newcomer.words), own):
        return "it wraps the other into text of its own"
    return "" if _is_more_of_it(newcomer, older, own) else "what it adds speaks of something else"


def _is_interspersed(figures: Figures) -> bool:
    """Say whether a few words stand between the other's all over, as nobody edits who does not also drop some."""
    slips = [gap for gap in figures.alignment.gaps if max(len(gap.ours), len(gap.theirs)) < LONG]
    inserted = sum(not gap.theirs for gap in slips)
    rate = inserted / max(1, int(figures.ours.matched.sum()))
    if inserted < _FEWEST_INSERTED:
        return False
    return rate >= _INSERTED or (rate >= _FEW_INSERTED and inserted >= _ONE_SIDED * len(slips))


def _wraps(length: int, own: list[tuple[int, int]]) -> bool:
    """Say whether the other stands in one piece between passages of the text's own, at its beginning and its end."""
    before = _words(each for each in own if each[0] == 0)
    after = _words(each for each in own if each[1] == length)
    inside = _words(own) - before - after
    return min(before, after) >= _SHORTEST_WRAPPING > inside


def _is_more_of_it(newcomer: Side, older: Side, own: list[tuple[int, int]]) -> bool:
    """Say whether passages speak of what the older text speaks of, all of them together."""
    known = _known(newcomer, own, older)
    if known < _TIMES_BY_CHANCE * _known_by_chance(newcomer, own, older):
        return False
    longer = min(_MOST_SCALED, math.pow(max(1.0, len(older.words) / _USUAL_LENGTH), 0.4))
    if known >= _KNOWN_PAIRS * longer:
        return True
    title = among(_pairs(newcomer, own), distinct(word_pairs(older.title.hashes)))
    return known >= _FEW_KNOWN_PAIRS and share(title) >= _TITLE_PAIRS


def _known(newcomer: Side, own: list[tuple[int, int]], older: Side) -> float:
    """Return the share of the pairs of neighbouring words in some passages that the older text has."""
    return share(among(_pairs(newcomer, own), older.pairs))


def _known_by_chance(newcomer: Side, own: list[tuple[int, int]], older: Side) -> float:
    """Return the share that the older text has of the pairs that words some places apart would make."""
    apart = [_pairs(newcomer, own, apart=places) for places in _APART]
    return share(among(np.concatenate(apart), older.pairs))


def _pairs(newcomer: Side, own: list[tuple[int, int]], *, apart: int = 1) -> NDArray[np.uint64]:
    return np.concatenate([word_pairs(newcomer.words.hashes[start:stop], apart=apart) for start, stop in own])
