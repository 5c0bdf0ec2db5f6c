"""The protocols that the flows use: clock, fetcher, extractor, parsers, ledger and metrics.

The flows in `pipeline` and `runs` depend on these protocols only; `worker.app` chooses the classes. Every method of the
store blocks on the database: call it through a `RunInThread`, never on the event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ParamSpec, Protocol, TypeVar

from worker.models import (
    Article,
    BackfillPlace,
    BackfillProgress,
    Candidate,
    Claim,
    Discovery,
    Fingerprint,
    Kind,
    Neighbour,
    Outcome,
    Page,
    Poll,
    Request,
    Source,
    SourceState,
    Text,
    Verdict,
)
from worker.models.base import dataclass

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """Reads the time and sleeps; tests pass a fake clock."""

    def now(self) -> datetime:
        """Return the wall-clock time as an aware datetime in UTC."""

    def monotonic(self) -> float:
        """Return the seconds of a clock that never goes backwards; only differences are meaningful."""

    async def sleep(self, delay: timedelta) -> None:
        """Sleep for `delay`; a zero or negative delay only yields to other tasks."""


class RunInThread(Protocol):
    """Runs a blocking call, such as one of the store, in a thread."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run `call` in a thread and return an awaitable of its result."""


class Fetcher(Protocol):
    """Fetches one URL: obeys robots.txt and rate limits, and refuses private addresses (SSRF)."""

    async def fetch(self, request: Request) -> Page:
        """Return the page (status 200, or 304 where validators were sent).

        Raises FetchBlocked if fetching is forbidden, FetchError for every other failure.
        """

    async def sitemaps(self, url: str) -> Sequence[str]:
        """Return the URLs of the sitemaps listed in the robots.txt of a URL's site; raises FetchError."""

    async def aclose(self) -> None:
        """Close all connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What discovery knows about a page before extraction: from a feed entry, a sitemap or an input file.

    `boilerplate` holds the keys of paragraphs that many pages of the host share, and that belong to no article.
    `is_taken` is true if a person wants the page stored: then no rule rejects it that has any text.
    """

    url: str
    canonical_url: str
    source: str
    title: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    external_id: str | None = None
    timezone: str | None = None
    kind: Kind = Kind.ARTICLE
    boilerplate: frozenset[int] = frozenset()
    is_taken: bool = False

    def address_only(self) -> Hints:
        """Return the hints without metadata: after a redirect to another site the metadata describe another page."""
        return replace(self, title=None, published_at=None, modified_at=None, external_id=None)


class Extractor(Protocol):
    """Turns a page into an article."""

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        """Return the article on a page; raises ExtractError with the reason if the page has none."""

    async def aclose(self) -> None:
        """End the extraction processes."""


class Parser(Protocol):
    """Parses one fetched page of a source into candidates. Pure."""

    def __call__(self, page: Page, source: Source, /, *, now: datetime) -> Discovery:
        """Return the candidates and further pages; raises SourceError if the page is not of the source's kind."""


class Detector(Protocol):
    """Detects which kind of source a page is."""

    def __call__(self, page: Page, /, *, gate: str | None = None) -> str:
        """Return `feed`, `sitemap`, `urls`, `warc`, `listing` or `article`; raises SourceError for anything else.

        `gate` is the result of a trial extraction: the reason why the page has no article, an empty string if it has
        one, None if no extraction was tried.
        """


Judge = Callable[[Sequence[Neighbour]], Verdict]
"""`Deduper.judge` bound to the article being judged; `Ledger.settle` calls it inside its transaction."""


class MetricsSink(Protocol):
    """Receives the measurements of a run. Its methods are cheap and may be called from any thread."""

    def took(self, stage: str, *, seconds: float) -> None:
        """Record the duration of one stage: `fetch`, `extract`, `fingerprint` or `settle`."""

    def fetch_failed(self, reason: str) -> None:
        """Count a failed fetch by its short stable reason (`FetchError.reason`)."""

    def fell_back(self, to: str) -> None:
        """Count an extraction that used a fallback: `library`, `json-ld`, or `fault` (a step failed)."""

    def polled(self, source: str, *, result: str) -> None:
        """Count a finished poll of a source by its result: `ok`, `not-modified` or `failed`."""

    def leases_expired(self, count: int) -> None:
        """Count candidates that were claimed after another worker's lease on them had expired."""

    def lease_lost(self) -> None:
        """Count work that was discarded because this worker's own lease had expired."""

    def notified(self, result: str) -> None:
        """Count a message to a person by its result: `sent` or `failed`."""


