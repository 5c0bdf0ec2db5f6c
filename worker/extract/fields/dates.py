"""Finds when an article was published and modified, and where on the page each date was found.

Candidates are tried in an order of trust (`_PageDates.published`): declared dates, the feed, marked elements, other
metadata, the address, visible text, scripts. The first credible one is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from itertools import filterfalse

from worker.dates import date_in_url
from worker.extract.document import DateParser, Document, writes_month_first
from worker.extract.fields.visible_dates import VisibleDate, find_visible_dates
from worker.models.base import dataclass

_OLDEST = datetime(1980, 1, 1, tzinfo=UTC)
# Up to a day in the future is credible: clocks differ, and a date without a time is midnight in some zone.
_MAX_AHEAD = timedelta(days=1)
# A visible date with a lower score (see visible_dates.py) may belong to something else on the page.
_MIN_CLEAR_SCORE = 2
# If the address names a day this long before all declared dates, the article was moved or republished. Chosen, not
# measured.
_LONG_BEFORE = timedelta(days=90)
# The largest difference between a time and the start of its day, and between the readings of one time in two zones.
_ONE_DAY, _MAX_ZONE_DIFFERENCE = timedelta(days=1), timedelta(hours=14)
# Data for a page's own scripts: `"publishedAt":"2026-03-07T08:00:00Z"`, or a Unix time.
_QUOTE = rb"(?:\\{0,3}[\"']|&quot;)"
_SCRIPT_DATE = re.compile(
    _QUOTE
    + rb"(?:date_?|first_?)?publi(?:shed|cation|sh)_?(?:at|on|date|time)?"
    + _QUOTE
    + rb"\s?:\s?(?:"
    + _QUOTE
    + rb"((?:19|20)\d\d-\d\d-\d\d(?:[T ][\d:]{5,8}(?:[.]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?)|(1\d{9}(?:\d{3})?)(?!\d))",
    re.IGNORECASE,
)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
# Names of meta elements, reduced to letters: `article:published_time`, `article.published`, `og:article:…`. First those
# with the word "published", then synonyms.
_META_PREFIX = (
    r"(?:og|article|dc|dcterms|parsely|cxenseparse|recs|cxense|bt|rnews|prism|citation|news|post|content|schema){0,6}"
)
_OTHER_PUBLISHED_NAMES = (
    r"(?:pubdate|publish(?:time|date|datetime|at)|publicationdate|dateissued|dateposted|posteddate|originaldate|"
    r"dateoriginal|displaydate|releasedate|firstpublished|date(?:release|available|submitted)|sailthrudate|"
    r"published(?:date|time|at|on))"
)
_PUBLISHED_META = (
    re.compile(_META_PREFIX + r"(?:published(?:time|date|datetime|at|on)?|datepublished|publicationtime)"),
    re.compile(_META_PREFIX + _OTHER_PUBLISHED_NAMES),
)
# Names that may mean the draft, the template or the last change, and names that only one system uses.
_DATED_META = re.compile(
    r"(?:og|article|dc|dcterms|citation|page|weibo){0,6}"
    r"(?:date|articledate|issued|created|createdtime|datecreated|createdat|creationdate|createat|datetime|uploaddate)|"
    rf"[a-z]{{0,30}}(?<!un)(?<!last){_OTHER_PUBLISHED_NAMES}"
)
_MODIFIED_META = re.compile(
    r"(?:og|article|dc|dcterms|parsely|page){0,6}(?:modifiedtime|modified|modifieddate|updatedtime|updated|datemodified|"
    r"lastmodified|lastmod|revisiondate|lastupdated?|dateupdated)"
)
# Every date has a number, in the digits of some script.
_SOME_DIGITS = re.compile(r"\d")
_NON_LETTERS = re.compile(r"[^a-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDate:
    """A date and its origin: `json-ld`, `meta`, `feed`, `time`; if guessed (not `sure`) `url`, `text`, `unmarked-…`."""

    at: datetime
    origin: str
    sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DateContext:
    """Context for reading a page's dates: when it was fetched, its zone, the feed's dates, its title."""

    fetched_at: datetime
    zone: tzinfo
    feed_published: datetime | None = None
    feed_modified: datetime | None = None
    title: str = ""


def find_published(document: Document, context: DateContext) -> PageDate | None:
    """Return when the article was published, None if there is no credible date."""
    page = _PageDates(document, context)
    return next(filter(page.is_credible, page.published()), None)


def find_modified(document: Document, context: DateContext) -> PageDate | None:
    """Return when the article was last modified, None if there is no credible date."""
    page = _PageDates(document, context)
    return next(filter(page.is_credible, page.modified()), None)


class _PageDates:
    """The dates of a page, in order of trust."""

    def __init__(self, document: Document, context: DateContext) -> None:
        self._document = document
        self._context = context
        self._parser = DateParser(
            zone=context.zone,
            language=document.language[:2].lower(),
            month_first=writes_month_first(document),
        )

    def published(self) -> Iterator[PageDate]:
        json_ld, feed = self._document.json_ld, self._context.feed_published
        yield from self._declared()
        if feed is not None:
            yield PageDate(at=feed, origin="feed")
        yield from self._marked()
        yield from self._read(json_ld.page_published, origin="json-ld")
        yield from self._read(json_ld.created, origin="json-ld")
        unspecific = list(self._in_meta(_DATED_META))
        for guess in self._guessed():
            # A guess that agrees with an unspecific declaration is no guess.
            yield next((said for said in unspecific if self._day(said) == self._day(guess)), guess)
        yield from (replace(said, origin="unmarked-meta", sure=False) for said in unspecific)
        changes = [
            replace(shown, score=_MIN_CLEAR_SCORE)
            for shown in self._visible
            if shown.is_change and shown.score == _MIN_CLEAR_SCORE - 1
        ]
        yield from self._clear_dates(changes)
        yield from self._in_scripts()

    def _declared(self) -> Iterator[PageDate]:
        """Yield the declared dates of publication, and before them a date that shows that they are wrong.

        They are wrong if the address names a day long before them (the article was moved or republished), or if the
        page shows an earlier day and the last change is no later than they are: some systems declare the last change as
        the publication. If the declared dates contradict each other, the one that the page shows comes first.
        """
        declared = list(self._read(self._document.json_ld.published, origin="json-ld"))
        declared += (found for names in _PUBLISHED_META for found in self._in_meta(names))
        declared = list(filter(self.is_credible, declared))
        if not declared:
            return
        first, last_change = min(found.at for found in declared), self._last_change()
        address, days = self._in_address(), set(map(self._day, declared))
        if address is not None and self.is_credible(address) and address.at + _LONG_BEFORE < first:
            yield address
        seen = self._shown_to_readers() if len(days) > 1 or last_change <= first else []
        if seen and last_change <= first and all(_is_earlier(found.at, first) for found in seen):
            yield seen[0]
        # Of the readings of a visible date (day or month first), the one that equals a declared date is right.
        confirmed = days & set(map(self._day, seen))
        declared.sort(key=lambda found: (self._day(found) not in confirmed, found.at > last_change))
        yield from declared

    def _last_change(self) -> datetime:
        """Return when the page says it was last modified, the end of time if it does not say."""
        return max((found.at for found in self.modified() if self.is_credible(found)), default=_END_OF_TIME)

    def _marked(self) -> Iterator[PageDate]:
        """Yield the dates in elements that are marked as the date of publication.

        Before an invisible one comes a visible date that a meta element confirms.
        """
        marked = [shown for shown in self._visible if shown.marked and shown.score > 0]
        seen = set(map(self._day, self._shown_to_readers())) if any(not shown.visible for shown in marked) else set()
        agreed = next((said for said in self._in_meta(_DATED_META) if self._day(said) in seen), None)
        for shown in marked:
            if agreed is not None and not shown.visible:
                yield agreed
            yield from self._read(shown.values, origin="time")

    def _shown_to_readers(self) -> list[PageDate]:
        """Return the possible meanings of the date of publication shown near the title, empty if none is clear."""
        near = find_visible_dates(self._document.tree, title=self._context.title, parser=self._parser, near=True)
        positions = (shown for shown in near if shown.visible and not shown.is_change)
        readings = (list(filter(self.is_credible, self._clear_dates([shown]))) for shown in positions)
        return next(filter(None, readings), [])

    def modified(self) -> Iterator[PageDate]:
        feed = self._context.feed_modified
        yield from self._read(self._document.json_ld.modified, origin="json-ld")
        yield from self._in_meta(_MODIFIED_META)
        if feed is not None:
            yield PageDate(at=feed, origin="feed")

    def is_credible(self, found: PageDate) -> bool:
        return _OLDEST < found.at <= self._context.fetched_at + _MAX_AHEAD

    def _is_today(self, found: PageDate) -> bool:
        return self._day(found) == self._context.fetched_at.astimezone(self._context.zone).date()

    def _day(self, found: PageDate) -> date | None:
        """Return the day in the page's zone, None at the ends of the calendar."""
        try:
            return found.at.astimezone(self._context.zone).date()
        except OverflowError:
            return None

    def _read(self, values: Iterable[str], *, origin: str, sure: bool = True) -> Iterator[PageDate]:
        for value in values:
            for at in self._parser.parse_value(value):
                yield PageDate(at=at, origin=origin, sure=sure)

    def _in_meta(self, names: re.Pattern[str]) -> Iterator[PageDate]:
        for letters, values in self._dated_meta:
            if names.fullmatch(letters):
                yield from self._read(values, origin="meta")

    def _guessed(self) -> Iterator[PageDate]:
        address = self._in_address()
        if address is not None:
            yield address
        yield from self._clear_dates(self._visible)

    def _in_scripts(self) -> Iterator[PageDate]:
        """Yield the date of publication in the page's scripts, if they name a single day."""
        said = dict.fromkeys(
            (match[1] or match[2]).decode("ascii") for match in _SCRIPT_DATE.finditer(self._document.body)
        )
        found = list(self._read(said, origin="script", sure=False))
        if len(set(map(self._day, found))) == 1:
            yield found[0]

    def _in_address(self) -> PageDate | None:
        at = date_in_url(self._document.url)
        return None if at is None else PageDate(at=at.replace(tzinfo=self._context.zone), origin="url", sure=False)

    def _clear_dates(self, positions: Iterable[VisibleDate]) -> Iterator[PageDate]:
        """Yield the dates among these that clearly belong to the article."""
        for shown in positions:
            if shown.score >= _MIN_CLEAR_SCORE:
                origin = "unmarked-time" if shown.is_time else "text"
                found = self._read(shown.values, origin=origin, sure=False)
                # Today's date above the title is the page's clock.
                yield from found if shown.after_title else filterfalse(self._is_today, found)

    @cached_property
    def _dated_meta(self) -> list[tuple[str, tuple[str, ...]]]:
        """The names of meta elements, reduced to letters, whose values may be dates; and the values."""
        named = ((_NON_LETTERS.sub("", name), values) for name, values in self._document.meta.items())
        return [(letters, values) for letters, values in named if any(map(_SOME_DIGITS.search, values))]

    @cached_property
    def _visible(self) -> list[VisibleDate]:
        return find_visible_dates(self._document.tree, title=self._context.title, parser=self._parser)


def _is_earlier(shown: datetime, moment: datetime) -> bool:
    """Return whether a visible date, often a day in an unknown zone, is certainly before another time."""
    return shown + _MAX_ZONE_DIFFERENCE + (_ONE_DAY if shown.time() == time.min else timedelta(0)) < moment
