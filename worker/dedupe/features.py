"""Measures the features of a pair of texts from which the model decides whether they are one item.

`measure_features` returns them by name. They are exact, and independent of the order of the texts. `shorter` and
`longer` are the texts by the words of their stories, without boilerplate. Lengths and counts are `log(1 + n)`, so that
a word more weighs less the more there are. An unknown date counts neither way. A distant date does so only for brief
notices, since a publication date is only the publisher's claim.
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

# Substitutions: different words at the same place of both texts, and whether they are other numbers or names.


_MAX_SUBSTITUTION = 12  # words; chosen by hand: a longer difference is a rewritten passage, not a substitution


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitutions:
    """The number of substitutions in a pair of texts, and of those with other `numbers`.

    `renamed` counts the substitutions of a name by another where each is the subject of its own text's title.
    """

    substitutions: int
    numbers: int
    renamed: int


def find_substitutions(text: PreparedText, other: PreparedText, similarity: Similarity) -> Substitutions:
    """Count the places where the texts differ in a few words and then agree again."""
    found = [gap for gap in similarity.alignment.gaps if _is_substitution(gap, text, other)]
    ours, theirs = text.entities, other.entities
    may_be_renamed = _has_own_subject(text, other) and _has_own_subject(other, text)
    clashing = [
        gap
        for gap in found
        if _numbers_clash(_entities_in(ours.numbers, gap.ours), _entities_in(theirs.numbers, gap.theirs))
    ]
    return Substitutions(
        substitutions=len(found),
        numbers=len(clashing),
        renamed=sum(_is_renamed(text, other, gap) for gap in found) if may_be_renamed else 0,
    )


def numbers_differ(ours: Words, theirs: Words) -> bool:
    """Return whether two short texts, such as titles, have different numbers at the same place."""
    here, there = find_numbers(ours), find_numbers(theirs)
    matcher = SequenceMatcher(None, ours.hashes.tolist(), theirs.hashes.tolist(), autojunk=False)
    return any(
        _numbers_clash(_entities_in(here, range(a, b)), _entities_in(there, range(c, d)))
        for _, a, b, c, d in matcher.get_opcodes()
    )


def are_titles_renumbered(ours: PreparedText, theirs: PreparedText) -> bool:
    """Return whether two titles differ in their numbers as the items of a series do.

    Either the titles have the same words but for the numbers, or each text has the number of its title and lacks the
    other's.
    """
    if not numbers_differ(ours.title, theirs.title):
        return False
    if _without_numbers(ours.title) == _without_numbers(theirs.title):
        return True
    return _has_own_title_number(ours, theirs) and _has_own_title_number(theirs, ours)


def _without_numbers(words: Words) -> set[int]:
    kept = np.ones(len(words), dtype=np.bool_)
    for entity in find_numbers(words):
        kept[entity.start : entity.stop] = False
    return set(words.hashes[kept].tolist())


def _has_own_title_number(text: PreparedText, other: PreparedText) -> bool:
    """Return whether a text has a number of its title that neither the other title nor the other text has."""
    own = text.title_numbers - other.title_numbers
    if not own:
        return False
    told = {entity.key for entity in text.entities.numbers}
    return bool((own & told) - {entity.key for entity in other.entities.numbers})


def _numbers_clash(ours: list[Entity], theirs: list[Entity]) -> bool:
    """Return whether both sides have numbers and none in common."""
    if not ours or not theirs or {entity.key for entity in ours} & {entity.key for entity in theirs}:
        return False
    # 14 and 1.4, or 5,334,00 and 5,334,000, are one number written in two ways.
    return not (len(ours) == len(theirs) == 1 and _digits(ours[0]) == _digits(theirs[0]))


def _has_own_subject(text: PreparedText, other: PreparedText) -> bool:
    """Return whether a text has a word of its title that the other text lacks; else it has no subject of its own."""
    subject = text.title.hashes[in_sorted(text.title.hashes, text.vocabulary)]
    return not (in_sorted(subject, other.vocabulary) | np.isin(subject, other.title.hashes)).all()


def _is_renamed(text: PreparedText, other: PreparedText, gap: Gap) -> bool:
    """Return whether a gap replaces the subject of one title by that of the other."""
    ours, theirs = _entities_in(text.entities.names, gap.ours), _entities_in(other.entities.names, gap.theirs)
    return (
        bool(ours)
        and bool(theirs)
        and _is_own_subject(text, ours[0], other)
        and _is_own_subject(other, theirs[0], text)
    )


def _is_own_subject(text: PreparedText, name: Entity, other: PreparedText) -> bool:
    """Return whether a name begins with a word of the text's title, and the other text has no part of it."""
    parts = text.words.hashes[name.start : name.stop]
    return bool(np.isin(parts[0], text.title.hashes)) and not other.entities.known.intersection(parts.tolist())


