"""Tells on one line of standard error how far a backfill has come, and about how long it will take."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

from worker.cli.common import note
from worker.clock import SystemClock
from worker.models import BackfillState, Claim, Outcome, Source
from worker.quantities import format_duration

if TYPE_CHECKING:
    from worker.backfill import Backfill
    from worker.fetch import Step

_EVERY: Final = timedelta(seconds=20)
_EVERY_ON_A_TERMINAL: Final = timedelta(seconds=1)
_SPAN_S: Final = 120.0
_FEWEST: Final = 3
_MINUTE: Final = timedelta(minutes=1)


@dataclass(slots=True)
class Pace:
    """How quickly work goes, from the moments (in seconds) at which pieces of it ended lately."""

    moments: deque[float] = field(default_factory=deque)
    done: int = 0

    def count(self, now_s: float) -> None:
        """Note that a piece of work ended."""
        self.done += 1
        self.moments.append(now_s)
        while now_s - self.moments[0] > _SPAN_S:
            self.moments.popleft()

    def remaining(self, left: int, *, now_s: float) -> timedelta | None:
        """Return about how long so many more pieces take; None while that cannot be told."""
        if left == 0:
            return timedelta(0)
        lately = [moment for moment in self.moments if now_s - moment <= _SPAN_S]
        if len(lately) < _FEWEST or now_s <= lately[0]:
            return None
        return timedelta(seconds=left * (now_s - lately[0]) / len(lately))


def line(state: BackfillState, *, done: int, left: int, remaining: timedelta | None) -> str:
    """Return the progress for people."""
    parts = [f"{state.looked:,} of {state.looked + state.waiting:,} places looked at", f"{state.found:,} found"]
    parts += [f"{done:,} done", f"{left:,} left"]
    if remaining:
        whole = max(_MINUTE, timedelta(minutes=round(remaining / _MINUTE)))
        parts.append(f"about {format_duration(whole)} more" + (" for these" if state.waiting else ""))
    return ", ".join(parts)


class Watch:
    """An observer that tells how a backfill goes, where `shown`; on a terminal in place, elsewhere line after line."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._in_place = sys.stderr.isatty()
        self._clock = SystemClock()
        self._pace = Pace()

    def discovered(self, source: Source, *, new: int) -> None:
        """Show nothing: the places tell it."""

    def settled(self, claim: Claim, outcome: Outcome) -> None:  # noqa: ARG002 - an observer is told both
        """Count the end of the work on one candidate."""
        self._pace.count(self._clock.monotonic())

    def stepped(self, step: Step) -> None:
        """Show nothing: what a fetch decided is for `doctor`."""

    @asynccontextmanager
    async def over(self, run: Backfill) -> AsyncIterator[None]:
        """Tell the progress of a run for as long as the block lasts."""
        telling = asyncio.create_task(self._tell_again_and_again(run))
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            if self._shown and self._in_place:
                _write("\r\x1b[K")

    async def _tell_again_and_again(self, run: Backfill) -> None:
        while self._shown:
            await self._clock.sleep(_EVERY_ON_A_TERMINAL if self._in_place else _EVERY)
            state, left = await run.progress()
            remaining = self._pace.remaining(left, now_s=self._clock.monotonic())
            told = line(state, done=self._pace.done, left=left, remaining=remaining)
            if self._in_place:
                _write(f"\r\x1b[K{told}")
            else:
                note(told)


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(text, err=True, nl=False)
