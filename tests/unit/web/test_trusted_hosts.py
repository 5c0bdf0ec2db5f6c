"""The Host header: addresses and known names pass; names that a browser could be tricked into using do not."""

from __future__ import annotations

import pytest

from worker.web.app import is_trusted_host


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8750", "10.0.0.3:8750", "[::1]:8750", "[::1]", "localhost", "LOCALHOST:1", "Box"]
)
def test_an_address_localhost_or_a_configured_name_is_known(host: str) -> None:
    assert is_trusted_host([host], names={"box"})


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:8750", "localhost.evil.example", "", "[::1", "a@127.0.0.1", "box:x"],
)
def test_any_other_name_is_not(host: str) -> None:
    assert not is_trusted_host([host], names={"box"})


def test_no_header_or_two_of_them_are_refused() -> None:
    assert not is_trusted_host([], names=())
    assert not is_trusted_host(["127.0.0.1", "127.0.0.1"], names=())