class NullMetrics:
    """A `MetricsSink` that discards everything, for runs without status pages."""

    def took(self, stage: str, *, seconds: float) -> None:
        """Count nothing."""

    def fetch_failed(self, reason: str) -> None:
        """Count nothing."""

    def fell_back(self, to: str) -> None:
        """Count nothing."""

    def polled(self, source: str, *, result: str) -> None:
        """Count nothing."""

    def leases_expired(self, count: int) -> None:
        """Count nothing."""

    def lease_lost(self) -> None:
        """Count nothing."""

    def notified(self, result: str) -> None:
        """Count nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotsRecord:
    """The stored robots.txt of one origin.

    `status` is the HTTP status of the latest request, at `checked_at`; None if the site could not be reached. `body` is
    the latest successful copy, fetched at `good_at`.
    """

    origin: str
    checked_at: datetime
    status: int | None
    body: bytes = b""
    good_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostHealth:
    """The state of a host's circuit breaker: consecutive failures, and until when no request is sent."""

    host: str
    failures: int = 0
    closed_until: datetime | None = None


class HostRegistry(Protocol):
    """The state of hosts, shared by all workers on one store: rate limit, circuit breaker, robots.txt, redirects.

    Every method blocks: call it through a `RunInThread`.
    """

    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        """Reserve the host's next request slot and return when it starts, now or later.

        The slot after it starts `delay` later. `instead_of` is the start of a slot that was missed: if no other was
        reserved after it, it is moved to `now` and no further one is reserved.
        """

    def health_of(self, host: str) -> HostHealth:
        """Return the health of a host; a healthy one if nothing is known."""

    def save_health(self, health: HostHealth) -> None:
        """Save the health of a host; the candidates of a paused host are not claimed until `closed_until`."""

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return the robots.txt of an origin (`https://host:port`), None if it was never fetched."""

    def save_robots(self, record: RobotsRecord) -> None:
        """Save a robots.txt. The `origin` of a tdmrep.json is its URL."""

    def redirect_of(self, url: str) -> str | None:
        """Return the target of a URL's permanent redirect, None if none is known."""

    def save_redirect(self, url: str, target: str | None) -> None:
        """Save the target of a permanent redirect; None deletes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which candidates a run works on: those of some sources, those of one batch, or all.

    With `yields_to_live` a run skips a host for up to a minute after a live candidate has come due on it, so that a
    running daemon fetches news before a backfill continues.
    """

    sources: frozenset[str] = frozenset()
    batch: str = ""
    yields_to_live: bool = False