def _digits(number: Entity) -> str:
    """Return the digits of a number without separators and trailing zeros."""
    digits = "".join(str(part) for part in number.key)
    return digits.rstrip("0") or "0"


def _is_substitution(gap: Gap, text: PreparedText, other: PreparedText) -> bool:
    """Return whether a gap is short, has words on both sides, and is not at the end of a text."""
    if not gap.ours or not gap.theirs or max(len(gap.ours), len(gap.theirs)) > _MAX_SUBSTITUTION:
        return False
    return gap.ours.stop < len(text.words) and gap.theirs.stop < len(other.words)


def _entities_in(entities: tuple[Entity, ...], words: range) -> list[Entity]:
    return [entity for entity in entities if entity.start < words.stop and entity.stop > words.start]


# The features.


# Chosen by hand; the model's curves were fitted to features with these values, so a change requires `make fit-judge`.
_BRIEF_WORDS = 200  # a text below this length is a brief notice, the more so the shorter it is
_A_DAY = math.log(2)  # log(1 + 1 day), the unit of all times here
_TWO_DAYS = math.log(3)
_A_HUNDRED = 100  # words added to the length, so that one clash in a short text is no high rate
_SINGLE_WORDS = 1.8  # mean words of a gap: random edits of single words give 1.0 to 1.6 (worker/dedupe/similarity.py)
_EXPECTED_EDITS = 5  # substitutions added to their number, so that a share of few is small
_DAY_S = 86400  # seconds

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
"""The features by name. More of a feature counts for one item (1) or against it (-1); a curve of 0 may turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedText:
    """A prepared text with the host and the time of its publication, None if unknown."""

    prepared: PreparedText
    host: str
    published_at: datetime | None


# Without slots, for `cached_property`: several features need the same passages.
@dataclass(frozen=True, kw_only=True)
class _ComparedText:
    """One text of a pair, with its coverage by the other."""

    text: PublishedText
    coverage: Coverage
    other: PublishedText

    @cached_property
    def own(self) -> list[int]:
        """Return the lengths, in words, of the passages that the other text lacks."""
        return [stop - start for start, stop in unmatched_passages(self.coverage.matched | ~self.coverage.story)]

    @property
    def known_pairs(self) -> float:
        """Return the share of the story's pairs of neighbouring words that the other text has anywhere."""
        inside = self.coverage.story[1:] & self.coverage.story[:-1]
        pairs = word_pairs(self.text.prepared.words.hashes)[inside]
        return float(in_sorted(pairs, self.other.prepared.pairs).mean()) if len(pairs) else 0.0

    @property
    def own_facts(self) -> int:
        """Return the number of distinct entities in words that the other text lacks, which it has nowhere else."""
        text, known, own = (
            self.text.prepared,
            self.other.prepared.entities,
            self.coverage.story & ~self.coverage.matched,
        )
        return len(
            {each.key for each in text.entities.all if own[each.start : each.stop].all() and not known.has(each)}
        )

    @property
    def vocabulary(self) -> float:
        """Return the share of the distinct words that the other text has."""
        words = self.text.prepared.vocabulary
        return float(in_sorted(words, self.other.prepared.vocabulary).mean()) if len(words) else 0.0


