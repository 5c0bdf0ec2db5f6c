"""The locations of a tdmrep.json are matched like patterns of robots.txt, whatever its bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetch.site_policies import parse_tdmrep, reservation_for


def rules(*entries: tuple[str, object]) -> bytes:
    return json.dumps([{"location": location, "tdm-reservation": value} for location, value in entries]).encode()


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        (rules(("/", 1)), "/bat-ky/bai.html", "1"),
        (rules(("/*", 1)), "/bai.html?x=1", "1"),
        (rules(("/tin/", 1)), "/tin/bai.html", "1"),
        (rules(("/tin/", 1)), "/khac.html", ""),
        (rules(("/", 1), ("/mo/", 0)), "/mo/bai.html", "0"),
        (rules(("/mo/", 0), ("/", 1)), "/mo/bai.html", "0"),
        (rules(("/a", 0), ("/a", 1)), "/a", "1"),
        (rules(("/*.html$", "1")), "/a/b.html", "1"),
        (rules(("/*.html$", 1)), "/a/b.html?x", ""),
        (b"\xef\xbb\xbf" + rules(("/", 1)), "/a", "1"),
        (rules(("/", 2), ("/", True), ("/", None)), "/a", ""),
        (b'{"location": "/", "tdm-reservation": 1}', "/a", ""),
        (b'[1, {"location": 3}, {}]', "/a", ""),
        (b"<!doctype html>", "/a", ""),
        (b"[" * 100_000, "/a", ""),
    ],
)
def test_the_longest_matching_location_decides(body: bytes, path: str, said: str) -> None:
    assert reservation_for(parse_tdmrep(body), f"https://bao.example{path}") == said


@given(st.binary(max_size=200))
def test_any_bytes_can_be_parsed_without_an_error(body: bytes) -> None:
    assert reservation_for(parse_tdmrep(body), "https://bao.example/a") in {"", "0", "1"}
