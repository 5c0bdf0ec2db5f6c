"""Reads moments out of short texts: the forms in which programs and people write a date."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Final

from worker.dates.clocks import clock_after, clock_before
from worker.dates.forms import Day, first_day
from worker.dates.zones import zone_written

_LONGEST: Final = 200
_COMPACT = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(?:T?(\d\d)(\d\d)?(?:(\d\d)\d{0,3})?)?")
_COMPACT_ISO = re.compile(r"\A(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(?=\d\d)")
_FOUR_DIGITS = re.compile(r"\d{4}")
_EPOCH = re.compile(r"(\d{9,10})(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?")
_CALL = re.compile(r"\\?/?\s?(?:new\s)?date\(['\"]?([^()'\"]{8,60})['\"]?\)\\?/?", re.IGNORECASE)
_CALL_OFFSET = re.compile(r"(\d{9,13})[+-]\d{4}")
_WEEKDAY = re.compile(r"\b(mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}[.,]?\s{1,2}\Z", re.IGNORECASE)
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# `3/12/2024 8:15:00 PM`: how ASP.NET and browsers write a moment for Americans where nobody says otherwise.
_AMERICAN_CLOCK = re.compile(r",? \d{1,2}:\d\d:\d\d\s?[AP]M\b")
_PADDED = re.compile(r"(?<!\d)0")
_ANOTHER_DAY = re.compile(r"[\s,|·•-]{1,5}(?:\d{4}[./-]\d{1,2}[./-]\d|\d{1,2}[./-]\d{1,2}[./-]\d)")
_VIETNAMESE_MONTH = re.compile(
    r"tháng\s(mười\smột|mười\shai|giêng|một|hai|ba|tư|bốn|năm(?!\s\d)|sáu|bảy|bẩy|tám|chín|mười|chạp)", re.IGNORECASE
)
_VIETNAMESE: Final = MappingProxyType({
    "giêng": 1, "một": 1, "hai": 2, "ba": 3, "tư": 4, "bốn": 4, "năm": 5, "sáu": 6, "bảy": 7, "bẩy": 7, "tám": 8,
    "chín": 9, "mười": 10, "mười một": 11, "mười hai": 12, "chạp": 12,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A moment as it stands in a text, from `start` to `end`: naive where it names no zone.

    `timed` says that it has a time of day; `other` is what it would be with day and month exchanged, where nothing in
    the text decides between the two.
    """

    at: datetime
    start: int
    end: int
    timed: bool = False
    other: datetime | None = None


def moments_of(value: str, *, zone: tzinfo, month_first: bool = False, language: str = "") -> Iterator[datetime]:
    """Yield what a value that is a date may mean, the most likely first; a naive one is in `zone`.

    The value of a meta element or attribute, or a feed's date: ISO 8601, RFC 5322, Unix times in seconds or smaller
    units, what JavaScript, ASP.NET and content systems write, dates in words.
    """
    text = " ".join(value[:_LONGEST].split())
    if call := _CALL.fullmatch(text):
        text = call[1].strip()
        text = offset[1] if (offset := _CALL_OFFSET.fullmatch(text)) else text
    text = _COMPACT_ISO.sub(r"\1-\2-\3T\4:\5:", text)
    if text.replace(".", "", 1).isdecimal():
        yield from _of_digits(text, zone)
    written = find_written(text, home=zone, month_first=month_first, language=language)
    if written is not None:
        for at in filter(None, (written.at, written.other)):
            yield at if at.tzinfo is not None else at.replace(tzinfo=zone)


def _of_digits(text: str, zone: tzinfo) -> Iterator[datetime]:
    """Yield what a value of digits alone may be: a date without separators, or a Unix time."""
    compact = _compact(text)
    # A Unix time in seconds or thousandths is one first: the digits of one in a hundred look like a date.
    if compact is not None and len(text) not in {10, 13}:
        yield compact.replace(tzinfo=zone)
    if match := _EPOCH.fullmatch(text):
        try:
            yield datetime.fromtimestamp(int(match[1]), UTC)
        except (OverflowError, ValueError, OSError):
            return
    if compact is not None and len(text) == 10:
        yield compact.replace(tzinfo=zone)


