"""When a source is polled next: by its habits, at an interval of its own, or at fixed times. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from worker.models import Habits, Source
from worker.schedule.rhythm import Rhythm, interval

_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_EVERY: Final = re.compile(r"\*(?=/|\Z)")
_AT_HAND: Final = frozenset({"files", "warc"})
_WHOLE: Final = {0: "0-59", 1: "0-23"}


def plan_of(source: Source) -> str:
    """Return the rule a person has set for a source, as one word for comparing; empty where its habits decide."""
    if source.cron:
        return f"cron {source.cron} {source.timezone or 'UTC'}"
    return f"every {source.every}" if source.every else ""


def next_due(source: Source, habits: Habits, *, now: datetime, rhythm: Rhythm, chance: float) -> datetime:
    """Return when a source that answered is polled next; `chance` in 0..1 spreads it by ± jitter.

    Fixed times are kept to the minute; an interval of the source's own does not adapt.
    """
    zone = zone_of(source)
    if source.cron:
        return next_time(source.cron, after=now, zone=zone)
    if source.every or _is_at_hand(source):
        span = rhythm.bounded(source.every or rhythm.every)
    else:
        span = interval(habits, now=now, rhythm=rhythm, zone=zone)
    return now + jittered(span, rhythm=rhythm, chance=chance)


def _is_at_hand(source: Source) -> bool:
    """Tell whether a source lies on this machine: looking there costs nobody anything, however seldom it changes."""
    return source.kind in _AT_HAND or "://" not in source.url


def jittered(span: timedelta, *, rhythm: Rhythm, chance: float) -> timedelta:
    """Return an interval with its share of chance."""
    return span * (1 + rhythm.jitter * (2 * chance - 1))


def zone_of(source: Source) -> tzinfo:
    """Return the time zone of a source; UTC where it names none."""
    return ZoneInfo(source.timezone) if source.timezone else UTC


def next_time(cron: str, *, after: datetime, zone: tzinfo) -> datetime:
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
        fields[:2] = [_EVERY.sub(_WHOLE[place], each) for place, each in enumerate(fields[:2])]
    try:
        return CronSim(" ".join(fields), after.astimezone(zone))
    except (CronSimError, ValueError) as exc:
        raise ValueError(f"a cron expression ({str(exc).lower()})") from None
