"""The result of one poll of a source: its counts, its report and log lines, and what it changes about the source.

`PollProgress` counts while the poll runs, and `SourceReport` is its summary. `poll_of_success` and `poll_of_failure`
return the `Poll` record that the store keeps: the new publishing statistics, the warnings, and the time of the next
poll. These two and the functions below them are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from worker.errors import FetchError, SourceError, WorkerError
from worker.logs import log
from worker.models import Alarm, Discovery, Poll, PublishingStats, Source, SourceState, Validators
from worker.models.base import counted, dataclass
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
from worker.schedule.retry import after_pages, fault_class, next_poll_after_failure

_MAX_NOTES: Final = 20
"""Log lines for the notes of one poll. Chosen, not measured: thousands of bad entries must not fill the log."""
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
"""Each kind that an operator's page can be recognised as, in words. The option `--as` overrides the recognition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """The summary of one poll: `error` is a message, empty after success; `found` entries, of which `new` were unknown.

    `offsite` counts the links to other sites, which are not followed. `skipped` is true if the source was not polled
    because another worker is polling it or has just done so. `taken_for` is the kind that a page given by the operator
    was recognised as. `refused` counts the lines, records and files of local input that could not be used.
    """

    source: str
    error: str = ""
    found: int = 0
    new: int = 0
    offsite: int = 0
    not_modified: bool = False
    skipped: bool = False
    taken_for: str = ""
    refused: int = 0
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The result as a label for metrics: `ok`, `not-modified` or `failed`."""
        if self.error:
            return "failed"
        return "not-modified" if self.not_modified else "ok"

    @property
    def result(self) -> str:
        """The result in a few words, for tables and messages."""
        if self.skipped:
            return "another worker polls it"
        parts = [self.error or ("not modified" if self.not_modified else "ok")]
        if self.taken_for and not self.error:
            parts.append(f"taken for {DETECTED_KINDS[self.taken_for]}")
        if self.refused and not self.error:
            parts.append(f"{self.refused:,} refused")
        if self.notes and not self.error:
            parts.append(f"{counted(len(self.notes), 'note')} in the log")
        return ", ".join(parts)


@dataclass(slots=True)
class PollProgress:
    """The counts of a running poll. `complete` stays true as long as no part of the source fails.

    `has_retryable_failures` is true if a failed part may succeed at the next poll. `recovered` counts the articles
    found through sitemaps to fill a gap. `first_entries` holds the canonical URLs of the first entries, and `dates`
    their publication dates. `stopped_at` is the URL of the next page if the poll reached its limit, and
    `wrapped_around` is true if it read the last page before that. `pages` counts the further pages; `fruitful` are
    those with something new. `taken_for` is the kind that a page given by the operator was recognised as. `refused`
    counts what could not be used of local input.
    """

    found: int = 0
    new: int = 0
    offsite: int = 0
    recovered: int = 0
    refused: int = 0
    complete: bool = True
    has_retryable_failures: bool = False
    stopped_at: str = ""
    wrapped_around: bool = False
    pages: int = 0
    fruitful: list[str] = field(default_factory=list)
    taken_for: str = ""
    notes: list[str] = field(default_factory=list)
    first_entries: list[str] = field(default_factory=list)
    dates: list[datetime] = field(default_factory=list)

    def add(self, discovery: Discovery, *, new: int) -> None:
        """Add the candidates of one page; `new` of them were not in the store yet."""
        # Several URLs with one canonical URL are one entry. A candidate with its own content is always one entry.
        articles = {each.canonical_url if each.payload is None else id(each): each for each in discovery.candidates}
        self.found += len(articles)
        self.new += new
        self.offsite += discovery.offsite
        self.notes += discovery.notes
        first = list(articles.values())[: MAX_ENTRIES - len(self.first_entries)]
        self.first_entries += [each.canonical_url for each in first]
        self.dates += [each.published_at for each in first if each.published_at]

    def require_something(self, source: Source) -> None:
        """Raise SourceError if nothing was found: a run that reads no input must not succeed."""
        if not self.found:
            reasons = self.notes or [
                f"{source.url}: no .html, .txt, .jsonl, .warc or .warc.gz file with anything in it"
            ]
            raise SourceError("; ".join(reasons[:3]))

    def skip(self, note: str, *, retryable: bool = False) -> None:
        """Record a part that could not be read; `retryable` if it may succeed at the next poll."""
        self.complete = False
        self.has_retryable_failures |= retryable
        self.notes.append(note)

    def stop(self, note: str, *, at: str) -> None:
        """Record that the poll reached its limit, and the page `at` which the next poll continues."""
        self.skip(note)
        self.stopped_at = at

    def report(self, source: Source) -> SourceReport:
        """Return the report of a successful poll."""
        return SourceReport(
            source=source.name,
            found=self.found,
            new=self.new + self.recovered,
            offsite=self.offsite,
            taken_for=self.taken_for,
            refused=self.refused,
            notes=tuple(self.notes),
        )


