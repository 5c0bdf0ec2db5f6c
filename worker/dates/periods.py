"""Dates in URLs, and time windows.

`date_in_url` returns the date in an article's URL. A `TimeWindow` is what a poll or a backfill is limited to:
`recent_window` returns that of a poll, `lies_within` decides by all evidence whether an article is inside, and
`period_in_path` and `period_in_name` return the period that a URL names.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from urllib.parse import urlsplit

from worker.dates.day_forms import month_of
from worker.models import Source
from worker.models.base import dataclass

_ARCHIVE = re.compile(r"^https?://web\.archive\.org/web/\d+[a-z_]*/")
_YEAR = r"((?:19|20)\d\d)"
# `/2026/03/07/title`, `/2026/0307/title`. A title must follow: `/2026/03/07` may end in the number of an article.
_FOLDERS = re.compile(rf"/{_YEAR}/(0?[1-9]|1[0-2])[/-]?(0[1-9]|[12]\d|3[01]|(?<=/)[1-9])[/-](?=[^/])")
_NAMED_FOLDERS = re.compile(rf"/{_YEAR}/([a-z]{{3,9}})/(\d{{1,2}})/(?=[^/])", re.IGNORECASE)
_YEAR_FIRST = re.compile(rf"(?<![\d])(?<!\d[-_.]){_YEAR}([-_.])(0?[1-9]|1[0-2])\2(0?[1-9]|[12]\d|3[01])(?!\d)")
# Only if the day cannot be a month, because some sites write the month first.
_DAY_FIRST = re.compile(rf"(?<![^/_-])(1[3-9]|2\d|3[01])([-_.])(0?[1-9]|1[0-2])\2{_YEAR}(?![^/._-])")
# `-20260307.html`, or with the time in milliseconds, as some systems number articles: `-20221224084259560.htm`.
_DIGITS = re.compile(
    rf"(?<![^/_=.-])[a-z]?{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    r"(?:[T-]?([01]\d|2[0-3])([0-5]\d)(?:([0-5]\d)\d{0,6})?)?(?![^/._-])",
    re.IGNORECASE,
)
# The same after the number of the site and with a two-digit year: `-188260307084259560.chn`.
_NUMBERED = re.compile(
    r"(?<![^/_-])\d{3}(\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])([0-5]\d)([0-5]\d)\d{3}(?![^/._-])"
)


def date_in_url(url: str) -> datetime | None:
    """Return the date in a URL, with the time if there is one, as a naive datetime; None if there is no date."""
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
    """Yield year, month, day and perhaps the time for every date in a path, the most reliable form first."""
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


# Time windows.

_MARGIN = timedelta(days=1)  # more than the difference of any time zone from UTC
_INSTANT = timedelta(microseconds=1)  # the resolution of datetime: makes an exclusive end inclusive
_NAMED = re.compile(
    r"(?<!\d)((?:19|20)\d{2})(?:[-_/.]?(0[1-9]|1[0-2]|[1-9](?!\d))(?:[-_/.]?(0[1-9]|[12]\d|3[01])(?!\d))?)?(?!\d)"
)
# Only complete path segments: a year in the slug of a headline is no date.
_PERIOD_FOLDERS = re.compile(r"/((?:19|20)\d{2})(?:[/-])?(0[1-9]|1[0-2])(?:[/-]?(0[1-9]|[12]\d|3[01]))?(?=/)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeWindow:
    """A time window with inclusive bounds; None means no bound."""

    start: datetime | None = None
    end: datetime | None = None

    def overlaps(self, other: TimeWindow) -> bool:
        """Return whether two windows have an instant in common."""
        starts_late = self.end and other.start and other.start > self.end
        ends_early = self.start and other.end and other.end < self.start
        return not (starts_late or ends_early)

    def contains(self, moment: datetime) -> bool:
        """Return whether an instant is inside the window."""
        return self.overlaps(TimeWindow(start=moment, end=moment))


def recent_window(source: Source, *, now: datetime) -> TimeWindow:
    """Return the window of a regular poll of a source, without an end.

    It begins at the latest of: `max_age` ago, `since`, and one day before the source was last read completely.
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
    """Return whether an article may have been published in a window, by the best evidence there is.

    The first of these rules that applies decides:

    1. The publication date.
    2. A change before the window: outside, because no article changes before it is published.
    3. A window without an end: inside.
    4. A date in the URL.
    5. `period`, after which the sitemap is named, if the article has no date or was changed after that period.
    6. A change after the window does not show when the article was published: outside, unless `changed_later`.
    7. Anything else, for example an article without dates: inside.
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
    """Return a period without the margins that `_span` adds, with its days in the given zone."""
    start, end = period.start, period.end
    return TimeWindow(
        start=start and (start + _MARGIN).replace(tzinfo=zone), end=end and (end - _MARGIN).replace(tzinfo=zone)
    )


def period_in_path(url: str) -> TimeWindow | None:
    """Return the month or day in the path of a URL (`/2026/11/20/`), or None."""
    found = _PERIOD_FOLDERS.search(urlsplit(url).path)
    return _span(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def period_in_name(url: str) -> TimeWindow | None:
    """Return the year, month or day in the name of a file (`sitemap-2026-11.xml`), or None."""
    path = urlsplit(url).path
    found = list(_NAMED.finditer(path))
    if not found:
        return None
    year, month, day = (int(part) if part else 0 for part in found[-1].groups())
    return _span(year, month, day)


def _span(year: int, month: int, day: int) -> TimeWindow | None:
    """Return the window of a year, month or day with a margin on either side; zero: not given."""
    try:
        start = datetime(year, month or 1, day or 1, tzinfo=UTC)
        last = datetime(year, month or 12, day or monthrange(year, month or 12)[1], tzinfo=UTC)
    except ValueError:
        return None
    # The margin is there because the time zone of the period is unknown.
    return TimeWindow(start=start - _MARGIN, end=last + 2 * _MARGIN - _INSTANT)


def archive_urls(template: str, window: TimeWindow) -> Iterator[str]:
    """Yield the URLs of an archive by date, the newest first, from a template `https://bao.vn/{year}/{month}/{day}`.

    `{month}` and `{day}` have two digits. Without `{day}` there is one page a month, without `{month}` one a year.
    Raises ValueError for a window without both bounds.
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
