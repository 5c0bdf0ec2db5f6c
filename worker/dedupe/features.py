"""Measures what decides whether two texts are one item: named figures, exact, the same either way round.

`shorter` and `longer` are the texts by how many words they tell the story in. Page furniture counts as no story.
Lengths and counts enter as `log(1 + n)`: one word more weighs less the more there are. A date that is not known speaks
neither way; nor does one that is far off, but for brief notices: it is only the word of whoever published the text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np

from worker.dedupe.alignment import Gap
from worker.dedupe.prepared import Entity, PreparedText, find_numbers, title_overlap
from worker.dedupe.similarity import Coverage, Similarity, unmatched_passages
from worker.dedupe.tokenizer import Words, in_sorted, word_pairs

# Looks at where two texts say different things in the same places, and whether these are other numbers.


_LONGEST_SUBSTITUTION = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitutions:
    """How often words of one text stand against other words of the other, and how often the facts in them clash.

    `renamed` counts names that stand against other names where each is what its own title speaks of.
    """

    substitutions: int
    numbers: int
    renamed: int


def find_substitutions(newcomer: PreparedText, other: PreparedText, figures: Similarity) -> Substitutions:
    """Count the places where both texts go on alike after saying different things."""
    found = [gap for gap in figures.alignment.gaps if _is_substitution(gap, newcomer, other)]
    ours, theirs = newcomer.facts, other.facts
    may_be_renamed = _has_own_subject(newcomer, other) and _has_own_subject(other, newcomer)
    clashing = [
        gap
        for gap in found
        if _numbers_clash(_entities_in(ours.numbers, gap.ours), _entities_in(theirs.numbers, gap.theirs))
    ]
    return Substitutions(
        substitutions=len(found),
        numbers=len(clashing),
        renamed=sum(_is_renamed(newcomer, other, gap) for gap in found) if may_be_renamed else 0,
    )


def numbers_differ(ours: Words, theirs: Words) -> bool:
    """Say whether two short texts give different numbers where they say different things."""
    here, there = find_numbers(ours), find_numbers(theirs)
    matcher = SequenceMatcher(None, ours.hashes.tolist(), theirs.hashes.tolist(), autojunk=False)
    return any(
        _numbers_clash(_entities_in(here, range(a, b)), _entities_in(there, range(c, d)))
        for _, a, b, c, d in matcher.get_opcodes()
    )


def renumbered(ours: PreparedText, theirs: PreparedText) -> bool:
    """Say whether two titles give other numbers as the items of a series do.

    The titles are worded alike but for the numbers, or each text gives its title's number, and the other nowhere.
    """
    if not numbers_differ(ours.title, theirs.title):
        return False
    if _without_numbers(ours.title) == _without_numbers(theirs.title):
        return True
    return _gives_its_own(ours, theirs) and _gives_its_own(theirs, ours)


def _without_numbers(cut: Words) -> set[int]:
    kept = np.ones(len(cut), dtype=np.bool_)
    for fact in find_numbers(cut):
        kept[fact.start : fact.stop] = False
    return set(cut.hashes[kept].tolist())


def _gives_its_own(side: PreparedText, other: PreparedText) -> bool:
    own = side.title_numbers - other.title_numbers
    if not own:
        return False
    told = {fact.key for fact in side.facts.numbers}
    return bool((own & told) - {fact.key for fact in other.facts.numbers})


def _numbers_clash(ours: list[Entity], theirs: list[Entity]) -> bool:
    if not ours or not theirs or {fact.key for fact in ours} & {fact.key for fact in theirs}:
        return False
    # 14 against 1.4 and 5,334,00 against 5,334,000 are one number typed in two ways.
    return not (len(ours) == len(theirs) == 1 and _digits(ours[0]) == _digits(theirs[0]))


def _has_own_subject(side: PreparedText, other: PreparedText) -> bool:
    """Say whether a text has a word of its title that stands nowhere in the other: no name of its own without one."""
    subject = side.title.hashes[in_sorted(side.title.hashes, side.vocabulary)]
    return not (in_sorted(subject, other.vocabulary) | np.isin(subject, other.title.hashes)).all()


def _is_renamed(newcomer: PreparedText, other: PreparedText, gap: Gap) -> bool:
    ours, theirs = _entities_in(newcomer.facts.names, gap.ours), _entities_in(other.facts.names, gap.theirs)
    return (
        bool(ours)
        and bool(theirs)
        and _is_own_subject(newcomer, ours[0], other)
        and _is_own_subject(other, theirs[0], newcomer)
    )


def _is_own_subject(side: PreparedText, name: Entity, other: PreparedText) -> bool:
    """Say whether a name is what a text's title speaks of, and no part of it stands in the other text."""
    parts = side.words.hashes[name.start : name.stop]
    return bool(np.isin(parts[0], side.title.hashes)) and not other.facts.known.intersection(parts.tolist())


def _digits(number: Entity) -> str:
    digits = "".join(str(part) for part in number.key)
    return digits.rstrip("0") or "0"


def _is_substitution(gap: Gap, newcomer: PreparedText, other: PreparedText) -> bool:
    if not gap.ours or not gap.theirs or max(len(gap.ours), len(gap.theirs)) > _LONGEST_SUBSTITUTION:
        return False
    return gap.ours.stop < len(newcomer.words) and gap.theirs.stop < len(other.words)


