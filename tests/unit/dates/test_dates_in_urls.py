"""Dates in URLs, and numbers that only look like dates."""

from __future__ import annotations

import pytest

from worker.dates import date_in_url


@pytest.mark.parametrize(
    ("address", "moment"),
    [
        ("https://bao.example/2026/03/02/gia-gao.html", "2026-03-02 00:00:00"),
        ("https://bao.example/tin/2026/3/2/gia-gao", "2026-03-02 00:00:00"),
        ("https://bao.example/tin/2026/mar/02/gia-gao", "2026-03-02 00:00:00"),
        ("https://bao.example/tin/2026-03-02/gia-gao", "2026-03-02 00:00:00"),
        ("https://bao.example/2026-03-02-gia-gao.html", "2026-03-02 00:00:00"),
        ("https://bao.example/gia-gao-20260302.html", "2026-03-02 00:00:00"),
        ("https://bao.example/20260302/gia-gao", "2026-03-02 00:00:00"),
        ("https://bao.example/gia-gao-20221224084259560.htm", "2022-12-24 08:42:59"),
        ("https://bao.example/gia-gao-20221224084259560.chn", "2022-12-24 08:42:59"),
        ("https://bao.example/gia-gao-188221224084259560.chn", "2022-12-24 08:42:59"),
        ("https://bao.example/news/A2026030209160005196", "2026-03-02 09:16:00"),
        ("https://bao.example/gia-gao-202212240842.htm", "2022-12-24 08:42:00"),
        (
            "https://web.archive.org/web/20130307194448/http://bao.example/2008/05/21/gia-gao.html",
            "2008-05-21 00:00:00",
        ),
        ("https://bao.example/tin/29-10-2021", "2021-10-29 00:00:00"),
        ("https://bao.example/tin/mua-lon-30_4_2025.html", "2025-04-30 00:00:00"),
        ("https://bao.example/~02-01-2022/gia", None),
        ("https://bao.example/journal/2021/04/12713", None),
        ("https://bao.example/journal/2021/04/12713/", None),
        ("https://bao.example/journal/2021/04/0927131.html", None),
        ("https://bao.example/journal/2021/04/12.html", None),
        ("https://bao.example/journal/2021/04/12", None),
        ("https://bao.example/journal/2021/04/120/gia-gao", None),
        ("https://bao.example/journal/2021/04/31/gia-gao", None),
        ("https://bao.example/2021/13/01/gia-gao", None),
        ("https://bao.example/gia-gao-2021041299.html", None),
        ("https://bao.example/gia-gao-20221332.html", None),
        ("https://bao.example/gia-gao-20221224994259560.htm", None),
        ("https://bao.example/gia-gao-123456789012345678.htm", None),
        ("https://bao.example/tin/04-10-2021", None),
        ("https://bao.example/tin/29-13-2021", None),
        ("https://bao.example/tin/129-10-2021", None),
        ("https://bao.example/tin/29-10-20215", None),
        ("https://bao.example/tin?ngay=2021-10-29", None),
        ("https://bao.example:99999x/2021/10/29/gia", "2021-10-29 00:00:00"),
        ("", None),
    ],
)
def test_the_date_in_a_url_is_found(address: str, moment: str | None) -> None:
    found = date_in_url(address)

    assert (found and found.isoformat(sep=" ")) == moment
