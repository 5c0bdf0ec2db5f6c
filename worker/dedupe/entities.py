"""Finds the numbers and names in a text: what tells one item from another that is worded alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worker.dedupe.tokenizer import Words, plain_digits, word_pairs

# The Arabic comma and point of numbers among them.
_NUMBER = re.compile(r"\d+(?:[.,:/\u066b\u066c-]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,\u066c]\d{3})+")
_PARTS_APART = re.compile(r"[.,\u066c]")
_PARTS = re.compile(r"\d+")
_JOINED = re.compile(r"[^\S\n]?[-–.&/’']?[^\S\n]?")
_DATE = re.compile(r"(?<![\d.,/-])(\d{1,2})(?:[-/.]| tháng )(\d{1,2})(?:[-/.](?:\d{4}|\d{2}))?(?![\d%])")
_MONTHS, _DAYS = 12, 31


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

    cut: Words
    also: Words

    @cached_property
    def numbers(self) -> tuple[Entity, ...]:
        """Return the numbers of the text."""
        return find_numbers(self.cut)

    @cached_property
    def names(self) -> tuple[Entity, ...]:
        """Return the names in the text."""
        return tuple(_find_names(self.cut))

    @cached_property
    def known(self) -> frozenset[str | int]:
        """Return every part of a number, every word and every pair of words of the text and its title."""
        found: set[str | int] = {part for number in (*self.numbers, *find_numbers(self.also)) for part in number.key}
        for each in (self.cut, self.also):
            found.update(each.hashes.tolist(), word_pairs(each.hashes).tolist())
        return frozenset(found)

    @property
    def all(self) -> tuple[Entity, ...]:
        """Return numbers and names."""
        return self.numbers + self.names

    def has(self, fact: Entity) -> bool:
        """Return whether a fact of another text stands in this one."""
        return self.known.issuperset(fact.key)


def number_keys(cut: Words) -> frozenset[tuple[str, ...] | tuple[int, ...]]:
    """Return the distinct numbers of a text, dates and scores as one number each."""
    return frozenset(number.key for number in find_numbers(cut))


def find_numbers(cut: Words) -> tuple[Entity, ...]:
    """Return the numbers of a text in order, dates and scores as one number each."""
    matches = list(_NUMBER.finditer(cut.text))
    starts = np.searchsorted(cut.ends, [match.start() for match in matches], side="right").tolist()
    stops = np.searchsorted(cut.starts, [match.end() for match in matches], side="left").tolist()
    return tuple(
        Entity(_number_key(match.group()), start, stop)
        for match, start, stop in zip(matches, starts, stops, strict=True)
    )


def dates_in(text: str) -> frozenset[tuple[int, int]]:
    """Return the months and days named in a text."""
    found = ((int(each[2]), int(each[1])) for each in _DATE.finditer(text))
    return frozenset((month, day) for month, day in found if 1 <= month <= _MONTHS and 1 <= day <= _DAYS)


def _number_key(written: str) -> tuple[str, ...]:
    if _THOUSANDS.fullmatch(written):
        written = _PARTS_APART.sub("", written)
    return tuple(part.lstrip("0") or "0" for part in _PARTS.findall(plain_digits(written)))


def _find_names(cut: Words) -> list[Entity]:
    """Return runs of capitalised words; one such word alone counts only inside a sentence."""
    text, starts, ends = cut.text, cut.starts.tolist(), cut.ends.tolist()
    capital = [text[start].isupper() for start in starts]
    pairs = word_pairs(cut.hashes).tolist()
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
            names.append(Entity((int(cut.hashes[first]),), first, place))
    return names


def _is_joined(text: str, start: int, end: int) -> bool:
    return (end - start == 1 and text[start] == " ") or _JOINED.fullmatch(text, start, end) is not None


def _is_inside_sentence(text: str, start: int, end: int) -> bool:
    return not text[start:end].strip(" -–(")
