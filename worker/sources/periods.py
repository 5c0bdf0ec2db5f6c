"""Spans of time: which part of the past a look at a source is about, and what a file's name says of its own."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from urllib.parse import urlsplit

from worker.models import Source

_MARGIN = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_NAMED = re.compile(
    r"(?<!\d)((?:19|20)\d{2})(?:[-_/.]?(0[1-9]|1[0-2]|[1-9](?!\d))(?:[-_/.]?(0[1-9]|[12]\d|3[01])(?!\d))?)?(?!\d)"
)
# Only whole folders: a year in the words of a headline is no date.
_FOLDERS = re.compile(r"/((?:19|20)\d{2})(?:[/-])?(0[1-9]|1[0-2])(?:[/-]?(0[1-9]|[12]\d|3[01]))?(?=/)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span of time, open where there is no bound."""

    start: datetime | None = None
    end: datetime | None = None

    def meets(self, other: Window) -> bool:
        """Tell whether two spans have a moment in common."""
        starts_late = self.end and other.start and other.start > self.end
        ends_early = self.start and other.end and other.end < self.start
        return not (starts_late or ends_early)

    def holds(self, moment: datetime) -> bool:
        """Tell whether a moment lies within the span."""
        return self.meets(Window(start=moment, end=moment))


def recent(source: Source, *, now: datetime) -> Window:
    """Return the span a regular look at a source is about.

    It begins `max_age` ago, at `since`, or a day before all of it was last read, whichever is the latest.
    """
    options = source.options
    starts = (
        now - options.max_age if options.max_age else None,
        options.since,
        options.read_at - _MARGIN if options.read_at else None,
    )
    return Window(start=max((start for start in starts if start), default=None))


def within(
    window: Window,
    *,
    url: str,
    published: datetime | None,
    modified: datetime | None,
    period: Window | None = None,
    changed_later: bool = False,
) -> bool:
    """Tell whether an article may have been written in a span, by the best evidence there is.

    A time of publication decides. A change before the span rules it out: nothing changes before it is written. Where
    the span has an end, a date in the address decides next, then the `period` that a sitemap is named after, for what
    bears no date or was changed after it. A change after the end says nothing of when an article was written: it counts
    as outside, unless `changed_later` asks for these too. What bears no date at all counts as within.
    """
    if published:
        return window.holds(published)
    if modified and window.start and modified < window.start:
        return False
    if window.end is None:
        return True
    written = dated_path(url)
    if written:
        return window.meets(written)
    if period and (modified is None or (period.end and modified > period.end)):
        return window.meets(_meant(period, zone=window.end.tzinfo))
    return modified is None or modified <= window.end or changed_later


def _meant(period: Window, *, zone: tzinfo | None) -> Window:
    """Return a named period without the day on either side, its days those of the zone the span is given in."""
    start, end = period.start, period.end
    return Window(
        start=start and (start + _MARGIN).replace(tzinfo=zone), end=end and (end - _MARGIN).replace(tzinfo=zone)
    )


def dated_path(url: str) -> Window | None:
    """Return the month or day that folders of an address name (`/2026/11/20/`), None where they name none."""
    found = _FOLDERS.search(urlsplit(url).path)
    return _span(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def named_period(url: str) -> Window | None:
    """Return the year, month or day that a file is named after (`sitemap-2026-11.xml`), None where it names none."""
    path = urlsplit(url).path
    found = list(_NAMED.finditer(path))
    if not found:
        return None
    year, month, day = (int(part) if part else 0 for part in found[-1].groups())
    return _span(year, month, day)


def _span(year: int, month: int, day: int) -> Window | None:
    """Return a year, month or day; a zero says that it is not named."""
    try:
        start = datetime(year, month or 1, day or 1, tzinfo=UTC)
        last = datetime(year, month or 12, day or monthrange(year, month or 12)[1], tzinfo=UTC)
    except ValueError:
        return None
    # A day on either side: nobody says in which zone a month begins.
    return Window(start=start - _MARGIN, end=last + 2 * _MARGIN - _INSTANT)


def dated_addresses(template: str, window: Window) -> Iterator[str]:
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
