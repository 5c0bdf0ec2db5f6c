"""The backoff for a failing store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from worker.errors import StoreError
from worker.runs.daemon.session import FIRST_WAIT, LONGEST_WAIT, StoreBackoff

FAILED = StoreError("store gone: start it")


def test_each_wait_is_twice_as_long_up_to_a_bound() -> None:
    waits = StoreBackoff()

    found = [waits.after(FAILED) for _ in range(6)]

    assert found == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT, 8 * FIRST_WAIT, LONGEST_WAIT, LONGEST_WAIT]


def test_the_backoff_starts_over_after_an_attempt_that_worked_for_long() -> None:
    waits = StoreBackoff()
    for _ in range(4):
        waits.after(FAILED)

    assert waits.after(FAILED, lasted=LONGEST_WAIT + timedelta(seconds=1)) == FIRST_WAIT
    assert waits.after(FAILED) == 2 * FIRST_WAIT


def test_each_wait_is_logged_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    StoreBackoff().after(FAILED)

    told = capsys.readouterr()
    assert "store gone: start it" in told.out + told.err
    assert "again_in" in told.out + told.err
