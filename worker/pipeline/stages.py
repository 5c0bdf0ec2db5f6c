"""What the flows are put together from, and the counts they keep of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from worker.dedupe import Deduper
from worker.extract.main_text.boilerplate import HostBoilerplateCache
from worker.models import Claim, Outcome, Source, State
from worker.ports import Clock, Detector, Extractor, Fetcher, Ledger, MetricsSink, NullMetrics, Parser, RunInThread
from worker.schedule import IntervalPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Every stage, by the protocol it fits.

    `detect` tells what kind of source a page is (`feed`, `sitemap`, `listing`, `urls`, `article`), `canonicalise` gives
    the identity key of a URL, `chance` a number in 0..1. `meter` counts and times.
    """

    clock: Clock
    offload: RunInThread
    fetcher: Fetcher
    extractor: Extractor
    deduper: Deduper
    ledger: Ledger
    learner: HostBoilerplateCache
    parsers: Mapping[str, Parser]
    detect: Detector
    canonicalise: Callable[[str], str]
    chance: Callable[[], float]
    meter: MetricsSink = field(default_factory=NullMetrics)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Tell the meter how long the block took, also where it raised."""
        started = self.clock.monotonic()
        try:
            yield
        finally:
            self.meter.took(stage, seconds=self.clock.monotonic() - started)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of a run, and what sources are known to be like.

    `in_hand` candidates are worked on at once; a candidate is leased for `lease` and given up after `deadline`, a
    source is leased for `poll_lease` and must be read in that time. `follow` pages are read for one source in one poll,
    input files up to `input_bytes`. `timezones` gives a source's time zone by its name. Articles are
    looked at again at the ages in `recheck`. `sitemaps` gives the configured sitemaps of a host, `since` the time from
    which on a source's articles are wanted.
    """

    rhythm: IntervalPolicy
    in_hand: int
    lease: timedelta
    deadline: timedelta
    poll_lease: timedelta
    follow: int
    input_bytes: int
    timezones: Mapping[str, str] = field(default_factory=dict)
    recheck: tuple[timedelta, ...] = ()
    sitemaps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)


class Observer(Protocol):
    """Is told what happens, to show it."""

    def discovered(self, source: Source, *, new: int) -> None:
        """Note that candidates were added."""
        ...

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Note that the work on one candidate ended."""
        ...


@dataclass(slots=True)
class Tally:
    """The counts of one run."""

    discovered: int = 0
    retrying: int = 0
    outcomes: Counter[State] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> None:
        """Count an outcome; one that will be tried again counts as retrying."""
        if outcome.state is State.PENDING:
            self.retrying += 1
        elif outcome.in_vain:
            self.outcomes[State.UNCHANGED] += 1
        else:
            self.outcomes[outcome.state] += 1

    def record(self) -> dict[str, int]:
        """Return the counts by name, those of states that did not occur left out."""
        return {"discovered": self.discovered, **{state.value: self.outcomes[state] for state in sorted(self.outcomes)}}
