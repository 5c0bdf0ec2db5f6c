"""Sources are polled when they are due, those due longest first, and rest where something failed here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker.daemon.roll import BUG, STORE_FAILED, Roll
from worker.models import Source, SourceState

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def source(name: str, *, enabled: bool = True) -> Source:
    return Source(name=name, kind="feed", url=f"https://{name}.example/rss", enabled=enabled)


def due(roll: Roll, states: list[SourceState], *, monotonic: float = 0, besides: tuple[str, ...] = ()) -> list[str]:
    return [each.name for each in roll.due(states, now=NOW, monotonic=monotonic, besides=besides)]


def test_sources_due_longest_come_first_and_others_wait() -> None:
    roll = Roll([source("a"), source("b"), source("c"), source("off", enabled=False), source("never")])
    states = [
        SourceState(name="a", due_at=NOW - MINUTE, polled_at=NOW - 2 * MINUTE),
        SourceState(name="b", due_at=NOW - 5 * MINUTE, polled_at=NOW - 9 * MINUTE),
        SourceState(name="c", due_at=NOW + MINUTE, polled_at=NOW - MINUTE),
    ]

    assert due(roll, states) == ["b", "a", "never"]
    assert due(roll, states, besides=("b",)) == ["a", "never"]


def test_a_source_polled_in_the_future_is_due() -> None:
    state = SourceState(name="a", due_at=NOW + 60 * MINUTE, polled_at=NOW + 50 * MINUTE)

    assert due(Roll([source("a")]), [state]) == ["a"]


def test_a_poll_that_broke_off_here_is_made_again_later_each_time() -> None:
    roll = Roll([source("a")])

    rests = [roll.rest("a", monotonic=0, between=STORE_FAILED).total_seconds() for _ in range(6)]

    assert rests == [5, 10, 20, 40, 60, 60]
    assert due(roll, [], monotonic=59) == []
    assert due(roll, [], monotonic=60) == ["a"]


def test_a_poll_that_came_to_its_end_starts_anew() -> None:
    roll = Roll([source("a")])
    roll.rest("a", monotonic=0, between=BUG)
    roll.polled("a")

    assert due(roll, []) == ["a"]
    assert roll.rest("a", monotonic=0, between=BUG) == BUG[0]
