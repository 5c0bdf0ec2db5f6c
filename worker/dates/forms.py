"""The forms in which a day is written: which numbers and words stand in which order, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from worker.dates.months import month_of

_BUDDHIST: Final = 543
_BUDDHIST_FROM: Final = 2400
# Two-digit years from this one on are of the last century (as in Python's `email.utils`).
_TURN: Final = 69
_ERAS: Final = MappingProxyType({"令和": 2018, "平成": 1988, "昭和": 1925, "民國": 1911, "民国": 1911})

_NO_NUMBER_BEFORE = r"(?<![\d.,/-])"
_WORD = r"[^\W\d_](?:[^\s\d.,;:/|()\[\]<>·•–—-]){1,20}"
_YEAR = r"(?:1[89]|2[05])\d{2}"
_ORDINAL = r"(?:st|nd|rd|th|er|re|[ºª°])?"
_TO_MONTH = r"[\s.,/–-]{0,4}(?:(?:de|del|di|of|do|dia|ta'|den|min)\s{1,2})?"
_TO_YEAR = r"[.,]?[\s,/–-]{0,3}(?:(?:de|del|of|do|năm)\s{1,2})?"
# `Mar 12 20:15:00 ICT 2024`: Unix writes the time between day and year.
_CLOCK_BETWEEN = r"\s\d{1,2}:\d\d(?::\d\d)?\s(?:[A-Z]{2,5}\s|[+-]\d{4}\s)?"


@dataclass(frozen=True, slots=True)
class Day:
    """A day as written, from `start` to `end`; `exchangeable` where the form does not say which number is the month."""

    year: int
    month: int
    day: int
    start: int
    end: int
    exchangeable: bool = False


def first_day(text: str, *, language: str = "") -> Day | None:
    """Return the first day in a text, the longest where several begin at one place; it may be one that cannot be."""
    found = [day for form in _FORMS if (day := form.first(text, language)) is not None]
    return min(found, key=lambda day: (day.start, day.start - day.end), default=None)


@dataclass(frozen=True, slots=True)
class _Form:
    """A pattern with groups `year`, `day`, and `month` (a number) or `name` (a word)."""

    pattern: re.Pattern[str]
    exchangeable: bool = False

    def first(self, text: str, language: str) -> Day | None:
        place = 0
        while (match := self.pattern.search(text, place)) is not None:
            if (day := self._read(match, language)) is not None:
                return day
            place = match.start() + 1
        return None

    def _read(self, match: re.Match[str], language: str) -> Day | None:
        said = match.groupdict()
        month = month_of(said["name"], language=language) if said.get("name") else int(said["month"])
        if month is None:
            return None
        year = _ERAS[said["era"]] + _number(said["year"]) if said.get("era") else _common_era(said["year"])
        end = match.end("day") if said.get("between") else match.end()
        return Day(year, month, int(said["day"]), match.start(), end, self.exchangeable)


def _number(year: str) -> int:
    return 1 if year == "元" else int(year)


def _common_era(year: str) -> int:
    """Return a year of four digits, or of two as mail programs read them, or of the Buddhist era, as one of ours."""
    number = _number(year)
    if len(year) == 2:
        return number + (1900 if number >= _TURN else 2000)
    return number - _BUDDHIST if number >= _BUDDHIST_FROM else number


def _form(*parts: str, exchangeable: bool = False) -> _Form:
    return _Form(re.compile("".join(parts), re.IGNORECASE), exchangeable)


_FORMS: Final[tuple[_Form, ...]] = (
    # 2026-03-07, 2026/3/7, 2026. 3. 7
    _form(
        rf"(?<![\d.,/-])(?P<year>{_YEAR})\s?(?P<by>[-/.])\s?(?P<month>\d{{1,2}})\s?(?P=by)\s?(?P<day>\d{{1,2}})(?!\d)"
    ),
    # 7/3/2026, 07.03.26
    _form(
        _NO_NUMBER_BEFORE,
        rf"(?P<day>\d{{1,2}})\s?(?P<by>[-/.])\s?(?P<month>\d{{1,2}})\s?(?P=by)\s?(?P<year>{_YEAR}|\d{{2}})",
        r"(?![\d/]|[-.]\d)",
        exchangeable=True,
    ),
    # 7 | 3 | 2026
    _form(
        rf"(?<![\d|])(?P<day>\d{{1,2}})(?P<by>\s?[|·]\s?)(?P<month>\d{{1,2}})(?P=by)(?P<year>{_YEAR})(?![\d|])",
        exchangeable=True,
    ),
    # 7 March 2026, 7. März 2026, 7 de marzo de 2026, 07-Mar-26
    _form(
        rf"(?<![\d.:/-])(?<!\d,)(?P<day>\d{{1,2}}){_ORDINAL}{_TO_MONTH}(?P<name>{_WORD}(?:\sال\w{{3,6}})?)",
        rf"{_TO_YEAR}(?P<year>{_YEAR}(?!\d)|\d{{2}}(?![\d:.]))",
    ),
    # March 7th, 2026; Mar 7 20:15:00 ICT 2026
    _form(
        rf"(?<!\w)(?P<name>{_WORD})[.,]?\s?[/-]?\s?(?P<day>\d{{1,2}}){_ORDINAL}",
        rf"(?:[\s.,/-]{{1,3}}|(?P<between>{_CLOCK_BETWEEN}))(?P<year>{_YEAR})(?!\d)",
    ),
    # 2026. március 7., 2026 m. kovo 7 d., 2026-Mar-07
    _form(
        _NO_NUMBER_BEFORE,
        rf"(?P<year>{_YEAR})[.,]?\s?(?:m\.|-)?\s?(?P<name>{_WORD})\.?[\s-]?(?P<day>\d{{1,2}})(?![\d:])",
    ),
    # 2026. gada 7. marts
    _form(_NO_NUMBER_BEFORE, rf"(?P<year>{_YEAR})\.?\s(?:gada\s)?(?P<day>\d{{1,2}})\.?\s(?P<name>{_WORD})"),
    # 2026年3月7日, 令和8年3月7日, 2026년 3월 7일
    _form(
        r"(?P<era>令和|平成|昭和|民國|民国)?\s?(?P<year>\d{1,4}|元)\s?[年년]\s?",
        r"(?P<month>\d{1,2})\s?[月월]\s?(?P<day>\d{1,2})\s?[日일號号]?",
    ),
    # 7 tháng 3 năm 2026, 7 thg 3, 2026
    _form(
        r"(?<!\d)(?P<day>\d{1,2})\s?,?\s?(?:tháng|thg\.?|th\.?)\s?(?P<month>\d{1,2})\s?[,./-]?\s?(?:năm\s)?",
        rf"(?P<year>{_YEAR})(?!\d)",
    ),
    # tháng 3 7, 2026
    _form(rf"(?:tháng|thg\.?)\s?(?P<month>\d{{1,2}})\s(?P<day>\d{{1,2}}),?\s(?:năm\s)?(?P<year>{_YEAR})(?!\d)"),
)
