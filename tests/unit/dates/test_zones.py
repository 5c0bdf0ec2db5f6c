"""Time zones of dates."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from worker.dates import possible_dates


def hours_ahead(written: str, home: tzinfo) -> float:
    moment = next(possible_dates(f"Fri, 17 Jul 2026 08:05:00{written}", zone=home))
    return (datetime(2026, 7, 17, 8, 5, tzinfo=UTC) - moment).total_seconds() / 3600


@pytest.mark.parametrize(
    ("written", "hours"),
    [
        (" Z", 0), (" GMT", 0), (" UT", 0), (" +0700", 7), (" -0330", -3.5), (" +05:45", 5.75), (" GMT+7", 7),
        (" (GMT+7)", 7),
        (" UTC+07:00", 7), (" UTC+7", 7), (" UTC-5", -5), (" UTC\u22125", -5), (" GMT+0300 (MSK)", 3), (" ICT", 7),
        (" WIB", 7),
        (" JST", 9), (" KST", 9), (" HKT", 8), (" SGT", 8), (" AEST", 10), (" AEDT", 11), (" ACST", 9.5), (" NZST", 12),
        (" CET", 1), (" CEST", 2), (" MESZ", 2), (" EET", 2), (" EEST", 3), (" MSK", 3), (" SAST", 2), (" PKT", 5),
        (" NPT", 5.75),
        (" EST", -5), (" EDT", -4), (" PST", -8), (" PDT", -7), (" MST", -7), (" CDT", -5), (" ET", -4), (" PT", -7),
        (" Asia/Ho_Chi_Minh", 7), (" (Europe/Berlin)", 2), (" America/Argentina/Buenos_Aires", -3), (" Etc/GMT-7", 7),
    ],
)  # fmt: skip
def test_every_form_of_a_zone_is_read(written: str, hours: float) -> None:
    assert hours_ahead(written, UTC) == hours


@pytest.mark.parametrize(
    ("name", "home", "hours"),
    [
        ("IST", "Asia/Kolkata", 5.5),
        ("IST", "Asia/Jerusalem", 5.5 - 2.5),
        ("IST", "Europe/Dublin", 1),
        ("CST", "Asia/Shanghai", 8),
        ("CST", "America/Chicago", -6),
        ("BST", "Europe/London", 1),
        ("BST", "Asia/Dhaka", 6),
        ("AST", "Asia/Riyadh", 3),
        ("AST", "America/Halifax", -3),
        ("GST", "Asia/Dubai", 4),
        ("EST", "Australia/Brisbane", 10),
        ("PST", "Asia/Manila", 8),
        ("MST", "Asia/Kuala_Lumpur", 8),
    ],
)
def test_an_ambiguous_abbreviation_means_the_zone_of_the_source(name: str, home: str, hours: float) -> None:
    assert hours_ahead(f" {name}", ZoneInfo(home)) == hours


@pytest.mark.parametrize("name", ["IST", "BST", "AST", "GST", "XYZ", "est", "MLAT", "+9900", "Sao/Hoa"])
def test_an_undecided_abbreviation_is_ignored(name: str) -> None:
    assert hours_ahead(f" {name}", ZoneInfo("Asia/Ho_Chi_Minh")) == 7
