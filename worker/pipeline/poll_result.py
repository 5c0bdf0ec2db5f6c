"""What one poll of a source came to: counted while it goes on, reported at the end; and the lines of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import structlog

from worker.errors import FetchError, SourceError, WorkerError
from worker.models import Alarm, Discovery, Poll, PublishingStats, Source, SourceState, Validators
from worker.schedule.drift import MAX_ENTRIES, drift_alarms, entry_keys, no_common_entry, useful_share
from worker.schedule.poll_interval import (
    MIN_TRUST,
    IntervalPolicy,
    PollObservation,
    next_cron_time,
    next_poll_time,
    plan_of,
    update_stats,
    zone_of,
)
from worker.schedule.retry import fault_class, next_poll_after_failure

log = structlog.get_logger()
_MAX_NOTES: Final = 20
DETECTED_KINDS: Final = MappingProxyType(
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

    `offsite` counts links to other sites that were not followed.
    `left_alone` says that it was not polled at all, because another worker is at it or has just been.
    `taken_for` is the kind that a page somebody named was taken for.
    """

    source: str
    error: str = ""
    found: int = 0
    new: int = 0
    offsite: int = 0
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
            parts.append(f"taken for {DETECTED_KINDS[self.taken_for]}")
        if self.notes and not self.error:
            parts.append(f"{len(self.notes)} notes in the log")
        return ", ".join(parts)


@dataclass(slots=True)
class PollProgress:
    """What one poll has read so far; `complete` says that no part of the source failed.

    `owed` says that a part failed which may be there the next time. `recovered` is how many more were found elsewhere,
    to fill a gap. `shown` and `dates` are the addresses of the first entries, and the dates these give. `stopped_at` is
    the page that was next when the poll had read its share; `round_over` says that it came to the last one on the way.
    `taken_for` is the kind that a page somebody named was taken for.
    """

    found: int = 0
    new: int = 0
    offsite: int = 0
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
        self.offsite += discovery.offsite
        self.notes += discovery.notes
        first = list(articles.values())[: MAX_ENTRIES - len(self.shown)]
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
            offsite=self.offsite,
            taken_for=self.taken_for,
            notes=tuple(self.notes),
        )


