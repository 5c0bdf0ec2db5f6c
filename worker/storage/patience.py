"""How long a database is waited for, and how often that is told: pauses that grow, shared by a process in an outage."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from worker.clock import SystemClock

FIRST_WAIT, LONGEST_WAIT = timedelta(milliseconds=200), timedelta(seconds=10)
NO_PATIENCE: Final = timedelta(0)


def growing_waits(patience: timedelta) -> Iterator[timedelta]:
    """Yield growing waits whose sum stays within `patience`."""
    wait, left = FIRST_WAIT, patience
    while left > NO_PATIENCE:
        yield min(wait, left)
        wait, left = min(2 * wait, LONGEST_WAIT), left - wait


def short_waits(count: int) -> Iterator[timedelta]:
    """Yield so many short waits at random, so that those who met go on one after the other."""
    for _ in range(count):
        yield FIRST_WAIT * random.random() / 4  # noqa: S311


class Outage:
    """The waits for a database that as a whole does not answer: one at a time, whoever waits, each longer.

    Whoever fails first begins a wait and tells of it; whoever fails while it lasts waits for its end, without a word.
    Waits begin anew at the shortest once nothing failed for as long as the longest: some calls may succeed all the
    while, as where a server has no room for one connection more.
    """

    def __init__(self, given_up: threading.Event) -> None:
        self._given_up = given_up
        self._clock = SystemClock()
        self._guard = threading.Lock()
        self._wait = NO_PATIENCE
        self._ends = float("-inf")

    def wait(self, patience: timedelta, tell: Callable[[timedelta], None], *, again: bool) -> timedelta:
        """Wait for no longer than `patience`, and return for how long; `again` after another wait for the same."""
        begun, wait = self._joined(patience, again=again)
        if begun:
            tell(wait)
        self._given_up.wait(wait.total_seconds())
        if begun:
            with self._guard:
                self._ends = min(self._ends, self._clock.monotonic())
        return wait

    def _joined(self, patience: timedelta, *, again: bool) -> tuple[bool, timedelta]:
        """Return whether a wait begins, and how long it is or the one under way still takes."""
        with self._guard:
            now = self._clock.monotonic()
            if now < self._ends:
                return False, min(timedelta(seconds=self._ends - now), patience)
            quiet = now - self._ends >= LONGEST_WAIT.total_seconds()
            self._wait = FIRST_WAIT if quiet and not again else min(max(2 * self._wait, FIRST_WAIT), LONGEST_WAIT)
            wait = min(self._wait, patience)
            self._ends = now + wait.total_seconds()
            return True, wait