def _entities_in(facts: tuple[Entity, ...], stretch: range) -> list[Entity]:
    return [fact for fact in facts if fact.start < stretch.stop and fact.stop > stretch.start]


_BRIEF_WORDS = 200
_A_DAY = math.log(2)
_TWO_DAYS = math.log(3)
_A_HUNDRED = 100
_SINGLE_WORDS = 1.8
_EXPECTED_SLIPS = 5
_DAY_S = 86400

FEATURE_SIGNS: Final = MappingProxyType(
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
class PublishedText:
    """A text with what is known of where and when it was published."""

    side: PreparedText
    host: str
    published_at: datetime | None


# Without slots: what several features need is found once.
@dataclass(frozen=True, kw_only=True)
class _ComparedText:
    """One of two texts as it is laid along the other."""

    piece: PublishedText
    half: Coverage
    other: PublishedText

    @cached_property
    def own(self) -> list[int]:
        """Return the lengths of the passages that the other text lacks."""
        return [stop - start for start, stop in unmatched_passages(self.half.matched | ~self.half.story)]

    @property
    def known_pairs(self) -> float:
        """Return the share of the story's pairs of neighbouring words that stand anywhere in the other text."""
        inside = self.half.story[1:] & self.half.story[:-1]
        pairs = word_pairs(self.piece.side.words.hashes)[inside]
        return float(in_sorted(pairs, self.other.side.pairs).mean()) if len(pairs) else 0.0

    @property
    def own_facts(self) -> int:
        """Return how many numbers and names that the other text does not say stand in words that it lacks."""
        side, known, own = self.piece.side, self.other.side.facts, self.half.story & ~self.half.matched
        return len({each.key for each in side.facts.all if own[each.start : each.stop].all() and not known.has(each)})

    @property
    def vocabulary(self) -> float:
        """Return the share of the distinct words that the other text has."""
        words = self.piece.side.vocabulary
        return float(in_sorted(words, self.other.side.vocabulary).mean()) if len(words) else 0.0


def measure_features(newcomer: PublishedText, other: PublishedText, figures: Similarity) -> dict[str, float]:
    """Return the features of two texts by their names."""
    ours = _ComparedText(piece=newcomer, half=figures.ours, other=other)
    theirs = _ComparedText(piece=other, half=figures.theirs, other=newcomer)
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


def times(newcomer: PublishedText, other: PublishedText) -> dict[str, float]:
    """Return the features of two texts that depend on when they were published."""
    one, two = newcomer.published_at, other.published_at
    if one is None or two is None:
        return {"together": 0.0, "brief_and_days": 0.0}
    days = math.log1p(abs((one - two).total_seconds() / _DAY_S))
    brief = max(0.0, 1.0 - max(len(newcomer.side.words), len(other.side.words)) / _BRIEF_WORDS)
    return {
        "together": min(1.0, max(0.0, (_TWO_DAYS - days) / (_TWO_DAYS - _A_DAY))),
        "brief_and_days": brief * max(0.0, days - _A_DAY),
    }


def _passages(shorter: _ComparedText, longer: _ComparedText) -> dict[str, float]:
    return {
        "both_have_passages": math.log1p(min(_passage_weight(shorter.own), _passage_weight(longer.own))),
        "longest_passage": math.log1p(max(shorter.own, default=0)),
        "word_pairs": shorter.known_pairs,
        "own_facts": math.log1p(shorter.own_facts),
    }


def _passage_weight(lengths: list[int]) -> float:
    """Return the root of the sum of squares: long passages count for more than as many words in short ones."""
    return math.sqrt(sum(length * length for length in lengths))


def _edits(figures: Similarity) -> dict[str, float]:
    """Return how often words differ all over, in the text where they do less often, and where they are single."""
    (our_gaps, our_words), (their_gaps, their_words) = figures.ours.touches, figures.theirs.touches
    ours, theirs = (max(1, int(half.matched.sum())) for half in (figures.ours, figures.theirs))
    rate = min(our_gaps / ours, their_gaps / theirs)
    size = (our_words + their_words) / max(1, our_gaps + their_gaps)
    return {"edits": rate, "single_word_edits": rate if size < _SINGLE_WORDS else 0.0}


def _clashes(one: PreparedText, two: PreparedText, figures: Similarity) -> dict[str, float]:
    found = find_substitutions(one, two, figures)
    return {
        "clash_rate": _A_HUNDRED * found.numbers / (int(figures.shorter.matched.sum()) + _A_HUNDRED),
        "clash_share": found.numbers / (found.substitutions + _EXPECTED_SLIPS),
        "renamed": float(found.renamed > 0 or renumbered(one, two)),
    }


def _titles(shorter: _ComparedText, longer: _ComparedText) -> dict[str, float]:
    one, two = shorter.piece.side, longer.piece.side
    overlap = title_overlap(one.title, two.title)
    ours, theirs = one.title_numbers, two.title_numbers
    clash = bool(ours - theirs and theirs - ours) and numbers_differ(one.title, two.title)
    return {
        "title": overlap,
        "other_title_and_passages": (1.0 - overlap) * shorter.half.own_passages,
        "numbers_in_like_titles": overlap * clash,
    }
