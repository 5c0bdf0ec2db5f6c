"""Which sources are to be polled now, and which rest because something failed here."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from worker.models import Source, SourceState
from worker.schedule.due import is_due

STORE_FAILED: Final = (timedelta(seconds=5), timedelta(minutes=1))
BUG: Final = (timedelta(minutes=5), timedelta(hours=1))
"""How long a source rests at first and at the longest: a poll that broke off here would else be made again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    until: float
    length: timedelta


class Roll:
    """The configured sources, and for how long each is left alone; `now` of rests never goes back, in seconds."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = [source for source in sources if source.enabled]
        self._rests: dict[str, _Rest] = {}

    def due(
        self, states: Sequence[SourceState], *, now: datetime, monotonic: float, besides: Container[str]
    ) -> list[Source]:
        """Return the sources to poll, those due longest first; not those that rest or are being polled already."""
        known = {state.name: state for state in states}
        waiting: list[tuple[datetime, Source]] = []
        for source in self._sources:
            state = known.get(source.name, SourceState(name=source.name))
            if source.name in besides or self._rests_still(source.name, monotonic):
                continue
            if is_due(now=now, due_at=state.due_at, polled_at=state.polled_at):
                waiting.append((state.due_at or now, source))
        return [source for _, source in sorted(waiting, key=lambda each: each[0])]

    def rest(self, name: str, *, monotonic: float, between: tuple[timedelta, timedelta]) -> timedelta:
        """Leave a source alone, each time in a row for twice as long; return for how long."""
        first, longest = between
        before = self._rests.get(name)
        length = min(longest, max(first, 2 * before.length)) if before else first
        self._rests[name] = _Rest(until=monotonic + length.total_seconds(), length=length)
        return length

    def polled(self, name: str) -> None:
        """Note that a poll came to its end, whatever it gave."""
        self._rests.pop(name, None)

    def _rests_still(self, name: str, monotonic: float) -> bool:
        rest = self._rests.get(name)
        return rest is not None and monotonic < rest.until
