"""Cookies for the length of one fetch."""

from __future__ import annotations

import pytest

from worker.fetch.http.semantics import MAX_COOKIES, Cookies


def test_a_cookie_goes_back_to_its_origin_only() -> None:
    cookies = Cookies()

    cookies.take("https://a.example:443", ["seen=1; Domain=example; Path=/", "lang=vi"])

    assert cookies.header("https://a.example:443") == {"Cookie": "seen=1; lang=vi"}
    for other in ("http://a.example:443", "https://www.a.example:443", "https://a.example:8443"):
        assert cookies.header(other) == {}


@pytest.mark.parametrize("header", ["", "novalue", "=x", "a=b\r\nX: y", "a=é", "a=b c", "a=" + "x" * 5_000, "ä=b"])
def test_what_is_no_cookie_is_not_kept(header: str) -> None:
    cookies = Cookies()

    cookies.take("https://a.example:443", [header])

    assert cookies.header("https://a.example:443") == {}


def test_there_is_room_for_a_few_cookies_only() -> None:
    cookies = Cookies()

    cookies.take("https://a.example:443", [f"c{number}=x" for number in range(1_000)])

    assert cookies.header("https://a.example:443")["Cookie"].count("=") == MAX_COOKIES
