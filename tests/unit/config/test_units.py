"""Durations and sizes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import START
from worker.config.types import (
    format_age,
    format_countdown,
    format_duration,
    format_rounded,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("50ms", 0.05),
        ("15s", 15),
        ("1.5s", 1.5),
        ("15m", 900),
        ("12h", 43200),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1w", 604800),
        ("0", 0),
    ],
)
def test_a_duration_reads_as_written(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "15", "s", "15 s", "-5s", "15min", "1h 30m", "15s!", "٣s "])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9" * 30 + "w", "36501d", "5300w"])
def test_a_duration_beyond_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a hundred years"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**10))
def test_what_is_written_reads_back(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)

    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"), [("10MB", 10**7), ("500kB", 500_000), ("1GiB", 2**30), ("1.5 MB", 1_500_000), ("7B", 7)]
)
def test_a_size_reads_as_written(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "10", "MB", "10 mb", "10iB", "-1MB", "10MBs"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="a size such as"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=10**15))
def test_a_size_that_is_written_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172799, "47h"),
        (172800, "2d"),
    ],
)
def test_a_span_is_rounded_to_one_unit(seconds: float, told: str) -> None:
    assert format_rounded(timedelta(seconds=seconds)) == told


def test_times_are_formatted_relative_to_now() -> None:
    hour = timedelta(hours=1)

    since = [format_age(at, now=START) for at in (None, START - hour)]
    until = [format_countdown(at, now=START) for at in (None, START - hour, START, START + hour)]

    assert since == ["never", "60m ago"]
    assert until == ["due", "due", "due", "in 60m"]