class Ledger(Protocol):
    """The table of candidates, which is both the work queue and the record of every outcome.

    Its methods block; call them through a `RunInThread`. Methods that need a lease do nothing if it was lost.
    """

    def source_state(self, name: str) -> SourceState:
        """Return the stored state of a source; an empty state if it was never polled."""

    def claim_poll(
        self, source: str, *, now: datetime, lease: timedelta, worker: str, only_if_due: bool = True
    ) -> bool:
        """Acquire the exclusive right to poll a source until `record_poll` or the end of the lease.

        Return False if another worker holds it, or if the source is not due.
        """

    def record_poll(self, poll: Poll, candidates: Sequence[Candidate]) -> int:
        """Write a finished poll and its candidates in one transaction; return how many candidates were new."""

    def replan(self, source: str, *, plan: str, due_at: datetime) -> None:
        """Set the due time of a source whose polling rule (`plan`) was changed since its last poll."""

    def enqueue(self, candidates: Sequence[Candidate], *, now: datetime, again: bool = False, batch: str = "") -> int:
        """Add candidates whose canonical URL is not known yet; return how many were new.

        A new address of a known candidate is stored, and tried if no other address gave an article. A known candidate
        becomes pending again if `again` is set, or if its payload differs from the stored one. `batch` labels all of
        them, known ones included, so that a `Scope` can select them.
        """

    def queue_rechecks(self, *, now: datetime, limit: int) -> int:
        """Queue at most `limit` articles whose scheduled recheck is due; return how many."""

    def claim(self, *, now: datetime, lease: timedelta, limit: int, worker: str, scope: Scope = Scope()) -> list[Claim]:
        """Lease due candidates: at most one of each host, and none of a host on which another lease is active."""

    def extend(self, claims: Sequence[Claim], *, until: datetime) -> None:
        """Extend the leases that are still held."""

    def release(self, claims: Sequence[Claim]) -> None:
        """Release claims that were not worked on; they are due again at once."""

    def lease_owners(self) -> frozenset[str]:
        """Return the names of the workers that hold leases, expired ones included."""

    def reclaim(self, workers: Collection[str]) -> int:
        """Release the leases of workers known to be dead; return how many."""

    def is_forgotten(self, url: str) -> bool:
        """Return whether a person had a page or its host removed, so that it must not be fetched."""

    def fallback(self, claim: Claim) -> Text | None:
        """Return the article text from the source's own feed; None if another address is still to be tried."""

    def finish(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        now: datetime,
        page: Page | None = None,
        recheck_at: datetime | None = None,
    ) -> Outcome | None:
        """Write an outcome that stores no article, and keep the page; return None if the lease was lost.

        Return the outcome as written: pending if another address of the candidate is tried next. `recheck_at` schedules
        a recheck, if the outcome allows one.
        """

    def settle(
        self,
        claim: Claim,
        article: Article,
        *,
        fingerprint: Fingerprint,
        judge: Judge,
        now: datetime,
        page: Page | None = None,
        recheck_at: datetime | None = None,
    ) -> Outcome | None:
        """Find neighbours, judge, and write article, index and outcome in one transaction.

        Return the outcome as written; None if the lease was lost.
        """

    def pending(self, *, now: datetime, scope: Scope = Scope()) -> tuple[int, int]:
        """Return how many candidates are pending, and how many of these are due on hosts that are not paused."""

    def has_due(self, *, now: datetime, scope: Scope = Scope()) -> bool:
        """Return whether any candidate is due on a host that is not paused; cheaper than `pending`."""

    def next_due(self, *, now: datetime) -> datetime | None:
        """Return when the earliest claimable candidate is due (possibly in the past); None if none is pending."""


class BackfillRegistry(Protocol):
    """The stored progress of backfills, from which an interrupted backfill resumes.

    A backfill visits places (archive pages, sitemaps, files); each place may add further ones. The methods block; call
    them through a `RunInThread`.
    """

    def state(self, name: str) -> BackfillProgress:
        """Return the progress of a backfill; an empty one if it was never begun."""

    def acquire(self, name: str, *, now: datetime, until: datetime, worker: str) -> bool:
        """Acquire or extend the lease on a backfill; return False if another worker holds it."""

    def release(self, name: str, *, worker: str) -> None:
        """Release the lease on a backfill if this worker holds it."""

    def begin(self, name: str, places: Sequence[tuple[str, str]], *, now: datetime, afresh: bool) -> None:
        """Add the entry points (kind and URL); with `afresh` delete all earlier progress first."""

    def next_place(self, name: str, *, after: int) -> BackfillPlace | None:
        """Return the waiting place with the lowest id greater than `after`; None if there is none."""

    def save_candidates(
        self, name: str, place: BackfillPlace, candidates: Sequence[Candidate], *, batch: str, now: datetime
    ) -> BackfillPlace:
        """Add candidates of a place to the ledger, and save its counts and position, in one transaction.

        The candidates have lower priority than live ones and are labelled with `batch`. Return the place with the new
        candidates counted.
        """

    def close(
        self, name: str, place: BackfillPlace, follow: Sequence[tuple[str, str]], *, digest: str, now: datetime
    ) -> bool:
        """Mark a place as visited and add the places it links to.

        `digest` identifies the content: if an earlier place had the same content, nothing is added and False is
        returned. That ends archives which answer every page number with the same page.
        """

    def fail(self, place: BackfillPlace, error: str, *, for_good: bool, now: datetime) -> None:
        """Record the error of a place; the place keeps waiting for a retry unless the error is permanent."""

    def finish(self, name: str, *, now: datetime) -> None:
        """Record that every place was visited."""
