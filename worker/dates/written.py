"""Reads moments out of short texts: the forms in which programs and people write a date."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from worker.dates.clocks import clock_after, clock_before
from worker.dates.months import month_of
from worker.dates.zones import zone_written

LONGEST: Final = 200
_BUDDHIST: Final = 543
_BUDDHIST_FROM: Final = 2400
# Two-digit years up to this one are of this century (as in Python's `email.utils`).
_TURN: Final = 69
_ERAS: Final = {"令和": 2018, "平成": 1988, "昭和": 1925, "民國": 1911, "民国": 1911}

_WORD = r"[^\W\d_](?:[^\s\d.,;:/|()\[\]<>·•–—-]){1,20}"
_YEAR = r"(?:1[89]|2[05])\d{2}"
_ORDINAL = r"(?:st|nd|rd|th|er|re|[ºª°])?"
_JOIN = r"[\s.,/–-]{0,4}(?:(?:de|del|di|of|do|dia|ta'|den|min)\s{1,2})?"
_TO_YEAR = r"[.,]?[\s,/–-]{0,3}(?:(?:de|del|of|do|năm)\s{1,2})?"
_COMPACT = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(?:T?(\d\d)(\d\d)?(?:(\d\d)\d{0,3})?)?")
_EPOCH = re.compile(r"(\d{9,10})(?:\.\d{1,9}|(\d{3}|\d{6}|\d{9}))?")
_CALL = re.compile(r"\\?/?\s?(?:new\s)?date\(['\"]?([^()'\"]{8,60})['\"]?\)\\?/?", re.IGNORECASE)
_CALL_OFFSET = re.compile(r"(\d{9,13})[+-]\d{4}")
_WEEKDAY = re.compile(r"\b(mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}[.,]?\s{1,2}\Z", re.IGNORECASE)
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# `3/12/2024 8:15:00 PM`: how ASP.NET and browsers write a moment for Americans where nobody says otherwise.
_AMERICAN_CLOCK = re.compile(r",? \d{1,2}:\d\d:\d\d\s?[AP]M\b")
_VIETNAMESE_MONTH = re.compile(
    r"tháng\s(mười\smột|mười\shai|giêng|một|hai|ba|tư|bốn|năm(?!\s\d)|sáu|bảy|bẩy|tám|chín|mười|chạp)", re.IGNORECASE
)
_VIETNAMESE: Final = {
    "giêng": 1, "một": 1, "hai": 2, "ba": 3, "tư": 4, "bốn": 4, "năm": 5, "sáu": 6, "bảy": 7, "bẩy": 7, "tám": 8,
    "chín": 9, "mười": 10, "mười một": 11, "mười hai": 12, "chạp": 12,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A moment as it stands in a text, from `start` to `end`: naive where it names no zone.

    `timed` says that it has a time of day; `other` is the day it would be with day and month exchanged, where both
    readings are possible.
    """

    at: datetime
    start: int
    end: int
    timed: bool = False
    other: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Day:
    year: int
    month: int
    day: int
    start: int
    end: int
    exchangeable: bool = False


def moments_of(value: str, *, zone: tzinfo, month_first: bool = False, language: str = "") -> Iterator[datetime]:
    """Yield what a value that is a date may mean, the most likely first; a naive one is in `zone`.

    The value of a meta element or attribute, or a feed's date: ISO 8601, RFC 5322, Unix times in seconds or smaller
    units, what JavaScript, ASP.NET and content systems write, dates in words.
    """
    text = " ".join(value[:LONGEST].split())
    if call := _CALL.fullmatch(text):
        text = call[1].strip()
        text = offset[1] if (offset := _CALL_OFFSET.fullmatch(text)) else text
    if text.replace(".", "", 1).isdecimal():
        yield from _of_digits(text, zone)
    if (written := find_written(text, home=zone, month_first=month_first, language=language)) is not None:
        for at in filter(None, (written.at, written.other)):
            yield at if at.tzinfo is not None else at.replace(tzinfo=zone)


def _of_digits(text: str, zone: tzinfo) -> Iterator[datetime]:
    """Yield what a value of digits alone may be: a Unix time, or a date without separators."""
    if match := _EPOCH.fullmatch(text):
        try:
            yield datetime.fromtimestamp(int(match[1]), UTC)
        except (OverflowError, ValueError, OSError):
            return
    if (match := _COMPACT.fullmatch(text)) and (at := _compact(match)) is not None:
        yield at.replace(tzinfo=zone)


def _compact(match: re.Match[str]) -> datetime | None:
    try:
        return datetime(*(int(part) for part in match.groups() if part is not None))  # type: ignore[arg-type]
    except ValueError:
        return None


