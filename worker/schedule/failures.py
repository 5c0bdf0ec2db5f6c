"""When to come back after a failure, to a source or to a page. Pure; chance is passed in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from worker.schedule.rhythm import Rhythm

FIRST_RETRY: Final = timedelta(minutes=5)
LONGEST_RETRY: Final = timedelta(hours=12)
MOST_ATTEMPTS: Final = 8
LONGEST_WISH: Final = timedelta(hours=24)


def is_due(*, now: datetime, due_at: datetime | None, polled_at: datetime | None) -> bool:
    """Tell whether a source is to be polled: never was, its time has come, or its last poll lies in the future.

    The last means that the clock was set back since: its due time says nothing any more.
    """
    return due_at is None or due_at <= now or (polled_at is not None and polled_at > now)


def next_poll(rhythm: Rhythm, *, now: datetime, interval: timedelta, chance: float) -> datetime:
    """Return when a source that answered is polled next; `chance` in 0..1 spreads it by ± jitter."""
    return now + interval * (1 + rhythm.jitter * (2 * chance - 1))


def next_poll_after_failure(
    rhythm: Rhythm, *, now: datetime, failures: int, chance: float, wish: datetime | None = None
) -> datetime:
    """Return when a source that failed `failures` times in a row is tried again: later each time, never given up."""
    doubled = rhythm.min_every * 2 ** min(failures - 1, 16)
    delay = min(rhythm.max_every, doubled) * (1 + rhythm.jitter * (2 * chance - 1))
    return _honouring(now + delay, now=now, wish=wish)


def retry_at(
    *, now: datetime, attempts: int, chance: float, wish: datetime | None = None, hosts_fault: bool = False
) -> datetime | None:
    """Return when a page that failed `attempts` times is tried again, or None when that was the last try.

    The delay doubles from five minutes up to twelve hours, with ±20% of chance; a server's own wish
    (`Retry-After`) wins where it is later, up to a day. What is the fault of the host and not of the page is tried
    for as long as it takes: a paper that was down for a week has lost nothing.
    """
    if attempts >= MOST_ATTEMPTS and not hosts_fault:
        return None
    delay = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 16))
    return _honouring(now + delay * (0.8 + 0.4 * chance), now=now, wish=wish)


def _honouring(planned: datetime, *, now: datetime, wish: datetime | None) -> datetime:
    return planned if wish is None else max(planned, min(wish, now + LONGEST_WISH))