def log_report(source: Source, report: SourceReport) -> None:
    """Log the end of a poll: one line, and one for each note."""
    for note in report.notes[:_MAX_NOTES]:
        log.warning("discover.note", source=source.name, note=note)
    if len(report.notes) > _MAX_NOTES:
        log.warning("discover.note", source=source.name, note=f"{len(report.notes) - _MAX_NOTES} more like these")
    if report.error:
        log.warning("discover.failed", source=source.name, url=source.url, error=report.error)
        return
    log.info(
        "discover.done",
        source=source.name,
        found=report.found,
        new=report.new,
        other_sites=report.offsite or None,
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


# What one poll teaches about its source: when to come back, what was missed, what has changed. Pure.


_ROLLING_KINDS: Final = frozenset({"feed", "listing"})
"""Sources that show their newest entries only: what is not seen in time is gone from them."""


ABSENT_AFTER: Final = timedelta(days=2)
"""How long after its time a poll shows that nobody was there to poll: the source was paused, or no worker ran."""
MAX_READ_BACK: Final = timedelta(days=7)
"""For how long a part of a sitemap that fails is tried again, and with it the others that have changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollContext:
    """When a poll ended, and what the time of the next one is reckoned with; `chance` lies in 0..1."""

    now: datetime
    rhythm: IntervalPolicy
    chance: float


def has_gap(source: Source, state: SourceState, count: PollProgress) -> bool:
    """Tell whether a poll shares no entry with the one before: others may have come and gone between them.

    Not where all of it is known from other sources, nor where a source has new addresses at every poll and little
    behind them.
    """
    if source.kind not in _ROLLING_KINDS or not count.new or useful_share(state.harvest) < MIN_TRUST:
        return False
    return no_common_entry(state.learned.entries, entry_keys(count.shown))


def gap_note(source: Source, state: SourceState, count: PollProgress, *, now: datetime) -> str:
    """Return the sentence about a gap, with its figures and what to do."""
    since = now - state.succeeded_at if state.succeeded_at else timedelta(0)
    ago = f"{round(since / timedelta(minutes=1))} minutes ago"
    advice = " (its own interval is too long: shorten or remove it)" if plan_of(source) else ""
    missed = f"articles may have been missed between the two polls{advice}"
    return f"none of its {count.found} entries was there {ago}: {missed}"


def poll_of_success(
    source: Source,
    state: SourceState,
    count: PollProgress,
    *,
    moment: PollContext,
    validators: Validators,
    unchanged: bool,
) -> Poll:
    """Return the end of a poll that worked."""
    now, known = moment.now, state.learned
    watched, gap = without_absence(state, now=now), has_gap(source, state, count)
    sight = _observation(state, count, now=now, unchanged=unchanged, missed=gap)
    habits = update_stats(watched, sight, rhythm=moment.rhythm, zone=zone_of(source))
    habits = advance_cursor(habits, count, before=known.habits, now=now)
    learned = replace(
        known,
        plan=plan_of(source),
        failing_since=None,
        fault="",
        gaps=known.gaps + gap,
        gap_at=now if gap else known.gap_at,
        habits=habits,
        alarms=drift_alarms(state.harvest, habits, known=known.alarms, now=now),
        entries=entry_keys(count.shown) or known.entries,
    )
    due = next_poll_time(source, habits, now=now, rhythm=moment.rhythm, chance=moment.chance)
    return Poll(
        source=source.name,
        polled_at=now,
        due_at=due,
        validators=validators,
        found=state.found if unchanged else count.found,
        not_modified=unchanged,
        interval=timedelta(seconds=round((due - now).total_seconds())),
        learned=learned,
    )


def _observation(
    state: SourceState, count: PollProgress, *, now: datetime, unchanged: bool, missed: bool
) -> PollObservation:
    return PollObservation(
        at=now,
        entries=count.found,
        new=count.new,
        unchanged=unchanged,
        missed=missed,
        worth=useful_share(state.harvest),
        dates=count.dates,
    )


def without_absence(state: SourceState, *, now: datetime) -> PublishingStats:
    """Return a source's habits as if a long time in which nobody polled it, such as a pause, had not been.

    A silence is a time in which a source was looked at and showed nothing new.
    """
    habits, due = state.learned.habits, state.due_at
    if habits.new_at is None or due is None or now - due < ABSENT_AFTER:
        return habits
    return replace(habits, new_at=habits.new_at + (now - due))


def advance_cursor(
    habits: PublishingStats, count: PollProgress, *, before: PublishingStats, now: datetime
) -> PublishingStats:
    """Note how far a source was read: until when all of it, and where to go on where it is too much for one poll.

    All of it was read at the time a round began, once that round has come past the last page; a round with a part that
    failed counts for nothing, but holds back no longer than a week.
    """
    if not count.stopped_at:
        return replace(habits, read_at=read_through(before.read_at, owed=count.owed, now=now))
    read_at, began = before.read_at, before.round_began if before.stopped_at else now
    if count.round_over:
        read_at, began = began or read_through(read_at, owed=True, now=now), now
    return replace(habits, read_at=read_at, stopped_at=count.stopped_at, round_began=None if count.owed else began)


def read_through(before: datetime | None, *, owed: bool, now: datetime) -> datetime:
    """Return since when everything a source points at has been read; parts that failed hold it back, for a week."""
    if not owed:
        return now
    return max(before or now - MAX_READ_BACK, now - MAX_READ_BACK)


def poll_of_failure(source: Source, state: SourceState, error: WorkerError, *, moment: PollContext) -> Poll:
    """Return the end of a poll that failed: its source is tried again later each time, and never given up."""
    now, known, watched = moment.now, state.learned, without_absence(state, now=moment.now)
    fault = fault_class(error)
    learned = replace(
        known,
        plan=plan_of(source),
        failing_since=known.failing_since or now,
        fault=fault,
        habits=watched,
        alarms=drift_alarms(state.harvest, watched, known=known.alarms, now=now),
    )
    wish = error.retry_at if isinstance(error, FetchError) else None
    due = next_poll_after_failure(
        moment.rhythm, now=now, failures=state.failures + 1, fault=fault, chance=moment.chance, wish=wish
    )
    if source.cron and not wish:
        due = min(due, next_cron_time(source.cron, after=now, zone=zone_of(source)))
    return Poll(
        source=source.name,
        polled_at=now,
        due_at=due,
        validators=state.validators,
        error=str(error),
        found=state.found,
        interval=state.interval,
        learned=learned,
    )


def due_after_change(source: Source, state: SourceState, *, moment: PollContext) -> datetime | None:
    """Return when a source is due by a rule that was changed since its last poll; None where nothing has changed.

    A longest interval that was shortened is such a change for whoever waits longer by now.
    """
    if state.polled_at is None:
        return None
    if state.learned.plan == plan_of(source):
        longest = moment.rhythm.max_every * (1 + moment.rhythm.jitter)
        waits_too_long = state.due_at is not None and state.due_at > moment.now + longest
        return moment.now + longest * moment.chance if waits_too_long and not (source.cron or state.failures) else None
    if source.cron:
        return next_cron_time(source.cron, after=moment.now, zone=zone_of(source))
    due = next_poll_time(source, state.learned.habits, now=state.polled_at, rhythm=moment.rhythm, chance=moment.chance)
    return max(due, moment.now)


def alarm_changes(before: Sequence[Alarm], now: Sequence[Alarm]) -> tuple[list[Alarm], list[Alarm]]:
    """Return the warnings that are new, and those that hold no longer."""
    old, new = {alarm.what for alarm in before}, {alarm.what for alarm in now}
    return [alarm for alarm in now if alarm.what not in old], [alarm for alarm in before if alarm.what not in new]