def find_written(text: str, *, home: tzinfo, month_first: bool = False, language: str = "") -> Written | None:
    """Return the first date in a short text with all its parts, day, month and year; None where there is none.

    `home` decides between zones of one name; `month_first` how `3/4/2024` is read, where nothing in the text decides.
    """
    text = _spelled(text[:LONGEST])
    found = _first_day(text, language)
    if found is None:
        return None
    day = _ordered(found, text, month_first=month_first)
    at = _midnight(day)
    if at is None:
        return None
    written = _with_clock(text, at, day, home)
    if day.exchangeable and (other := _midnight(replace(day, month=day.day, day=day.month))) is not None:
        return replace(written, other=written.at.replace(month=other.month, day=other.day))
    return written


def _spelled(text: str) -> str:
    """Return a text with the digits of any script as 0 to 9, and the months that Vietnamese writes in words as numbers."""
    if text.isascii():
        return text
    text = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)
    if "háng" not in text and "HÁNG" not in text:
        return text
    return _VIETNAMESE_MONTH.sub(lambda match: f"tháng {_VIETNAMESE[' '.join(match[1].lower().split())]}", text)


def _with_clock(text: str, at: datetime, day: _Day, home: tzinfo) -> Written:
    """Add the time of day that stands behind or before the day, and the zone behind both."""
    after = clock_after(text, day.end)
    before = clock_before(text, day.start) if after is None or _another_day_at(text, after.end) else None
    clock = before or after
    if clock is None:
        return Written(at=at, start=day.start, end=day.end)
    start, end = min(day.start, clock.start), max(day.end, clock.end)
    at += timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second)
    zone, length = zone_written(text[clock.end :], local=at, home=home, lost_plus=text[day.end : day.end + 1] == "T")
    if zone is not None:
        end = max(end, clock.end + length)
    elif clock.end != end:
        zone, length = zone_written(text[end:], local=at, home=home)
        end += length
    return Written(at=at.replace(tzinfo=zone), start=start, end=end, timed=True)


def _another_day_at(text: str, place: int) -> bool:
    """Whether a time is followed by another date: it belongs to that one (`20:15 12/3/2024 21:00 13/3/2024`)."""
    return re.match(r"[\s,|·•-]{1,5}(?:\d{4}[./-]\d{1,2}[./-]\d|\d{1,2}[./-]\d{1,2}[./-]\d)", text[place:]) is not None


def _midnight(day: _Day) -> datetime | None:
    try:
        return datetime(day.year, day.month, day.day)
    except ValueError:
        return None


def _ordered(day: _Day, text: str, *, month_first: bool) -> _Day:
    """Decide which of two numbers is the month: what can be none, the weekday, an American time, then the custom."""
    if not day.exchangeable:
        return day
    turned = replace(day, month=day.day, day=day.month)
    if day.month > 12 or day.day > 12:
        return replace(day if day.month <= 12 else turned, exchangeable=False)
    if named := _WEEKDAY.search(text[: day.start]):
        fitting = [each for each in (day, turned) if _falls_on(each, named[1])]
        if len(fitting) == 1:
            return replace(fitting[0], exchangeable=False)
    return turned if month_first or _is_american(text, day) else day


def _falls_on(day: _Day, weekday: str) -> bool:
    at = _midnight(day)
    return at is not None and at.weekday() == _WEEKDAYS.index(weekday.lower())


def _is_american(text: str, day: _Day) -> bool:
    is_padded = re.search(r"(?<!\d)0", text[day.start : day.end]) is not None
    return not is_padded and _AMERICAN_CLOCK.match(text, day.end) is not None


def _first_day(text: str, language: str) -> _Day | None:
    found = [day for pattern, read in _FORMS if (day := _first_of(pattern, read, text, language)) is not None]
    return min(found, key=lambda day: (day.start, day.start - day.end), default=None)


def _first_of(
    pattern: re.Pattern[str], read: Callable[[re.Match[str], str], _Day | None], text: str, language: str
) -> _Day | None:
    place = 0
    while (match := pattern.search(text, place)) is not None:
        if (day := read(match, language)) is not None:
            return day
        place = match.start() + 1
    return None


def _numbers_year_first(match: re.Match[str], _language: str) -> _Day:
    return _Day(_common_era(match[1]), int(match[3]), int(match[4]), match.start(), match.end())


def _numbers_day_first(match: re.Match[str], _language: str) -> _Day | None:
    year = _common_era(match[4])
    return _Day(year, int(match[3]), int(match[1]), match.start(), match.end(), exchangeable=True)


