"""Find the time of day next to a date, and the time zone after it.

`time_after` and `time_before` find the time, `zone_at_start` reads an offset, an IANA name or an abbreviation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from worker.models.base import dataclass

# Characters beside the date that are searched: a weekday, a connecting word and the time fit. Chosen, not measured.
_MAX_DISTANCE: Final = 60
_HALF_BEFORE = r"(?:(?P<front>오전|오후|上午|下午|午前|午後|晚上|凌晨)\s?)?"
_HALF_BEHIND = r"(?:\s?(?P<half>[ap]\.?\s?m\b\.?|sa\b|ch\b|sáng\b|trưa\b|chiều\b|tối\b|[πμ]\.?μ\b\.?|मध्याह्न))?"
_HOUR = r"(?P<hour>\d{1,2})"
_WITH_MINUTES = r"\s?(?:[:：h]|giờ|g(?=\d)|時|时|点|點|시|ч\.?)\s?(?P<minute>\d{2})(?!\d)"
_WITH_SECONDS = r"(?:\s?(?:[:：]|分|phút|분)\s?(?P<second>\d{2})(?!\d)(?:[.,:]\d{1,9}(?!\d))?|\s?(?:[分분'’′]|phút\b))?"
# `20.15` is a time only if a word beside it shows that; otherwise it is a number.
_DOTTED = r"(?:(?:kl\.?|klo|um|alle|pukul|jam|ora|ob|at)\s(?P<hour_a>\d{1,2})[.](?P<minute_a>\d{2})(?![\d.])|"
_DOTTED += r"(?P<hour_b>\d{1,2})[.](?P<minute_b>\d{2})(?=\s?(?:uhr|wib|wita|wit)\b))"
_HOUR_ALONE = r"(?P<hour_c>\d{1,2})\s?(?:(?P<half_c>[ap]\.?\s?m\b\.?)|uhr\b|시|"
_HOUR_ALONE += r"(?:h|giờ)\b(?:\s(?P<half_d>sáng|trưa|chiều|tối))?)"
_CLOCK = rf"(?P<clock>{_HALF_BEFORE}(?:{_HOUR}{_WITH_MINUTES}{_WITH_SECONDS}{_HALF_BEHIND}|{_DOTTED}|{_HOUR_ALONE}))"
_WEEKDAY = (
    r"(?:thứ\s\w{2,4}|chủ\snhật|t[2-7]\b|cn\b|(?:mon|tues|wednes|thurs|fri|satur|sun)day|"
    r"(?:mon|tue|wed|thu|fri|sat|sun)\b)"
)
_GAP_AFTER = (
    r"(?:T|\s?\(\S{1,3}\)\s|[\s,;|·•@:/(\[–—.日일-]{0,5}(?:(?:r\.|г\.|року|p\.|d\.|น\.)\s?)?"
    r"(?:(?:at|lúc|vào\slúc|vào|um|à|às|a\slas?|kl\.?|klo|ore|alle(?:\sore)?|w?\sgodz\.|в|об?|saat|pukul|jam|om|ob|giờ)"
    r"[\s:]{1,2})?)"
)
_AFTER = re.compile(_GAP_AFTER + _CLOCK, re.IGNORECASE)
_BEFORE = re.compile(
    rf"(?<![\d:.,/-]){_CLOCK}(?:\s?(?:uhr|\(?(?:gmt|utc)\s?[+-]\s?\d{{1,2}}(?::?\d\d)?\)?|[a-z]{{3,4}}))?"
    rf"[\s,;|·•)/–—-]{{1,5}}(?:{_WEEKDAY}[\s,.|–-]{{1,4}})?(?:(?:ngày|on|am|le|del?|den)\s)?\Z",
    re.IGNORECASE,
)
_AFTERNOON: Final = ("p", "ch", "trưa", "tối", "μ", "오후", "下午", "午後", "晚上")
_MORNING: Final = ("a", "sa", "sáng", "π", "오전", "上午", "午前", "凌晨")


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time of day found in `text[start:end]`."""

    hour: int
    minute: int
    second: int
    start: int
    end: int


def time_after(text: str, end: int) -> TimeOfDay | None:
    """Return the time of day directly after a date that ends at `end`, or None."""
    match = _AFTER.match(text, end, end + _MAX_DISTANCE)
    return _clock(match) if match else None


