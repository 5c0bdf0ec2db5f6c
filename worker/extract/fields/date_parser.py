"""How the dates of one page are read: in which zone and language, and whether the month comes first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lxml.html import HtmlElement

from worker.dates import FoundDate, find_date, possible_dates
from worker.extract.document import Document

_MACHINE_READABLE = ("content", "datetime", "title", "data-datetime", "data-timestamp", "data-time")


@dataclass(frozen=True, slots=True, kw_only=True)
class DateParser:
    """How a page's dates are read: in which zone and language, and whether its custom is to put the month first."""

    zone: tzinfo
    language: str = ""
    month_first: bool = False

    def parse_value(self, value: str) -> Iterator[datetime]:
        """Yield what a value that is a date may mean, the most likely first."""
        return possible_dates(value, zone=self.zone, month_first=self.month_first, language=self.language)

    def find_in_text(self, text: str) -> FoundDate | None:
        """Return the first date in a line of text."""
        return find_date(text, home=self.zone, month_first=self.month_first, language=self.language)

    def values_of_element(self, element: HtmlElement, text: str) -> Iterator[str]:
        """Yield what an element gives as its date, for programs and for readers, as far as it can be read."""
        for value in (*map(element.get, _MACHINE_READABLE), text):
            if value and any(char.isdigit() for char in value) and next(self.parse_value(value), None) is not None:
                yield value


# Countries whose English writes the day first.
_DAY_FIRST_ENGLISH = frozenset(
    ("gb", "uk", "au", "nz", "ie", "in", "za", "sg", "my", "ke", "ng", "hk", "pk", "lk", "gh", "tz", "ug", "zm", "eu")
)


def first_time_zone(*names: str | None) -> tzinfo:
    """Return the first time zone among the names that exists, UTC if none does."""
    for name in filter(None, names):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return UTC


def writes_month_first(document: Document) -> bool:
    """Whether `3/4/2024` is the fourth of March: in the English of America, where nobody says otherwise."""
    language, _, region = document.language.lower().replace("_", "-").partition("-")
    country = document.url.partition("://")[2].partition("/")[0].rpartition(".")[2]
    return language == "en" and not {region[:2], country} & _DAY_FIRST_ENGLISH
