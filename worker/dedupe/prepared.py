"""Prepares a text for comparison: its words, shingles, entities and lines.

`prepare` returns a `PreparedText`. Its words and shingles are computed at once, everything else when first needed.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cached_property
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.alignment import UniqueShingles
from worker.dedupe.tokenizer import Words, in_sorted, plain_digits, shingles, sorted_unique, tokenize, word_pairs
from worker.models.base import dataclass

# Entities: the numbers and names of a text, which differ between two items with nearly the same wording.


# U+066B and U+066C are the Arabic decimal and thousands separators.
# Both patterns begin with a digit, not with a repetition or with what is before it: so `re` skips to the next digit.
_NUMBER = re.compile(r"\d\d*(?:[.,:/\u066b\u066c-]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,\u066c]\d{3})+")
_PARTS_APART = re.compile(r"[.,\u066c]")
_PARTS = re.compile(r"\d+")
_JOINED = re.compile(r"[^\S\n]?[-–.&/’']?[^\S\n]?")
_DATE = re.compile(r"(\d(?<![\d.,/-]\d)\d?)(?:[-/.]| tháng )(\d{1,2})(?:[-/.](?:\d{4}|\d{2}))?(?![\d%])")
_MAX_MONTH, _MAX_DAY = 12, 31  # of the Gregorian calendar
_DATED_WORDS = 160  # from 80 to 240 words the labelled pairs are separated about as well in cross-validation


@dataclass(frozen=True, slots=True)
class Entity:
    """A number or a name, and the indexes of its words (`stop` is the word after it).

    `key` has the parts of a number (two for `7/6` and `7-6`, one for `1.000`) or the hashes of a name.
    """

    key: tuple[str, ...] | tuple[int, ...]
    start: int
    stop: int


def entities_in(entities: Sequence[Entity], words: range) -> Sequence[Entity]:
    """Return those of the entities of a text, in order, that have one of some words."""
    if not entities:
        return entities
    first = bisect_right(entities, words.start, key=_stop_of)
    return entities[first : bisect_left(entities, words.stop, lo=first, key=_start_of)]


_start_of, _stop_of = attrgetter("start"), attrgetter("stop")


# Without slots, for `cached_property`: finding names is the slowest step, and few pairs need it.
@dataclass(frozen=True, kw_only=True)
class Entities:
    """The numbers and names of a text, and the index to look up those of another text in it and its title."""

    words: Words
    title: Words

    @cached_property
    def numbers(self) -> tuple[Entity, ...]:
        """Return the numbers of the text, in order."""
        return find_numbers(self.words)

    @cached_property
    def names(self) -> tuple[Entity, ...]:
        """Return the names of the text, in order."""
        return tuple(_find_names(self.words))

    @cached_property
    def of_title(self) -> tuple[Entity, ...]:
        """Return the numbers of the title, in order."""
        return find_numbers(self.title)

    @cached_property
    def number_parts(self) -> frozenset[str | int]:
        """Return every part of a number in the text and its title."""
        return frozenset(part for number in (*self.numbers, *self.of_title) for part in number.key)

    @cached_property
    def name_parts(self) -> frozenset[int]:
        """Return what a name of another text can consist of: every word and word pair of the text and its title."""
        parts = (each for words in (self.words, self.title) for each in (words.hashes, word_pairs(words.hashes)))
        return frozenset(part for each in parts for part in each.tolist())


def number_keys(words: Words) -> frozenset[tuple[str, ...] | tuple[int, ...]]:
    """Return the distinct numbers of a text, dates and scores as one number each."""
    return frozenset(number.key for number in find_numbers(words))


def find_numbers(words: Words) -> tuple[Entity, ...]:
    """Return the numbers of a text in order, dates and scores as one number each."""
    matches = list(_NUMBER.finditer(words.text))
    if not matches:
        return ()
    starts = np.searchsorted(words.ends, [match.start() for match in matches], side="right").tolist()
    stops = np.searchsorted(words.starts, [match.end() for match in matches], side="left").tolist()
    return tuple(
        Entity(_number_key(match.group()), start, stop)
        for match, start, stop in zip(matches, starts, stops, strict=True)
    )


def find_dates(text: str) -> dict[tuple[int, int], int]:
    """Return the dates in a text as pairs of month and day, and the index of the code point where each is first."""
    found: dict[tuple[int, int], int] = {}
    for each in _DATE.finditer(text):
        month, day = int(each[2]), int(each[1])
        if 1 <= month <= _MAX_MONTH and 1 <= day <= _MAX_DAY:
            found.setdefault((month, day), each.start())
    return found


def _number_key(written: str) -> tuple[str, ...]:
    if _THOUSANDS.fullmatch(written):
        written = _PARTS_APART.sub("", written)
    return tuple(part.lstrip("0") or "0" for part in _PARTS.findall(plain_digits(written)))


def _find_names(words: Words) -> list[Entity]:
    """Return the runs of capitalised words; a single one counts only inside a sentence."""
    text, starts, ends = words.text, words.starts.tolist(), words.ends.tolist()
    capital = [text[start].isupper() for start in starts]
    pairs = word_pairs(words.hashes).tolist()
    names = []
    place, count = 0, len(starts)
    while place < count:
        if not capital[place]:
            place += 1
            continue
        first = place
        place += 1
        while place < count and capital[place] and _is_joined(text, ends[place - 1], starts[place]):
            place += 1
        if place - first > 1:
            names.append(Entity(tuple(pairs[first : place - 1]), first, place))
        elif first and _is_inside_sentence(text, ends[first - 1], starts[first]):
            names.append(Entity((int(words.hashes[first]),), first, place))
    return names


def _is_joined(text: str, start: int, end: int) -> bool:
    return (end - start == 1 and text[start] == " ") or _JOINED.fullmatch(text, start, end) is not None


def _is_inside_sentence(text: str, start: int, end: int) -> bool:
    return not text[start:end].strip(" -–(")


# Repeats: words of a passage that the other text has in the same order at one place.
#
# The alignment matches every word with at most one other. It leaves over a lead rewritten from a later sentence, a
# paragraph that occurs twice, or a short one that was moved and edited, although none of these is new.


REPEATED_SHARE = 0.5
"""The share of a passage's words, in order at one place, from which it is a repeat. Measured: 19 of 20 passages that
follow-ups and independent reports add have a smaller share."""

# Chosen by hand to bound the work: longer passages are not searched, nor those with too few known word pairs, and a
# pair that occurs more often says little about the place.
_MAX_REPEAT = 200
_MIN_SHARED_PAIRS = 0.15
_MAX_PLACES_OF_A_PAIR = 8


class BigramIndex:
    """An index of the positions of each pair of neighbouring words in a text."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self._hashes = hashes
        pairs = word_pairs(hashes)
        self._order = np.argsort(pairs, kind="stable")
        self._sorted = pairs[self._order]

    def find_repeat(self, passage: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return for each word of a passage whether this text has it at the one place that repeats the passage."""
        found = np.zeros(len(passage), dtype=np.bool_)
        window = self._window(passage) if len(passage) <= _MAX_REPEAT else None
        if window is None:
            return found
        # Words that the place lacks cannot be matched there; the matching itself takes most of the time.
        if np.count_nonzero(in_sorted(passage, sorted_unique(window))) < REPEATED_SHARE * len(passage):
            return found
        blocks = SequenceMatcher(None, passage.tolist(), window.tolist(), autojunk=False).get_matching_blocks()
        for block in blocks:
            found[block.a : block.a + block.size] = True
        return found if np.count_nonzero(found) >= REPEATED_SHARE * len(found) else np.zeros_like(found)

    def _window(self, passage: NDArray[np.uint64]) -> NDArray[np.uint64] | None:
        """Return the part of the text, a little longer than the passage, that has most of its word pairs."""
        pairs = word_pairs(passage)
        if not len(self._sorted):
            return None
        first = self._sorted.searchsorted(pairs)
        known = np.flatnonzero(self._sorted.take(first, mode="clip") == pairs)
        if len(known) < _MIN_SHARED_PAIRS * len(passage):
            return None
        first = first[known]
        count = self._sorted.searchsorted(pairs[known], side="right") - first
        count[count > _MAX_PLACES_OF_A_PAIR] = 0
        total = int(count.sum())
        if not total:
            return None
        within = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        offsets = np.sort(self._order[np.repeat(first, count) + within] - np.repeat(known, count))
        # Each offset is where the passage would begin in the text; edits move it by no more than the slack.
        slack = max(4, len(passage) // 3)
        ends = np.searchsorted(offsets, offsets + slack, side="right")
        best = int(np.argmax(ends - np.arange(len(offsets))))
        middle = int(offsets[best : ends[best]].mean())
        start, stop = max(0, middle - slack // 2), middle + len(passage) + slack // 2
        return self._hashes[start:stop]


# Without slots, for `cached_property`: what only some comparisons need is computed on first use.
@dataclass(frozen=True, kw_only=True)
class PreparedText:
    """A text prepared for comparison: its words, its shingles in order, the distinct ones sorted, and its headline."""

    words: Words
    headline: str
    shingles: NDArray[np.uint64]
    distinct_shingles: NDArray[np.uint64]

    @cached_property
    def title(self) -> Words:
        """Return the words of the title."""
        return tokenize(self.headline)

    @cached_property
    def unique_shingles(self) -> UniqueShingles:
        """Return the shingles that occur once, with their places."""
        return UniqueShingles.of(self.shingles)

    @cached_property
    def vocabulary(self) -> NDArray[np.uint64]:
        """Return the distinct words, sorted."""
        return sorted_unique(self.words.hashes)

    @cached_property
    def pairs(self) -> NDArray[np.uint64]:
        """Return the distinct pairs of neighbouring words, sorted."""
        return sorted_unique(word_pairs(self.words.hashes))

    @cached_property
    def bigrams(self) -> BigramIndex:
        """Return the index of the pairs of neighbouring words."""
        return BigramIndex(self.words.hashes)

    @cached_property
    def line_starts(self) -> NDArray[np.bool_]:
        """Return for each word whether it is the first of its line."""
        begins = np.zeros(len(self.words), dtype=np.bool_)
        breaks = np.flatnonzero(np.frombuffer(self.words.text.encode("utf-32-le", "surrogatepass"), dtype="<u4") == 10)
        after = np.searchsorted(self.words.starts, np.append(0, breaks))
        begins[after[after < len(begins)]] = True
        return begins

    @cached_property
    def entities(self) -> Entities:
        """Return the numbers and names of the text."""
        return Entities(words=self.words, title=self.title)

    @cached_property
    def title_numbers(self) -> frozenset[tuple[str, ...] | tuple[int, ...]]:
        """Return the numbers of the title."""
        return frozenset(number.key for number in self.entities.of_title)

    @cached_property
    def dates(self) -> dict[tuple[int, int], int]:
        """Return the dates in title and text as pairs of month and day, with the first index in the text, or -1."""
        return find_dates(self.words.text) | dict.fromkeys(find_dates(self.title.text), -1)

    @property
    def lead_dates(self) -> frozenset[tuple[int, int]]:
        """Return the dates in the title and in the first words of the text, where the day of an event is named."""
        ends = self.words.ends[:_DATED_WORDS]
        stop = int(ends[-1]) if len(ends) else 0
        return frozenset(date for date, place in self.dates.items() if place < stop)


def prepare(text: str, *, title: str = "") -> PreparedText:
    """Prepare a text and its title for comparison."""
    words = tokenize(text)
    all_shingles = shingles(words.hashes)
    return PreparedText(
        words=words, headline=title, shingles=all_shingles, distinct_shingles=sorted_unique(all_shingles)
    )


def title_overlap(one: Words, two: Words) -> float:
    """Return the share (0..1) of the shorter title's distinct words that the longer has; 0 if a title is missing."""
    ours, theirs = set(one.hashes.tolist()), set(two.hashes.tolist())
    return len(ours & theirs) / min(len(ours), len(theirs)) if ours and theirs else 0.0


# Measured: of 1,055 pairs that are one item, edited and misprinted copies among them, none has names for others at so
# many places, one word in forty that both share; three have some at fewer (an abbreviation, another spelling).
_MIN_OTHER_NAMES = 3
_MIN_SHARE_OF_NAMES = 0.025
_MIN_SHARE_OF_EDITS = 0.25  # chosen by hand: of words exchanged at random about a tenth are names for names


def count_other_names(
    one: PreparedText, two: PreparedText, places: Sequence[tuple[int, int]], *, shared_words: int
) -> int:
    """Return at how many places a capitalised word of a text stands for one of another, and neither text has both.

    `places` has the words that stand for each other. None count if they are few: a name may be written otherwise.
    """
    least = max(_MIN_OTHER_NAMES, _MIN_SHARE_OF_NAMES * shared_words, _MIN_SHARE_OF_EDITS * len(places))
    names = [pair for pair in places if one.words.is_capitalised(pair[0]) and two.words.is_capitalised(pair[1])]
    if len(names) < least or 2 * shared_words < min(len(one.words), len(two.words)):  # no form, or edited all over
        return 0
    ours, theirs = (text.words.hashes[list(at)] for text, at in zip((one, two), zip(*names, strict=True), strict=True))
    is_other = ~(in_sorted(ours, two.vocabulary) | in_sorted(theirs, one.vocabulary))
    distinct = min(len(set(each[is_other].tolist())) for each in (ours, theirs))
    count = int(np.count_nonzero(is_other))
    return count if count >= least and distinct >= _MIN_OTHER_NAMES else 0
