"""Reads the day, and where it stands there the time, out of an article's address."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from urllib.parse import urlsplit

from worker.dates.day_forms import month_of
from worker.models import Source

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


def date_in_url(url: str) -> datetime | None:
    """Return the day that an address names, with the time if it names one; naive. None where it names none."""
    address = _ARCHIVE.sub("", url)
    address = address if "://" in address else f"http://{address}"
    try:
        path = urlsplit(address).path
    except ValueError:
        return None
    return next(_dates_in(path[:2_000]), None)


def _dates_in(path: str) -> Iterator[datetime]:
    for year, month, day, *clock in _day_parts(path):
        hour, minute, second = (*clock, 0, 0, 0)[:3]
        try:
            yield datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the caller knows the zone
        except ValueError:
            continue


def _day_parts(path: str) -> Iterator[tuple[int, ...]]:
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


# Spans of time: which part of the past a look at a source is about, and what a file's name says of its own.


_MARGIN = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_NAMED = re.compile(
    r"(?<!\d)((?:19|20)\d{2})(?:[-_/.]?(0[1-9]|1[0-2]|[1-9](?!\d))(?:[-_/.]?(0[1-9]|[12]\d|3[01])(?!\d))?)?(?!\d)"
)
# Only whole folders: a year in the words of a headline is no date.
_PERIOD_FOLDERS = re.compile(r"/((?:19|20)\d{2})(?:[/-])?(0[1-9]|1[0-2])(?:[/-]?(0[1-9]|[12]\d|3[01]))?(?=/)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeWindow:
    """A span of time, open where there is no bound."""

    start: datetime | None = None
    end: datetime | None = None

    def overlaps(self, other: TimeWindow) -> bool:
        """Tell whether two spans have a moment in common."""
        starts_late = self.end and other.start and other.start > self.end
        ends_early = self.start and other.end and other.end < self.start
        return not (starts_late or ends_early)

    def contains(self, moment: datetime) -> bool:
        """Tell whether a moment lies within the span."""
        return self.overlaps(TimeWindow(start=moment, end=moment))


def recent_window(source: Source, *, now: datetime) -> TimeWindow:
    """Return the span a regular look at a source is about.

    It begins `max_age` ago, at `since`, or a day before all of it was last read, whichever is the latest.
    """
    options = source.options
    starts = (
        now - options.max_age if options.max_age else None,
        options.since,
        options.read_at - _MARGIN if options.read_at else None,
    )
    return TimeWindow(start=max((start for start in starts if start), default=None))


def lies_within(
    window: TimeWindow,
    *,
    url: str,
    published: datetime | None,
    modified: datetime | None,
    period: TimeWindow | None = None,
    changed_later: bool = False,
) -> bool:
    """Tell whether an article may have been written in a span, by the best evidence there is.

    A time of publication decides. A change before the span rules it out: nothing changes before it is written. Where
    the span has an end, a date in the address decides next, then the `period` that a sitemap is named after, for what
    bears no date or was changed after it. A change after the end says nothing of when an article was written: it counts
    as outside, unless `changed_later` asks for these too. What bears no date at all counts as within.
    """
    if published:
        return window.contains(published)
    if modified and window.start and modified < window.start:
        return False
    if window.end is None:
        return True
    written = period_in_path(url)
    if written:
        return window.overlaps(written)
    if period and (modified is None or (period.end and modified > period.end)):
        return window.overlaps(_without_margin(period, zone=window.end.tzinfo))
    return modified is None or modified <= window.end or changed_later


def _without_margin(period: TimeWindow, *, zone: tzinfo | None) -> TimeWindow:
    """Return a named period without the day on either side, its days those of the zone the span is given in."""
    start, end = period.start, period.end
    return TimeWindow(
        start=start and (start + _MARGIN).replace(tzinfo=zone), end=end and (end - _MARGIN).replace(tzinfo=zone)
    )


def period_in_path(url: str) -> TimeWindow | None:
    """Return the month or day that folders of an address name (`/2026/11/20/`), None where they name none."""
    found = _PERIOD_FOLDERS.search(urlsplit(url).path)
    return _span(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def period_in_name(url: str) -> TimeWindow | None:
    """Return the year, month or day that a file is named after (`sitemap-2026-11.xml`), None where it names none."""
    path = urlsplit(url).path
    found = list(_NAMED.finditer(path))
    if not found:
        return None
    year, month, day = (int(part) if part else 0 for part in found[-1].groups())
    return _span(year, month, day)


def _span(year: int, month: int, day: int) -> TimeWindow | None:
    """Return a year, month or day; a zero says that it is not named."""
    try:
        start = datetime(year, month or 1, day or 1, tzinfo=UTC)
        last = datetime(year, month or 12, day or monthrange(year, month or 12)[1], tzinfo=UTC)
    except ValueError:
        return None
    # A day on either side: nobody says in which zone a month begins.
    return TimeWindow(start=start - _MARGIN, end=last + 2 * _MARGIN - _INSTANT)


def archive_urls(template: str, window: TimeWindow) -> Iterator[str]:
    """Yield the pages of an archive kept by date, the newest first: `https://bao.vn/{year}/{month}/{day}`.

    `{month}` and `{day}` have two digits; without `{day}` a page is a month, without `{month}` a year. Raises
    ValueError for a window without bounds.
    """
    if window.start is None or window.end is None:
        raise ValueError("the span of an archive needs a first and a last day")
    day, first = window.end.date(), window.start.date()
    last = ""
    while day >= first:
        address = template.format(year=f"{day:%Y}", month=f"{day:%m}", day=f"{day:%d}")
        if address != last:
            yield address
        last, day = address, day - timedelta(days=1)
