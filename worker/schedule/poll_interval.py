"""The poll interval of a source, learned from when it publishes and how much of each poll is new. Pure.

`update_stats` adds one poll to the statistics of a source, and `next_poll_time` returns when to poll it next. New items
are modelled as a Poisson process. Its rate depends on the hour of the day, times a level that follows the last hours (a
gamma prior of mean one, updated by decaying sums). The next poll comes when about a tenth of the feed's window is
expected to be new, and before the source could replace half of the window at the fastest pace seen so far.

docs/polling.md has the results of a simulated year (`make bench-schedule`). The constants below were chosen on
simulated sources with other seeds than the ones reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from worker.models import PublishingStats, Source
from worker.models.base import dataclass

HOUR: Final = timedelta(hours=1)  # the unit of all rates

# Chosen on the simulated year (docs/polling.md): the hourly profile and the fastest pace fade in two weeks, and the
# level in a quarter of a day, so that a burst shortens the interval at once and a quiet day lengthens it.
PROFILE_HALF_LIFE: Final = timedelta(days=14)
PEAK_HALF_LIFE: Final = timedelta(days=14)
LEVEL_HALF_LIFE: Final = timedelta(hours=6)

SILENCE_HALF_LIFE: Final = 50
"""The number of arrivals after which the longest silence counts half, so that one holiday does not hide a later silence
forever. Chosen, not measured."""
PRIOR_HOURS: Final = 0.25
"""The weight of the first guess, as hours of observation for each hour of the day; chosen on the simulated year."""
SMOOTHING_HOURS: Final = 1.0
"""Hours of observation at the mean rate that are added to each hour of the day, so that an hour observed once does not
get an extreme rate; chosen on the simulated year."""
LEVEL_PRIOR: Final = 1.5
"""The weight of the long-term rate against the last hours, as a number of items; chosen on the simulated year."""
LEVEL_BOUNDS: Final = (0.05, 20.0)

# Chosen on the simulated year: more new items per poll cost fewer polls, but each item waits longer.
SHARE_OF_WINDOW: Final = 0.1
MIN_ITEMS: Final = 2.0
MAX_ITEMS: Final = 10.0

MIN_QUIET_SHARE: Final = 0.5
"""The least risk of a quiet hour, as a share of the risk at the fastest pace; chosen on the simulated year."""
MISSED_FACTOR: Final = 1.5
"""The items published for each one seen, if the whole window was replaced. Their true number is unknown: a larger
factor shortens the interval more after a gap."""
MIN_TRUST: Final = 0.1
"""The useful share below which new entries count as old articles with new URLs. Chosen, not measured: a source that
gives every entry a new URL has a share near 0, an honest one far above this."""

# Chosen, not measured: a half window is at least a minute, so that it can divide, and one of more than a month does not
# shorten any interval. Dates that lie within an hour may all be the time of the request.
MIN_HALF_WINDOW: Final = timedelta(minutes=1)
MAX_HALF_WINDOW: Final = timedelta(days=30)
MIN_DATE_RANGE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPolicy:
    """The polling settings: the first interval, its bounds, and `jitter`, the random share of each interval."""

    every: timedelta
    min_every: timedelta
    max_every: timedelta
    jitter: float

    def bounded(self, interval: timedelta) -> timedelta:
        """Return the interval, limited to the bounds."""
        return max(self.min_every, min(self.max_every, interval))


@dataclass(frozen=True, slots=True, kw_only=True)
class PollObservation:
    """The result of one successful poll: the number of entries, how many were new, and their publication dates.

    `unchanged` is true after a 304 response, `missed` if the poll had no entry in common with the one before.
    `useful_share` (0..1) is the share of this source's new entries whose pages are new to the corpus.
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
    """Return the statistics of a source after one more successful poll; hours count in its time zone."""
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
    """Return the time from `now` to the next poll of a source, within the bounds of the policy."""
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
    """Return the long-term rate of each hour of the day, in items per hour."""
    watched = sum(stats.hours)
    mean = sum(stats.items) / watched if watched else 0.0
    pairs = zip(stats.items, stats.hours, strict=True)
    return [(items + SMOOTHING_HOURS * mean) / (hours + SMOOTHING_HOURS) for items, hours in pairs]


