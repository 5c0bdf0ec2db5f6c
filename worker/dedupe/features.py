"""Measures the features of a pair of texts from which the model decides whether they are one item.

`measure_features` returns them by name. They are exact, and independent of the order of the texts. `shorter` and
`longer` are the texts by the words of their stories, without boilerplate. Lengths and counts are `log(1 + n)`, so that
a word more weighs less the more there are. An unknown date counts neither way. A distant date does so only for brief
notices, since a publication date is only the publisher's claim.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np

from worker.dedupe.alignment import Gap
from worker.dedupe.prepared import Entity, PreparedText, count_other_names, entities_in, title_overlap
from worker.dedupe.similarity import Coverage, Similarity, marked_share
from worker.dedupe.tokenizer import in_sorted, sorted_unique
from worker.models.base import dataclass

# Substitutions: different words at the same place of both texts, and whether they are other numbers or names.


_CODE = re.compile(r"\A(?:[A-Z]|\d+[A-Za-z]\w*|[A-Za-z]+\d\w*)")  # a letter by itself; letters and digits in one word
_MAX_SUBSTITUTION = 12  # words; chosen by hand: a longer difference is a rewritten passage, not a substitution


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitutions:
    """The number of substitutions in a pair of texts, and of those with other `numbers` or other names throughout.

    `renamed` counts the substitutions of a name by another where each is the subject of its own text's title.
    """

    substitutions: int
    numbers: int
    renamed: int


def find_substitutions(text: PreparedText, other: PreparedText, similarity: Similarity) -> Substitutions:
    """Count the places where the texts differ in a few words and then agree again.

    A row of numbers replaced by a row of others (a draw, a table of prices) counts as often as it has numbers, and so
    do rows of codes.
    """
    gaps = similarity.alignment.gaps
    if not gaps:
        return Substitutions(substitutions=0, numbers=0, renamed=0)
    ours, theirs = text.entities, other.entities
    may_be_renamed = _has_own_subject(text, other) and _has_own_subject(other, text)
    found = numbers = renamed = 0
    places: list[tuple[int, int]] = []
    for gap in gaps:
        here, there = entities_in(ours.numbers, gap.ours), entities_in(theirs.numbers, gap.theirs)
        is_substitution = _is_substitution(gap, text, other)
        places.extend(zip(gap.ours, gap.theirs, strict=False) if is_substitution else ())
        renamed += is_substitution and may_be_renamed and _is_renamed(text, other, gap)
        if (codes := _codes_in(text, gap.ours)) and (other_codes := _codes_in(other, gap.theirs)):
            count, clashing = _compare_rows(codes, other_codes)
        elif is_substitution:
            count, clashing = 1, int(_numbers_clash(here, there))
        elif _is_row(here, gap.ours) and _is_row(there, gap.theirs):
            count, clashing = _compare_rows([each.key for each in here], [each.key for each in there])
        else:
            continue
        found += count
        numbers += clashing
    numbers += count_other_names(text, other, places, shared_words=similarity.shared_words)
    return Substitutions(substitutions=max(found, numbers), numbers=numbers, renamed=renamed)


def _compare_rows(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> tuple[int, int]:
    """Return how many places two rows have in common, and at how many of them at least they differ."""
    count = min(len(ours), len(theirs))
    return count, max(0, count - len(set(ours) & set(theirs)))


def _is_row(numbers: Sequence[Entity], words: range) -> bool:
    """Return whether at least half of some words are numbers."""
    return bool(numbers) and 2 * sum(number.stop - number.start for number in numbers) >= len(words)


def _title_numbers_differ(ours: PreparedText, theirs: PreparedText) -> bool:
    """Return whether two titles have different numbers at the same place."""
    here, there = ours.entities.of_title, theirs.entities.of_title
    if not here or not there:
        return False
    matcher = SequenceMatcher(None, ours.title.hashes.tolist(), theirs.title.hashes.tolist(), autojunk=False)
    return any(
        _numbers_clash(entities_in(here, range(a, b)), entities_in(there, range(c, d)))
        for _, a, b, c, d in matcher.get_opcodes()
    )


def are_titles_renumbered(ours: PreparedText, theirs: PreparedText) -> bool:
    """Return whether two titles differ in their numbers as the items of a series do.

    Either the titles have the same words but for the numbers, or each text has the number of its title and lacks the
    other's.
    """
    if not _title_numbers_differ(ours, theirs):
        return False
    if _without_title_numbers(ours) == _without_title_numbers(theirs):
        return True
    return _has_own_title_number(ours, theirs) and _has_own_title_number(theirs, ours)


def _without_title_numbers(text: PreparedText) -> set[int]:
    kept = np.ones(len(text.title), dtype=np.bool_)
    for entity in text.entities.of_title:
        kept[entity.start : entity.stop] = False
    return set(text.title.hashes[kept].tolist())


def _has_own_title_number(text: PreparedText, other: PreparedText) -> bool:
    """Return whether a text has a number of its title that neither the other title nor the other text has."""
    own = text.title_numbers - other.title_numbers
    if not own:
        return False
    told = {entity.key for entity in text.entities.numbers}
    return bool((own & told) - {entity.key for entity in other.entities.numbers})


def _numbers_clash(ours: Sequence[Entity], theirs: Sequence[Entity]) -> bool:
    """Return whether both sides have numbers and none in common."""
    if not ours or not theirs or {entity.key for entity in ours} & {entity.key for entity in theirs}:
        return False
    # 14 and 1.4, or 5,334,00 and 5,334,000, are one number written in two ways.
    return not (len(ours) == len(theirs) == 1 and _digits(ours[0]) == _digits(theirs[0]))


def _codes_in(text: PreparedText, words: range) -> list[str]:
    """Return some words of a text if all of them are codes: answers of a test, grades, model numbers. Else none."""
    where, found = text.words, list[str]()
    for place in words:
        word = where.text[where.starts[place] : where.ends[place]]
        if not _CODE.fullmatch(word):
            return []
        found.append(word)
    return found


def _has_own_subject(text: PreparedText, other: PreparedText) -> bool:
    """Return whether a text has a word of its title that the other text lacks; else it has no subject of its own."""
    if not len(text.title):
        return False
    subject = text.title.hashes[in_sorted(text.title.hashes, text.vocabulary)]
    return not (in_sorted(subject, other.vocabulary) | in_sorted(subject, sorted_unique(other.title.hashes))).all()


def _is_renamed(text: PreparedText, other: PreparedText, gap: Gap) -> bool:
    """Return whether a gap replaces the subject of one title by that of the other."""
    ours, theirs = entities_in(text.entities.names, gap.ours), entities_in(other.entities.names, gap.theirs)
    return (
        bool(ours)
        and bool(theirs)
        and _is_own_subject(text, ours[0], other)
        and _is_own_subject(other, theirs[0], text)
    )


def _is_own_subject(text: PreparedText, name: Entity, other: PreparedText) -> bool:
    """Return whether a name begins with a word of the text's title, and the other text has no part of it."""
    parts = text.words.hashes[name.start : name.stop]
    return bool((text.title.hashes == parts[0]).any()) and not other.entities.name_parts.intersection(parts.tolist())


