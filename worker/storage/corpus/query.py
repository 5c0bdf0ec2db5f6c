"""The query language of full-text search: words, "phrases", -minus, and filters (`source:name`, `from:2026-11`).

`parse_query` reads any text without an error and notes what it ignored. `Query.anywhere` and `Query.better` are what
has to be looked up in the index, whose terms `corpus/search_index.py` defines.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Iterable, Iterator
from datetime import date, timedelta
from itertools import chain
from typing import Final

from worker.models.base import dataclass
from worker.storage.corpus.search_index import (
    IN_TITLE,
    SearchWord,
    date_labels,
    label,
    pair_terms,
    search_words,
)

_MAX_QUERY: Final = 1000  # letters; chosen: longer than any query typed, short enough that none is slow
_MAX_WORDS: Final = 40  # of a query; chosen likewise
_MAX_BETTER_WORDS: Final = 6  # of a query; measured: with twenty, looking up better texts took 500 ms on PostgreSQL
_YEARS: Final = (1990, 2050)  # the first page of the web, and an end that no date reaches; each is looked up

_PART = re.compile(r'(-?)(?:(\w+):)?(?:"([^"]*)"?|(\S+))')
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
_LABELS: Final = frozenset({"source", "language", "section"})
_DATES: Final = frozenset({"from", "to"})

Phrase = tuple[SearchWord, ...]
"""Words of a query that have to follow each other; a single word outside quotation marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What the terms of an article must be: one of each group of `required`, and of `excluded` no group in full."""

    required: tuple[tuple[str, ...], ...]
    excluded: tuple[tuple[str, ...], ...] = ()

    def holds(self, terms: Collection[str]) -> bool:
        """Whether an article with these terms meets the condition."""
        return all(any(term in terms for term in group) for group in self.required) and not any(
            all(term in terms for term in group) for group in self.excluded
        )

    def for_sqlite(self) -> str:
        """Return the condition as a query of FTS5."""
        wanted = " AND ".join(_joined(group, " OR ", '"') for group in self.required)
        unwanted = " OR ".join(_joined(group, " AND ", '"') for group in self.excluded)
        return f"({wanted}) NOT ({unwanted})" if unwanted else wanted

    def for_postgresql(self) -> str:
        """Return the condition as a `tsquery`."""
        wanted = (_joined(group, " | ", "'") for group in self.required)
        unwanted = (f"!{_joined(group, ' & ', chr(39))}" for group in self.excluded)
        return " & ".join((*wanted, *unwanted))


def _joined(terms: Iterable[str], operator: str, quote: str) -> str:
    # Terms consist of letters, digits and marks of ours: none of them can end a quotation.
    return f"({operator.join(f'{quote}{term}{quote}' for term in terms)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query in parts; an article must have one of each group of `labels`, and `notes` say what was ignored."""

    phrases: tuple[Phrase, ...] = ()
    excluded: tuple[tuple[str, ...], ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the query names nothing to look for."""
        return not self.phrases and not self.labels

    @property
    def filters(self) -> Condition:
        """What the query demands beside its words and phrases."""
        return self._with(())

    def anywhere(self) -> Condition:
        """Return the condition of a text with all words."""
        return self._with((term,) for phrase in self.phrases for term in _phrase_terms(phrase))

    def better(self) -> Iterator[Condition]:
        """Yield conditions that better texts meet: all words in the title; all words in the order of the query.

        There are none for a long query: few texts have all its words, and those that do are read anyway.
        """
        if sum(map(len, self.phrases)) > _MAX_BETTER_WORDS:
            return
        if self.phrases:
            terms = (term for phrase in self.phrases for term in _phrase_terms(phrase))
            yield self._with((f"{IN_TITLE}{term}",) for term in terms)
        if len(self.phrases) > 1:
            yield self._with((term,) for term in _phrase_terms(tuple(chain.from_iterable(self.phrases))))

    def _with(self, groups: Iterable[tuple[str, ...]]) -> Condition:
        return Condition(required=(*groups, *self.labels), excluded=self.excluded)


def _phrase_terms(phrase: Phrase) -> list[str]:
    """Return the terms of a phrase; a word implies its form without diacritics, and a pair implies its words."""
    if len(phrase) == 1:
        return [phrase[0].marked or phrase[0].bare]
    return [*pair_terms(word.bare for word in phrase), *(word.marked for word in phrase if word.marked)]


def parse_query(query: str, *, filters: Iterable[tuple[str, str]] = ()) -> Query:
    """Read a query: words, "phrases", -minus, and filters such as `source:name`; any text is a query.

    `filters` are further ones, as pairs of name and value. Values of the same filter are alternatives.
    """
    cut = query[:_MAX_QUERY]
    notes = [f"only the first {_MAX_QUERY} letters of the query were used"] if cut != query else []
    reader = _QueryReader(notes)
    for minus, name, quoted, plain in _PART.findall(cut):
        reader.add(name, quoted or plain, is_excluded=bool(minus))
    for name, value in filters:
        reader.add(name, value, is_excluded=False)
    return reader.query()


def _empty_filter(name: str, value: str) -> str:
    """Return the name of a filter without a value (`source:`, `from:""`); empty if the part is none."""
    written = (name if not value else value.removesuffix(":") if value.endswith(":") and not name else "").lower()
    return written if written in _LABELS | _DATES else ""


class _QueryReader:
    """Collects the parts of a query."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        self._phrases: list[Phrase] = []
        self._excluded: list[tuple[str, ...]] = []
        self._labels: dict[str, list[str]] = {}
        self._days: dict[str, date] = {}

    def add(self, name: str, value: str, *, is_excluded: bool) -> None:
        """Add a part: a filter if it has the name of one and a value, else words."""
        lower = name.lower()
        if lower in _LABELS and value:
            self._add_label(lower, value, is_excluded=is_excluded)
        elif lower in _DATES and value and not is_excluded:
            self._add_date(lower, value)
        elif empty := _empty_filter(name, value):
            self._notes.append(f"the filter {empty}: is empty and was ignored; write {empty}:VALUE without a blank")
        else:
            self._add_words(f"{name} {value}", is_excluded=is_excluded)

    def _add_label(self, name: str, value: str, *, is_excluded: bool) -> None:
        term = label(name, value)
        if is_excluded:
            self._excluded.append((term,))
        else:
            self._labels.setdefault(name, []).append(term)

    def _add_date(self, name: str, value: str) -> None:
        day = _day(value, last=name == "to")
        if day is None:
            self._notes.append(f"{name}:{value} is no date and was ignored; write {name}:2026-11-29, 2026-11 or 2026")
        else:
            self._days[name] = day

    def _add_words(self, value: str, *, is_excluded: bool) -> None:
        phrase = tuple(search_words(value))
        used = sum(map(len, self._phrases)) + len(self._excluded)
        if used + len(phrase) > _MAX_WORDS:
            self._notes.append(f"only the first {_MAX_WORDS} words of the query were used")
        elif phrase and is_excluded:
            self._excluded.append(tuple(_phrase_terms(phrase)))
        elif phrase:
            self._phrases.append(phrase)

    def query(self) -> Query:
        """Return the whole query."""
        labels = [tuple(terms) for terms in self._labels.values()]
        if self._days:
            first = self._days.get("from", date(_YEARS[0], 1, 1))
            labels.append(tuple(_between(first, self._days.get("to", date(_YEARS[1], 12, 31)))))
        if not self._phrases and not labels:
            self._notes.append("the query names nothing to look for: give at least one word or filter")
        return Query(
            phrases=tuple(self._phrases),
            excluded=tuple(self._excluded),
            labels=tuple(labels),
            notes=tuple(dict.fromkeys(self._notes)),
        )


def _day(value: str, *, last: bool) -> date | None:
    """Return the first or last day of a day, month or year such as 2026-11-29, 2026-11 or 2026; None if it is none."""
    found = _DATE.fullmatch(value)
    if not found:
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        if month is None or day is None:
            month = month or (12 if last else 1)
            day = monthrange(year or 1, month)[1] if last else 1
        return date(min(max(year or 1, _YEARS[0]), _YEARS[1]), month, day)
    except ValueError:
        return None


def _between(first: date, last: date) -> Iterator[str]:
    """Yield the terms of dates that cover a range: whole years, else whole months, else days."""
    day = first
    while day <= last:
        of_year, of_month, of_day = date_labels(day)
        month_end = day.replace(day=monthrange(day.year, day.month)[1])
        if day.month == day.day == 1 and day.replace(month=12, day=31) <= last:
            yield of_year
            day = day.replace(month=12, day=31)
        elif day.day == 1 and month_end <= last:
            yield of_month
            day = month_end
        else:
            yield of_day
        day += timedelta(days=1)
    if first > last:
        yield "d=none"  # a term that no article has
