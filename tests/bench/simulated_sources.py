"""Made-up sources of every rhythm: when each publishes, how much its feed shows, and what it says of dates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

Hours = NDArray[np.float64]
DAY: Final = 24.0
_BY_DAY: Final = np.array([1, 1, 1, 1, 1, 3, 6, 9, 10, 10, 9, 7, 6, 7, 9, 10, 10, 9, 7, 6, 5, 4, 3, 2], dtype=float)
_FLAT: Final = np.ones(24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """One source: when its items appear (hours since the beginning), and how many of the newest its feed shows.

    `dated` says what its entries say of their dates: `right`, `none` or `wrong`. `lies` says that the address of every
    entry differs at every poll. `down` holds spans in which it does not answer.
    """

    rhythm: str
    items: Hours
    window: int
    dated: str = "right"
    lies: bool = False
    down: tuple[tuple[float, float], ...] = ()


def publishers(count: int, *, days: int, seed: int) -> list[Publisher]:
    """Return so many sources, of every rhythm in turn, each drawn by chance from `seed`."""
    random = np.random.default_rng(seed)
    mix = [name for name, share in _MIX.items() for _ in range(share)]
    names = [mix[number % len(mix)] for number in range(count)]
    return [_RHYTHMS[name](random, days) for name in names]


def _process(random: np.random.Generator, days: int, *, per_day: float, profile: Hours = _BY_DAY) -> Hours:
    """Return the items of a paper: a rate by the hour, weaker at weekends, with a level that drifts from day to day."""
    drift, level = 0.0, np.empty(days)
    for day in range(days):
        drift = 0.85 * drift + random.normal(0, 0.2)
        level[day] = np.exp(drift) * (0.55 if day % 7 >= 5 else 1.0)
    rates = (level[:, None] * (profile / profile.sum()) * per_day).ravel()
    counts = random.poisson(rates)
    starts = np.repeat(np.arange(days * 24, dtype=float), counts)
    return np.sort(starts + random.random(len(starts)))


def _bursts(random: np.random.Generator, days: int, *, every_days: float, size: tuple[int, int], hours: float) -> Hours:
    """Return items that come in bursts, at any time of the day."""
    starts = random.random(random.poisson(days / every_days)) * (days * DAY - hours)
    parts = [start + random.random(random.integers(*size)) * hours * random.uniform(0.5, 1) for start in starts]
    return np.concatenate([*parts, np.empty(0)])


def _dated(random: np.random.Generator) -> str:
    return str(random.choice(["right", "none", "wrong"], p=[0.7, 0.2, 0.1]))


def _steady(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=float(np.exp(random.uniform(np.log(15), np.log(250)))))
    window = int(random.choice([20, 30, 50, 100]))
    return Publisher(rhythm="steady", items=items, window=window, dated=_dated(random))


def _huge(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=random.uniform(500, 1500))
    return Publisher(rhythm="huge", items=items, window=int(random.choice([100, 200])), dated=_dated(random))


def _small_window(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=random.uniform(15, 60))
    return Publisher(rhythm="small window", items=items, window=10, dated=_dated(random))


def _bursty(random: np.random.Generator, days: int) -> Publisher:
    quiet = _process(random, days, per_day=random.uniform(2, 15))
    bursts = _bursts(random, days, every_days=random.uniform(2, 10), size=(10, 40), hours=random.uniform(0.5, 2))
    items, window = np.sort(np.concatenate([quiet, bursts])), int(random.choice([20, 30, 50]))
    return Publisher(rhythm="bursty", items=items, window=window, dated=_dated(random))


def _nightly(random: np.random.Generator, days: int) -> Publisher:
    begins, lasts = random.uniform(0, 4), random.uniform(0.5, 1.5)
    nights = [day * DAY + begins + random.random(random.integers(40, 80)) * lasts for day in range(days)]
    items = np.sort(np.concatenate([*nights, _process(random, days, per_day=3)]))
    return Publisher(rhythm="nightly", items=items, window=50, dated=_dated(random))


def _weekly(random: np.random.Generator, days: int) -> Publisher:
    begins = random.uniform(0, 7 * DAY - 2)
    weeks = [begins + week * 7 * DAY + random.random(random.integers(1, 12)) * 2 for week in range(days // 7)]
    items = np.sort(np.concatenate([*weeks, np.empty(0)]))
    return Publisher(rhythm="weekly", items=items, window=int(random.choice([10, 20])), dated=_dated(random))


def _rare(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=random.uniform(0.1, 2))
    return Publisher(rhythm="rare", items=items, window=int(random.choice([10, 20])), dated=_dated(random))


def _dead_for_a_month(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=random.uniform(20, 120))
    stop = random.uniform(0.2, 0.6) * days * DAY
    alive = (items < stop) | (items > stop + random.uniform(25, 60) * DAY)
    window = int(random.choice([20, 30, 50]))
    return Publisher(rhythm="dead for a month", items=items[alive], window=window, dated=_dated(random))


def _back_from_the_dead(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=random.uniform(20, 120))
    items = items[items > random.uniform(0.3, 0.6) * days * DAY]
    window = int(random.choice([20, 30, 50]))
    return Publisher(rhythm="back from the dead", items=items, window=window, dated=_dated(random))


def _lying(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=random.uniform(5, 30))
    return Publisher(rhythm="lying", items=items, window=int(random.choice([20, 30, 50])), dated="wrong", lies=True)


def _unreliable(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=random.uniform(20, 80))
    starts = np.sort(random.random(days // 5) * days * DAY)
    down = tuple((float(start), float(start + random.exponential(3.0))) for start in starts)
    return Publisher(rhythm="unreliable", items=items, window=50, dated=_dated(random), down=down)


def _all_day(random: np.random.Generator, days: int) -> Publisher:
    items = _process(random, days, per_day=random.uniform(20, 200), profile=_FLAT)
    return Publisher(rhythm="day and night", items=items, window=50, dated=_dated(random))


_RHYTHMS: Mapping[str, Callable[[np.random.Generator, int], Publisher]] = MappingProxyType(
    {
        "steady": _steady,
        "bursty": _bursty,
        "nightly": _nightly,
        "weekly": _weekly,
        "rare": _rare,
        "dead for a month": _dead_for_a_month,
        "back from the dead": _back_from_the_dead,
        "lying": _lying,
        "small window": _small_window,
        "huge": _huge,
        "unreliable": _unreliable,
        "day and night": _all_day,
    }
)
_MIX: Mapping[str, int] = MappingProxyType(
    {
        "steady": 25,
        "bursty": 15,
        "nightly": 8,
        "weekly": 8,
        "rare": 10,
        "dead for a month": 8,
        "back from the dead": 5,
        "lying": 5,
        "small window": 6,
        "huge": 3,
        "unreliable": 4,
        "day and night": 3,
    }
)
"""How many of a hundred sources have each rhythm."""