def _digits(number: Entity) -> str:
    """Return the digits of a number without separators and trailing zeros."""
    digits = "".join(str(part) for part in number.key)
    return digits.rstrip("0") or "0"


def _is_substitution(gap: Gap, text: PreparedText, other: PreparedText) -> bool:
    """Return whether a gap is short, has words on both sides, and is not at the end of a text."""
    if not gap.ours or not gap.theirs or max(len(gap.ours), len(gap.theirs)) > _MAX_SUBSTITUTION:
        return False
    return gap.ours.stop < len(text.words) and gap.theirs.stop < len(other.words)


# The features.


# Chosen by hand; the model's curves were fitted to features with these values, so a change requires `make fit-judge`.
_BRIEF_WORDS = 200  # a text below this length is a brief notice, the more so the shorter it is
_A_DAY = math.log(2)  # log(1 + 1 day), the unit of all times here
_TWO_DAYS = math.log(3)
_A_HUNDRED = 100  # words added to the length, so that one clash in a short text is no high rate
_SINGLE_WORDS = 1.8  # mean words of a gap: random edits of single words give 1.0 to 1.6 (worker/dedupe/similarity.py)
_EXPECTED_EDITS = 5  # substitutions added to their number, so that a share of few is small
_DAY_S = 86400  # seconds
_WINDOW = 20  # words, about a sentence; of 8 to 32, 20 separates the labelled pairs best in cross-validation
_LEAD_PAIRS = 49  # word pairs, those of the first 50 words: the lead; 30 and 80 words separate about as well

