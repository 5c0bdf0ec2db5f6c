"""The poll interval follows how a source publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.models import PublishingStats
from worker.schedule.poll_interval import IntervalPolicy, PollObservation, next_interval, update_stats

START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RHYTHM = IntervalPolicy(every=15 * MINUTE, min_every=5 * MINUTE, max_every=12 * HOUR, jitter=0.1)
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")


class Feed:
    """A source that publishes at given times, polled at the learned intervals."""

    def __init__(self, items: Sequence[datetime], *, window: int = 30, dated: bool = False, worth: float = 1.0) -> None:
        self.items = sorted(items)
        self.window, self.dated, self.worth = window, dated, worth
        self.stats, self.now = PublishingStats(), START
        self.met = self.seen = 0

    def poll(self) -> timedelta:
        published = sum(item <= self.now for item in self.items)
        new = published - self.met
        entries = min(published, self.window)
        observation = PollObservation(
            at=self.now,
            entries=entries,
            new=min(new, self.window),
            missed=bool(self.met) and new >= self.window,
            useful_share=self.worth,
            dates=self.items[published - entries : published] if self.dated else (),
        )
        self.stats = update_stats(self.stats, observation, policy=RHYTHM, zone=UTC)
        self.met, self.seen = published, self.seen + min(new, self.window)
        return next_interval(self.stats, now=self.now, policy=RHYTHM, zone=UTC)

    def run(self, until: datetime) -> timedelta:
        span = timedelta(0)
        while self.now < until:
            span = self.poll()
            self.now += span
        return span


def every(span: timedelta, *, start: datetime, end: datetime) -> list[datetime]:
    return [start + number * span for number in range(int((end - start) / span))]


def test_the_first_interval_is_the_first_guess() -> None:
    for entries in (0, 1, 30, 500):
        stats = update_stats(
            PublishingStats(), PollObservation(at=START, entries=entries, new=entries), policy=RHYTHM, zone=UTC
        )

        assert next_interval(stats, now=START, policy=RHYTHM, zone=UTC) == pytest.approx(15 * MINUTE, abs=MINUTE)


def test_a_source_never_polled_is_polled_at_the_first_guess() -> None:
    assert next_interval(PublishingStats(), now=START, policy=RHYTHM, zone=UTC) == 15 * MINUTE


@pytest.mark.parametrize(("gap", "least", "most"), [(10, 20, 40), (30, 45, 110), (120, 180, 400)])
def test_the_interval_is_about_the_time_of_a_tenth_of_the_window(gap: int, least: int, most: int) -> None:
    feed = Feed(every(gap * MINUTE, start=START, end=START + 10 * DAY))

    span = feed.run(START + 9 * DAY)

    assert least * MINUTE <= span <= most * MINUTE
    assert feed.seen >= feed.met


def test_a_silent_source_is_polled_ever_less_often_and_at_its_first_item_soon_again() -> None:
    lively = every(15 * MINUTE, start=START, end=START + 10 * DAY)
    back = every(15 * MINUTE, start=START + 40 * DAY, end=START + 45 * DAY)
    feed = Feed([*lively, *back])

    busy = feed.run(START + 10 * DAY)
    silent = [feed.run(START + day * DAY) for day in (11, 14, 38)]
    feed.run(START + 42 * DAY)
    again = feed.poll()

    assert busy < HOUR
    assert silent[0] < silent[1] <= silent[2]
    assert silent[2] > 11 * HOUR
    assert again <= 2 * busy


def test_a_burst_shortens_the_interval_at_once() -> None:
    slow = every(4 * HOUR, start=START, end=START + 10 * DAY)
    feed = Feed(slow, dated=True)
    calm = feed.run(START + 10 * DAY)
    feed.items = sorted([*slow, *every(2 * MINUTE, start=feed.now - 30 * MINUTE, end=feed.now + HOUR)])

    hurried = feed.poll()

    assert hurried < calm / 4


def test_the_time_in_which_a_window_can_roll_over_bounds_the_interval() -> None:
    bursts = [START + day * DAY + minute * MINUTE for day in range(0, 20, 2) for minute in range(0, 60, 2)]
    feed = Feed(bursts, window=20)

    feed.run(START + 20 * DAY)
    late = feed.met - feed.seen

    assert feed.stats.half_window is not None
    assert feed.stats.half_window <= HOUR
    assert late <= 20, "after the first burst none may be missed"


def test_few_polls_are_spent_on_hours_in_which_nothing_comes() -> None:
    days = [START + day * DAY + 6 * HOUR + number * 10 * MINUTE for day in range(30) for number in range(72)]
    feed = Feed(days)
    feed.run(START + 20 * DAY)

    by_hour = [0] * 24
    while feed.now < START + 30 * DAY:
        by_hour[feed.now.hour] += 1
        feed.now += feed.poll()

    night, day = sum(by_hour[:5]) / 5, sum(by_hour[7:17]) / 10
    assert night < day / 2
    assert feed.seen == feed.met


def test_hours_are_those_of_the_sources_time_zone() -> None:
    first = update_stats(PublishingStats(), PollObservation(at=START, entries=10, new=10), policy=RHYTHM, zone=HANOI)

    later = update_stats(first, PollObservation(at=START + 30 * MINUTE, entries=10, new=2), policy=RHYTHM, zone=HANOI)

    assert [hour for hour in range(24) if later.items[hour] > first.items[hour]] == [7]


def test_dates_of_entries_give_the_hour_of_their_publication() -> None:
    first = update_stats(PublishingStats(), PollObservation(at=START, entries=10, new=10), policy=RHYTHM, zone=UTC)
    dates = [START + 3 * HOUR + number * MINUTE for number in range(5)]

    later = update_stats(
        first, PollObservation(at=START + 12 * HOUR, entries=10, new=5, dates=dates), policy=RHYTHM, zone=UTC
    )

    assert max(range(24), key=lambda hour: later.items[hour]) == 3


def test_dates_that_outnumber_the_new_items_are_ignored() -> None:
    first = update_stats(PublishingStats(), PollObservation(at=START, entries=10, new=10), policy=RHYTHM, zone=UTC)
    lying = [START + 12 * HOUR] * 10
    observation = PollObservation(at=START + 12 * HOUR, entries=10, new=1, dates=lying)

    with_dates = update_stats(first, observation, policy=RHYTHM, zone=UTC)
    without = update_stats(first, replace(observation, dates=()), policy=RHYTHM, zone=UTC)

    assert with_dates == without


def test_the_dates_of_a_first_poll_show_earlier_bursts() -> None:
    burst = [START - 3 * DAY + number * MINUTE for number in range(20)]
    observation = PollObservation(at=START, entries=21, new=21, dates=[START - 9 * DAY, *burst])

    stats = update_stats(PublishingStats(), observation, policy=RHYTHM, zone=UTC)

    assert stats.half_window == 10 * MINUTE


def test_entries_that_are_new_in_their_url_alone_do_not_count() -> None:
    honest = Feed(every(MINUTE, start=START, end=START + 5 * DAY))
    liar = Feed(every(MINUTE, start=START, end=START + 5 * DAY), worth=0.0)

    often, seldom = honest.run(START + 4 * DAY), liar.run(START + 4 * DAY)

    assert often == RHYTHM.min_every
    assert seldom == RHYTHM.max_every


def test_an_answer_of_not_modified_counts_as_nothing_new_and_not_as_empty() -> None:
    stats = update_stats(PublishingStats(), PollObservation(at=START, entries=30, new=30), policy=RHYTHM, zone=UTC)
    for number in range(1, 10):
        unchanged = PollObservation(at=START + number * HOUR, unchanged=True)
        stats = update_stats(stats, unchanged, policy=RHYTHM, zone=UTC)

    assert (stats.window, stats.empty) == (30, 0)
    assert next_interval(stats, now=START + 9 * HOUR, policy=RHYTHM, zone=UTC) > HOUR


def test_polls_that_missed_something_count_for_more_than_they_showed() -> None:
    first = update_stats(PublishingStats(), PollObservation(at=START, entries=10, new=10), policy=RHYTHM, zone=UTC)
    full = PollObservation(at=START + HOUR, entries=10, new=10)

    seen = update_stats(first, full, policy=RHYTHM, zone=UTC)
    missed = update_stats(first, replace(full, missed=True), policy=RHYTHM, zone=UTC)

    spans = [next_interval(stats, now=full.at, policy=RHYTHM, zone=UTC) for stats in (missed, seen)]
    assert spans[0] < spans[1]


def test_a_poll_after_the_clock_was_set_back_changes_no_statistics() -> None:
    stats = update_stats(PublishingStats(), PollObservation(at=START, entries=10, new=10), policy=RHYTHM, zone=UTC)

    after = update_stats(stats, PollObservation(at=START - DAY, entries=10, new=5), policy=RHYTHM, zone=UTC)

    assert after == replace(stats, looked_at=START - DAY)


SIGHTS = st.builds(
    PollObservation,
    at=st.timedeltas(min_value=timedelta(0), max_value=400 * DAY).map(lambda span: START + span),
    entries=st.integers(0, 1000),
    new=st.integers(0, 1000),
    missed=st.booleans(),
    useful_share=st.floats(0, 1),
    unchanged=st.booleans(),
    dates=st.lists(st.timedeltas(-400 * DAY, 400 * DAY).map(lambda span: START + span), max_size=5),
)


@given(st.lists(SIGHTS, max_size=12))
def test_whatever_a_source_shows_the_interval_stays_within_its_bounds(sights: list[PollObservation]) -> None:
    stats = PublishingStats()
    for observation in sights:
        stats = update_stats(stats, observation, policy=RHYTHM, zone=HANOI)

        span = next_interval(stats, now=observation.at, policy=RHYTHM, zone=HANOI)

        assert RHYTHM.min_every <= span <= RHYTHM.max_every
