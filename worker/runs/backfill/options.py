"""What one backfill is asked to do: which source, which days, how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from worker.config.schema import DEFAULT_TIMEZONE, Settings
from worker.dates.periods import TimeWindow
from worker.errors import UsageError
from worker.models import Source, backfill_batch
from worker.ports import Scope
from worker.sources.web.archive import ArchiveQuery

_KINDS_WITH_ARCHIVES = frozenset({"feed", "sitemap", "listing", "warc"})
_SMALLEST_SPAN = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOptions:
    """One backfill: from the first moment of one day to the last of another, in the source's time zone.

    `limit` bounds the candidates taken; `changed_later` also takes what was only changed after the span
    (`sources.periods.within`); `discover_only` leaves the work to others; `afresh` looks at everything again. Orders
    that are `open_ended` mean the same on another day, though `last` is a later one.
    """

    source: str
    first: date
    last: date
    open_ended: bool = False
    limit: int | None = None
    changed_later: bool = False
    discover_only: bool = False
    afresh: bool = False

    @property
    def name(self) -> str:
        """What this backfill is called in the store: the same orders go on where they stopped."""
        later = ":changed-later" if self.changed_later else ""
        return f"{self.source}:{self.first}:{'' if self.open_ended else self.last}{later}"

    @property
    def batch(self) -> str:
        """How its candidates are marked."""
        return backfill_batch(self.name)

    @property
    def scope(self) -> Scope:
        """Which candidates it works on: its own, and of one host only while there is no news."""
        return Scope(batch=self.batch, gives_way=True)

    def source_of(self, settings: Settings) -> Source:
        """Return the source to go back through; raises UsageError where there is none, or none with a past."""
        found = next((each for each in settings.sources if each.name == self.source), None)
        if found is None:
            known = ", ".join(each.name for each in settings.sources) or "none"
            raise UsageError(f"no source is called {self.source}; the configuration has {known}")
        if found.kind not in _KINDS_WITH_ARCHIVES or (found.kind == "warc" and "://" in found.source().url):
            raise UsageError(
                f"{self.source} is a source of kind {found.kind}, which has no past to go back through; "
                "take its files or addresses in with corpus-worker ingest"
            )
        if self.last < self.first:
            raise UsageError(f"--to {self.last} lies before --from {self.first}; exchange them")
        if self.last == date.max:
            raise UsageError(f"--to {self.last} is the last day there is; give an earlier one, or leave --to out")
        return found.source()

    def sought(self, source: Source) -> ArchiveQuery:
        """Return the span in the time zone of the source."""
        zone = _zone(source.timezone)
        end = _midnight(self.last + timedelta(days=1), zone) - _SMALLEST_SPAN
        return ArchiveQuery(
            window=TimeWindow(start=_midnight(self.first, zone), end=end), changed_later=self.changed_later
        )


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(0), tzinfo=zone)


def today_at(settings: Settings, name: str, *, now: datetime) -> date:
    """Return the day it is in the time zone of a source, in the usual one where there is no such source."""
    source = next((each for each in settings.sources if each.name == name), None)
    return now.astimezone(_zone(source.timezone if source else None)).date()


def _zone(name: str | None) -> tzinfo:
    return ZoneInfo(name or DEFAULT_TIMEZONE)
