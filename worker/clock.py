"""The system clock: the only module that reads the time or sleeps.

Everything else takes a `worker.ports.Clock`, so that tests can pass a fake clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from worker.ports import Clock


class SystemClock:
    """The clock of the operating system; implements `worker.ports.Clock`."""

    def now(self) -> datetime:
        """Return the wall-clock time as an aware datetime in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the seconds of a clock that never goes backwards; only differences are meaningful."""
        return time.monotonic()

    async def sleep(self, delay: timedelta) -> None:
        """Sleep for `delay`; a zero or negative delay only yields to other tasks."""
        import asyncio  # imported late: most commands never sleep

        await asyncio.sleep(max(0.0, delay.total_seconds()))


def steady_time(clock: Clock, *, start: datetime) -> Callable[[], datetime]:
    """Return a function that tells the time as `start` and what has passed since, but never later than the wall clock.

    A wall clock that is set forward changes nothing of it, so what is deleted by age is decided by this time.
    """
    started_s = clock.monotonic()
    return lambda: min(clock.now(), start + timedelta(seconds=clock.monotonic() - started_s))
