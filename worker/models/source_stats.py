"""What is remembered of how a source behaves: when it publishes, and what its articles are like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingStats:
    """How a source publishes, learned poll by poll; every sum decays, so that what is long past counts less.

    `items` and `hours` hold, for each hour of the day in the source's time zone, how many items came then and for how
    long it was watched. `recent` and `expected` set what came lately against what these hours had promised. `window` is
    how many entries the source showed last, `half_window` the shortest time in which so many new items came as fill
    half of it. `silence` is the longest time without anything new, `arrivals` the number of polls that brought
    something, `empty` how many polls in a row found no entry at all. `read_at` is when all of it was last read: before
    that nothing is owed. Of a source with more pages than one poll reads, `stopped_at` is the page to go on at, and
    `round_began` when the first of the round was read, None where a part of it failed.
    """

    looked_at: datetime | None = None
    items: tuple[float, ...] = ()
    hours: tuple[float, ...] = ()
    recent: float = 0.0
    expected: float = 0.0
    window: int = 0
    half_window: timedelta | None = None
    new_at: datetime | None = None
    silence: timedelta = timedelta(0)
    arrivals: int = 0
    empty: int = 0
    read_at: datetime | None = None
    stopped_at: str = ""
    round_began: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecayingSums:
    """Decaying sums over what became of a source's pages: `outcomes` in all, those that were `useful` or `rejected`.

    Over its articles: how many (`articles`), the sums of `length` (the logarithm of the number of words) and of its
    square, and how many had no title, no author, no date, a date that cannot be, or another language than is usual.
    """

    outcomes: float = 0.0
    useful: float = 0.0
    rejected: float = 0.0
    articles: float = 0.0
    length: float = 0.0
    length_squares: float = 0.0
    untitled: float = 0.0
    unsigned: float = 0.0
    undated: float = 0.0
    misdated: float = 0.0
    foreign: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeStats:
    """What became of a source's pages: over a long time (`usual`), and lately (`recent`, which is part of it).

    `language` is the usual language of its articles, `votes` how far it is ahead.
    """

    usual: DecayingSums = DecayingSums()
    recent: DecayingSums = DecayingSums()
    language: str = ""
    votes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A warning about a source: `what` in one word, since when, and a sentence with the figures."""

    what: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PollHistory:
    """What polls have taught about a source.

    `plan` is the rule its next poll was set by; `fault` is why it fails, in one word, since `failing_since`. `gaps`
    counts the polls that shared no entry with the one before, the last at `gap_at`. `entries` are 64-bit keys of what
    the last poll showed.
    """

    plan: str = ""
    failing_since: datetime | None = None
    fault: str = ""
    gaps: int = 0
    gap_at: datetime | None = None
    habits: PublishingStats = PublishingStats()
    alarms: tuple[Alarm, ...] = ()
    entries: tuple[int, ...] = ()
