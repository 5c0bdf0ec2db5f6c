"""Dates of feeds and JSON documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sources.factories import NOW, source
from worker.dates.parsing import correct_date, date_text, plausible_date, read_date, source_zone

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
MORNING = datetime(2026, 11, 20, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-20T08:05:00+07:00", "2026-11-20T08:05+0700", "2026-11-20 08:05:00", "2026-11-20T01:05:00Z",
        "20261120T080500",
        "Fri, 20 Nov 2026 08:05:00 +0700", "Fri, 20 Nov 2026 01:05:00 GMT", "20 Nov 2026 08:05:00 +07:00",
        "Fri, 20 Nov 2026 08:05", "fri, 20 nov 2026 08:05:00 +0700", "Friday, 20-Nov-26 01:05:00 GMT",
        "20/11/2026 08:05", "20-11-2026 - 08:05", "08:05 20/11/2026", "Thứ Sáu, 20/11/2026, 08:05 (GMT+7)",
        "20.11.2026 8g05",
        "20/11/2026 08:05:00 SA", "20/11/2026 8h05", "2026/11/20 08:05", "20/11/2026 01:05 GMT+0",
    ],
)  # fmt: skip
def test_a_date_is_read_however_it_is_written(written: str) -> None:
    assert read_date(f" {written} ", zone=HANOI) == MORNING


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("20/11/2026", datetime(2026, 11, 20, tzinfo=UTC)),
        ("20/11/2026 08:05 PM", datetime(2026, 11, 20, 20, 5, tzinfo=UTC)),
        ("20/11/2026 01:05 CH", datetime(2026, 11, 20, 13, 5, tzinfo=UTC)),
        ("20/11/2026 08:05 GMT-5", datetime(2026, 11, 20, 13, 5, tzinfo=UTC)),
    ],
)
def test_parts_that_are_missing_are_the_first_ones(written: str, moment: datetime) -> None:
    assert read_date(written, zone=UTC) == moment


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        "hôm qua",
        "20/13/2026",
        "31/02/2026",
        "2026-13-45",
        "Fri, 99 Nov 2026 08:05:00 GMT",
        "1" * 200,
        "08:05",
        "Nov",
    ],
)
def test_other_texts_than_dates_give_none(written: str | None) -> None:
    assert read_date(written, zone=UTC) is None


@given(st.integers(-2_000_000_000, 4_000_000_000), st.integers(-12, 14))
def test_iso_and_mail_forms_round_trip(seconds: int, hours: int) -> None:
    aware = datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours)))

    assert read_date(aware.isoformat(), zone=UTC) == aware
    assert read_date(f"{aware:%a, %d %b %Y %H:%M:%S %z}", zone=UTC) == aware


@given(st.text(max_size=40))
def test_any_text_gives_an_aware_date_or_none(text: str) -> None:
    found = read_date(text, zone=HANOI)

    assert found is None or found.tzinfo is not None


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("Fri, 20 Nov 2026 08:05:00 ICT", "2026-11-20T01:05:00"), ("Fri, 20 Nov 2026 10:05:00 KST",
        "2026-11-20T01:05:00"),
        ("Fri, 20 Nov 2026 02:05:00 CET", "2026-11-20T01:05:00"), ("Fri, 20 Nov 2026 11:05:00 AEST",
        "2026-11-20T01:05:00"),
        ("Fri, 20 Nov 2026 08:05:00 UTC+07:00", "2026-11-20T01:05:00"), ("Fri, 20 Nov 2026 01:05:00 GMT",
        "2026-11-20T01:05:00"),
        ("2026-11-20 08:05:00 Asia/Ho_Chi_Minh", "2026-11-20T01:05:00"), ("Fri, 20 Nov 26 08:05:00 +0700",
        "2026-11-20T01:05:00"),
        ("Fri, 20 Nov 2026 10:05:00", "2026-11-20T01:05:00"), ("Fri, 20 Nov 2026 10:05:00 IST", "2026-11-20T01:05:00"),
        ("2026-11-20T08:05:00.5+07:00", "2026-11-20T01:05:00"),
    ],
)  # fmt: skip
def test_the_reading_of_a_library_gets_the_written_zone(written: str, moment: str) -> None:
    """feedparser reads a date without a zone, or with an unknown abbreviation, as UTC."""
    theirs = datetime.fromisoformat("2026-11-20T10:05:00+00:00")

    assert correct_date(theirs, written, zone=ZoneInfo("Asia/Tokyo")) == datetime.fromisoformat(f"{moment}+00:00")


def test_a_different_day_read_by_a_library_is_kept_in_the_source_s_zone() -> None:
    theirs = datetime(2003, 12, 31, 10, tzinfo=UTC)

    assert correct_date(theirs, "03-12-31 10:00", zone=HANOI) == datetime(2003, 12, 31, 10, tzinfo=HANOI)
    assert correct_date(theirs, "03-12-31 10:00 GMT", zone=HANOI) == theirs


@pytest.mark.parametrize("written", ["1791162901", "1791162901000", "Mon, 05 Oct 2026 08:15:01 +700"])
def test_unix_times_and_short_offsets_are_read_without_the_library(written: str) -> None:
    theirs = datetime(1792, 4, 29, tzinfo=UTC)

    assert correct_date(theirs, written, zone=UTC) == datetime(2026, 10, 5, 1, 15, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-02-30", "Mon, 30 Feb 2026 08:00:00 GMT", "31/04/2026 08:00", "2026-13-05T08:00:00Z", "20260230",
        "20260230101010", "20260000", "-0001-11-30T00:00:00+00:00", "0000-00-00 00:00:00", "2026", "2026-061",
    ],
)  # fmt: skip
def test_an_impossible_day_corrected_by_a_library_gives_no_date(written: str) -> None:
    assert correct_date(datetime(2026, 3, 2, tzinfo=UTC), written, zone=UTC) is None


@pytest.mark.parametrize(
    ("value", "written"),
    [(1772845200, "1772845200"), (1772845200000.0, "1772845200000"), ("2026-03-07", "2026-03-07"), (True, None),
     (-1, None), (10**30, None), ("  ", None), (None, None), ([], None)],
)  # fmt: skip
def test_a_json_number_is_a_unix_time(value: object, written: str | None) -> None:
    assert date_text(value) == written


@pytest.mark.parametrize(
    ("moment", "kept"),
    [(MORNING, True), (NOW + timedelta(days=1), True), (NOW + timedelta(days=3), False),
     (datetime(1899, 1, 1, tzinfo=UTC), False), (datetime(1970, 1, 1, tzinfo=UTC), False),
     (datetime(1970, 1, 1, tzinfo=HANOI), False), (datetime(1969, 12, 31, 17, tzinfo=UTC), False),
     (datetime(1970, 1, 3, tzinfo=UTC), True), (datetime(1954, 5, 7, tzinfo=UTC), True),
     (datetime.min.replace(tzinfo=HANOI), False)],
)  # fmt: skip
def test_an_implausible_date_is_dropped(moment: datetime, kept: bool) -> None:
    assert (plausible_date(moment, now=NOW) is not None) is kept


def test_a_source_s_zone_is_its_own_or_utc() -> None:
    assert source_zone(source(timezone="Asia/Ho_Chi_Minh")) == HANOI
    assert source_zone(source()) is UTC
    assert source_zone(source(timezone="Sao/Hoa")) is UTC
