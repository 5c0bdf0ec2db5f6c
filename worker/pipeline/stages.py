"""What the flows are put together from, and the counts they keep of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from worker.dedupe.judge import Deduper
from worker.errors import ExtractError, ExtractorDown, FetchBlocked, FetchError, WorkerError
from worker.extract.main_text.boilerplate import HostBoilerplateCache
from worker.models import Article, Claim, Outcome, Source, State
from worker.ports import Clock, Detector, Extractor, Fetcher, Ledger, MetricsSink, NullMetrics, Parser, RunInThread
from worker.schedule.poll_interval import IntervalPolicy
from worker.schedule.retry import retry_at


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
        elif outcome.is_failed_recheck:
            self.outcomes[State.UNCHANGED] += 1
        else:
            self.outcomes[outcome.state] += 1

    def record(self) -> dict[str, int]:
        """Return the counts by name, those of states that did not occur left out."""
        return {"discovered": self.discovered, **{state.value: self.outcomes[state] for state in sorted(self.outcomes)}}


# What comes after a try that failed: another one later, or the end; pure.


DEADLINE: Final = "deadline"
"""The reason of a try that was broken off because it took too long."""


def deadline_error(*, after: timedelta) -> FetchError:
    """Return the error of a try that was broken off."""
    return FetchError(f"given up after {after.total_seconds():.0f} seconds", reason=DEADLINE, retry=True)


def outcome_of_failure(claim: Claim, error: Exception, *, now: datetime, chance: float) -> Outcome:
    """Return the outcome of a try that ended in an error: pending where there is a next one.

    No page is given up for the fault of its host, or of this machine (`ExtractorDown`); a bug is tried again.
    """
    if isinstance(error, FetchError):
        wish, blameless, last = error.retry_at, error.is_host_fault, not error.retry
    else:
        wish, blameless, last = None, isinstance(error, ExtractorDown), False
    at = retry_at(now=now, attempts=claim.attempts, chance=chance, wish=wish, is_host_fault=blameless)
    if isinstance(error, (FetchError, ExtractorDown)):
        reason, detail = error.reason, str(error)
    else:
        reason, detail = "internal", repr(error)
    state = State.FAILED if last or at is None else State.PENDING
    return Outcome(state=state, reason=reason, detail=detail, retry_at=None if last else at)


# When the text that a source gave along with a link may stand in for the page; pure.


_UNAVAILABLE_FOR_LEGAL_REASONS: Final = 451
_REASONS_WITHOUT_ARTICLE: Final = frozenset({"paywall", "consent", "gone", "moved", "empty"})


def may_use_feed_text(error: WorkerError) -> bool:
    """Tell whether a page that ended in this error may be stood in for.

    Where the page cannot be had, or shows something else in the article's place, the publisher's own words from the
    feed are what is left of it. Where robots.txt, a rights signal or the law (status 451, RFC 7725) keeps the page
    back, its text is kept back too; and what is too short or in another language stays so.
    """
    if isinstance(error, ExtractError):
        return error.reason in _REASONS_WITHOUT_ARTICLE
    if isinstance(error, FetchBlocked) or not isinstance(error, FetchError):
        return False
    return error.status != _UNAVAILABLE_FOR_LEGAL_REASONS


def with_feed_text(article: Article, error: WorkerError) -> Article:
    """Return an article made of the source's own text, saying so."""
    note = f"the text is the feed's own, not the page's: {error}"
    published, modified = ("feed" if at else "" for at in (article.published_at, article.modified_at))
    return replace(article, published_at_from=published, modified_at_from=modified, notes=(*article.notes, note))
