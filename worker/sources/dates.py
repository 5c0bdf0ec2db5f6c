"""Dates as feeds, sitemaps and input files write them, made aware."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from worker.dates.written import moments_of, names_impossible_day
from worker.models import Source

_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_TOLERANCE = timedelta(days=2)
# What programs write that know no date: Unix time 0, in any zone.
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_A_DAY = timedelta(days=1)
_MAX_LENGTH = 100
# More than a Unix time in billionths of a second.
_LATEST = 10**19
# How far apart one time of day can be in two zones.
_ROUND_THE_CLOCK = timedelta(hours=28)
# Of a year of four digits or a Unix time our reading is certain; of `03-12-31` the library's is as likely.
_CERTAIN = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)|\A\s*\d{9,19}(?:\.\d+)?\s*\Z")
_ZONE = re.compile(r"(?:[+-]\d\d:?\d\d|\d\s?Z|\b(?:GMT|UTC?|[A-Z]{1,2}[SD]?T))\s{0,9}\)?\s{0,9}\Z")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_USUAL_MAIL = re.compile(
    r"(?:[A-Z][a-z]{2}, )?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) (?:GMT|UTC|Z|([+-])(\d\d):?(\d\d))"
)


def zone_of(source: Source) -> tzinfo:
    """Return the zone in which a source's dates without one are meant: its own, or UTC."""
    if not source.timezone:
        return UTC
    try:
        return ZoneInfo(source.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _names_zone(text: str) -> bool:
    """Tell whether a written date ends in an offset or a zone that mail programs know."""
    return _ZONE.search(text.strip()) is not None


def read_date(text: str | None, *, zone: tzinfo) -> datetime | None:
    """Read a date in ISO 8601 (W3C-DTF), RFC 5322 or any form that people write; None where it is none of these.

    A date that names no zone is in `zone`. So is one whose zone's name stands for several, none of which is `zone`.
    """
    if not text or len(text) > _MAX_LENGTH:
        return None
    text = text.strip()
    found = _iso(text) or _usual_mail(text) or next(moments_of(text, zone=zone), None)
    if found is None:
        return None
    return found.replace(tzinfo=zone) if found.tzinfo is None else found


def as_written(value: object) -> str | None:
    """Return a date as a JSON document gives it: a text, or a number that is a Unix time."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LATEST:
        return f"{value:.0f}"
    return value if isinstance(value, str) and value.strip() else None


def reread(theirs: datetime, text: str, *, zone: tzinfo) -> datetime | None:
    """Return a date that a library read, in UTC, with the zone that the text names, or else `zone`.

    Libraries take zones whose names they do not know for UTC, make a day that cannot be into another, and a year alone
    into its first day: what is not read here too is None.
    """
    ours = read_date(text, zone=zone)
    if ours is None or names_impossible_day(text):
        return None
    if _CERTAIN.search(text) or abs(ours - theirs) < _ROUND_THE_CLOCK:
        return ours.replace(microsecond=0)
    return theirs if _names_zone(text) else theirs.replace(tzinfo=zone)


def _iso(text: str) -> datetime | None:
    if len(text) < 7 or not text[:4].isdigit():
        return None
    if re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _usual_mail(text: str) -> datetime | None:
    """Read the form that nearly every feed uses, ten times faster than `email.utils` does."""
    found = _USUAL_MAIL.fullmatch(text)
    if not found or found[2] not in _MONTHS:
        return None
    sign, hours, minutes = (found[7] or "+"), int(found[8] or 0), int(found[9] or 0)
    ahead = timedelta(hours=hours, minutes=minutes)
    try:
        return datetime(
            int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1]), int(found[4]), int(found[5]), int(found[6]),
            tzinfo=timezone(-ahead if sign == "-" else ahead),
        )  # fmt: skip
    except ValueError:
        return None


def plausible(found: datetime | None, *, now: datetime) -> datetime | None:
    """Return a date in UTC, None where no article can have it: before 1900, Unix time 0, more than two days ahead."""
    if found is None:
        return None
    try:
        found = found.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    is_zero = abs(found - _ZERO) <= _A_DAY
    return found if _EARLIEST <= found <= now + _TOLERANCE and not is_zero else None
