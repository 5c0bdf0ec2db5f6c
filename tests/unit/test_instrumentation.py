"""Fetches are timed and their failures counted; several observers are told the same."""

from __future__ import annotations

import pytest

from tests.fakes import START, FakeClock, FakeFetcher, Watcher
from worker.app import InstrumentedFetcher
from worker.errors import FetchBlocked, FetchError
from worker.models import Claim, Outcome, Request, Source, State
from worker.ports import NullMetrics
from worker.runs.daemon.status_pages import CompositeObserver

URL = "https://paper.example/a"


class Notes(NullMetrics):
    """Remembers what it is told of fetches."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []
        self.failures: list[str] = []

    def took(self, stage: str, *, seconds: float) -> None:
        self.times.append((stage, seconds))

    def fetch_failed(self, reason: str) -> None:
        self.failures.append(reason)


async def test_a_fetch_gives_its_page_and_is_timed() -> None:
    notes, clock = Notes(), FakeClock()
    fetcher = InstrumentedFetcher(inner=FakeFetcher({URL: "text"}), meter=notes, clock=clock)

    page = await fetcher.fetch(Request(url=URL))

    assert page.body == b"text"
    assert notes.times == [("fetch", 0)]
    assert notes.failures == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FetchError("too slow", reason="timeout", retry=True), "timeout"),
        (FetchBlocked("forbidden", reason="robots"), "robots"),
    ],
)
async def test_a_fetch_that_fails_is_counted_by_its_reason_timed_and_raised(error: FetchError, reason: str) -> None:
    notes = Notes()
    fetcher = InstrumentedFetcher(inner=FakeFetcher({URL: error}), meter=notes, clock=FakeClock())

    with pytest.raises(FetchError) as raised:
        await fetcher.fetch(Request(url=URL))

    assert raised.value is error
    assert notes.failures == [reason]
    assert len(notes.times) == 1


def test_every_observer_is_told() -> None:
    first, second = Watcher(), Watcher()
    source = Source(name="paper", kind="feed", url=URL)
    claim = Claim(id=1, url=URL, canonical_url=URL, source="paper", host="h", attempts=1, lease_until=START, token="t")

    both = CompositeObserver((first, second))
    both.discovered(source, new=3)
    both.settled(claim, Outcome(state=State.STORED))

    assert first.found == second.found == [("paper", 3)]
    assert set(first.outcomes) == set(second.outcomes) == {URL}
