"""The backoff that all threads share while the database does not answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from worker.storage.db.database import LONGEST_WAIT, SharedBackoff

PATIENCE = timedelta(minutes=5)


class Timer(threading.Event):
    """An event whose waits take no time but on a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        return False

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def outage(timer: Timer) -> SharedBackoff:
    made = SharedBackoff(timer)
    made._clock = timer  # type: ignore[assignment]
    return made


@pytest.fixture
def told() -> list[float]:
    return []


def wait(outage: SharedBackoff, told: list[float], *, again: bool = False) -> float:
    return outage.wait(PATIENCE, lambda each: told.append(each.total_seconds()), again=again).total_seconds()


def test_each_call_waits_longer_than_the_one_before(outage: SharedBackoff, told: list[float]) -> None:
    waits = [wait(outage, told) for _ in range(8)]

    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert told == waits


def test_a_thread_that_fails_during_a_wait_joins_it_silently(
    outage: SharedBackoff, timer: Timer, told: list[float]
) -> None:
    def tell(first: timedelta) -> None:
        told.append(first.total_seconds())
        timer.now += 0.05
        joined.append(wait(outage, told))

    joined: list[float] = []
    outage.wait(PATIENCE, tell, again=False)

    assert told == [0.2]
    assert joined == [pytest.approx(0.15)]


def test_waits_are_short_again_after_a_time_without_failures(
    outage: SharedBackoff, timer: Timer, told: list[float]
) -> None:
    for _ in range(4):
        wait(outage, told)

    timer.now += LONGEST_WAIT.total_seconds()

    assert wait(outage, told) == 0.2


def test_a_call_whose_tries_take_long_waits_longer_each_time_all_the_same(
    outage: SharedBackoff, timer: Timer, told: list[float]
) -> None:
    wait(outage, told)
    timer.now += 30  # as long as a connection may take to fail

    assert wait(outage, told, again=True) == 0.4


def test_no_thread_waits_beyond_its_patience(outage: SharedBackoff, told: list[float]) -> None:
    short = timedelta(milliseconds=50)

    waited = outage.wait(short, lambda each: told.append(each.total_seconds()), again=False)

    assert waited == short
    assert told == [0.05]


class Together(Timer):
    """Waits end for all of some threads together, once every one of them waits."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._barrier = threading.Barrier(count)

    def wait(self, timeout: float | None = None) -> bool:
        self._barrier.wait(timeout=300)
        return super().wait(timeout)


def test_many_threads_that_fail_together_log_one_wait(told: list[float]) -> None:
    together = Together(8)
    outage = SharedBackoff(together)
    outage._clock = together  # type: ignore[assignment]

    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(wait, outage, told) for _ in range(8)]

        assert [each.result() for each in waits] == [0.2] * 8
    assert told == [0.2]


def test_cancelling_ends_every_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.storage.db.database.LONGEST_WAIT", PATIENCE)
    given_up = threading.Event()
    outage = SharedBackoff(given_up)
    outage._wait = PATIENCE

    with ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(outage.wait, PATIENCE, lambda _: given_up.set(), again=True) for _ in range(2)]

        assert all(each.result(timeout=300) for each in waits)