def time_before(text: str, start: int) -> TimeOfDay | None:
    """Return the time of day directly before a date that begins at `start`, or None."""
    begin = max(0, start - _MAX_DISTANCE)
    match = _BEFORE.search(text[begin:start])
    clock = _clock(match) if match else None
    if clock is None:
        return None
    return TimeOfDay(clock.hour, clock.minute, clock.second, clock.start + begin, clock.end + begin)


def _clock(match: re.Match[str]) -> TimeOfDay | None:
    """Return the time of day in a match, on the 24-hour clock; None if it does not exist."""
    groups = match.groupdict()
    hour = int(groups["hour"] or groups["hour_a"] or groups["hour_b"] or groups["hour_c"])
    minute, second = int(groups["minute"] or groups["minute_a"] or groups["minute_b"] or 0), int(groups["second"] or 0)
    half_of_day = (groups["half"] or groups["half_c"] or groups["half_d"] or groups["front"] or "").lower()
    if half_of_day.startswith(_AFTERNOON) and hour < 12 and not (half_of_day == "trưa" and hour > 9):
        hour += 12
    elif half_of_day.startswith(_MORNING) and hour == 12:
        hour = 0
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
        return None
    return TimeOfDay(hour, minute, min(second, 59), match.start("clock"), match.end("clock"))


# Time zones: offsets, IANA names and abbreviations.

# Abbreviations of one zone, in minutes ahead of UTC.
_UNAMBIGUOUS_ZONES: Final = """
UTC=0 GMT=0 UT=0 Z=0 UCT=0 ZULU=0 WET=0 WEST=60 CET=60 CEST=120 MEZ=60 MESZ=120 MET=60 MEST=120 HNEC=60 HAEC=120
EET=120 EEST=180 MSK=180 MSD=240 TRT=180 FET=180 SAMT=240 AZT=240 GET=240 YEKT=300 UZT=300 TMT=300 TJT=300 PKT=300
MVT=300 NPT=345 BTT=360 KGT=360 OMST=360 ALMT=360 MMT=390 ICT=420 WIB=420 KRAT=420 NOVT=420 HOVT=420 WITA=480 HKT=480
SGT=480 MYT=480 PHT=480 PHST=480 AWST=480 IRKT=480 ULAT=480 CIT=480 WIT=540 JST=540 KST=540 YAKT=540 TLT=540 EIT=540
ACST=570 ACDT=630 AEST=600 AEDT=660 CHST=600 PGT=600 VLAT=600 LHST=630 SBT=660 MAGT=660 SAKT=660 NZST=720 NZDT=780
FJT=720 PETT=720 TOT=780 IDT=180 IRST=210 IRDT=270 AFT=270 WAT=60 WAST=120 CAT=120 EAT=180 SAST=120 MUT=240 SCT=240
NST=-210 NDT=-150 HNE=-300 HAE=-240 AKST=-540 AKDT=-480 HST=-600 HDT=-540 BRT=-180 BRST=-120 ART=-180 UYT=-180
CLT=-240 CLST=-180 BOT=-240 VET=-240 PYT=-180 COT=-300 PET=-300 ECT=-300 AZOT=-60 CVT=-60
"""
# Abbreviations of several zones mean the one that the source's zone has at that time. If it has none of them, the first
# group has the meaning of RFC 5322 (section 4.3), which comes first here, and the second group means nothing.
_RFC_ZONES: Final = """
EST=-300,600 EDT=-240,660 CST=-360,480 CDT=-300,540,-240 MST=-420,480,390 MDT=-360 PST=-480,480 PDT=-420
"""
_AMBIGUOUS_ZONES: Final = """
IST=330,120,60 BST=60,360,660 AST=-240,180 ADT=-180,240 GST=240,-120 BDT=360,480 AMT=240,-240 SST=480,-660 WST=480,780
LMT=390 CIST=-480 EGT=120,-60 KOST=660 PMT=180 SRT=-180 GFT=-180 ACT=-300,570 COST=-240 SLT=330 SLST=330 PYST=-180
"""
# Abbreviations for a zone with and without summer time.
_GENERIC_ZONES: Final = MappingProxyType(
    {
        "ET": "America/New_York",
        "CT": "America/Chicago",
        "MT": "America/Denver",
        "PT": "America/Los_Angeles",
        "AKT": "America/Anchorage",
        "AET": "Australia/Sydney",
        "NZT": "Pacific/Auckland",
    }
)
_MAX_OFFSET: Final = timedelta(hours=15)
_OFFSET: Final = re.compile(
    r"\s{0,2}[(\[]?(?:(?:GMT|UTC|UT|Z)\s?)?([+\u2212-])\s?(\d{1,2})(?::?([0-5]\d))?(?![\d:/-])", re.IGNORECASE
)
# `2026-03-07T08:00:00 07:00`: a plus sign that was decoded as a space in a URL.
_LOST_PLUS: Final = re.compile(r" (\d{2}):([0-5]0|45)(?![\d:])")
_PLACE: Final = re.compile(r"[\s,]{0,2}[(\[]?([A-Za-z]{2,20}(?:/[A-Za-z_+-]{2,30}\d{0,2}){1,2})")
_NAME: Final = re.compile(r"[\s,]{0,2}[(\[]?([A-Za-z]{1,5})(?![\w/])")


