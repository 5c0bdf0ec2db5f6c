"""Dates in the formats of programs and people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.dates import find_date, possible_dates

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
EVENING = "2024-03-12T20:15:00+07:00"
MIDNIGHT = "2024-03-12T00:00:00+07:00"


def first(value: str, *, month_first: bool = False, language: str = "") -> str | None:
    moment = next(possible_dates(value, zone=HANOI, month_first=month_first, language=language), None)
    return moment.isoformat() if moment else None


@pytest.mark.parametrize(
    "value",
    [
        "2024-03-12T20:15:00+07:00", "2024-03-12T20:15:00.123456+0700", "2024-03-12T14:15:00.123+0100",
        "20240312T141500+0100", "2024-03-12 20:15:00 +0700",
        "2024-03-12T13:15Z", "2024-03-12T13:15:00.000Z[UTC]", "2024-03-12T20:15:00 07:00", "2024-03-12 20:15",
        "2024-03-12T20:15:00+07", "2024-3-12 20:15:00", "2024/03/12 20:15", "2024.03.12 20:15",
        "20240312201500", "202403122015", "20240312201500123", "20240312T201500",
        "1710249300", "1710249300000", "1710249300123456", "1710249300.5",
        "/Date(1710249300000)/", "\\/Date(1710249300000+0700)\\/", "new Date(1710249300000)",
        "Tue Mar 12 2024 20:15:00 GMT+0700 (Indochina Time)", "Tue Mar 12 2024 16:15:00 GMT+0300 (MSK)",
        "Tue Mar 12 20:15:00 ICT 2024", "Tue Mar 12 20:15:00 2024", "Tue, 12 Mar 2024 20:15:00 +0700",
        "12 Mar 24 20:15 +0700", "Tuesday, 12-Mar-24 13:15:00 GMT", "12/Mar/2024:20:15:00 +0700",
        "Tue, 03/12/2024 - 20:15", "3/12/2024 8:15:00 PM", "3/12/2024, 8:15:00 PM",
    ],
)  # fmt: skip
def test_formats_of_programs(value: str) -> None:
    moment = first(value, month_first=value.startswith("Tue, 03/12"))

    assert moment is not None
    assert datetime.fromisoformat(moment).replace(microsecond=0) == datetime.fromisoformat(EVENING)


@pytest.mark.parametrize(
    "value",
    [
        "12/03/2024 08:15 PM", "08:15 PM, 12/03/2024", "20:15 12/03/2024", "20:15 | 12/03/2024", "20h15 12-3-2024",
        "20h15 ngày 12/03/2024", "Thứ ba, 12/3/2024, 20:15 (GMT+7)", "20:15, Thứ Ba, 12/03/2024", "12.03.2024 20g15",
        "12/03/2024 08:15 CH", "12/03/2024 08:15:00 CH", "12/03/2024 - 20 giờ 15", "12 tháng 3 năm 2024, 20:15",
        "20:15 12 tháng 3, 2024", "Ngày 12 tháng Ba năm 2024 lúc 20:15", "Tháng Ba 12, 2024 8:15 tối",
        "20 giờ 15 phút ngày 12/03/2024", "20h15' ngày 12/3/2024", "20:15’, 12/03/2024", "12/03/2024 - 20 giờ 15 phút",
        "12/03/2024 | Giờ: 20:15", "Tue,12 Mar 2024 20:15:00+0700",
        "12 thg 3, 2024 20:15", "12 March 2024 at 8:15pm", "March 12th, 2024, 8:15 p.m.", "8:15 PM, March 12, 2024",
        "12. März 2024, 20.15 Uhr", "12 mars 2024 à 20h15", "le mardi 12 mars 2024 - 20:15", "12. mars 2024 kl. 20.15",
        "12 de marzo de 2024 a las 20:15", "12 марта 2024 г. в 20:15", "12 березня 2024, 20:15",
        "2024年3月12日 20:15", "2024年03月12日(火) 20時15分", "令和6年3月12日 20:15", "2024년 3월 12일 오후 8:15",
        "12 มีนาคม 2567 20:15 น.", "১২ মার্চ ২০২৪, ২০:১৫", "١٢ مارس ٢٠٢٤ 20:15", "12 मार्च 2024, 20:15",
        "2024. március 12. 20:15", "2024 m. kovo 12 d. 20:15", "12 Mart 2024 20:15", "12 Maret 2024 20.15 WIB",
    ],
)  # fmt: skip
def test_formats_of_people(value: str) -> None:
    assert first(value) == EVENING


@pytest.mark.parametrize(
    ("written", "day"),
    [
        # The last day of a leap year, and the first of the next; 33 years later, a leap year again.
        ("30 اسفند 1399", "2021-03-20"),
        ("1 فروردین 1400", "2021-03-21"),
        ("31/6/1404", None),
        ("1404/06/31", "2025-09-22"),
        ("1404-07-30", "2025-10-22"),
        ("30 اسفند 1370", "1992-03-20"),
        ("1404/13/01", None),
        ("1404/00/12", None),
    ],
)
def test_days_of_the_persian_calendar(written: str, day: str | None) -> None:
    moment = first(written, language="fa")

    assert (moment and moment[:10]) == day


def test_numbers_are_of_the_persian_calendar_only_on_a_persian_page() -> None:
    assert first("1404/06/31") is None


@pytest.mark.parametrize("value", ["8 giờ tối 12/03/2024", "12/03/2024, 8h tối", "8 giờ tối ngày 12 tháng 3 năm 2024"])
def test_an_hour_alone_needs_a_half_of_the_day(value: str) -> None:
    assert first(value) == "2024-03-12T20:00:00+07:00"


@pytest.mark.parametrize(
    "value",
    ["2024-03-12", "12.03.24", "12-03-2024", "12/3/2024", "20240312", "2024. gada 12. marts", "12 März, 2024",
    "12-Mar-24",
     "12 آذار 2024", "2024-Mar-12", "Mar. 12, 2024", "12 thg 3, 2024", "12 มี.ค. 2567", "12 มี.ค. 67", "12 มี.ค. 24",
     "วันที่ 12 เดือนมีนาคม พ.ศ. 2567", "ថ្ងៃទី១២ ខែមីនា ឆ្នាំ២០២៤", "ວັນທີ 12 ເດືອນ ມີນາ ປີ 2024", "12 במרץ 2024",
     "۲۲ اسفند ۱۴۰۲", "سه‌شنبه ۲۲ اسفند ماه ۱۴۰۲"],
)  # fmt: skip
def test_a_day_without_a_time_is_midnight(value: str) -> None:
    assert first(value) == MIDNIGHT


@pytest.mark.parametrize(
    "value",
    [
        "", "hôm qua", "31/02/2026", "2026-02-30", "30.02.2026 08:00", "2026-13-45", "20/13/2026", "0000-00-00",
        "99999999999999",
        "0000-00-00T00:00:00", "29/02/2023", "2026-02", "2026", "tháng 3 năm 2024", "March 2024", "3月12日", "12/03",
        "Version 1.2.3", "192.168.10.20", "phone 0912-345-6789", "12345678901234567890123", "31 June 2024",
        "February 30, 2024", "x" * 10_000, "1" * 10_000, "12:30", "24/7/365", "1.234.567",
    ],
)  # fmt: skip
def test_incomplete_dates_give_none(value: str) -> None:
    assert first(value) is None


@pytest.mark.parametrize(
    ("value", "month_first", "day"),
    [
        ("3/4/2024", False, "2024-04-03"),
        ("3/4/2024", True, "2024-03-04"),
        ("13/4/2024", True, "2024-04-13"),
        ("4/13/2024", False, "2024-04-13"),
        ("Thu, 04/03/2025 - 10:00", False, "2025-04-03"),
        ("Mon, 04/03/2024 - 10:00", True, "2024-03-04"),
        ("4/3/2024 9:05:00 AM", False, "2024-04-03"),
        ("04/03/2024 09:05:00 AM", False, "2024-03-04"),
        ("04/03/2024 09:05 AM", False, "2024-03-04"),
    ],
)
def test_the_month_among_two_numbers_is_decided_by_range_weekday_us_time_and_default(
    value: str, month_first: bool, day: str
) -> None:
    moment = first(value, month_first=month_first)

    assert moment is not None
    assert moment[:10] == day


def test_the_reading_with_day_and_month_exchanged_comes_second() -> None:
    readings = [at.date().isoformat() for at in possible_dates("11/12/2024", zone=UTC)]

    assert readings == ["2024-12-11", "2024-11-12"]


@pytest.mark.parametrize(
    ("value", "clock"),
    [
        ("12:23:00 AM 25/4/2024", "00:23"), ("25/4/2024 12:05 PM", "12:05"), ("25/4/2024 12 PM", "12:00"),
        ("25/4/2024 00:05", "00:05"), ("25/4/2024 24:00", "00:00"), ("25/4/2024 25:00", "00:00"),
        ("20:15 25/4/2024 21:00 26/4/2024", "20:15"), ("25/4/2024 Updated 21:00", "00:00"),
        ("25/4/2024, 8.15", "00:00"), ("20h 25/4/2024", "20:00"), ("25/4/2024 lúc 9h", "09:00"),
    ],
)  # fmt: skip
def test_the_time_beside_the_day_is_used(value: str, clock: str) -> None:
    moment = first(value)

    assert moment is not None
    assert moment[11:16] == clock


def test_the_language_decides_between_months_of_one_name() -> None:
    assert first("5. listopada 2024", language="hr") == "2024-10-05T00:00:00+07:00"
    assert first("5 listopada 2024", language="pl") == "2024-11-05T00:00:00+07:00"


def test_a_date_is_found_inside_a_line() -> None:
    line = "Đăng lúc 20:15 ngày 12/03/2024 (GMT+7) trong Kinh tế"

    written = find_date(line, default_zone=UTC)

    assert written is not None
    assert line[written.start : written.end].strip() == "20:15 ngày 12/03/2024 (GMT+7"
    assert (written.at.isoformat(), written.has_time) == (EVENING, True)


@settings(deadline=None)
@given(st.integers(400_000_000, 4_000_000_000), st.integers(-12, 14))
def test_iso_and_unix_times_round_trip(seconds: int, hours: int) -> None:
    at = datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours)))

    assert at in set(possible_dates(at.isoformat(), zone=HANOI))
    assert at in set(possible_dates(str(seconds), zone=HANOI))
    assert at in set(possible_dates(str(seconds * 1000), zone=HANOI))


@settings(deadline=None)
@given(st.text(alphabet="0123456789/-.: ,TZ+年月日abMar", max_size=60))
def test_any_text_gives_aware_dates(text: str) -> None:
    assert all(at.tzinfo is not None for at in possible_dates(text, zone=HANOI))
