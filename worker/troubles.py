"""What is wrong with a source, in sentences for people, each with since when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from worker.models.watching import SourceFigures

LATELY: Final = timedelta(days=7)
"""How long a gap between two polls counts as trouble."""


def troubles(source: SourceFigures, *, now: datetime, moment: Callable[[datetime], str]) -> list[str]:
    """Return failed polls, gaps of late and drift; nothing for a source that is well or paused.

    `moment` writes a time.
    """
    if source.paused:
        return []
    state, learned = source.state, source.state.learned
    found = []
    if state.error:
        since = learned.failing_since or state.succeeded_at
        when = f"since {moment(since)}" if since else "from the first poll on"
        found.append(f"{_many(state.failures, 'failed poll')} {when}: {state.error}")
    if learned.gap_at and now - learned.gap_at < LATELY:
        gaps = _many(learned.gaps, "gap")
        found.append(f"{gaps}, the last at {moment(learned.gap_at)}: items may have been missed")
    return found + [f"{alarm.what} since {moment(alarm.since)}: {alarm.detail}" for alarm in learned.alarms]


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
