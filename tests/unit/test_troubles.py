"""What is wrong with a source: nothing where nothing is, and one sentence for each trouble."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.fakes import START
from worker.models import Figures, Source, SourceFigures, SourceState
from worker.models.habits import Alarm, Learned
from worker.troubles import LATELY, troubles


def told(state: SourceState) -> list[str]:
    return troubles(SourceFigures(name="bao", state=state), now=START, moment=datetime.isoformat)


def test_a_source_that_is_well_or_new_has_no_trouble() -> None:
    assert told(SourceState(name="bao")) == []
    assert told(SourceState(name="bao", succeeded_at=START, found=30)) == []


def test_failed_polls_are_told_since_the_first_of_them() -> None:
    since = START - timedelta(hours=3)
    state = SourceState(name="bao", failures=4, error="dns", learned=Learned(failing_since=since, fault="dns"))

    assert told(state) == [f"4 failed polls since {since.isoformat()}: dns"]


def test_a_source_that_never_answered_says_so() -> None:
    assert told(SourceState(name="bao", failures=1, error="dns")) == ["1 failed poll from the first poll on: dns"]


def test_a_gap_is_trouble_for_a_week() -> None:
    def state(age: timedelta) -> SourceState:
        return SourceState(name="bao", learned=Learned(gaps=1, gap_at=START - age))

    assert len(told(state(LATELY - timedelta(seconds=1)))) == 1
    assert told(state(timedelta(0)))[0].startswith("1 gap, the last at")
    assert told(state(LATELY)) == []


def test_every_alarm_is_told_with_its_figures() -> None:
    alarms = tuple(Alarm(what=what, since=START, detail=f"{what} is odd") for what in ("length", "dates"))

    found = told(SourceState(name="bao", learned=Learned(alarms=alarms)))

    assert found == [f"{what} since {START.isoformat()}: {what} is odd" for what in ("length", "dates")]


def test_a_paused_source_has_no_trouble() -> None:
    learned = Learned(gaps=1, gap_at=START, alarms=(Alarm(what="silence", since=START, detail="nothing new"),))
    state = SourceState(name="bao", failures=3, error="dns", learned=learned)

    found = troubles(SourceFigures(name="bao", state=state, paused=True), now=START, moment=datetime.isoformat)

    assert found == []


def test_what_the_configuration_does_not_poll_is_paused() -> None:
    names = ("polled", "paused", "removed")
    figures = Figures(
        at=START, pending=0, due=0, sources=tuple(SourceFigures(name=n, state=SourceState(name=n)) for n in names)
    )
    configured = [
        Source(name="polled", kind="feed", url="https://a.example/"),
        Source(name="paused", kind="feed", url="https://b.example/", enabled=False),
    ]

    assert [each.paused for each in figures.under(configured).sources] == [False, True, True]
