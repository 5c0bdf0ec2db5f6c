"""Says in words what spoke for and against two texts being one item: the largest parts of the model's sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

_MOST = 3
_LEAST = 0.05


def _count(value: float) -> int:
    return round(math.expm1(value))


def _together(value: float) -> str:
    if value <= 0.0:
        return "not known to have been published within two days"
    return "published within a day" if value >= 1.0 else "published within two days"


_Say = Callable[[float], str]

_WORDS: Final[Mapping[str, tuple[_Say, _Say]]] = MappingProxyType(
    {
        "both_have_passages": (
            lambda _: "one of them has no long passages of its own",
            lambda _: "each has passages of its own",
        ),
        "longest_passage": (
            lambda value: f"the shorter text's longest passage of its own has {_count(value)} words",
            lambda value: f"the shorter text has a passage of {_count(value)} words of its own",
        ),
        "word_pairs": (
            lambda value: f"the longer text has {value:.0%} of the shorter one's word pairs",
            lambda value: f"the longer text has only {value:.0%} of the shorter one's word pairs",
        ),
        "own_facts": (
            lambda value: f"only {_count(value)} numbers and names stand in the shorter text alone",
            lambda value: f"{_count(value)} numbers and names stand in the shorter text alone",
        ),
        "edits": (
            lambda value: f"edited at {value:.1%} of the words",
            lambda value: f"edited at {value:.1%} of the words",
        ),
        "single_word_edits": (
            lambda value: f"single words exchanged all over, {value:.1%} of them",
            lambda _: "few single words exchanged",
        ),
        "clash_rate": (
            lambda _: "next to no numbers against other numbers",
            lambda value: f"numbers against other numbers, {value:.1f} in a hundred words",
        ),
        "clash_share": (
            lambda _: "few of the differences are other numbers",
            lambda _: "many of the differences are other numbers",
        ),
        "renamed": (
            lambda _: "no other names or numbers in the places of those that the titles speak of",
            lambda _: "another name or number in the place of the one that the title speaks of",
        ),
        "title": (
            lambda value: f"the titles share {value:.0%} of their words",
            lambda value: f"the titles share {value:.0%} of their words",
        ),
        "other_title_and_passages": (
            lambda _: "hardly a passage of its own under another title",
            lambda _: "another title, and passages that go with it",
        ),
        "numbers_in_like_titles": (
            lambda _: "no other numbers in titles worded alike",
            lambda _: "titles worded alike give other numbers",
        ),
        "together": (_together, _together),
        "brief_and_days": (
            lambda _: "no brief notices of different days",
            lambda _: "brief, and of another day",
        ),
        "own_dates": (
            lambda _: "one of them names no date that the other does not",
            lambda value: f"each names {value:.0f} or more dates that the other does not",
        ),
        "containment": (
            lambda value: f"{value:.0%} of the shorter text's runs of five words stand in the longer",
            lambda value: f"only {value:.0%} of the shorter text's runs of five words stand in the longer",
        ),
        "vocabulary": (
            lambda value: f"{value:.0%} of the words of one are known to the other",
            lambda value: f"only {value:.0%} of the words of one are known to the other",
        ),
        "length": (
            lambda value: f"the shorter text has {_count(value)} words",
            lambda value: f"the shorter text has {_count(value)} words",
        ),
        "ratio": (
            lambda value: f"the shorter text is {value:.0%} as long as the longer",
            lambda value: f"the shorter text is {value:.0%} as long as the longer",
        ),
    }
)


def reasons(values: Mapping[str, float], parts: Mapping[str, float]) -> tuple[str, ...]:
    """Return the strongest reasons for one item, then those against, each with what it added to the sum."""
    order = sorted(parts, key=lambda name: (-abs(parts[name]), name))
    pro = [name for name in order if parts[name] >= _LEAST][:_MOST]
    con = [name for name in order if parts[name] <= -_LEAST][:_MOST]
    return (
        *(f"for: {_WORDS[name][0](values[name])} ({parts[name]:+.1f})" for name in pro),
        *(f"against: {_WORDS[name][1](values[name])} ({parts[name]:+.1f})" for name in con),
    )


def has_words(name: str) -> bool:
    """Say whether a feature can be put into words."""
    return name in _WORDS
