"""Cookies within one fetch."""

from __future__ import annotations

import pytest

from worker.fetch.http.semantics import MAX_COOKIES, Cookies


def test_a_cookie_is_sent_to_its_origin_only() -> None:
    cookies = Cookies()

    cookies.store("https://a.example:443", ["seen=1; Domain=example; Path=/", "lang=vi"])

    assert cookies.header("https://a.example:443") == {"Cookie": "seen=1; lang=vi"}
    for other in ("http://a.example:443", "https://www.a.example:443", "https://a.example:8443"):
        assert cookies.header(other) == {}


@pytest.mark.parametrize("header", ["", "novalue", "=x", "a=b\r\nX: y", "a=é", "a=b c", "a=" + "x" * 5_000, "ä=b"])
def test_a_malformed_cookie_is_ignored(header: str) -> None:
    cookies = Cookies()

    cookies.store("https://a.example:443", [header])

    assert cookies.header("https://a.example:443") == {}


def test_the_number_of_cookies_is_limited() -> None:
    cookies = Cookies()

    cookies.store("https://a.example:443", [f"c{number}=x" for number in range(1_000)])

    assert cookies.header("https://a.example:443")["Cookie"].count("=") == MAX_COOKIES