FEATURE_SIGNS: Final = MappingProxyType(
    {
        "both_have_passages": -1,
        "longest_passage": -1,
        "news_in_both": -1,
        "lead_pairs": 1,
        "own_numbers": -1,
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
    def own(self) -> list[tuple[int, int]]:
        """Return the start and stop index of each passage of the story that the other text lacks."""
        return self.coverage.own

    @property
    def passage_weight(self) -> float:
        """Return the root of the sum of squares of the passages' lengths, so that one long passage weighs more.

        Of a passage only the share of its word pairs counts that the other text has nowhere.
        """
        return math.hypot(*((each[1] - each[0]) * (1.0 - self.coverage.known_share([each])) for each in self.own))

    @property
    def news(self) -> float:
        """Return the share (0..1) of the story in windows of a sentence's length that are mostly unknown to the other.

        A word is known if it is matched, or part of a known pair, so that a passage in other words is no news.
        """
        pairs, known = self.coverage.known_pairs, self.coverage.matched.copy()
        known[:-1] |= pairs
        known[1:] |= pairs
        known = known[self.coverage.story]
        width = min(_WINDOW, len(known))
        if 2 * (len(known) - int(np.count_nonzero(known))) <= width:  # too few for any window
            return 0.0
        sums = np.concatenate(([0], np.cumsum(known)))
        starts = np.flatnonzero(2 * (sums[width:] - sums[: len(sums) - width]) < width)
        edges = np.zeros(len(known) + 1, dtype=np.int64)
        edges[starts] += 1
        edges[starts + width] -= 1
        return marked_share(np.cumsum(edges[:-1]) > 0)

    @property
    def known_lead(self) -> float:
        """Return the share of the word pairs at the story's beginning that the other text has anywhere."""
        inside = self.coverage.story[1:] & self.coverage.story[:-1]
        lead = self.coverage.known_pairs[inside][:_LEAD_PAIRS]
        return marked_share(lead) if len(lead) else 1.0

    @property
    def own_numbers(self) -> int:
        """Return how many distinct numbers among the words that the other text lacks it has nowhere else."""
        own = (self.coverage.story & ~self.coverage.matched).tobytes()
        numbers = [each for each in self.text.prepared.entities.numbers if 0 not in own[each.start : each.stop]]
        if not numbers:
            return 0
        known = self.other.prepared.entities.number_parts
        return len({each.key for each in numbers if not known.issuperset(each.key)})

    @property
    def own_dates(self) -> int:
        """Return how many dates near the beginning the other text names nowhere."""
        dates = self.text.prepared.lead_dates
        return len(dates - self.other.prepared.dates.keys()) if dates else 0


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
        "own_dates": float(_lesser(lambda side: side.own_dates, ours, theirs)),
        "length": math.log1p(len(shorter.text.prepared.words)),
        "ratio": shorter.coverage.story_words / max(1, longer.coverage.story_words),
    }


def _lesser(measure: Callable[[_ComparedText], float], one: _ComparedText, two: _ComparedText) -> float:
    """Return the lesser of what two texts have of something that is at least 0."""
    first = measure(one)
    return min(first, measure(two)) if first else first


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
        "both_have_passages": math.log1p(_lesser(lambda side: side.passage_weight, shorter, longer)),
        "longest_passage": math.log1p(max((stop - start for start, stop in shorter.own), default=0)),
        "news_in_both": _lesser(lambda side: side.news, shorter, longer),
        "lead_pairs": longer.known_lead,
        "own_numbers": math.log1p(_lesser(lambda side: side.own_numbers, shorter, longer)),
    }


def _edit_features(similarity: Similarity) -> dict[str, float]:
    """Return the lower of the two texts' rates of small edits, and the same again if the edits are single words."""
    (our_gaps, our_words), (their_gaps, their_words) = similarity.ours.small_gaps, similarity.theirs.small_gaps
    ours, theirs = (max(1, int(np.count_nonzero(each.matched))) for each in (similarity.ours, similarity.theirs))
    rate = min(our_gaps / ours, their_gaps / theirs)
    size = (our_words + their_words) / max(1, our_gaps + their_gaps)
    return {"edits": rate, "single_word_edits": rate if size < _SINGLE_WORDS else 0.0}


def _clash_features(one: PreparedText, two: PreparedText, similarity: Similarity) -> dict[str, float]:
    """Return the features of numbers and names that differ at the same place."""
    found = find_substitutions(one, two, similarity)
    return {
        "clash_rate": _A_HUNDRED * found.numbers / (int(np.count_nonzero(similarity.shorter.matched)) + _A_HUNDRED),
        "clash_share": found.numbers / (found.substitutions + _EXPECTED_EDITS),
        "renamed": float(found.renamed > 0 or are_titles_renumbered(one, two)),
    }


def _title_features(shorter: _ComparedText, longer: _ComparedText) -> dict[str, float]:
    """Return the features of the two titles."""
    one, two = shorter.text.prepared, longer.text.prepared
    overlap = title_overlap(one.title, two.title)
    ours, theirs = one.title_numbers, two.title_numbers
    clash = bool(ours - theirs and theirs - ours) and _title_numbers_differ(one, two)
    return {
        "title": overlap,
        "other_title_and_passages": (1.0 - overlap) * shorter.coverage.own_passages,
        "numbers_in_like_titles": overlap * clash,
    }