def _day_word_year(match: re.Match[str], language: str) -> _Day | None:
    month = month_of(match[2], language=language)
    return _Day(_common_era(match[3]), month, int(match[1]), match.start(), match.end()) if month else None


def _word_day_year(match: re.Match[str], language: str) -> _Day | None:
    month = month_of(match[1], language=language)
    # `Tue Mar 12 20:15:00 ICT 2024`: the time stands between day and year, and is read from there.
    end = match.end("number") if match["between"] else match.end()
    return _Day(_common_era(match[4]), month, int(match[2]), match.start(), end) if month else None


def _year_word_day(match: re.Match[str], language: str) -> _Day | None:
    month = month_of(match[2], language=language)
    return _Day(_common_era(match[1]), month, int(match[3]), match.start(), match.end()) if month else None


def _year_day_word(match: re.Match[str], language: str) -> _Day | None:
    month = month_of(match[3], language=language)
    return _Day(_common_era(match[1]), month, int(match[2]), match.start(), match.end()) if month else None


def _with_signs(match: re.Match[str], _language: str) -> _Day:
    first = 1 if match[2] == "元" else int(match[2])
    year = _ERAS[match[1]] + first if match[1] else _common_era(match[2])
    return _Day(year, int(match[3]), int(match[4]), match.start(), match.end())


def _vietnamese(match: re.Match[str], _language: str) -> _Day:
    return _Day(int(match[3]), int(match[2]), int(match[1]), match.start(), match.end())


def _vietnamese_month_first(match: re.Match[str], _language: str) -> _Day:
    return _Day(int(match[3]), int(match[1]), int(match[2]), match.start(), match.end())


def _common_era(year: str) -> int:
    """Return a year of four digits, or of two as mail programs read them, or of the Buddhist era, as one of ours."""
    number = int(year)
    if len(year) == 2:
        return number + (1900 if number >= _TURN else 2000)
    return number - _BUDDHIST if number >= _BUDDHIST_FROM else number


_FORMS: Final = (
    (re.compile(rf"(?<![\d.,/-])({_YEAR})\s?([-/.])\s?(\d{{1,2}})\s?\2\s?(\d{{1,2}})(?!\d)"), _numbers_year_first),
    (re.compile(rf"(?<![\d.,/-])(\d{{1,2}})\s?([-/.])\s?(\d{{1,2}})\s?\2\s?({_YEAR}|\d{{2}})(?![\d/]|[-.]\d)"), _numbers_day_first),
    (
        re.compile(rf"(?<![\d.,:/-])(\d{{1,2}}){_ORDINAL}{_JOIN}({_WORD}(?:\sال\w{{3,6}})?){_TO_YEAR}({_YEAR}(?!\d)|\d{{2}}(?![\d:.]))", re.IGNORECASE),
        _day_word_year,
    ),
    (
        re.compile(
            rf"(?<!\w)({_WORD})[.,]?\s?[/-]?\s?(?P<number>\d{{1,2}}){_ORDINAL}"
            rf"(?:[\s.,/-]{{1,3}}|(?P<between>\s\d{{1,2}}:\d\d(?::\d\d)?\s(?:[A-Z]{{2,5}}\s|[+-]\d{{4}}\s)?))({_YEAR})(?!\d)",
            re.IGNORECASE,
        ),
        _word_day_year,
    ),
    (re.compile(rf"(?<![\d.,/-])({_YEAR})[.,]?\s?(?:m\.|-)?\s?({_WORD})\.?[\s-]?(\d{{1,2}})(?![\d:])", re.IGNORECASE), _year_word_day),
    (re.compile(rf"(?<![\d.,/-])({_YEAR})\.?\s(?:gada\s)?(\d{{1,2}})\.?\s({_WORD})", re.IGNORECASE), _year_day_word),
    (re.compile(r"(令和|平成|昭和|民國|民国)?\s?(\d{1,4}|元)\s?[年년]\s?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일號号]?"), _with_signs),
    (
        re.compile(rf"(?<!\d)(\d{{1,2}})\s?,?\s?(?:tháng|thg\.?|th\.?)\s?(\d{{1,2}})\s?[,./-]?\s?(?:năm\s)?({_YEAR})(?!\d)", re.IGNORECASE),
        _vietnamese,
    ),
    (
        re.compile(rf"(?:tháng|thg\.?)\s?(\d{{1,2}})\s(\d{{1,2}}),?\s(?:năm\s)?({_YEAR})(?!\d)", re.IGNORECASE),
        _vietnamese_month_first,
    ),
)
