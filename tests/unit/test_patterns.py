"""No pattern that meets foreign text takes time that grows faster than the text: each is fed its worst strings."""

from __future__ import annotations

import re

import pytest

from tests.worst_strings import FOREIGN, SIZE, Known, is_quadratic, is_surely_quadratic, patterns, worst_strings

PATTERNS = patterns()


@pytest.mark.parametrize("known", PATTERNS, ids=[known.name for known in PATTERNS])
def test_a_pattern_takes_time_in_proportion_to_its_text(known: Known) -> None:
    slow = next((text for text in worst_strings(known.pattern, SIZE) if is_surely_quadratic(known, text)), None)

    assert slow is None, f"{known.pattern.pattern!r} is slow on {slow[:60]!r}…" if slow else ""


@pytest.mark.parametrize(
    "pattern",
    [r"\s+$", r"\s*\|", r"(\w*pass\w*=)", r"<(script|head)\b.*?</\1>", r"(?:og|dc)*date", r"a\s*:?\s+b\Z", r"\.+\Z",
     rb"x*y", r"<!--.*?-->"],
)  # fmt: skip
def test_what_goes_back_over_its_text_is_found(pattern: str | bytes) -> None:
    known = Known(name="made", pattern=re.compile(pattern, re.DOTALL), uses=frozenset({"search"}))

    # A busy machine may hide it once, and a fast one in a short text.
    assert any(is_quadratic(known, text) for _ in range(5) for text in worst_strings(known.pattern, 3 * SIZE))


@pytest.mark.parametrize(
    "pattern", [r"\s{1,9}$", r"<[^<>]*>", r"[a-z]+", r"\bpass\w{0,30}=", rb"&#\d{1,9};", r"(?<!:)/{2,}"]
)
def test_what_does_not_is_not(pattern: str | bytes) -> None:
    known = Known(name="made", pattern=re.compile(pattern), uses=frozenset({"search"}))

    assert not any(is_surely_quadratic(known, text) for text in worst_strings(known.pattern, SIZE))


def test_the_patterns_of_every_room_are_looked_at() -> None:
    assert {known.name.split(".")[1] for known in PATTERNS} >= FOREIGN
