"""The waits for a store that fails."""

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


def test_after_a_try_that_went_well_for_long_the_waits_begin_anew() -> None:
    waits = StoreBackoff()
    for _ in range(4):
        waits.after(FAILED)

    assert waits.after(FAILED, lasted=LONGEST_WAIT + timedelta(seconds=1)) == FIRST_WAIT
    assert waits.after(FAILED) == 2 * FIRST_WAIT


def test_each_wait_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    StoreBackoff().after(FAILED)

    told = capsys.readouterr()
    assert "store gone: start it" in told.out + told.err
    assert "again_in" in told.out + told.err