def level_of(stats: PublishingStats) -> float:
    """Return the recent rate of a source as a multiple of its long-term rate, within `LEVEL_BOUNDS`."""
    level = (stats.recent + LEVEL_PRIOR) / (stats.expected + LEVEL_PRIOR)
    return max(LEVEL_BOUNDS[0], min(LEVEL_BOUNDS[1], level))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """The time between two polls and the items of that time, by the hour of the day."""

    items: list[float]
    hours: list[float]
    expected: float


def _first_stats(observation: PollObservation, policy: IntervalPolicy) -> PublishingStats:
    """Return statistics that give the first interval of the policy and little weight against later polls."""
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
    """Return the number of expected new items at which a source is polled."""
    return max(MIN_ITEMS, min(MAX_ITEMS, SHARE_OF_WINDOW * window))


def _items_seen(observation: PollObservation) -> float:
    """Return the estimated number of items published since the last poll."""
    seen = observation.new * observation.useful_share
    return seen * MISSED_FACTOR if observation.missed else seen


def _usable_dates(observation: PollObservation, before: datetime) -> Sequence[datetime]:
    """Return the dates since the last poll; none if they outnumber the new items, or the source is not trusted."""
    dates = [date for date in observation.dates if before < date <= observation.at]
    return dates if len(dates) <= observation.new and observation.useful_share >= MIN_TRUST else ()


def _spread(
    stats: PublishingStats, *, before: datetime, span: timedelta, count: float, dates: Sequence[datetime], zone: tzinfo
) -> _Spread:
    """Assign items to hours of the day: dated ones by their dates, the others in proportion to the usual rates."""
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
    """Yield each hour of the day within a span of time, with the length of its part in hours."""
    left = span / HOUR
    hour = start.hour
    length = 1 - (start.minute * 60 + start.second + start.microsecond / 1e6) / 3600
    while left > 0:
        yield hour, min(length, left)
        left -= length
        hour, length = (hour + 1) % 24, 1.0


def _first_half_window(observation: PollObservation) -> timedelta | None:
    """Return the shortest time in which half a window was published, from the dates of a first poll, or None."""
    dates = sorted(date for date in observation.dates if date <= observation.at)
    step = max(1, round(observation.entries / 2))
    # The dates of a feed that dates every entry with the time of the request are useless.
    if len(dates) <= step or dates[-1] - dates[0] < MIN_DATE_RANGE:
        return None
    return max(MIN_HALF_WINDOW, min(late - early for early, late in zip(dates, dates[step:], strict=False)))


def _half_window(
    stats: PublishingStats, observation: PollObservation, *, span: timedelta, dates: Sequence[datetime]
) -> timedelta | None:
    """Return the shortest time in which half a window was replaced, with old observations fading; None if unknown."""
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
    """Return the known half window, grown with the elapsed time and the window; None once it is too long to matter."""
    if stats.half_window is None or not stats.window:
        return stats.half_window
    hours = stats.half_window / HOUR / _decay(span, PEAK_HALF_LIFE) * (window / stats.window)
    return hours * HOUR if hours < MAX_HALF_WINDOW / HOUR else None


def _update_silence(
    stats: PublishingStats, observation: PollObservation
) -> tuple[datetime | None, timedelta, int, int]:
    """Return the time of the last new entry, the longest silence, the arrivals, and the empty polls in a row."""
    empty = stats.empty if observation.unchanged else 0 if observation.entries else stats.empty + 1
    if not observation.new or observation.useful_share < MIN_TRUST:
        return stats.new_at, stats.silence, stats.arrivals, empty
    gap = observation.at - stats.new_at if stats.new_at else timedelta(0)
    faded = stats.silence * float(0.5 ** (1 / SILENCE_HALF_LIFE))
    return observation.at, max(gap, faded), stats.arrivals + 1, empty


