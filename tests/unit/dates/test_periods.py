"""Time windows, and archives by date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sources.factories import NOW, source
from worker.dates.periods import TimeWindow, archive_urls, recent_window

DAYS = st.integers(0, 400).map(lambda days: NOW - timedelta(days=days)) | st.none()


@given(DAYS, DAYS, DAYS, DAYS)
def test_overlap_is_symmetric(start: datetime, end: datetime, other: datetime, last: datetime) -> None:
    one, two = TimeWindow(start=start, end=end), TimeWindow(start=other, end=last)

    assert one.overlaps(two) == two.overlaps(one)
    assert one.overlaps(TimeWindow())


@pytest.mark.parametrize(
    ("options", "days"),
    [
        ({}, 30),
        ({"max_age": timedelta(days=7)}, 7),
        ({"max_age": timedelta(hours=36)}, 1.5),
        ({"max_age": timedelta(hours=1)}, 1 / 24),
        ({"read_at": NOW - timedelta(days=2)}, 3),
        ({"read_at": NOW - timedelta(days=2000)}, 30),
        ({"max_age": None, "read_at": NOW - timedelta(days=2)}, 3),
        ({"since": NOW - timedelta(days=2)}, 2),
        ({"since": NOW - timedelta(days=2000)}, 30),
        ({"since": NOW - timedelta(days=40), "max_age": None}, 40),
        ({"since": NOW - timedelta(days=5), "read_at": NOW - timedelta(days=2)}, 3),
    ],
)
def test_a_poll_begins_at_the_latest_of_its_limits(options: dict[str, Any], days: float) -> None:
    assert recent_window(source(timezone=None, **options), now=NOW) == TimeWindow(start=NOW - timedelta(days=days))


def test_a_poll_without_limits_has_no_beginning() -> None:
    assert recent_window(source(max_age=None), now=NOW) == TimeWindow()


@pytest.mark.parametrize(
    ("template", "pages"),
    [
        ("https://bao.vn/{year}/{month}/{day}", ["2024/03/01", "2024/02/29", "2024/02/28"]),
        ("https://bao.vn/{year}-{month}", ["2024-03", "2024-02"]),
        ("https://bao.vn/{year}", ["2024"]),
        ("https://bao.vn/archive", ["archive"]),
    ],
)
def test_an_archive_by_date_is_walked_newest_first_each_page_once(template: str, pages: list[str]) -> None:
    window = TimeWindow(start=datetime(2024, 2, 28, 23, tzinfo=UTC), end=datetime(2024, 3, 1, 1, tzinfo=UTC))

    assert list(archive_urls(template, window)) == [f"https://bao.vn/{page}" for page in pages]


def test_an_archive_needs_both_bounds_of_the_window() -> None:
    with pytest.raises(ValueError, match="first and a last day"):
        next(archive_urls("https://bao.vn/{year}", TimeWindow(start=NOW)))
