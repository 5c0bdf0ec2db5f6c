"""How long the daemon waits for a store that fails: longer each time, and said in the log."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Final

import structlog

from worker.errors import StoreError

log = structlog.get_logger()

FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=1)


class Waits:
    """The waits between tries that fail in a row: each twice as long as the one before, up to a bound."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def after(self, error: StoreError, *, lasted: timedelta = timedelta(0)) -> timedelta:
        """Say what failed and return how long to wait; a try that had `lasted` for long was no failure in a row."""
        wait = FIRST_WAIT if lasted > LONGEST_WAIT else self._next
        self._next = min(LONGEST_WAIT, wait * 2)
        log.error("run.store_failed", error=str(error), again_in=f"{wait.total_seconds():.0f}s")
        return wait


async def pause(wait: timedelta, *, until: asyncio.Event) -> None:
    """Wait, but no longer than until something has happened."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait.total_seconds()):
            await until.wait()
