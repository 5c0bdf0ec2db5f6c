"""Finds when an article was published and modified, and says where each date came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import htmldate
from lxml.html import HtmlElement

from worker.extract.document import Document

_MANY = 50
# Searching a whole page for something like a date takes htmldate a second for each million characters.
_LARGEST_TO_SEARCH = 1_000_000
_OLDEST = datetime(1980, 1, 1, tzinfo=UTC)
# Clocks differ, and a date without a time is midnight somewhere: a day ahead is no lie yet.
_TOLERANCE = timedelta(days=1)
# Names of meta elements, letters alone: systems write `article:published_time`, `article.published`, `og:article:…`.
_PUBLISHED_META = re.compile(
    r"(?:og|article|dc|dcterms|parsely|sailthru|cxenseparserecs|cxensearticle)*"
    r"(?:published|publishedtime|publishtime|publishdate|publicationdate|datepublished|pubdate|dateissued|dateposted|"
    r"firstpublished|originaldate|articledate|created|datecreated|itspublication|displaydate|date)"
)
_MODIFIED_META = re.compile(
    r"(?:og|article|dc|dcterms|parsely)*(?:modifiedtime|modified|updatedtime|datemodified|lastmodified|lastmod|revisiondate)"
)
_NOT_LETTERS = re.compile(r"[^a-z]+")
_ARCHIVE = re.compile(r"^https?://web\.archive\.org/web/\d+[a-z_]*/")
_SEVERAL_DIGITS = re.compile(r"\d{10}(?:\d{3})?")
_DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})[/.-](\d{1,2})[/.-]((?:19|20)\d{2})(?!\d)(?:\D{0,12}?(\d{1,2})[:h](\d{2}))?")
_YEAR_FIRST = re.compile(r"(?<!\d)((?:19|20)\d{2})[/-](\d{1,2})[/-](\d{1,2})(?!\d)(?:[T ,-]{1,3}(\d{1,2}):(\d{2}))?")
_URL_DATE = re.compile(r"/((?:19|20)\d{2})[/-]?(0[1-9]|1[0-2])[/-]?(0[1-9]|[12]\d|3[01])(?=[/-]|$|\d{0,6}[./-])")
# `/29-10-2021`: only where the day can be no month, for some write the month first.
_URL_DAY_FIRST = re.compile(r"(?<=[/_-])(1[3-9]|2\d|3[01])[-_](0?[1-9]|1[0-2])[-_]((?:19|20)\d{2})(?=[/._-]|$)")
_ISO_LIKE = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?\s?(Z|[+-]\d{2}:?\d{2})?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A moment and where it came from: `json-ld`, `meta`, `feed`, `time`; guessed `url`, `text`, `unmarked-time`."""

    at: datetime
    origin: str
    sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What limits and completes the dates of a page: when it was fetched, its zone, what the feed said."""

    fetched_at: datetime
    zone: tzinfo
    feed_published: datetime | None = None
    feed_modified: datetime | None = None


def zone_of(*names: str | None) -> tzinfo:
    """Return the first time zone among the names that exists, UTC if none does."""
    for name in filter(None, names):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return UTC


def find_published(document: Document, circumstances: Circumstances) -> Found | None:
    """Return when the article was published, None where nothing credible says so."""
    return next((found for found in _published(document, circumstances) if _credible(found, circumstances)), None)


def find_modified(document: Document, circumstances: Circumstances) -> Found | None:
    """Return when the article was last modified, None where nothing credible says so."""
    return next((found for found in _modified(document, circumstances) if _credible(found, circumstances)), None)


def _published(document: Document, circumstances: Circumstances) -> Iterator[Found]:
    zone = circumstances.zone
    yield from _read(document.structured.published, zone, origin="json-ld")
    yield from _in_meta(document, _PUBLISHED_META, zone)
    if circumstances.feed_published is not None:
        yield Found(at=circumstances.feed_published, origin="feed")
    yield from _time_elements(document.tree, zone)
    yield from _read(document.structured.page_published, zone, origin="json-ld")
    yield from _in_url(document.url, zone)
    yield from _guess(document, circumstances)
    yield from _first_time_element(document.tree, zone)


def _modified(document: Document, circumstances: Circumstances) -> Iterator[Found]:
    yield from _read(document.structured.modified, circumstances.zone, origin="json-ld")
    yield from _in_meta(document, _MODIFIED_META, circumstances.zone)
    if circumstances.feed_modified is not None:
        yield Found(at=circumstances.feed_modified, origin="feed")


def _credible(found: Found, circumstances: Circumstances) -> bool:
    return _OLDEST < found.at <= circumstances.fetched_at + _TOLERANCE


def _read(value: str, zone: tzinfo, *, origin: str) -> Iterator[Found]:
    at = parse_moment(value, zone)
    if at is not None:
        yield Found(at=at, origin=origin)


def _time_elements(tree: HtmlElement, zone: tzinfo) -> Iterator[Found]:
    for element in islice(tree.iter("time"), _MANY):
        marks = f"{element.get('itemprop')} {element.get('class')}".lower()
        if element.get("pubdate") is not None or "publish" in marks:
            yield from _read(element.get("datetime") or element.text_content(), zone, origin="time")


def _first_time_element(tree: HtmlElement, zone: tzinfo) -> Iterator[Found]:
    for element in islice(tree.iter("time"), 1):
        for found in _read(element.get("datetime") or element.text_content(), zone, origin="time"):
            yield replace(found, origin="unmarked-time", sure=False)


def _in_meta(document: Document, names: re.Pattern[str], zone: tzinfo) -> Iterator[Found]:
    for name, values in document.meta.items():
        if names.fullmatch(_NOT_LETTERS.sub("", name)):
            yield from _read(values[0], zone, origin="meta")


def _in_url(url: str, zone: tzinfo) -> Iterator[Found]:
    address = _ARCHIVE.sub("", url).partition("://")[2]
    if match := _URL_DATE.search(address):
        year, month, day = map(int, match.groups())
    elif match := _URL_DAY_FIRST.search(address):
        day, month, year = map(int, match.groups())
    else:
        return
    at = _moment(year, month, day, zone=zone)
    if at is not None:
        yield Found(at=at, origin="url", sure=False)


def _guess(document: Document, circumstances: Circumstances) -> Iterator[Found]:
    if document.size > _LARGEST_TO_SEARCH:
        return
    latest = circumstances.fetched_at.date().isoformat()
    try:
        day = htmldate.find_date(document.tree, original_date=True, max_date=latest, url=document.url)
    except (ValueError, TypeError, OverflowError, AttributeError, RecursionError):
        return
    for found in _read(day or "", circumstances.zone, origin="text"):
        # A page that shows today's date shows its clock, not its age.
        if found.at.date() != circumstances.fetched_at.astimezone(circumstances.zone).date():
            yield Found(at=found.at, origin="text", sure=False)


def parse_moment(value: str, zone: tzinfo) -> datetime | None:
    """Read a moment as pages write it (ISO 8601, RFC 5322, epoch, day first); naive ones are in `zone`."""
    text = value.strip()[:80]
    if len(text) < 8:
        return None
    for reader in (_iso, _epoch, _mail, _numeric):
        at = reader(text, zone)
        if at is not None:
            return at
    return None


def _iso(text: str, zone: tzinfo) -> datetime | None:
    match = _ISO_LIKE.match(text)
    spelled = f"{match[1]}T{match[2]}{match[3] or ''}" if match else text
    try:
        at = datetime.fromisoformat(spelled)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


def _epoch(text: str, _zone: tzinfo) -> datetime | None:
    if not _SEVERAL_DIGITS.fullmatch(text):
        return None
    seconds = int(text) / (1000 if len(text) == 13 else 1)
    return datetime.fromtimestamp(seconds, UTC)


def _mail(text: str, zone: tzinfo) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


def _numeric(text: str, zone: tzinfo) -> datetime | None:
    if match := _YEAR_FIRST.search(text):
        year, month, day, hour, minute = (int(group or 0) for group in match.groups())
    elif match := _DAY_FIRST.search(text):
        day, month, year, hour, minute = (int(group or 0) for group in match.groups())
    else:
        return None
    return _moment(year, month, day, hour, minute, zone=zone)


def _moment(year: int, month: int, day: int, hour: int = 0, minute: int = 0, *, zone: tzinfo) -> datetime | None:
    try:
        return datetime(year, month, day, hour, minute, tzinfo=zone)
    except ValueError:
        return None
