"""The warnings about a source: none if it is healthy, else one sentence for each problem."""

from __future__ import annotations

from datetime import timedelta, timezone

from tests.fakes import START
from worker.models import Source, SourceState, SourceStats, StoreStats
from worker.models.base import format_utc
from worker.models.records import GAP_SHOWN_FOR, source_warnings
from worker.models.sources import Alarm, PollHistory


def told(state: SourceState) -> list[str]:
    found = source_warnings(SourceStats(name="bao", state=state), now=START)
    return [each.detail for each in found]


def test_a_healthy_or_new_source_has_no_warnings() -> None:
    assert told(SourceState(name="bao")) == []
    assert told(SourceState(name="bao", succeeded_at=START, found=30)) == []


def test_failed_polls_are_reported_since_the_first_of_them() -> None:
    since = START - timedelta(hours=3)
    state = SourceState(name="bao", failures=4, error="dns", learned=PollHistory(failing_since=since, fault="dns"))

    assert told(state) == [f"4 failed polls since {format_utc(since)}: dns"]


def test_a_source_that_never_answered_has_its_own_warning() -> None:
    assert told(SourceState(name="bao", failures=1, error="dns")) == ["1 failed poll from the first poll on: dns"]


def test_a_gap_is_reported_for_a_week() -> None:
    def state(age: timedelta) -> SourceState:
        return SourceState(name="bao", learned=PollHistory(gaps=1, gap_at=START - age))

    assert len(told(state(GAP_SHOWN_FOR - timedelta(seconds=1)))) == 1
    assert told(state(timedelta(0)))[0].startswith("1 gap, the last at")
    assert told(state(GAP_SHOWN_FOR)) == []


def test_every_alarm_is_reported_with_its_figures() -> None:
    alarms = tuple(Alarm(what=what, since=START, detail=f"{what} is odd") for what in ("length", "dates"))

    found = told(SourceState(name="bao", learned=PollHistory(alarms=alarms)))

    assert found == [f"{what} since {format_utc(START)}: {what} is odd" for what in ("length", "dates")]


def test_a_paused_source_has_no_warnings() -> None:
    learned = PollHistory(gaps=1, gap_at=START, alarms=(Alarm(what="silence", since=START, detail="nothing new"),))
    state = SourceState(name="bao", failures=3, error="dns", learned=learned)

    found = source_warnings(SourceStats(name="bao", state=state, paused=True), now=START)

    assert found == []


def test_sources_that_are_not_polled_are_marked_as_paused() -> None:
    names = ("polled", "paused", "removed")
    figures = StoreStats(
        at=START, pending=0, due=0, sources=tuple(SourceStats(name=n, state=SourceState(name=n)) for n in names)
    )
    configured = [
        Source(name="polled", kind="feed", url="https://a.example/"),
        Source(name="paused", kind="feed", url="https://b.example/", enabled=False),
    ]

    assert [each.paused for each in figures.mark_paused(configured).sources] == [False, True, True]


def test_times_are_shown_in_utc_with_the_zone() -> None:
    assert format_utc(START.astimezone(timezone(timedelta(hours=7)))) == format_utc(START)
    assert format_utc(START).endswith(" UTC")
