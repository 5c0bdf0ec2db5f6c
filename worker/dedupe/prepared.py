"""Prepares a text for comparison: its words, shingles, entities and lines, each computed once and only when needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.tokenizer import Words, plain_digits, shingles, sorted_unique, tokenize, word_pairs

# Finds the numbers and names in a text: what tells one item from another that is worded alike.


# The Arabic comma and point of numbers among them.
_NUMBER = re.compile(r"\d+(?:[.,:/\u066b\u066c-]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,\u066c]\d{3})+")
_PARTS_APART = re.compile(r"[.,\u066c]")
_PARTS = re.compile(r"\d+")
_JOINED = re.compile(r"[^\S\n]?[-–.&/’']?[^\S\n]?")
_DATE = re.compile(r"(?<![\d.,/-])(\d{1,2})(?:[-/.]| tháng )(\d{1,2})(?:[-/.](?:\d{4}|\d{2}))?(?![\d%])")
_MAX_MONTH, _MAX_DAY = 12, 31


@dataclass(frozen=True, slots=True)
class Entity:
    """A number or a name, and the words it consists of (`stop` is the first word after it).

    `key` has the parts of a number (`7/6` and `7-6` have two, `1.000` has one) or the hashes of a name.
    """

    key: tuple[str, ...] | tuple[int, ...]
    start: int
    stop: int


# Without slots: names cost more than all else and are found only where texts say different things.
@dataclass(frozen=True, kw_only=True)
class Entities:
    """The facts of a text in order, and what is needed to look another text's facts up in it and its title (`also`)."""

    words: Words
    title: Words

    @cached_property
    def numbers(self) -> tuple[Entity, ...]:
        """Return the numbers of the text."""
        return find_numbers(self.words)

    @cached_property
    def names(self) -> tuple[Entity, ...]:
        """Return the names in the text."""
        return tuple(_find_names(self.words))

    @cached_property
    def known(self) -> frozenset[str | int]:
        """Return every part of a number, every word and every pair of words of the text and its title."""
        found: set[str | int] = {part for number in (*self.numbers, *find_numbers(self.title)) for part in number.key}
        for each in (self.words, self.title):
            found.update(each.hashes.tolist(), word_pairs(each.hashes).tolist())
        return frozenset(found)

    @property
    def all(self) -> tuple[Entity, ...]:
        """Return numbers and names."""
        return self.numbers + self.names

    def has(self, entity: Entity) -> bool:
        """Return whether a fact of another text stands in this one."""
        return self.known.issuperset(entity.key)


def number_keys(words: Words) -> frozenset[tuple[str, ...] | tuple[int, ...]]:
    """Return the distinct numbers of a text, dates and scores as one number each."""
    return frozenset(number.key for number in find_numbers(words))


def find_numbers(words: Words) -> tuple[Entity, ...]:
    """Return the numbers of a text in order, dates and scores as one number each."""
    matches = list(_NUMBER.finditer(words.text))
    starts = np.searchsorted(words.ends, [match.start() for match in matches], side="right").tolist()
    stops = np.searchsorted(words.starts, [match.end() for match in matches], side="left").tolist()
    return tuple(
        Entity(_number_key(match.group()), start, stop)
        for match, start, stop in zip(matches, starts, stops, strict=True)
    )


def dates_in(text: str) -> frozenset[tuple[int, int]]:
    """Return the months and days named in a text."""
    found = ((int(each[2]), int(each[1])) for each in _DATE.finditer(text))
    return frozenset((month, day) for month, day in found if 1 <= month <= _MAX_MONTH and 1 <= day <= _MAX_DAY)


def _number_key(written: str) -> tuple[str, ...]:
    if _THOUSANDS.fullmatch(written):
        written = _PARTS_APART.sub("", written)
    return tuple(part.lstrip("0") or "0" for part in _PARTS.findall(plain_digits(written)))


def _find_names(words: Words) -> list[Entity]:
    """Return runs of capitalised words; one such word alone counts only inside a sentence."""
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


