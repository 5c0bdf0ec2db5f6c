"""Reads the day, and where it stands there the time, out of an article's address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from worker.dates.months import month_of

_ARCHIVE = re.compile(r"^https?://web\.archive\.org/web/\d+[a-z_]*/")
_YEAR = r"((?:19|20)\d\d)"
# `/2026/03/07/title`, `/2026/0307/title`: what follows tells a day from the number of an article (`/2026/03/07`).
_FOLDERS = re.compile(rf"/{_YEAR}/(0?[1-9]|1[0-2])[/-]?(0[1-9]|[12]\d|3[01]|(?<=/)[1-9])[/-](?=[^/])")
_NAMED_FOLDERS = re.compile(rf"/{_YEAR}/([a-z]{{3,9}})/(\d{{1,2}})/(?=[^/])", re.IGNORECASE)
_YEAR_FIRST = re.compile(rf"(?<![\d])(?<!\d[-_.]){_YEAR}([-_.])(0?[1-9]|1[0-2])\2(0?[1-9]|[12]\d|3[01])(?!\d)")
# Only where the day can be no month, for some write the month first.
_DAY_FIRST = re.compile(rf"(?<![^/_-])(1[3-9]|2\d|3[01])([-_.])(0?[1-9]|1[0-2])\2{_YEAR}(?![^/._-])")
# `-20260307.html`, and with the time to the thousandth, as systems number their articles: `-20221224084259560.htm`.
_DIGITS = re.compile(
    rf"(?<![^/_=.-])[a-z]?{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    r"(?:[T-]?([01]\d|2[0-3])([0-5]\d)(?:([0-5]\d)\d{0,6})?)?(?![^/._-])",
    re.IGNORECASE,
)
# The same with the number of the site before it and a year of two digits: `-188260307084259560.chn`.
_NUMBERED = re.compile(
    r"(?<![^/_-])\d{3}(\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])([0-5]\d)([0-5]\d)\d{3}(?![^/._-])"
)


def moment_in_address(url: str) -> datetime | None:
    """Return the day that an address names, with the time if it names one; naive. None where it names none."""
    address = _ARCHIVE.sub("", url)
    address = address if "://" in address else f"http://{address}"
    try:
        path = urlsplit(address).path
    except ValueError:
        return None
    return next(_moments(path[:2_000]), None)


def _moments(path: str) -> Iterator[datetime]:
    for year, month, day, *clock in _read(path):
        hour, minute, second = (*clock, 0, 0, 0)[:3]
        try:
            yield datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the caller knows the zone
        except ValueError:
            continue


def _read(path: str) -> Iterator[tuple[int, ...]]:
    if match := _FOLDERS.search(path):
        yield tuple(map(int, match.groups()))
    if (match := _NAMED_FOLDERS.search(path)) and (month := month_of(match[2])):
        yield int(match[1]), month, int(match[3])
    for match in _DIGITS.finditer(path):
        yield tuple(int(part) for part in match.groups() if part)
    for match in _NUMBERED.finditer(path):
        year, *rest = map(int, match.groups())
        yield (2000 + year, *rest)
    if match := _YEAR_FIRST.search(path):
        yield int(match[1]), int(match[3]), int(match[4])
    if match := _DAY_FIRST.search(path):
        yield int(match[4]), int(match[3]), int(match[1])
