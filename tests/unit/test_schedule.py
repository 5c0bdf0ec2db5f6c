"""When to come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.schedule import MOST_ATTEMPTS, Rhythm, next_poll, next_poll_after_failure, retry_at

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RHYTHM = Rhythm(every=timedelta(minutes=15), min_every=timedelta(minutes=5), max_every=timedelta(hours=12), jitter=0.1)
CHANCE = st.floats(min_value=0, max_value=1)


@given(CHANCE)
def test_a_poll_comes_after_its_interval_give_or_take_the_jitter(chance: float) -> None:
    due = next_poll(RHYTHM, now=NOW, interval=timedelta(minutes=10), chance=chance)

    assert timedelta(minutes=9) <= due - NOW <= timedelta(minutes=11)


def test_without_jitter_a_poll_comes_on_the_dot() -> None:
    exact = Rhythm(every=RHYTHM.every, min_every=RHYTHM.min_every, max_every=RHYTHM.max_every, jitter=0)

    assert next_poll(exact, now=NOW, interval=timedelta(minutes=10), chance=0.9) == NOW + timedelta(minutes=10)


@given(st.integers(min_value=1, max_value=10_000), CHANCE)
def test_a_failing_source_waits_longer_but_is_never_given_up(failures: int, chance: float) -> None:
    due = next_poll_after_failure(RHYTHM, now=NOW, failures=failures, chance=chance)

    assert timedelta(minutes=4.5) <= due - NOW <= timedelta(hours=13.2)


def test_a_failing_source_doubles_its_wait() -> None:
    waits = [next_poll_after_failure(RHYTHM, now=NOW, failures=n, chance=0.5) - NOW for n in (1, 2, 3, 4, 20)]

    assert waits == [timedelta(minutes=m) for m in (5, 10, 20, 40, 720)]


def test_a_servers_wish_is_honoured_where_it_is_later_up_to_a_day() -> None:
    soon, late, absurd = NOW + timedelta(seconds=1), NOW + timedelta(hours=3), NOW + timedelta(days=400)

    assert next_poll_after_failure(RHYTHM, now=NOW, failures=1, chance=0.5, wish=soon) == NOW + timedelta(minutes=5)
    assert next_poll_after_failure(RHYTHM, now=NOW, failures=1, chance=0.5, wish=late) == late
    assert next_poll_after_failure(RHYTHM, now=NOW, failures=1, chance=0.5, wish=absurd) == NOW + timedelta(hours=24)


def test_a_page_is_tried_again_later_each_time_and_then_not_at_all() -> None:
    tries = [retry_at(now=NOW, attempts=n, chance=0.5) for n in range(1, MOST_ATTEMPTS + 1)]

    waits = [at - NOW for at in tries if at]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=5)
    assert tries[-1] is None


@pytest.mark.parametrize(("interval", "expected"), [(1, 5), (30, 30), (10_000, 720)])
def test_an_interval_stays_within_its_bounds(interval: int, expected: int) -> None:
    assert RHYTHM.bounded(timedelta(minutes=interval)) == timedelta(minutes=expected)


def test_what_is_the_hosts_fault_is_tried_for_as_long_as_it_takes() -> None:
    at = retry_at(now=NOW, attempts=500, chance=0.5, hosts_fault=True)

    assert at == NOW + timedelta(hours=12)
