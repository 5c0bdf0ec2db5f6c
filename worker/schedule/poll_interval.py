"""How often a source is polled: learned from when it published and how much of each poll was new. Pure.

The number of items to come is taken for a Poisson process whose rate follows the hour of the day, times a level that
follows what came lately (a gamma prior of mean one, updated by decaying sums). The next poll comes when about a tenth
of the feed's window is expected to be new, and before the source, were it as quick as it has ever been seen, could
replace half of the window.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from worker.models import PublishingStats, Source

HOUR: Final = timedelta(hours=1)
PROFILE_HALF_LIFE: Final = timedelta(days=14)
PEAK_HALF_LIFE: Final = timedelta(days=14)
LEVEL_HALF_LIFE: Final = timedelta(hours=6)
SILENCE_HALF_LIFE: Final = 50
PRIOR_HOURS: Final = 0.25
"""How long the first guess counts for, for each hour of the day."""
SMOOTHING_HOURS: Final = 1.0
"""How long each hour of the day is taken to have been watched at the mean rate, besides what was seen of it."""
LEVEL_PRIOR: Final = 1.5
"""How many items the long-term rate counts for against what came lately."""
LEVEL_BOUNDS: Final = (0.05, 20.0)
SHARE_OF_WINDOW: Final = 0.1
MIN_ITEMS: Final = 2.0
MAX_ITEMS: Final = 10.0
MIN_QUIET_SHARE: Final = 0.5
"""The least share of its worst hour that a source is trusted to stay at in any other."""
MISSED_FACTOR: Final = 1.5
"""How many items there were for each one seen, where the window had been replaced as a whole."""
MIN_TRUST: Final = 0.1
"""Below this worth, what a source shows as new is new in its address alone."""
MIN_HALF_WINDOW: Final = timedelta(minutes=1)
MAX_HALF_WINDOW: Final = timedelta(days=30)
MIN_DATE_RANGE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPolicy:
    """How often sources are polled: the first guess, its bounds, and the share of chance in each interval."""

    every: timedelta
    min_every: timedelta
    max_every: timedelta
    jitter: float

    def bounded(self, interval: timedelta) -> timedelta:
        """Return the interval, within the bounds."""
        return max(self.min_every, min(self.max_every, interval))


@dataclass(frozen=True, slots=True, kw_only=True)
class PollObservation:
    """What one poll that worked has shown: entries, how many were new, and when these say they were published.

    `unchanged` says that the server answered that nothing had changed, `missed` that the poll shared no entry with the
    one before; `useful_share` (0..1) is the share of what this source shows as new that turns out to be so.
    """

    at: datetime
    entries: int = 0
    new: int = 0
    unchanged: bool = False
    missed: bool = False
    useful_share: float = 1.0
    dates: Sequence[datetime] = ()


def update_stats(
    stats: PublishingStats, observation: PollObservation, *, policy: IntervalPolicy, zone: tzinfo
) -> PublishingStats:
    """Return the habits of a source after one more poll that worked."""
    before = stats.looked_at
    if before is None or not stats.items:
        return _first_stats(observation, policy)
    span = observation.at - before
    if span <= timedelta(0):
        return replace(stats, looked_at=observation.at)
    count = _items_seen(observation)
    dates = _usable_dates(observation, before)
    spread = _spread(stats, before=before, span=span, count=count, dates=dates, zone=zone)
    fade = _decay(span, PROFILE_HALF_LIFE)
    quick = _decay(span, LEVEL_HALF_LIFE)
    new_at, silence, arrivals, empty = _update_silence(stats, observation)
    return PublishingStats(
        looked_at=observation.at,
        items=tuple([old * fade + came for old, came in zip(stats.items, spread.items, strict=True)]),
        hours=tuple([old * fade + watched for old, watched in zip(stats.hours, spread.hours, strict=True)]),
        recent=stats.recent * quick + count,
        expected=stats.expected * quick + spread.expected,
        window=observation.entries or stats.window,
        half_window=_half_window(stats, observation, span=span, dates=dates),
        new_at=new_at,
        silence=silence,
        arrivals=arrivals,
        empty=empty,
    )


def next_interval(stats: PublishingStats, *, now: datetime, policy: IntervalPolicy, zone: tzinfo) -> timedelta:
    """Return how long after `now` a source is polled next, within the bounds."""
    if not stats.items:
        return policy.bounded(policy.every)
    rates, surplus = rates_of(stats), level_of(stats) - 1
    wanted = _items_per_poll(stats.window)
    risk = HOUR / stats.half_window if stats.half_window else 0.0
    peak = max(rates)
    items = turned = waited = 0.0
    limit = policy.max_every / HOUR
    for hour, length in _hours(now.astimezone(zone), policy.max_every):
        level = 1 + surplus * 0.5 ** ((waited + length / 2) / (LEVEL_HALF_LIFE / HOUR))
        rate = rates[hour] * level
        hazard = risk * max(MIN_QUIET_SHARE, min(1.0, 2 * rate / peak)) if peak else risk
        part = max(rate * length / (wanted - items), hazard * length / (1 - turned))
        if part >= 1:
            limit = waited + length / part
            break
        items, turned, waited = items + rate * length, turned + hazard * length, waited + length
    return policy.bounded(limit * HOUR)


def rates_of(stats: PublishingStats) -> list[float]:
    """Return how many items an hour are expected in each hour of the day, by the long-term rate."""
    watched = sum(stats.hours)
    mean = sum(stats.items) / watched if watched else 0.0
    pairs = zip(stats.items, stats.hours, strict=True)
    return [(items + SMOOTHING_HOURS * mean) / (hours + SMOOTHING_HOURS) for items, hours in pairs]


def level_of(stats: PublishingStats) -> float:
    """Return how busy the source is lately, against its long-term rate."""
    level = (stats.recent + LEVEL_PRIOR) / (stats.expected + LEVEL_PRIOR)
    return max(LEVEL_BOUNDS[0], min(LEVEL_BOUNDS[1], level))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """How the time between two polls, and what came in it, fall into the hours of the day."""

    items: list[float]
    hours: list[float]
    expected: float


def _first_stats(observation: PollObservation, policy: IntervalPolicy) -> PublishingStats:
    """Return habits that promise the first guess, and give way quickly to what is seen."""
    guess = _items_per_poll(observation.entries) / (policy.every / HOUR)
    return PublishingStats(
        looked_at=observation.at,
        items=(guess * PRIOR_HOURS,) * 24,
        hours=(PRIOR_HOURS,) * 24,
        window=observation.entries,
        half_window=_first_half_window(observation),
        new_at=observation.at,
        empty=int(not observation.entries and not observation.unchanged),
    )


def _items_per_poll(window: int) -> float:
    """Return how many new items are worth a poll."""
    return max(MIN_ITEMS, min(MAX_ITEMS, SHARE_OF_WINDOW * window))


def _items_seen(observation: PollObservation) -> float:
    """Return how many items came, as far as can be told."""
    seen = observation.new * observation.useful_share
    return seen * MISSED_FACTOR if observation.missed else seen


def _usable_dates(observation: PollObservation, before: datetime) -> Sequence[datetime]:
    """Return the dates within the time since the last poll, unless there are more of them than new items."""
    dates = [date for date in observation.dates if before < date <= observation.at]
    return dates if len(dates) <= observation.new and observation.useful_share >= MIN_TRUST else ()


def _spread(
    stats: PublishingStats, *, before: datetime, span: timedelta, count: float, dates: Sequence[datetime], zone: tzinfo
) -> _Spread:
    """Tell the hours in which items came: by their own dates, the rest where the source is wont to publish."""
    rates, hours, promised, items = rates_of(stats), [0.0] * 24, [0.0] * 24, [0.0] * 24
    for hour, length in _hours(before.astimezone(zone), span):
        hours[hour] += length
        promised[hour] += rates[hour] * length
    for date in dates:
        items[date.astimezone(zone).hour] += 1
    expected = sum(promised)
    rest = max(0.0, count - len(dates))
    if rest and expected:
        items = [own + rest * part / expected for own, part in zip(items, promised, strict=True)]
    return _Spread(items=items, hours=hours, expected=expected)


def _hours(start: datetime, span: timedelta) -> Iterator[tuple[int, float]]:
    """Yield the hours of the day that a span of time runs through, each with the length of its part in hours."""
    left = span / HOUR
    hour = start.hour
    length = 1 - (start.minute * 60 + start.second + start.microsecond / 1e6) / 3600
    while left > 0:
        yield hour, min(length, left)
        left -= length
        hour, length = (hour + 1) % 24, 1.0


def _first_half_window(observation: PollObservation) -> timedelta | None:
    """Return the shortest time in which half a window came, by the dates of a first poll; None where they tell none."""
    dates = sorted(date for date in observation.dates if date <= observation.at)
    step = max(1, round(observation.entries / 2))
    # A feed that dates every entry with the time of the request says nothing of its past.
    if len(dates) <= step or dates[-1] - dates[0] < MIN_DATE_RANGE:
        return None
    return max(MIN_HALF_WINDOW, min(late - early for early, late in zip(dates, dates[step:], strict=False)))


def _half_window(
    stats: PublishingStats, observation: PollObservation, *, span: timedelta, dates: Sequence[datetime]
) -> timedelta | None:
    """Return the shortest time in which half a window was replaced; what is long past fades."""
    if observation.useful_share < MIN_TRUST:
        return None
    window = observation.entries or stats.window
    known = _decayed_half_window(stats, window=window, span=span)
    if observation.new <= window / 4 or not window:
        return known
    new = observation.new * (MISSED_FACTOR if observation.missed else 1)
    seen = span * (window / 2 / new)
    step = max(1, round(window / 2))
    if len(dates) > step:
        ordered = sorted(dates)
        seen = min(seen, *(late - early for early, late in zip(ordered, ordered[step:], strict=False)))
    return max(MIN_HALF_WINDOW, min(known, seen) if known else seen)


def _decayed_half_window(stats: PublishingStats, *, window: int, span: timedelta) -> timedelta | None:
    """Return the half window known so far, longer with time and with the window, until it bounds nothing any more."""
    if stats.half_window is None or not stats.window:
        return stats.half_window
    hours = stats.half_window / HOUR / _decay(span, PEAK_HALF_LIFE) * (window / stats.window)
    return hours * HOUR if hours < MAX_HALF_WINDOW / HOUR else None


def _update_silence(
    stats: PublishingStats, observation: PollObservation
) -> tuple[datetime | None, timedelta, int, int]:
    """Return when something new came last, the longest silence, how often it came, and how many polls were empty."""
    empty = stats.empty if observation.unchanged else 0 if observation.entries else stats.empty + 1
    if not observation.new or observation.useful_share < MIN_TRUST:
        return stats.new_at, stats.silence, stats.arrivals, empty
    gap = observation.at - stats.new_at if stats.new_at else timedelta(0)
    faded = stats.silence * float(0.5 ** (1 / SILENCE_HALF_LIFE))
    return observation.at, max(gap, faded), stats.arrivals + 1, empty


def _decay(span: timedelta, half_life: timedelta) -> float:
    return max(1e-9, float(0.5 ** (span / half_life)))


# When a source is polled next: by its habits, at an interval of its own, or at fixed times. Pure.


_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_EVERY_FIELD: Final = re.compile(r"\*(?=/|\Z)")
_LOCAL_KINDS: Final = frozenset({"files", "warc"})
_FULL_RANGES: Final = {0: "0-59", 1: "0-23"}


def plan_of(source: Source) -> str:
    """Return the rule a person has set for a source, as one word for comparing; empty where its habits decide."""
    if source.cron:
        return f"cron {source.cron} {source.timezone or 'UTC'}"
    return f"every {source.every}" if source.every else ""


def next_poll_time(
    source: Source, stats: PublishingStats, *, now: datetime, policy: IntervalPolicy, chance: float
) -> datetime:
    """Return when a source that answered is polled next; `chance` in 0..1 spreads it by ± jitter.

    Fixed times are kept to the minute; an interval of the source's own does not adapt.
    """
    zone = zone_of(source)
    if source.cron:
        return next_cron_time(source.cron, after=now, zone=zone)
    if source.every or _is_local(source):
        span = policy.bounded(source.every or policy.every)
    else:
        span = next_interval(stats, now=now, policy=policy, zone=zone)
    return now + jittered(span, policy=policy, chance=chance)


def _is_local(source: Source) -> bool:
    """Tell whether a source lies on this machine: looking there costs nobody anything, however seldom it changes."""
    return source.kind in _LOCAL_KINDS or "://" not in source.url


def jittered(span: timedelta, *, policy: IntervalPolicy, chance: float) -> timedelta:
    """Return an interval with its share of chance."""
    return span * (1 + policy.jitter * (2 * chance - 1))


def zone_of(source: Source) -> tzinfo:
    """Return the time zone of a source; UTC where it names none."""
    return ZoneInfo(source.timezone) if source.timezone else UTC


def next_cron_time(cron: str, *, after: datetime, zone: tzinfo) -> datetime:
    """Return the next of the times that a cron expression names in a time zone, in UTC.

    A named hour that the clock skips comes as soon as it has skipped; one that it repeats comes once. `*` in the place
    of the hour means every hour that passes. Raises ValueError where the expression is none.
    """
    moment = after
    # A clock that repeats an hour can be given a time that lies back: asked again from a little later, it goes on.
    for hours in range(4):
        moment = next(_times(cron, after + timedelta(hours=hours), zone)).astimezone(UTC)
        if moment > after:
            break
    return moment


def check_cron(cron: str) -> None:
    """Raise ValueError with what is wrong where a cron expression cannot be used."""
    next(_times(cron, datetime(2026, 1, 1, tzinfo=UTC), UTC))


def _times(cron: str, after: datetime, zone: tzinfo) -> CronSim:
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"five fields ({', '.join(_FIELDS)}); found {len(fields)}")
    if fields[1] != "*":
        # Written out, hours and minutes count as named ones, of which none is lost or doubled when the clock changes.
        fields[:2] = [_EVERY_FIELD.sub(_FULL_RANGES[place], each) for place, each in enumerate(fields[:2])]
    try:
        return CronSim(" ".join(fields), after.astimezone(zone))
    except (CronSimError, ValueError) as exc:
        raise ValueError(f"a cron expression ({str(exc).lower()})") from None


# Whether a source's time has come.


def is_due(*, now: datetime, due_at: datetime | None, polled_at: datetime | None) -> bool:
    """Tell whether a source is to be polled: never was, its time has come, or its last poll lies in the future.

    The last means that the clock was set back since: its due time says nothing any more.
    """
    return due_at is None or due_at <= now or (polled_at is not None and polled_at > now)
