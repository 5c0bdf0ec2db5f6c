"""The parts that the flows are built from (`Stages`, `Limits`, `Observer`), and the counts of a run (`Tally`).

Below them are pure decisions: the outcome of a failed attempt, the feed's text as a fallback, and the hints for
extraction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from worker.dedupe.judge import Deduper
from worker.errors import ExtractError, ExtractorDown, FetchBlocked, FetchError, WorkerError
from worker.extract.main_text.boilerplate import HostBoilerplateCache
from worker.models import Article, Claim, Outcome, Page, Source, State, Text
from worker.models.base import dataclass
from worker.pipeline.filters import ArticleFilter
from worker.ports import (
    Clock,
    Detector,
    Extractor,
    Fetcher,
    Hints,
    Ledger,
    MetricsSink,
    NullMetrics,
    Parser,
    RunInThread,
)
from worker.schedule.poll_interval import IntervalPolicy
from worker.schedule.retry import retry_at
from worker.urls import same_site


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The stages that a flow calls, each behind its protocol.

    `detect` returns the kind of source that a page is (`feed`, `sitemap`, `listing`, `urls`, `article`), `canonicalise`
    the identity key of a URL, and `chance` a random number in 0..1. `learner` remembers the boilerplate of each host,
    and `meter` receives counts and durations.
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
    def measure_time(self, stage: str) -> Iterator[None]:
        """Report the duration of the block to the meter, even if it raises."""
        started = self.clock.monotonic()
        try:
            yield
        finally:
            self.meter.took(stage, seconds=self.clock.monotonic() - started)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a run, and settings of single sources.

    At most `max_in_flight` candidates are worked on at once. A candidate is leased for `lease`, and one attempt ends
    after `deadline`. A source is leased for `poll_lease` and must be read in that time; one poll reads at most
    `max_pages` further pages. Input files may have up to `input_bytes`. Articles are fetched again at the ages in
    `recheck`. By source name, `timezones` has the time zones, and `since` the earliest publication time that is
    wanted; `sitemaps` has the configured sitemaps by host. `filter` keeps articles out, None if there is no rule.
    """

    policy: IntervalPolicy
    max_in_flight: int
    lease: timedelta
    deadline: timedelta
    poll_lease: timedelta
    max_pages: int
    input_bytes: int
    timezones: Mapping[str, str] = field(default_factory=dict)
    recheck: tuple[timedelta, ...] = ()
    sitemaps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    filter: ArticleFilter | None = None


