"""Reads the time of day that stands beside a date."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_NEAR: Final = 60
_HALF_BEFORE = r"(?:(?P<front>오전|오후|上午|下午|午前|午後|晚上|凌晨)\s?)?"
_HALF_BEHIND = r"(?:\s?(?P<half>[ap]\.?\s?m\b\.?|sa\b|ch\b|sáng\b|trưa\b|chiều\b|tối\b|[πμ]\.?μ\b\.?|मध्याह्न))?"
_HOUR = r"(?P<hour>\d{1,2})"
_WITH_MINUTES = r"\s?(?:[:：h]|giờ|g(?=\d)|時|时|点|點|시|ч\.?)\s?(?P<minute>\d{2})(?!\d)"
_WITH_SECONDS = r"(?:\s?(?:[:：]|分|phút|분)\s?(?P<second>\d{2})(?!\d)(?:[.,:]\d{1,9}(?!\d))?|\s?(?:[分분'’′]|phút\b))?"
# `20.15` is a time where a word beside it says so: elsewhere it is a number.
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
class Clock:
    """A time of day and where it stands in a text."""

    hour: int
    minute: int
    second: int
    start: int
    end: int


def clock_after(text: str, end: int) -> Clock | None:
    """Return the time of day that follows at once on a place in a text."""
    match = _AFTER.match(text, end, end + _NEAR)
    return _clock(match) if match else None


def clock_before(text: str, start: int) -> Clock | None:
    """Return the time of day that stands at once before a place in a text."""
    begin = max(0, start - _NEAR)
    match = _BEFORE.search(text[begin:start])
    clock = _clock(match) if match else None
    if clock is None:
        return None
    return Clock(clock.hour, clock.minute, clock.second, clock.start + begin, clock.end + begin)


def _clock(match: re.Match[str]) -> Clock | None:
    said = match.groupdict()
    hour = int(said["hour"] or said["hour_a"] or said["hour_b"] or said["hour_c"])
    minute, second = int(said["minute"] or said["minute_a"] or said["minute_b"] or 0), int(said["second"] or 0)
    half = (said["half"] or said["half_c"] or said["half_d"] or said["front"] or "").lower()
    if half.startswith(_AFTERNOON) and hour < 12 and not (half == "trưa" and hour > 9):
        hour += 12
    elif half.startswith(_MORNING) and hour == 12:
        hour = 0
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
        return None
    return Clock(hour, minute, min(second, 59), match.start("clock"), match.end("clock"))
