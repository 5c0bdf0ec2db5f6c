"""What one poll of a source came to: counted while it goes on, reported at the end; and the lines of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

import structlog

from worker.errors import SourceError
from worker.models import Alarm, Discovery, Source
from worker.schedule import MOST_ENTRIES

log = structlog.get_logger()
_MOST_NOTES: Final = 20
TAKEN_FOR: Final = MappingProxyType(
    {
        "article": "an article",
        "listing": "a listing page (--as article if it is one)",
        "feed": "a feed",
        "sitemap": "a sitemap",
        "urls": "a list of addresses",
        "warc": "an archive",
    }
)
"""What a page that somebody named is taken for, in words; `--as` says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """How one poll of a source ended: an error for people (empty where it worked), entries seen, and new ones.

    `strangers` counts links to other sites that were not followed.
    `left_alone` says that it was not polled at all, because another worker is at it or has just been.
    `taken_for` is the kind that a page somebody named was taken for.
    """

    source: str
    error: str = ""
    found: int = 0
    new: int = 0
    strangers: int = 0
    not_modified: bool = False
    left_alone: bool = False
    taken_for: str = ""
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """How it went, in one word for counting: `ok`, `not-modified` or `failed`."""
        if self.error:
            return "failed"
        return "not-modified" if self.not_modified else "ok"

    @property
    def result(self) -> str:
        """How it went, in a few words for people."""
        if self.left_alone:
            return "another worker polls it"
        parts = [self.error or ("not modified" if self.not_modified else "ok")]
        if self.taken_for and not self.error:
            parts.append(f"taken for {TAKEN_FOR[self.taken_for]}")
        if self.notes and not self.error:
            parts.append(f"{len(self.notes)} notes in the log")
        return ", ".join(parts)


@dataclass(slots=True)
class Count:
    """What one poll has read so far; `complete` says that no part of the source failed.

    `owed` says that a part failed which may be there the next time. `recovered` is how many more were found elsewhere,
    to fill a gap. `shown` and `dates` are the addresses of the first entries, and the dates these give. `stopped_at` is
    the page that was next when the poll had read its share; `round_over` says that it came to the last one on the way.
    `taken_for` is the kind that a page somebody named was taken for.
    """

    found: int = 0
    new: int = 0
    strangers: int = 0
    recovered: int = 0
    complete: bool = True
    owed: bool = False
    stopped_at: str = ""
    round_over: bool = False
    taken_for: str = ""
    notes: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    dates: list[datetime] = field(default_factory=list)

    def add(self, discovery: Discovery, *, new: int) -> None:
        """Count what one page of the source gave."""
        # Several addresses of one article are one entry; what brings its content along is one by itself.
        articles = {each.canonical_url if each.payload is None else id(each): each for each in discovery.candidates}
        self.found += len(articles)
        self.new += new
        self.strangers += discovery.strangers
        self.notes += discovery.notes
        first = list(articles.values())[: MOST_ENTRIES - len(self.shown)]
        self.shown += [each.canonical_url for each in first]
        self.dates += [each.published_at for each in first if each.published_at]

    def require_something(self, source: Source) -> None:
        """Raise SourceError where nothing was found at all: a run that read nothing did not do its work."""
        if not self.found:
            reasons = self.notes or [
                f"{source.url}: no .html, .txt, .jsonl, .warc or .warc.gz file with anything in it"
            ]
            raise SourceError("; ".join(reasons[:3]))

    def skip(self, note: str, *, owed: bool = False) -> None:
        """Note a part that could not be read; it is `owed` where another try may succeed."""
        self.complete = False
        self.owed |= owed
        self.notes.append(note)

    def stop(self, note: str, *, at: str) -> None:
        """Note that more pages wait than one poll reads, and at which the next is to go on."""
        self.skip(note)
        self.stopped_at = at

    def report(self, source: Source) -> SourceReport:
        """Return what was counted, for a poll that worked."""
        return SourceReport(
            source=source.name,
            found=self.found,
            new=self.new + self.recovered,
            strangers=self.strangers,
            taken_for=self.taken_for,
            notes=tuple(self.notes),
        )


def log_report(source: Source, report: SourceReport) -> None:
    """Log the end of a poll: one line, and one for each note."""
    for note in report.notes[:_MOST_NOTES]:
        log.warning("discover.note", source=source.name, note=note)
    if len(report.notes) > _MOST_NOTES:
        log.warning("discover.note", source=source.name, note=f"{len(report.notes) - _MOST_NOTES} more like these")
    if report.error:
        log.warning("discover.failed", source=source.name, url=source.url, error=report.error)
        return
    log.info(
        "discover.done",
        source=source.name,
        found=report.found,
        new=report.new,
        other_sites=report.strangers or None,
        not_modified=report.not_modified or None,
        taken_for=report.taken_for or None,
    )


def log_alarms(source: Source, new: Sequence[Alarm], over: Sequence[Alarm]) -> None:
    """Log what there is to warn of, once, and once more when it is over."""
    for alarm in new:
        log.warning("discover.drift", source=source.name, what=alarm.what, detail=alarm.detail)
    for alarm in over:
        since = alarm.since.isoformat(timespec="seconds")
        log.info("discover.drift_over", source=source.name, what=alarm.what, since=since)
