"""The `every` and `cron` settings of a source, and fixed times across clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.models import PublishingStats, Source
from worker.schedule.poll_interval import IntervalPolicy, check_cron, jittered, next_cron_time, next_poll_time, plan_of

BERLIN = ZoneInfo("Europe/Berlin")
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RHYTHM = IntervalPolicy(every=15 * MINUTE, min_every=5 * MINUTE, max_every=12 * HOUR, jitter=0.1)
SPRING = datetime(2026, 3, 28, 23, 30, tzinfo=BERLIN)
"""Before the night in which the clock goes from 2 to 3."""
AUTUMN = datetime(2026, 10, 24, 23, 30, tzinfo=BERLIN)
"""Before the night in which the clock goes from 3 back to 2."""


def source(*, every: timedelta | None = None, cron: str = "", timezone: str = "Europe/Berlin") -> Source:
    return Source(name="bao", kind="feed", url="https://bao.example/rss", every=every, cron=cron, timezone=timezone)


def times(cron: str, start: datetime, count: int) -> list[str]:
    found, at = [], start
    for _ in range(count):
        at = next_cron_time(cron, after=at, zone=BERLIN)
        found.append(f"{at.astimezone(BERLIN):%d %H:%M %z}")
    return found


@pytest.mark.parametrize(
    ("cron", "start", "expected"),
    [
        ("30 2 * * *", SPRING, ["29 03:00 +0200", "30 02:30 +0200"]),
        ("30 2 * * *", AUTUMN, ["25 02:30 +0200", "26 02:30 +0100"]),
        ("*/30 2 * * *", SPRING, ["29 03:00 +0200", "30 02:00 +0200"]),
        ("*/30 2 * * *", AUTUMN, ["25 02:00 +0200", "25 02:30 +0200", "26 02:00 +0100"]),
        ("0 */2 * * *", SPRING, ["29 00:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]),
        ("0 */2 * * *", AUTUMN, ["25 00:00 +0200", "25 02:00 +0200", "25 04:00 +0100"]),
        ("5 * * * *", SPRING, ["29 00:05 +0100", "29 01:05 +0100", "29 03:05 +0200"]),
        ("5 * * * *", AUTUMN, ["25 00:05 +0200", "25 01:05 +0200", "25 02:05 +0200", "25 02:05 +0100"]),
    ],
)
def test_no_fixed_time_is_lost_or_doubled_when_the_clock_changes(
    cron: str, start: datetime, expected: list[str]
) -> None:
    assert times(cron, start, len(expected)) == expected


def test_a_poll_in_the_repeated_hour_does_not_bring_back_what_has_passed() -> None:
    second_quarter_past = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)

    due = next_cron_time("30 2 * * *", after=second_quarter_past, zone=BERLIN)

    assert due == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@given(
    st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=365)),
    st.sampled_from(["30 2 * * *", "0 */3 * * *", "15,45 * * * *", "*/20 1-3 * * *", "0 7 * * 1"]),
)
def test_the_next_time_is_always_ahead_and_never_more_than_a_week_away(later: timedelta, cron: str) -> None:
    at = NOW + later

    due = next_cron_time(cron, after=at, zone=BERLIN)

    assert timedelta(0) < due - at <= timedelta(days=7, hours=1)


def test_fixed_times_are_in_the_sources_time_zone_and_without_jitter() -> None:
    due = next_poll_time(
        source(cron="0 7 * * *", timezone="Asia/Ho_Chi_Minh"), PublishingStats(), now=NOW, policy=RHYTHM, chance=0.9
    )

    assert due == datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
    assert due.astimezone(HANOI).hour == 7


def test_an_interval_of_its_own_does_not_adapt() -> None:
    busy = PublishingStats(looked_at=NOW, items=(100.0,) * 24, hours=(1.0,) * 24, window=10)

    due = next_poll_time(source(every=30 * MINUTE), busy, now=NOW, policy=RHYTHM, chance=0.5)

    assert due == NOW + 30 * MINUTE


@pytest.mark.parametrize("kind", ["files", "urls"])
def test_local_sources_are_read_regularly_however_rarely_they_change(kind: str) -> None:
    silent = PublishingStats(looked_at=NOW, items=(0.001,) * 24, hours=(20.0,) * 24, window=10)
    folder = Source(name="in", kind=kind, url="inbox")

    due = next_poll_time(folder, silent, now=NOW, policy=RHYTHM, chance=0.5)

    assert due == NOW + RHYTHM.every


@given(st.floats(min_value=0, max_value=1))
def test_chance_spreads_an_interval_by_the_jitter(chance: float) -> None:
    assert 9 * MINUTE <= jittered(10 * MINUTE, policy=RHYTHM, chance=chance) <= 11 * MINUTE


@pytest.mark.parametrize(
    ("cron", "found"),
    [
        ("", "five fields .* found 0"),
        ("* * * *", "five fields .* found 4"),
        ("0 0 * * * *", "five fields .* found 6"),
        ("@daily", "found 1"),
        ("61 * * * *", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("a b c d e", "bad minute"),
    ],
)
def test_an_invalid_cron_expression_is_refused_with_the_reason(cron: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        check_cron(cron)


def test_changed_settings_are_noticed() -> None:
    rules = [
        source(),
        source(every=HOUR),
        source(every=2 * HOUR),
        source(cron="0 7 * * *"),
        source(cron="0 7 * * *", timezone="UTC"),
    ]

    assert len({plan_of(each) for each in rules}) == len(rules)
