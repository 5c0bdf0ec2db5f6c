"""A daemon that makes progress is distinguished from one that is only alive."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from worker.runs.daemon.watchdog import CHECK_EVERY, LoopWatchdog, StallDetector

STEP = CHECK_EVERY.total_seconds()


def stalled_for(looks: list[tuple[int, bool]], *, step: float = STEP) -> timedelta:
    progress = StallDetector(now=0)
    for number, (done, waiting) in enumerate(looks, start=1):
        found = progress.check(now=number * step, done=done, waiting=waiting)
    return found


def test_waiting_work_without_progress_adds_up() -> None:
    assert stalled_for([(7, True)] * 5) == 4 * CHECK_EVERY


def test_progress_resets_the_stall() -> None:
    assert stalled_for([(7, True)] * 5 + [(8, True)] * 2) == CHECK_EVERY


def test_an_idle_daemon_is_never_stalled() -> None:
    assert stalled_for([(7, False)] * 500) == timedelta(0)


def test_a_process_suspended_for_an_hour_is_not_stalled() -> None:
    progress = StallDetector(now=0)
    progress.check(now=STEP, done=1, waiting=True)

    assert progress.check(now=STEP + 3600, done=1, waiting=True) == timedelta(0)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60))
def test_a_stall_is_never_longer_than_the_last_run_of_equal_checks(looks: list[tuple[int, bool]]) -> None:
    last, run = looks[-1], 0
    while run < len(looks) and looks[-1 - run] == last:
        run += 1

    assert stalled_for(looks) <= run * CHECK_EVERY
    if not last[1]:
        assert stalled_for(looks) == timedelta(0)


class Machine:
    """A manual clock, and the reasons for which the watchdog ended the process."""

    def __init__(self, *, patience: float = 60) -> None:
        self.now = 1000.0
        self.ends: list[tuple[str, int]] = []
        self.watchdog = LoopWatchdog(
            patience=timedelta(seconds=patience),
            monotonic=lambda: self.now,
            end=lambda reason, status: self.ends.append((reason, status)),
        )

    def go_on(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.watchdog.check()


def test_the_watchdog_ends_a_process_whose_event_loop_is_blocked() -> None:
    machine = Machine()
    machine.watchdog.watch(on=True)

    machine.go_on(59)
    before = list(machine.ends)
    machine.go_on(1)

    assert before == []
    assert machine.ends == [("the event loop was blocked for 60 seconds", 1)]


def test_a_running_event_loop_is_not_ended() -> None:
    machine = Machine()
    machine.watchdog.watch(on=True)

    for _ in range(10):
        machine.go_on(50)
        machine.watchdog.beat()

    assert machine.ends == []


def test_the_event_loop_is_not_watched_while_a_store_is_opened() -> None:
    machine = Machine()

    machine.go_on(1000)

    assert machine.ends == []


def test_a_suspended_process_is_not_mistaken_for_a_blocked_loop() -> None:
    machine = Machine()
    machine.watchdog.watch(on=True)

    machine.now += 3600
    machine.go_on(30)

    assert machine.ends == []


def test_a_process_past_its_deadline_is_ended_with_the_given_status() -> None:
    machine = Machine()
    machine.watchdog.set_deadline(within=timedelta(seconds=29), status=143)

    machine.go_on(29)

    assert machine.ends == [("it did not stop by itself in time", 143)]


def test_a_cleared_deadline_ends_nothing() -> None:
    machine = Machine()
    machine.watchdog.set_deadline(within=timedelta(seconds=29), status=1)
    machine.watchdog.clear_deadline()

    machine.go_on(100)

    assert machine.ends == []