def zone_at_start(
    text: str, *, local: datetime, default_zone: tzinfo, lost_plus: bool = False
) -> tuple[tzinfo | None, int]:
    """Return the time zone at the start of a text and the index where it ends; `(None, 0)` if there is none.

    `local` is the time written before the zone. An abbreviation of several zones means the one that `default_zone` (the
    source's zone) uses at that time, else the one RFC 5322 defines, else nothing. With `lost_plus`, ` 07:00` is an
    offset.
    """
    if match := _OFFSET.match(text):
        return _zone_of_offset(match[1], match[2], match[3]), match.end()
    if lost_plus and (match := _LOST_PLUS.match(text)):
        return _zone_of_offset("+", match[1], match[2]), match.end()
    if (match := _PLACE.match(text)) and (place := _iana_zone(match[1])) is not None:
        return place, match.end()
    if (match := _NAME.match(text)) and (
        zone := zone_by_name(match[1], local=local, default_zone=default_zone)
    ) is not None:
        return zone, match.end()
    return None, 0


def zone_by_name(name: str, *, local: datetime, default_zone: tzinfo) -> tzinfo | None:
    """Return the zone that an abbreviation means at a local time, or None if that is unknown or ambiguous."""
    # Lower-case letters in running text are words: `8:05 est en hausse`.
    if not name.isupper() and name not in {"z", "utc", "gmt"}:
        return None
    upper = name.upper()
    if upper in _GENERIC_ZONES:
        return _iana_zone(_GENERIC_ZONES[upper])
    table = _zone_names()
    if upper not in table:
        return None
    offsets, decided = table[upper]
    own = _offset_of(default_zone, local)
    if own in offsets:
        return _fixed(own)
    return _fixed(offsets[0]) if decided else None


@cache
def _zone_names() -> Mapping[str, tuple[tuple[int, ...], bool]]:
    """Return the possible offsets of each abbreviation, and whether the first one is the default."""
    found: dict[str, tuple[tuple[int, ...], bool]] = {}
    for listed, decided in ((_UNAMBIGUOUS_ZONES, True), (_RFC_ZONES, True), (_AMBIGUOUS_ZONES, False)):
        for entry in listed.split():
            name, _, minutes = entry.partition("=")
            found[name] = (tuple(map(int, minutes.split(","))), decided)
    return MappingProxyType(found)


def _offset_of(zone: tzinfo, local: datetime) -> int:
    offset = local.replace(tzinfo=zone).utcoffset() or timedelta(0)
    return round(offset.total_seconds() / 60)


def _fixed(minutes: int) -> tzinfo:
    return UTC if minutes == 0 else timezone(timedelta(minutes=minutes))


def _zone_of_offset(sign: str, hours: str, minutes: str | None) -> tzinfo | None:
    """Return the zone of a written offset, or None for an offset of more than 15 hours."""
    size = timedelta(hours=int(hours), minutes=int(minutes or 0))
    if size > _MAX_OFFSET:
        return None
    return _fixed(round(size.total_seconds() / 60) * (1 if sign == "+" else -1))


@cache
def _iana_zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
