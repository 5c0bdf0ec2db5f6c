"""Which words of a text belong to the story, and which are boilerplate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tests.unit.dedupe.factories import prose
from worker.dedupe.prepared import PreparedText, prepare
from worker.dedupe.similarity import coverage_of, unmarked_runs, unmatched_passages

STORY = prose(1)
ON_TOPIC = " ".join(" ".join(line.split()[3:7]) for line in STORY[:8])
TEASERS = [" ".join(prose(seed, sentences=1, words=9)) for seed in range(300, 306)]


def strange_lines(lines: list[str]) -> list[str]:
    """Return the lines that are boilerplate; the last two lines of the text are from the other text."""
    side, other = prepare("\n".join([*lines, *STORY[-2:]])), prepare("\n".join(STORY))
    matched = np.arange(len(side.words)) >= len(side.words) - 36
    story = coverage_of(side, matched, other, trim=True).story
    return [line for line, words in _by_line(side) if not story[words].any()]


def _by_line(side: PreparedText) -> list[tuple[str, slice]]:
    starts = [*np.flatnonzero(side.line_starts).tolist(), len(side.words)]
    cuts = [slice(start, stop) for start, stop in pairwise(starts)]
    return list(zip(side.words.text.split("\n"), cuts, strict=True))


def test_a_passage_on_the_topic_is_story_and_one_on_another_topic_is_not() -> None:
    assert strange_lines([ON_TOPIC]) == []
    assert strange_lines([" ".join(TEASERS)]) == [" ".join(TEASERS)]


def test_teasers_above_and_below_a_passage_on_the_topic_are_boilerplate() -> None:
    assert strange_lines([*TEASERS[:3], ON_TOPIC, *TEASERS[3:]]) == TEASERS


def test_a_short_unknown_line_is_boilerplate_and_a_few_unknown_words_in_a_line_are_not() -> None:
    assert strange_lines([TEASERS[0]]) == [TEASERS[0]]
    assert strange_lines([f"{TEASERS[0]} {STORY[0]}"]) == []


def test_single_marked_words_do_not_split_a_passage_and_short_gaps_are_no_passages() -> None:
    marks = np.array([True] * 3 + [False] * 6 + [True] + [False] * 4 + [True] * 5 + [False] * 2)

    assert unmarked_runs(marks) == [(3, 9), (10, 14), (19, 21)]
    assert list(unmatched_passages(marks)) == [(3, 14)]