def measure_features(text: PublishedText, other: PublishedText, similarity: Similarity) -> dict[str, float]:
    """Return all features of a pair of texts by name, those of `FEATURE_SIGNS`."""
    ours = _ComparedText(text=text, coverage=similarity.ours, other=other)
    theirs = _ComparedText(text=other, coverage=similarity.theirs, other=text)
    shorter, longer = (ours, theirs) if similarity.text_is_shorter else (theirs, ours)
    one, two = text.prepared, other.prepared
    return {
        **_passage_features(shorter, longer),
        **_edit_features(similarity),
        **_clash_features(one, two, similarity),
        **_title_features(shorter, longer),
        **time_features(text, other),
        "own_dates": float(min(len(one.dates - two.dates), len(two.dates - one.dates))),
        "containment": similarity.containment,
        "vocabulary": max(shorter.vocabulary, longer.vocabulary),
        "length": math.log1p(len(shorter.text.prepared.words)),
        "ratio": shorter.coverage.story_words / max(1, longer.coverage.story_words),
    }


def time_features(text: PublishedText, other: PublishedText) -> dict[str, float]:
    """Return the features of a pair of texts that depend on the publication times."""
    one, two = text.published_at, other.published_at
    if one is None or two is None:
        return {"together": 0.0, "brief_and_days": 0.0}
    days = math.log1p(abs((one - two).total_seconds() / _DAY_S))
    brief = max(0.0, 1.0 - max(len(text.prepared.words), len(other.prepared.words)) / _BRIEF_WORDS)
    return {
        "together": min(1.0, max(0.0, (_TWO_DAYS - days) / (_TWO_DAYS - _A_DAY))),
        "brief_and_days": brief * max(0.0, days - _A_DAY),
    }


def _passage_features(shorter: _ComparedText, longer: _ComparedText) -> dict[str, float]:
    """Return the features of the passages that only one of the texts has."""
    return {
        "both_have_passages": math.log1p(min(_passage_weight(shorter.own), _passage_weight(longer.own))),
        "longest_passage": math.log1p(max(shorter.own, default=0)),
        "word_pairs": shorter.known_pairs,
        "own_facts": math.log1p(shorter.own_facts),
    }


def _passage_weight(lengths: list[int]) -> float:
    """Return the root of the sum of squares, so that one long passage weighs more than several short ones."""
    return math.sqrt(sum(length * length for length in lengths))


def _edit_features(similarity: Similarity) -> dict[str, float]:
    """Return the lower of the two texts' rates of small edits, and the same again if the edits are single words."""
    (our_gaps, our_words), (their_gaps, their_words) = similarity.ours.small_gaps, similarity.theirs.small_gaps
    ours, theirs = (max(1, int(coverage.matched.sum())) for coverage in (similarity.ours, similarity.theirs))
    rate = min(our_gaps / ours, their_gaps / theirs)
    size = (our_words + their_words) / max(1, our_gaps + their_gaps)
    return {"edits": rate, "single_word_edits": rate if size < _SINGLE_WORDS else 0.0}


def _clash_features(one: PreparedText, two: PreparedText, similarity: Similarity) -> dict[str, float]:
    """Return the features of numbers and names that differ at the same place."""
    found = find_substitutions(one, two, similarity)
    return {
        "clash_rate": _A_HUNDRED * found.numbers / (int(similarity.shorter.matched.sum()) + _A_HUNDRED),
        "clash_share": found.numbers / (found.substitutions + _EXPECTED_EDITS),
        "renamed": float(found.renamed > 0 or are_titles_renumbered(one, two)),
    }


def _title_features(shorter: _ComparedText, longer: _ComparedText) -> dict[str, float]:
    """Return the features of the two titles."""
    one, two = shorter.text.prepared, longer.text.prepared
    overlap = title_overlap(one.title, two.title)
    ours, theirs = one.title_numbers, two.title_numbers
    clash = bool(ours - theirs and theirs - ours) and numbers_differ(one.title, two.title)
    return {
        "title": overlap,
        "other_title_and_passages": (1.0 - overlap) * shorter.coverage.own_passages,
        "numbers_in_like_titles": overlap * clash,
    }
