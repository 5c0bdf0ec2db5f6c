"""When a host is paused after failures, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.fetch.fakes import NOON
from worker.errors import FetchBlocked, FetchError
from worker.fetch.politeness import (
    health_after_failure,
    health_after_success,
    is_host_failure,
    pause_after,
    raise_if_paused,
)
from worker.ports import HostHealth

FRESH = HostHealth(host="a")


def test_a_few_failures_do_not_pause_a_host() -> None:
    health = FRESH
    for _ in range(4):
        health = health_after_failure(health, now=NOON)

    assert (health.failures, health.closed_until) == (4, None)


def test_every_further_failure_doubles_the_pause_up_to_an_hour() -> None:
    rests = [pause_after(failures) for failures in (5, 6, 7, 10, 11, 12, 1_000_000)]

    minutes = [each / timedelta(minutes=1) for each in rests]
    assert minutes == [1, 2, 4, 32, 60, 60, 60]


def test_the_error_of_a_paused_host_names_the_end_of_the_pause() -> None:
    health = health_after_failure(HostHealth(host="a", failures=4), now=NOON)

    with pytest.raises(FetchError, match=r"paused until 2026-03-01 12:01:00 UTC after 5 failed") as caught:
        raise_if_paused(health, now=NOON)

    assert (caught.value.reason, caught.value.retry) == ("host-closed", True)
    assert caught.value.retry_at == NOON + timedelta(minutes=1)


def test_after_its_pause_a_host_is_tried_again_and_a_failure_pauses_it_for_longer() -> None:
    health = health_after_failure(HostHealth(host="a", failures=4), now=NOON)
    later = NOON + timedelta(minutes=1)

    raise_if_paused(health, now=later)
    again = health_after_failure(health, now=later)

    assert again.closed_until == later + timedelta(minutes=2)


def test_retry_after_pauses_a_host_at_once_up_to_a_limit() -> None:
    soon = health_after_failure(FRESH, now=NOON, retry_at=NOON + timedelta(minutes=3))
    much_later = health_after_failure(FRESH, now=NOON, retry_at=NOON + timedelta(days=30))

    assert soon.closed_until == NOON + timedelta(minutes=3)
    assert much_later.closed_until == NOON + timedelta(hours=6)


def test_a_short_retry_after_does_not_shorten_a_long_pause() -> None:
    health = health_after_failure(HostHealth(host="a", failures=20), now=NOON, retry_at=NOON + timedelta(seconds=1))

    assert health.closed_until == NOON + timedelta(hours=1)


def test_a_response_resets_the_failures() -> None:
    assert health_after_success(HostHealth(host="a", failures=9, closed_until=NOON)) == FRESH


@pytest.mark.parametrize(
    ("reason", "status", "fault"),
    [("dns", None, True), ("connect", None, True), ("timeout", None, True), ("tls", None, True), ("reset", None, True),
     ("protocol", None, True), ("http", 500, True), ("http", 429, True), ("http", 403, False), ("gone", 404, False),
     ("size", None, False), ("content-type", None, False), ("encoding", None, False), ("redirects", None, False)],
)  # fmt: skip
def test_only_failures_of_the_whole_host_count(reason: str, status: int | None, fault: bool) -> None:
    assert is_host_failure(FetchError("x", reason=reason, retry=True, status=status)) is fault


def test_a_blocked_url_is_no_failure_of_its_host() -> None:
    assert not is_host_failure(FetchBlocked("x", reason="timeout"))
