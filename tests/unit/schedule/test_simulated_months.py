"""Simulated sources of every rhythm, polled for two months: the share of items seen, and the number of polls."""

from __future__ import annotations

import pytest

from tests.bench.bench_schedule import Score, simulate
from tests.bench.simulated_sources import publishers

DAYS = 60
SEEDS = (5, 6)


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    """Scores of simulated sources of each rhythm from two draws, and of all together under `all`."""
    found: dict[str, Score] = {"all": Score()}
    for seed in SEEDS:
        drawn = {publisher.rhythm: publisher for publisher in publishers(100, days=DAYS, seed=seed)}
        for number, publisher in enumerate(drawn.values()):
            rhythm, score = simulate(publisher, days=DAYS, seed=seed * 1000 + number)
            found.setdefault(rhythm, Score()).add(score)
            found["all"].add(score)
    return found


def test_nearly_everything_is_seen_before_it_leaves_its_feed_with_half_the_polls(scores: dict[str, Score]) -> None:
    total = scores["all"]

    assert total.seen >= 0.99 * total.items
    assert total.polls <= 0.5 * total.fixed_polls


@pytest.mark.parametrize(
    "rhythm", ["steady", "nightly", "rare", "dead for a month", "small window", "huge", "unreliable", "day and night"]
)
def test_no_rhythm_is_neglected(scores: dict[str, Score], rhythm: str) -> None:
    assert scores[rhythm].seen >= 0.98 * scores[rhythm].items


@pytest.mark.parametrize(("rhythm", "most"), [("rare", 8), ("weekly", 12), ("lying", 40), ("back from the dead", 40)])
def test_few_polls_are_spent_where_little_comes(scores: dict[str, Score], rhythm: str, most: float) -> None:
    a_day = scores[rhythm].polls / scores[rhythm].fixed_polls * 96

    assert a_day <= most


def test_what_is_seen_has_not_waited_long(scores: dict[str, Score]) -> None:
    assert scores["all"].wait(0.5) <= 30