# Finds what a passage says again: words of a stretch that the other text has in the same order, in one place.
#
# Alignment lays every word along at most one other. A lead written anew from a sentence further down, a paragraph that
# stands twice, or a short one that was moved and edited, is left over then; but it is nothing new.


REPEATED_SHARE = 0.5
"""Share of a stretch's words, in order and in one place, from which it is said again: above nineteen in twenty of the
passages that follow-ups and independent reports add."""

_LONGEST_REPEAT = 200
_FEWEST_SHARED_PAIRS = 0.15
_MOST_PLACES_OF_A_PAIR = 8


class BigramIndex:
    """Where each pair of neighbouring words stands in a text."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self._hashes = hashes
        pairs = word_pairs(hashes)
        self._order = np.argsort(pairs, kind="stable")
        self._sorted = pairs[self._order]

    def find_repeat(self, stretch: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each word of a stretch whether this text has it, in the one place that says the stretch again."""
        again = np.zeros(len(stretch), dtype=np.bool_)
        window = self._window(stretch) if len(stretch) <= _LONGEST_REPEAT else None
        if window is None:
            return again
        blocks = SequenceMatcher(None, stretch.tolist(), window.tolist(), autojunk=False).get_matching_blocks()
        for block in blocks:
            again[block.a : block.a + block.size] = True
        return again if again.mean() >= REPEATED_SHARE else np.zeros_like(again)

    def _window(self, stretch: NDArray[np.uint64]) -> NDArray[np.uint64] | None:
        """Return the part of the text, somewhat longer than the stretch, that has the most of its word pairs."""
        said = word_pairs(stretch)
        first = np.searchsorted(self._sorted, said, side="left")
        count = np.searchsorted(self._sorted, said, side="right") - first
        if np.count_nonzero(count) < _FEWEST_SHARED_PAIRS * len(stretch):
            return None
        count[count > _MOST_PLACES_OF_A_PAIR] = 0
        total = int(count.sum())
        if not total:
            return None
        within = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        offsets = np.sort(self._order[np.repeat(first, count) + within] - np.repeat(np.arange(len(said)), count))
        slack = max(4, len(stretch) // 3)
        ends = np.searchsorted(offsets, offsets + slack, side="right")
        best = int(np.argmax(ends - np.arange(len(offsets))))
        middle = int(offsets[best : ends[best]].mean())
        start, stop = max(0, middle - slack // 2), middle + len(stretch) + slack // 2
        return self._hashes[start:stop]


# Without slots: what only some comparisons need is found when first asked for.
@dataclass(frozen=True, kw_only=True)
class PreparedText:
    """One text made ready for comparing: its words, all shingles in order, the distinct ones sorted, and its title."""

    words: Words
    headline: str
    shingles: NDArray[np.uint64]
    distinct_shingles: NDArray[np.uint64]

    @cached_property
    def title(self) -> Words:
        """Return the words of the title."""
        return tokenize(self.headline)

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
        """Return where the pairs of neighbouring words stand."""
        return BigramIndex(self.words.hashes)

    @cached_property
    def line_starts(self) -> NDArray[np.bool_]:
        """Say of each word whether it is the first of its line."""
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
        return number_keys(self.title)

    @cached_property
    def dates(self) -> frozenset[tuple[int, int]]:
        """Return the months and days that title and text name."""
        return dates_in(self.title.text) | dates_in(self.words.text)


def prepare(text: str, *, title: str = "") -> PreparedText:
    """Make a text ready for comparing."""
    words = tokenize(text)
    all_shingles = shingles(words.hashes)
    return PreparedText(
        words=words, headline=title, shingles=all_shingles, distinct_shingles=sorted_unique(all_shingles)
    )


def title_overlap(one: Words, two: Words) -> float:
    """Return the share of the shorter title's distinct words that the longer has; 0 where one is missing."""
    ours, theirs = set(one.hashes.tolist()), set(two.hashes.tolist())
    return len(ours & theirs) / min(len(ours), len(theirs)) if ours and theirs else 0.0
