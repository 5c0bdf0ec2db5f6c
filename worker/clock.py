"""The only place that tells the time or sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the wall-clock time, in UTC and aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, delay: timedelta) -> None:
        """Wait; a zero or negative delay only yields to other tasks."""
        await asyncio.sleep(max(0.0, delay.total_seconds()))
