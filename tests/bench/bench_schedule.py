"""A simulated year of polling: what share of all items is seen before they leave their feed, and for how many polls."""

from __future__ import annotations

import argparse
import os
import sys
import time
from bisect import bisect_right
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from tests.bench.simulated_sources import Publisher, publishers
from worker.models import PublishingStats
from worker.schedule.poll_interval import IntervalPolicy, PollObservation, jittered, next_interval, update_stats
from worker.schedule.retry import next_poll_after_failure

ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")
START: Final = datetime(2026, 1, 5, tzinfo=ZONE).astimezone(UTC)
HOUR: Final = timedelta(hours=1)
RHYTHM: Final = IntervalPolicy(
    every=timedelta(minutes=15), min_every=timedelta(minutes=5), max_every=timedelta(hours=12), jitter=0.1
)
FIXED: Final = 0.25
"""The fixed schedule to compare with polls every quarter of an hour."""
_WRONG_BY: Final = timedelta(hours=7)
_RECENT: Final = 25.0
"""Over how many pages the worth of a source is told."""
_BIN: Final = 1 / 12
_BINS: Final = 13 * 12
_COUNTS: Final = ("sources", "items", "seen", "polls", "fixed_seen", "fixed_polls")


@dataclass(slots=True)
class Score:
    """What polling one kind of source came to; `waits` counts seen items by how long they waited, in 5 minutes."""

    sources: int = 0
    items: int = 0
    seen: int = 0
    polls: int = 0
    fixed_seen: int = 0
    fixed_polls: int = 0
    shares: list[float] = field(default_factory=list)
    waits: list[int] = field(default_factory=lambda: [0] * (_BINS + 1))

    def add(self, other: Score) -> None:
        """Count another one in."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.shares += other.shares
        self.waits = [one + more for one, more in zip(self.waits, other.waits, strict=True)]

    def wait(self, share: float) -> float:
        """Return how many minutes that share of the seen items waited at most."""
        counted = np.cumsum(self.waits)
        return float(np.searchsorted(counted, share * counted[-1]) + 1) * _BIN * 60


def simulate(publisher: Publisher, *, days: int, seed: int) -> tuple[str, Score]:
    """Poll one source through the whole time, once as the schedule says and once every quarter of an hour."""
    random = Random(seed)
    score = Score(sources=1, items=len(publisher.items))
    _adaptive(publisher, score, end=days * 24.0, random=random)
    _fixed(publisher, score, end=days * 24.0, phase=random.random() * FIXED)
    score.shares.append(score.seen / max(1, score.items))
    return publisher.rhythm, score


def _adaptive(publisher: Publisher, score: Score, *, end: float, random: Random) -> None:
    """Poll as the schedule says; an item counts as seen where a poll found it in the feed."""
    items = publisher.items.tolist()
    habits, met, at, failures, worth = PublishingStats(), 0, random.random() * FIXED, 0, 1.0
    while at < end:
        score.polls += 1
        now = START + at * HOUR
        if any(first <= at < last for first, last in publisher.down):
            failures += 1
            due = next_poll_after_failure(RHYTHM, now=now, failures=failures, fault="connect", chance=random.random())
            at = (due - START) / HOUR
            continue
        published = bisect_right(items, at)
        fresh = items[max(met, published - publisher.window) : published]
        _count_seen(score, fresh, at)
        sight = _sight(publisher, items, met=met, published=published, now=now, worth=worth)
        worth = _worth(worth, useful=len(fresh), shown=sight.new)
        habits = update_stats(habits, sight, policy=RHYTHM, zone=ZONE)
        met, failures = published, 0
        span = next_interval(habits, now=now, policy=RHYTHM, zone=ZONE)
        at += jittered(span, policy=RHYTHM, chance=random.random()) / HOUR


def _count_seen(score: Score, fresh: list[float], at: float) -> None:
    score.seen += len(fresh)
    if score.polls > 1:
        for item in fresh:
            score.waits[min(_BINS, int((at - item) / _BIN))] += 1


def _sight(
    publisher: Publisher, items: list[float], *, met: int, published: int, now: datetime, worth: float
) -> PollObservation:
    """Return what a poll shows of a feed of which `published` items are out and the first `met` are known."""
    entries = min(published, publisher.window)
    fresh = min(entries, published - met)
    dates: list[datetime] = []
    if publisher.lies:
        dates = [now] * entries
    elif publisher.dated != "none":
        shift = _WRONG_BY if publisher.dated == "wrong" else timedelta(0)
        # What is older than the poll before is of no use to the schedule, but for the first poll.
        first = published - entries if not met else published - fresh
        dates = [START + item * HOUR - shift for item in items[first:published]]
    return PollObservation(
        at=now,
        entries=entries,
        new=entries if publisher.lies else fresh,
        missed=bool(met) and worth >= 0.1 and (publisher.lies or published - met >= publisher.window),
        useful_share=worth,
        dates=dates,
    )


def _worth(worth: float, *, useful: int, shown: int) -> float:
    """Return the share of pages that were worth their fetch, as the harvest of a source would tell it."""
    weight = min(1.0, shown / _RECENT)
    return worth * (1 - weight) + weight * useful / shown if shown else worth


def _fixed(publisher: Publisher, score: Score, *, end: float, phase: float) -> None:
    polls = np.arange(phase, end, FIXED)
    up = np.ones(len(polls), dtype=bool)
    for first, last in publisher.down:
        up &= ~((polls >= first) & (polls < last))
    published = np.searchsorted(publisher.items, polls[up], side="right")
    new = np.diff(published, prepend=0)
    score.fixed_polls += len(polls)
    score.fixed_seen += int(np.minimum(new, publisher.window).sum())


def _table(scores: dict[str, Score]) -> str:
    head = f"{'rhythm':<19}{'sources':>8}{'items':>11}{'seen':>9}{'fixed':>9}{'worst':>8}{'polls a day':>13}"
    lines = [f"{head}{'of fixed':>10}{'wait p50':>10}{'p95':>7}"]
    for name, score in scores.items():
        a_day = score.polls / score.fixed_polls * 24 / FIXED
        lines.append(
            f"{name:<19}{score.sources:>8}{score.items:>11,}{score.seen / score.items:>9.2%}"
            f"{score.fixed_seen / score.items:>9.2%}{min(score.shares):>8.1%}{a_day:>13.1f}"
            f"{score.polls / score.fixed_polls:>10.1%}{score.wait(0.5):>6.0f} min{score.wait(0.95):>7.0f}"
        )
    return "\n".join(lines)


def run(count: int, *, days: int, seed: int, processes: int) -> dict[str, Score]:
    """Simulate so many sources; return the scores by rhythm, and that of all."""
    drawn = publishers(count, days=days, seed=seed)
    scores: dict[str, Score] = {publisher.rhythm: Score() for publisher in drawn} | {"all": Score()}
    with ProcessPoolExecutor(processes) as pool:
        seeds = [seed * 1000 + number for number in range(count)]
        for rhythm, score in pool.map(partial(_one, days=days), drawn, seeds):
            scores[rhythm].add(score)
            scores["all"].add(score)
    return scores


def _one(publisher: Publisher, seed: int, *, days: int) -> tuple[str, Score]:
    return simulate(publisher, days=days, seed=seed)


def main(arguments: list[str]) -> int:
    """Run the simulation and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    scores = run(chosen.sources, days=chosen.days, seed=chosen.seed, processes=chosen.processes)
    total = scores["all"]
    sys.stdout.write(_table(scores) + "\n")
    mean, tenth = np.mean(total.shares), np.percentile(total.shares, 10)
    sys.stdout.write(f"share seen of one source: mean {mean:.2%}, tenth percentile {tenth:.2%}\n")
    sys.stdout.write(f"{chosen.sources} sources, {chosen.days} days, seed {chosen.seed}: {total.polls:,} polls against")
    sys.stdout.write(f" {total.fixed_polls:,}; simulated in {time.perf_counter() - started:.0f} s\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