def log_report(source: Source, report: SourceReport) -> None:
    """Log the end of a poll: one line for the result, and one for each of the first notes."""
    notes = [note for note in report.notes if note not in report.error]
    for note in notes[:_MAX_NOTES]:
        log.warning("discover.note", source=source.name, note=note)
    if (more := len(notes) - _MAX_NOTES) > 0:
        log.warning("discover.note", source=source.name, note=f"{more} more like these")
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
    """Log each new warning once, and each warning that no longer applies once."""
    for alarm in new:
        log.warning("discover.drift", source=source.name, what=alarm.what, detail=alarm.detail)
    for alarm in over:
        since = alarm.since.isoformat(timespec="seconds")
        log.info("discover.drift_over", source=source.name, what=alarm.what, since=since)


# The record of a finished poll: gaps, publishing statistics, warnings and the time of the next poll. Pure.


_ROLLING_KINDS: Final = frozenset({"feed", "listing"})
"""Kinds of sources that show only their newest entries: an entry that is not read in time is lost."""


ABSENT_AFTER: Final = timedelta(days=2)
"""A poll this late means that the source was paused or no worker ran. Chosen, not measured: four times the longest
interval of the default configuration (12 hours), so that no ordinary delay reaches it."""
MAX_READ_BACK: Final = timedelta(days=7)
"""How long a failing part of a sitemap is retried. Chosen, not measured: a shorter time loses articles of a part that
is down for days; a longer time makes every poll re-read all parts that changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollContext:
    """The end of a poll (`now`), and what the time of the next poll depends on; `chance` is a random number in 0..1."""

    now: datetime
    policy: IntervalPolicy
    chance: float


def has_gap(source: Source, state: SourceState, progress: PollProgress) -> bool:
    """Return whether a poll has no entry in common with the one before, so that articles may have been missed.

    False if every entry was already known from other sources, or if the source gives its entries new URLs at every poll
    while their pages are rarely new.
    """
    if source.kind not in _ROLLING_KINDS or not progress.new or useful_share(state.outcome_stats) < MIN_TRUST:
        return False
    return no_common_entry(state.learned.entries, entry_keys(progress.first_entries))


def gap_note(source: Source, state: SourceState, progress: PollProgress, *, now: datetime) -> str:
    """Return the log note about a gap: its size, the time between the polls, and what to do."""
    since = now - state.succeeded_at if state.succeeded_at else timedelta(0)
    ago = f"{round(since / timedelta(minutes=1))} minutes ago"
    advice = " (its own interval is too long: shorten or remove it)" if plan_of(source) else ""
    missed = f"articles may have been missed between the two polls{advice}"
    return f"none of its {progress.found} entries was there {ago}: {missed}"


def poll_of_success(
    source: Source,
    state: SourceState,
    progress: PollProgress,
    *,
    context: PollContext,
    validators: Validators,
    unchanged: bool,
) -> Poll:
    """Return the record of a successful poll, with updated statistics and the time of the next poll.

    `validators` are those of the response. `unchanged` is true after a 304 response.
    """
    now, known = context.now, state.learned
    watched, gap = without_absence(state, now=now), has_gap(source, state, progress)
    observation = _observation(state, progress, now=now, unchanged=unchanged, missed=gap)
    stats = update_stats(watched, observation, policy=context.policy, zone=zone_of(source))
    before = known.publishing_stats
    stats = advance_cursor(stats, progress, before=before, now=now)
    stats = after_pages(stats, before, pages=progress.pages, fruitful=progress.fruitful)
    learned = replace(
        known,
        plan=plan_of(source),
        failing_since=None,
        fault="",
        gaps=known.gaps + gap,
        gap_at=now if gap else known.gap_at,
        publishing_stats=stats,
        alarms=drift_alarms(state.outcome_stats, stats, known=known.alarms, now=now),
        entries=entry_keys(progress.first_entries) or known.entries,
    )
    due = next_poll_time(source, stats, now=now, policy=context.policy, chance=context.chance)
    return Poll(
        source=source.name,
        polled_at=now,
        due_at=due,
        validators=validators,
        found=state.found if unchanged else progress.found,
        not_modified=unchanged,
        interval=timedelta(seconds=round((due - now).total_seconds())),
        learned=learned,
    )


def _observation(
    state: SourceState, progress: PollProgress, *, now: datetime, unchanged: bool, missed: bool
) -> PollObservation:
    """Return what the interval learns from a successful poll."""
    return PollObservation(
        at=now,
        entries=progress.found,
        new=progress.new,
        unchanged=unchanged,
        missed=missed,
        useful_share=useful_share(state.outcome_stats),
        dates=progress.dates,
    )


def without_absence(state: SourceState, *, now: datetime) -> PublishingStats:
    """Return the publishing statistics without a long time in which the source was not polled, such as a pause.

    Only a time in which the source was polled and showed nothing new counts as a silence, so the time of the last new
    entry moves forward by the absence.
    """
    stats, due = state.learned.publishing_stats, state.due_at
    if stats.new_at is None or due is None or now - due < ABSENT_AFTER:
        return stats
    return replace(stats, new_at=stats.new_at + (now - due))


def advance_cursor(
    stats: PublishingStats, progress: PollProgress, *, before: PublishingStats, now: datetime
) -> PublishingStats:
    """Return the statistics with the position up to which a source has been read.

    A source with more pages than one poll reads is read in rounds over several polls. `stopped_at` is the page to
    continue at. When a round passes the last page, everything published before the round began has been read, so that
    time becomes `read_at`. A round with a failed part does not count, but holds `read_at` back by a week at most.
    """
    if not progress.stopped_at:
        return replace(
            stats, read_at=complete_until(before.read_at, incomplete=progress.has_retryable_failures, now=now)
        )
    read_at, began = before.read_at, before.round_began if before.stopped_at else now
    if progress.wrapped_around:
        read_at, began = began or complete_until(read_at, incomplete=True, now=now), now
    return replace(
        stats,
        read_at=read_at,
        stopped_at=progress.stopped_at,
        round_began=None if progress.has_retryable_failures else began,
    )


def complete_until(before: datetime | None, *, incomplete: bool, now: datetime) -> datetime:
    """Return the time before which all of a source has been read: `now`, or if `incomplete` the former value.

    The result is never older than `MAX_READ_BACK`, so a part that fails forever does not hold it back for longer.
    """
    if not incomplete:
        return now
    return max(before or now - MAX_READ_BACK, now - MAX_READ_BACK)


def poll_of_failure(source: Source, state: SourceState, error: WorkerError, *, context: PollContext) -> Poll:
    """Return the record of a failed poll. The wait grows with each failure in a row; a source is never given up."""
    now, known, watched = context.now, state.learned, without_absence(state, now=context.now)
    fault = fault_class(error)
    learned = replace(
        known,
        plan=plan_of(source),
        failing_since=known.failing_since or now,
        fault=fault,
        publishing_stats=watched,
        alarms=drift_alarms(state.outcome_stats, watched, known=known.alarms, now=now),
    )
    retry_after = error.retry_at if isinstance(error, FetchError) else None
    due = next_poll_after_failure(
        context.policy,
        now=now,
        failures=state.failures + 1,
        fault=fault,
        chance=context.chance,
        retry_after=retry_after,
    )
    if source.cron and not retry_after:
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


def due_after_change(source: Source, state: SourceState, *, context: PollContext) -> datetime | None:
    """Return the new due time of a source whose `every` or `cron` setting changed since its last poll, else None.

    A shortened `max_every` is such a change for a source that would wait longer than it allows.
    """
    if state.polled_at is None:
        return None
    if state.learned.plan == plan_of(source):
        longest = context.policy.max_every * (1 + context.policy.jitter)
        waits_too_long = state.due_at is not None and state.due_at > context.now + longest
        return (
            context.now + longest * context.chance if waits_too_long and not (source.cron or state.failures) else None
        )
    if source.cron:
        return next_cron_time(source.cron, after=context.now, zone=zone_of(source))
    due = next_poll_time(
        source, state.learned.publishing_stats, now=state.polled_at, policy=context.policy, chance=context.chance
    )
    return max(due, context.now)


def alarm_changes(before: Sequence[Alarm], now: Sequence[Alarm]) -> tuple[list[Alarm], list[Alarm]]:
    """Return the warnings that are new, and the warnings that no longer apply."""
    old, new = {alarm.what for alarm in before}, {alarm.what for alarm in now}
    return [alarm for alarm in now if alarm.what not in old], [alarm for alarm in before if alarm.what not in new]
