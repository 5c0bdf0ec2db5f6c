"""Processes that share the work must collect the same tests: no test is named after what differs between two."""

from __future__ import annotations

import re

import pytest

ROOT_AND_TEMPORARY = re.compile(r"(?<![\w.])/(?:tmp|home|root|work|var/folders)/\S")
ADDRESS_IN_MEMORY = re.compile(r"\bat 0x[0-9a-f]{6,}")
PACKED = re.compile(r"\\x1f\\x8b|\\x28\\xb5\\x2f\\xfd|x\\x9c")


@pytest.mark.parametrize("changing", [ROOT_AND_TEMPORARY, ADDRESS_IN_MEMORY, PACKED], ids=["path", "address", "packed"])
def test_no_test_is_named_after_what_changes(request: pytest.FixtureRequest, changing: re.Pattern[str]) -> None:
    names = [item.nodeid for item in request.session.items]

    assert not [name for name in names if changing.search(name)]


@pytest.mark.parametrize(("packed", "other"), [(b"\x1f\x8b\x08", "a")])
def test_bytes_are_named_by_their_place(request: pytest.FixtureRequest, packed: bytes, other: str) -> None:
    assert request.node.callspec.id == "packed-a"
