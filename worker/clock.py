"""The system clock: the only module that reads the time or sleeps.

Everything else takes a `worker.ports.Clock`, so that tests can pass a fake clock.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


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