class Observer(Protocol):
    """Receives the events of a run, for example to show progress."""

    def discovered(self, source: Source, *, new: int) -> None:
        """Handle that `new` candidates of a source were added."""
        ...

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Handle that an attempt at one candidate ended with an outcome."""
        ...


@dataclass(slots=True)
class Tally:
    """The counts of one run: candidates discovered, attempts that will be repeated, and final outcomes by state.

    `filled` counts the stored articles that were given fields they lacked.
    """

    discovered: int = 0
    retrying: int = 0
    filled: int = 0
    outcomes: Counter[State] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> None:
        """Count an outcome: a pending one as retrying, a failed recheck as unchanged, any other by its state."""
        self.filled += bool(outcome.filled)
        if outcome.state is State.PENDING:
            self.retrying += 1
        elif outcome.is_failed_recheck:
            self.outcomes[State.UNCHANGED] += 1
        else:
            self.outcomes[outcome.state] += 1

    def record(self) -> dict[str, int]:
        """Return the counts by name, without the states that did not occur."""
        return {"discovered": self.discovered, **{state.value: self.outcomes[state] for state in sorted(self.outcomes)}}


# The outcome of a failed attempt: a later retry, or a final state. Pure.


DEADLINE: Final = "deadline"
"""The reason of an attempt that was cancelled because it took too long."""


def deadline_error(*, after: timedelta) -> FetchError:
    """Return the error of an attempt that was cancelled at its deadline."""
    return FetchError(f"given up after {after.total_seconds():.0f} seconds", reason=DEADLINE, retry=True)


def outcome_of_failure(claim: Claim, error: Exception, *, now: datetime, chance: float) -> Outcome:
    """Return the outcome of a failed attempt: pending with a retry time, or failed for good.

    A fault of the host or of this machine (`ExtractorDown`) never ends the retries. A bug is retried as often as a
    fault of the page.
    """
    if isinstance(error, FetchError):
        retry_after, blameless, last = error.retry_at, error.is_host_fault, not error.retry
    else:
        retry_after, blameless, last = None, isinstance(error, ExtractorDown), False
    at = retry_at(now=now, attempts=claim.attempts, chance=chance, retry_after=retry_after, is_host_fault=blameless)
    if isinstance(error, (FetchError, ExtractorDown)):
        reason, detail = error.reason, str(error)
    else:
        reason, detail = "internal", repr(error)
    state = State.FAILED if last or at is None else State.PENDING
    return Outcome(state=state, reason=reason, detail=detail, retry_at=None if last else at)


# The text that a feed gives along with a link, as a fallback for the page. Pure.


_UNAVAILABLE_FOR_LEGAL_REASONS: Final = 451  # the HTTP status of RFC 7725
_REASONS_WITHOUT_ARTICLE: Final = frozenset({"paywall", "consent", "gone", "moved", "empty"})


def may_use_feed_text(error: WorkerError) -> bool:
    """Return whether the feed's text may replace a page that ended in this error.

    True if the page cannot be fetched or shows something else in place of the article. False if robots.txt, a rights
    signal or the law (status 451, RFC 7725) withholds the page, since its text is then withheld too; and false if the
    article is too short or in another language.
    """
    if isinstance(error, ExtractError):
        return error.reason in _REASONS_WITHOUT_ARTICLE
    if isinstance(error, FetchBlocked) or not isinstance(error, FetchError):
        return False
    return error.status != _UNAVAILABLE_FOR_LEGAL_REASONS


def with_feed_text(article: Article, error: WorkerError) -> Article:
    """Return the article extracted from the feed's text, with a note that says so and the feed as origin of dates."""
    note = f"the text is the feed's own, not the page's: {error}"
    published, modified = ("feed" if at else "" for at in (article.published_at, article.modified_at))
    return replace(article, published_at_from=published, modified_at_from=modified, notes=(*article.notes, note))


class Discovered(Protocol):
    """What discovery knows about a page: a candidate, the claim on one, or a page kept in the store."""

    @property
    def url(self) -> str:
        """The URL to fetch, or that was fetched."""

    @property
    def canonical_url(self) -> str:
        """The canonical URL of the candidate."""

    @property
    def source(self) -> str:
        """The name of the source."""

    @property
    def title(self) -> str | None:
        """The title that the source gave."""

    @property
    def published_at(self) -> datetime | None:
        """The publication time that the source gave."""

    @property
    def modified_at(self) -> datetime | None:
        """The time of the last change that the source gave."""

    @property
    def external_id(self) -> str | None:
        """The id that the source gave."""


def hints_of(known: Discovered, *, timezone: str | None, boilerplate: frozenset[int] = frozenset()) -> Hints:
    """Return what discovery knows about a page as hints for extraction."""
    return Hints(
        url=known.url,
        canonical_url=known.canonical_url,
        source=known.source,
        title=known.title,
        published_at=known.published_at,
        modified_at=known.modified_at,
        external_id=known.external_id,
        timezone=timezone,
        boilerplate=boilerplate,
    )


def hints_for(known: Discovered, content: Page | Text, *, timezone: str | None, boilerplate: frozenset[int]) -> Hints:
    """Return the hints for extracting a page or text that was fetched or kept for a candidate.

    A page that was served by another site is not the one that discovery described.
    """
    hints = hints_of(known, timezone=timezone, boilerplate=boilerplate)
    is_elsewhere = isinstance(content, Page) and not same_site(content.url, content.final_url)
    return hints.address_only() if is_elsewhere else hints
