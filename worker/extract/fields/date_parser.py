"""Parses the dates of one page in the page's time zone, language and order of day and month.

The parsing itself is in `worker.dates`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lxml.html import HtmlElement

from worker.dates import ParsedDate, find_date, possible_dates
from worker.extract.document import Document

_MACHINE_READABLE = ("content", "datetime", "title", "data-datetime", "data-timestamp", "data-time")


@dataclass(frozen=True, slots=True, kw_only=True)
class DateParser:
    """Parses the dates of a page.

    `zone` applies to dates without one, `language` (ISO 639-1) to names of months, `month_first` to `3/4/2024`.
    """

    zone: tzinfo
    language: str = ""
    month_first: bool = False

    def parse_value(self, value: str) -> Iterator[datetime]:
        """Yield the possible meanings of a value that consists of a date, the most likely first."""
        return possible_dates(value, zone=self.zone, month_first=self.month_first, language=self.language)

    def find_in_text(self, text: str) -> ParsedDate | None:
        """Return the first date in a line of text, None if it has none."""
        return find_date(text, default_zone=self.zone, month_first=self.month_first, language=self.language)

    def values_of_element(self, element: HtmlElement, text: str) -> Iterator[str]:
        """Yield the element's machine-readable attributes and its text, as far as they can be parsed as dates."""
        for value in (*map(element.get, _MACHINE_READABLE), text):
            if value and any(char.isdigit() for char in value) and next(self.parse_value(value), None) is not None:
                yield value


# Country codes and top-level domains whose English puts the day first.
_DAY_FIRST_ENGLISH = frozenset(
    ("gb", "uk", "au", "nz", "ie", "in", "za", "sg", "my", "ke", "ng", "hk", "pk", "lk", "gh", "tz", "ug", "zm", "eu")
)


def first_time_zone(*names: str | None) -> tzinfo:
    """Return the first of these time zones that exists, UTC if none does."""
    for name in filter(None, names):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return UTC


def writes_month_first(document: Document) -> bool:
    """Return whether `3/4/2024` is 4 March: on English pages, unless their region or domain is a day-first country."""
    language, _, region = document.language.lower().replace("_", "-").partition("-")
    country = document.url.partition("://")[2].partition("/")[0].rpartition(".")[2]
    return language == "en" and not {region[:2], country} & _DAY_FIRST_ENGLISH