def _compact(text: str) -> datetime | None:
    match = _COMPACT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    return _midnight(Day(year, month, day, 0, 0), timedelta(hours=hour, minutes=minute, seconds=second))


def find_written(text: str, *, home: tzinfo, month_first: bool = False, language: str = "") -> Written | None:
    """Return the first date in a short text with all its parts, day, month and year; None where there is none.

    `home` decides between zones of one name; `month_first` how `3/4/2024` is read, where nothing in the text decides;
    `language` between months of one name.
    """
    text = _spelled(text[:_LONGEST])
    found = first_day(text, language=language)
    if found is None:
        return None
    day = _ordered(found, text, month_first=month_first)
    at = _midnight(day)
    if at is None:
        return None
    written = _with_clock(text, at, day, home)
    if day.exchangeable and (other := _midnight(replace(day, month=day.day, day=day.month))) is not None:
        return replace(written, other=written.at + (other - at))
    return written


def names_impossible_day(text: str) -> bool:
    """Tell whether a text names a day, with a year of four digits, that no calendar has (`2026-02-30`)."""
    text = _spelled(text[:_LONGEST])
    day = first_day(text)
    return (
        day is not None
        and _FOUR_DIGITS.search(text[day.start : day.end]) is not None
        and _midnight(_ordered(day, text, month_first=False)) is None
    )


def _spelled(text: str) -> str:
    """Return a text with the digits of any script as 0 to 9, and months in Vietnamese words as numbers."""
    if text.isascii():
        return text
    text = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)
    if "háng" not in text and "HÁNG" not in text:
        return text
    return _VIETNAMESE_MONTH.sub(lambda match: f"tháng {_VIETNAMESE[' '.join(match[1].lower().split())]}", text)


def _with_clock(text: str, at: datetime, day: Day, home: tzinfo) -> Written:
    """Add the time of day that stands behind or before the day, and the zone behind both."""
    after = clock_after(text, day.end)
    # A time followed by another date belongs to that one: `20:15 12/3/2024 21:00 13/3/2024`.
    is_taken = after is not None and _ANOTHER_DAY.match(text, after.end) is not None
    clock = (clock_before(text, day.start) if after is None or is_taken else None) or after
    if clock is None:
        return Written(at=at, start=day.start, end=day.end)
    start, end = min(day.start, clock.start), max(day.end, clock.end)
    at += timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second)
    in_iso = text[day.end : day.end + 1] == "T"
    zone, length = zone_written(text[clock.end :], local=at, home=home, lost_plus=in_iso)
    if zone is not None:
        end = max(end, clock.end + length)
    elif clock.end != end:
        zone, length = zone_written(text[end:], local=at, home=home)
        end += length
    return Written(at=at.replace(tzinfo=zone), start=start, end=end, timed=True)


def _midnight(day: Day, clock: timedelta = timedelta(0)) -> datetime | None:
    """Return the moment at which a day begins, naive, with a time added; None for a day or a time that cannot be."""
    if not timedelta(0) <= clock <= timedelta(days=1):
        return None
    try:
        return datetime(day.year, day.month, day.day) + clock  # noqa: DTZ001 - the caller knows the zone
    except (ValueError, OverflowError):
        return None


def _ordered(day: Day, text: str, *, month_first: bool) -> Day:
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


def _falls_on(day: Day, weekday: str) -> bool:
    at = _midnight(day)
    return at is not None and at.weekday() == _WEEKDAYS.index(weekday.lower())


def _is_american(text: str, day: Day) -> bool:
    return not _PADDED.search(text[day.start : day.end]) and _AMERICAN_CLOCK.match(text, day.end) is not None
