"""What one poll teaches about its source: when to come back, what was missed, what has changed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from worker.errors import FetchError, WorkerError
from worker.models import Alarm, Habits, Poll, Source, SourceState, Validators
from worker.pipeline.reports import Count
from worker.schedule import (
    LIAR,
    Rhythm,
    Sight,
    alarms,
    entry_keys,
    fault_of,
    next_due,
    next_poll_after_failure,
    next_time,
    observe,
    plan_of,
    share_nothing,
    worth_of,
    zone_of,
)

_ROLLING_KINDS: Final = frozenset({"feed", "listing"})
"""Sources that show their newest entries only: what is not seen in time is gone from them."""


ABSENCE: Final = timedelta(days=2)
"""How long after its time a poll shows that nobody was there to poll: the source was paused, or no worker ran."""
LONGEST_DEBT: Final = timedelta(days=7)
"""For how long a part of a sitemap that fails is tried again, and with it the others that have changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a poll ended, and what the time of the next one is reckoned with; `chance` lies in 0..1."""

    now: datetime
    rhythm: Rhythm
    chance: float


def has_gap(source: Source, state: SourceState, count: Count) -> bool:
    """Tell whether a poll shares no entry with the one before: others may have come and gone between them.

    Not where all of it is known from other sources, nor where a source has new addresses at every poll and little
    behind them.
    """
    if source.kind not in _ROLLING_KINDS or not count.new or worth_of(state.harvest) < LIAR:
        return False
    return share_nothing(state.learned.entries, entry_keys(count.shown))


def gap_note(source: Source, state: SourceState, count: Count, *, now: datetime) -> str:
    """Return the sentence about a gap, with its figures and what to do."""
    since = now - state.succeeded_at if state.succeeded_at else timedelta(0)
    ago = f"{round(since / timedelta(minutes=1))} minutes ago"
    advice = " (its own interval is too long: shorten or remove it)" if plan_of(source) else ""
    missed = f"articles may have been missed between the two polls{advice}"
    return f"none of its {count.found} entries was there {ago}: {missed}"


def after_success(
    source: Source, state: SourceState, count: Count, *, moment: Moment, validators: Validators, unchanged: bool
) -> Poll:
    """Return the end of a poll that worked."""
    now, known = moment.now, state.learned
    watched, gap = without_absence(state, now=now), has_gap(source, state, count)
    sight = _sight(state, count, now=now, unchanged=unchanged, missed=gap)
    habits = observe(watched, sight, rhythm=moment.rhythm, zone=zone_of(source))
    habits = progressed(habits, count, before=known.habits, now=now)
    learned = replace(
        known,
        plan=plan_of(source),
        failing_since=None,
        fault="",
        gaps=known.gaps + gap,
        gap_at=now if gap else known.gap_at,
        habits=habits,
        alarms=alarms(state.harvest, habits, known=known.alarms, now=now),
        entries=entry_keys(count.shown) or known.entries,
    )
    due = next_due(source, habits, now=now, rhythm=moment.rhythm, chance=moment.chance)
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


def _sight(state: SourceState, count: Count, *, now: datetime, unchanged: bool, missed: bool) -> Sight:
    return Sight(
        at=now,
        entries=count.found,
        new=count.new,
        unchanged=unchanged,
        missed=missed,
        worth=worth_of(state.harvest),
        dates=count.dates,
    )


def without_absence(state: SourceState, *, now: datetime) -> Habits:
    """Return a source's habits as if a long time in which nobody polled it, such as a pause, had not been.

    A silence is a time in which a source was looked at and showed nothing new.
    """
    habits, due = state.learned.habits, state.due_at
    if habits.new_at is None or due is None or now - due < ABSENCE:
        return habits
    return replace(habits, new_at=habits.new_at + (now - due))


def progressed(habits: Habits, count: Count, *, before: Habits, now: datetime) -> Habits:
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
    return max(before or now - LONGEST_DEBT, now - LONGEST_DEBT)


def after_failure(source: Source, state: SourceState, error: WorkerError, *, moment: Moment) -> Poll:
    """Return the end of a poll that failed: its source is tried again later each time, and never given up."""
    now, known, watched = moment.now, state.learned, without_absence(state, now=moment.now)
    fault = fault_of(error)
    learned = replace(
        known,
        plan=plan_of(source),
        failing_since=known.failing_since or now,
        fault=fault,
        habits=watched,
        alarms=alarms(state.harvest, watched, known=known.alarms, now=now),
    )
    wish = error.retry_at if isinstance(error, FetchError) else None
    due = next_poll_after_failure(
        moment.rhythm, now=now, failures=state.failures + 1, fault=fault, chance=moment.chance, wish=wish
    )
    if source.cron and not wish:
        due = min(due, next_time(source.cron, after=now, zone=zone_of(source)))
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


def replanned(source: Source, state: SourceState, *, moment: Moment) -> datetime | None:
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
        return next_time(source.cron, after=moment.now, zone=zone_of(source))
    due = next_due(source, state.learned.habits, now=state.polled_at, rhythm=moment.rhythm, chance=moment.chance)
    return max(due, moment.now)


def raised(before: Sequence[Alarm], now: Sequence[Alarm]) -> tuple[list[Alarm], list[Alarm]]:
    """Return the warnings that are new, and those that hold no longer."""
    old, new = {alarm.what for alarm in before}, {alarm.what for alarm in now}
    return [alarm for alarm in now if alarm.what not in old], [alarm for alarm in before if alarm.what not in new]