def _decay(span: timedelta, half_life: timedelta) -> float:
    """Return the factor by which a sum decays in a span of time, never quite zero."""
    return max(1e-9, float(0.5 ** (span / half_life)))


# The time of the next poll: from the learned interval, from the source's own `every`, or from its `cron`. Pure.


_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_EVERY_FIELD: Final = re.compile(r"\*(?=/|\Z)")
_LOCAL_KINDS: Final = frozenset({"files", "warc"})
_FULL_RANGES: Final = {0: "0-59", 1: "0-23"}
"""What `*` means in the minute and the hour field, by the number of the field."""


def plan_of(source: Source) -> str:
    """Return the `cron` or `every` setting of a source as text, to notice a change; empty if the interval adapts."""
    if source.cron:
        return f"cron {source.cron} {source.timezone or 'UTC'}"
    return f"every {source.every}" if source.every else ""


def next_poll_time(
    source: Source, stats: PublishingStats, *, now: datetime, policy: IntervalPolicy, chance: float
) -> datetime:
    """Return when a source is polled next after a successful poll.

    `chance`, a random number in 0..1, spreads the interval by ± the policy's jitter. Times of `cron` are exact, and an
    `every` of the source's own does not adapt.
    """
    zone = zone_of(source)
    if source.cron:
        return next_cron_time(source.cron, after=now, zone=zone)
    if source.every or is_local(source):
        span = policy.bounded(source.every or policy.every)
    else:
        span = next_interval(stats, now=now, policy=policy, zone=zone)
    return now + jittered(span, policy=policy, chance=chance)


def is_local(source: Source) -> bool:
    """Return whether a source is read from local files, which are cheap to read however rarely they change."""
    return source.kind in _LOCAL_KINDS or "://" not in source.url


def jittered(span: timedelta, *, policy: IntervalPolicy, chance: float) -> timedelta:
    """Return an interval changed at random by at most the policy's jitter; `chance` is in 0..1."""
    return span * (1 + policy.jitter * (2 * chance - 1))


def zone_of(source: Source) -> tzinfo:
    """Return the time zone of a source; UTC if it has none."""
    return ZoneInfo(source.timezone) if source.timezone else UTC


def next_cron_time(cron: str, *, after: datetime, zone: tzinfo) -> datetime:
    """Return the next time of a cron expression in a time zone, as a UTC time.

    When the clock changes, a named hour that is skipped runs right after the change, and one that is repeated runs
    once. `*` as the hour means every elapsed hour. Raises ValueError if the expression is invalid.
    """
    moment = after
    # While the clock repeats an hour, the iterator can return a time in the past; a later start finds the next one.
    for hours in range(4):
        moment = next(_times(cron, after + timedelta(hours=hours), zone)).astimezone(UTC)
        if moment > after:
            break
    return moment


def check_cron(cron: str) -> None:
    """Raise ValueError, with the reason, if a cron expression is invalid."""
    next(_times(cron, datetime(2026, 1, 1, tzinfo=UTC), UTC))


def _times(cron: str, after: datetime, zone: tzinfo) -> CronSim:
    """Return the iterator over the times of a cron expression; raises ValueError if it is invalid."""
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"five fields ({', '.join(_FIELDS)}); found {len(fields)}")
    if fields[1] != "*":
        # With `*` written as a range, cronsim treats hours and minutes as named: it then skips and doubles none of them
        # when the clock changes.
        fields[:2] = [_EVERY_FIELD.sub(_FULL_RANGES[place], each) for place, each in enumerate(fields[:2])]
    try:
        return CronSim(" ".join(fields), after.astimezone(zone))
    except (CronSimError, ValueError) as exc:
        raise ValueError(f"a cron expression ({str(exc).lower()})") from None


def is_due(*, now: datetime, due_at: datetime | None, polled_at: datetime | None) -> bool:
    """Return whether a source is to be polled now.

    It is if it was never polled, if its due time has passed, or if its last poll lies in the future: then the clock was
    set back, and the due time is meaningless.
    """
    return due_at is None or due_at <= now or (polled_at is not None and polled_at > now)
