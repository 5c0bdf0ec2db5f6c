"""Retry times after a failure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import FetchBlocked, FetchError, SourceError, WorkerError
from worker.schedule.poll_interval import IntervalPolicy
from worker.schedule.retry import MAX_ATTEMPTS, fault_class, next_poll_after_failure, retry_at

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RHYTHM = IntervalPolicy(every=15 * MINUTE, min_every=5 * MINUTE, max_every=12 * HOUR, jitter=0.1)
CHANCE = st.floats(min_value=0, max_value=1)


def http(status: int, reason: str = "http") -> FetchError:
    return FetchError(f"paper.example answered {status}", reason=reason, retry=True, status=status)


FAULTS = [
    (FetchError("too slow", reason="timeout", retry=True), "timeout", 5 * MINUTE, 2 * HOUR),
    (FetchError("refused", reason="connect", retry=True), "connect", 5 * MINUTE, 2 * HOUR),
    (FetchError("broke", reason="reset", retry=True), "reset", 5 * MINUTE, 2 * HOUR),
    (FetchError("no such name", reason="dns", retry=True), "dns", 10 * MINUTE, 6 * HOUR),
    (FetchError("expired", reason="tls", retry=True), "tls", 30 * MINUTE, 6 * HOUR),
    (http(500), "http-5xx", 5 * MINUTE, 4 * HOUR),
    (http(503), "http-5xx", 5 * MINUTE, 4 * HOUR),
    (http(429), "http-429", 30 * MINUTE, 12 * HOUR),
    (http(404, "gone"), "http-404", HOUR, 12 * HOUR),
    (http(410, "gone"), "http-410", 6 * HOUR, 12 * HOUR),
    (http(403), "http-403", 15 * MINUTE, 12 * HOUR),
    (FetchBlocked("robots.txt forbids it", reason="robots"), "blocked", 6 * HOUR, 12 * HOUR),
    (SourceError("this is an HTML page, not a feed"), "unreadable", 15 * MINUTE, 6 * HOUR),
]


@pytest.mark.parametrize(("error", "fault", "first", "longest"), FAULTS)
def test_each_class_of_error_has_a_backoff_of_its_own(
    error: WorkerError, fault: str, first: timedelta, longest: timedelta
) -> None:
    found = fault_class(error)
    waits = [next_poll_after_failure(RHYTHM, now=NOW, failures=n, fault=found, chance=0.5) - NOW for n in range(1, 40)]

    assert found == fault
    assert waits[0] == first
    assert waits[1] == min(2 * first, longest)
    assert waits[-1] == longest
    assert waits == sorted(waits)


@given(st.integers(min_value=1, max_value=10_000), CHANCE, st.sampled_from([fault for _, fault, _, _ in FAULTS]))
def test_a_failing_source_is_never_given_up(failures: int, chance: float, fault: str) -> None:
    due = next_poll_after_failure(RHYTHM, now=NOW, failures=failures, fault=fault, chance=chance)

    assert timedelta(minutes=4.5) <= due - NOW <= timedelta(hours=26.4)


def test_a_later_retry_after_is_honoured_up_to_a_day() -> None:
    soon, late, absurd = NOW + timedelta(seconds=1), NOW + 3 * HOUR, NOW + timedelta(days=400)

    met = [
        next_poll_after_failure(RHYTHM, now=NOW, failures=1, fault="http-429", chance=0.5, retry_after=retry_after)
        for retry_after in (soon, late, absurd)
    ]

    assert met == [NOW + 30 * MINUTE, late, NOW + 24 * HOUR]


def test_a_page_is_tried_again_later_each_time_and_then_not_at_all() -> None:
    tries = [retry_at(now=NOW, attempts=n, chance=0.5) for n in range(1, MAX_ATTEMPTS + 1)]

    waits = [at - NOW for at in tries if at]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=5)
    assert tries[-1] is None


def test_a_hosts_fault_is_retried_without_limit() -> None:
    at = retry_at(now=NOW, attempts=500, chance=0.5, is_host_fault=True)

    assert at == NOW + timedelta(hours=12)


def test_no_wait_exceeds_the_longest_interval() -> None:
    quick = replace(RHYTHM, max_every=2 * MINUTE)

    at = next_poll_after_failure(quick, now=NOW, failures=1, fault="connect", chance=0.5)

    assert at == NOW + 2 * MINUTE
