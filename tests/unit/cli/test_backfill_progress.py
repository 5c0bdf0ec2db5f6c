"""How far a backfill has come, on one line."""

from __future__ import annotations

from datetime import timedelta

import pytest

from worker.cli.render.progress import EtaEstimator, progress_line
from worker.models import BackfillProgress

STATE = BackfillProgress(name="bao", looked=12, waiting=28, found=3410)


def paced(*moments: float) -> EtaEstimator:
    pace = EtaEstimator()
    for moment in moments:
        pace.count(moment)
    return pace


@pytest.mark.parametrize(
    ("moments", "left", "now", "remaining"),
    [
        ((0, 2, 4, 6, 8), 100, 10, timedelta(seconds=200)),
        ((0, 2), 100, 10, None),
        ((), 100, 10, None),
        ((), 0, 10, timedelta(0)),
        # What was quick long ago says nothing of now.
        ((*(n / 10 for n in range(100)), 500, 510, 520), 10, 530, timedelta(seconds=100)),
        ((0, 2, 4, 6, 8), 100, 1000, None),
    ],
)
def test_the_time_left_follows_the_pace_of_the_last_minutes(
    moments: tuple[float, ...], left: int, now: float, remaining: timedelta | None
) -> None:
    assert paced(*moments).remaining(left, now_s=now) == remaining


@pytest.mark.parametrize(
    ("state", "remaining", "end"),
    [
        (STATE, timedelta(minutes=104, seconds=31), "320 done, 3,090 left, about 1h45m more for these"),
        (BackfillProgress(name="bao", looked=40), timedelta(seconds=10), "320 done, 3,090 left, about 1m more"),
        (STATE, None, "320 done, 3,090 left"),
    ],
)
def test_the_line_shows_places_counts_and_time(state: BackfillProgress, remaining: timedelta | None, end: str) -> None:
    told = progress_line(state, done=320, left=3090, remaining=remaining)

    assert told.startswith(f"{state.looked} of 40 places looked at, ")
    assert told.endswith(end)
