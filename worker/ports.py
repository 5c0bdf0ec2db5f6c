"""What the flows need of each stage and of the store, as protocols; concrete classes are named in `app` alone.

Everything of the store blocks: call it through `Offload`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
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

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """Tells the time and sleeps; the only way to do either."""

    def now(self) -> datetime:
        """Return the wall-clock time, in UTC and aware."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""

    async def sleep(self, delay: timedelta) -> None:
        """Wait; a zero or negative delay only yields."""


class RunInThread(Protocol):
    """Runs a blocking call (the store's) off the event loop."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Return an awaitable of what `call` returns."""


class Fetcher(Protocol):
    """Fetches one URL politely and safely."""

    async def fetch(self, request: Request) -> Page:
        """Return the page (status 200, or 304 where validators were sent).

        Raises FetchBlocked where fetching is forbidden, FetchError for everything else that gives no page.
        """

    async def sitemaps(self, url: str) -> Sequence[str]:
        """Return the sitemaps that the robots.txt of a URL's site names; raises FetchError."""

    async def aclose(self) -> None:
        """Close what is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What discovery already knows about a page, for the extractor.

    `boilerplate` are keys of paragraphs that the host is known to set into its articles.
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

    def address_only(self) -> Hints:
        """Return what is left where another site served the page: what was said of it was said of another page."""
        return replace(self, title=None, published_at=None, modified_at=None, external_id=None)


class Extractor(Protocol):
    """Turns a page into an article."""

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        """Return the article; raises ExtractError with the reason where the page holds none."""

    async def aclose(self) -> None:
        """End the worker processes."""


class Parser(Protocol):
    """Reads one fetched page of a source: bytes to candidates, pure."""

    def __call__(self, page: Page, source: Source, /, *, now: datetime) -> Discovery:
        """Return what the page points at; raises SourceError where it is not what the source says it is."""


class Detector(Protocol):
    """Tells what kind of source a page is."""

    def __call__(self, page: Page, /, *, gate: str | None = None) -> str:
        """Return `feed`, `sitemap`, `urls`, `warc`, `listing` or `article`; raises SourceError for anything else.

        `gate` is why extraction found no article on the page, empty where it found one, None where it was not asked.
        """


Judge = Callable[[Sequence[Neighbour]], Verdict]
"""`Deduper.judge` with the newcomer already bound: what `settle` calls inside its transaction."""


class MetricsSink(Protocol):
    """Is told what happened, to count it. Cheap, and may be called from any thread."""

    def took(self, stage: str, *, seconds: float) -> None:
        """Note how long one piece of work took: `fetch`, `extract`, `fingerprint` or `settle`."""

    def fetch_failed(self, reason: str) -> None:
        """Note a fetch that gave no page, by its short stable reason."""

    def fell_back(self, to: str) -> None:
        """Note what stood in for a part of our reading of a page: `library`, `json-ld`, `fault` (a step failed)."""

    def polled(self, source: str, *, result: str) -> None:
        """Note the end of a poll: `ok`, `not-modified` or `failed`."""

    def leases_expired(self, count: int) -> None:
        """Note candidates that were claimed after somebody else's lease on them had run out."""

    def lease_lost(self) -> None:
        """Note work of ours that came to nothing because its lease had run out."""


class NullMetrics:
    """Counts nothing."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotsRecord:
    """A site's robots.txt as last seen; `status` is None where the site could not be reached.

    `body` is the last good copy, fetched at `good_at`; `checked_at` is when it was last asked for.
    """

    origin: str
    checked_at: datetime
    status: int | None
    body: bytes = b""
    good_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostHealth:
    """How a host has been answering: consecutive failures, and until when it is left alone."""

    host: str
    failures: int = 0
    closed_until: datetime | None = None


class HostRegistry(Protocol):
    """What is remembered of hosts, shared by every worker on one store. Blocking: call it through Offload."""

    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        """Take the host's next turn and return when it starts, now or later; the turn after it is `delay` later.

        A turn that was missed is named with `instead_of`: where nobody has taken one after it, it moves to `now`.
        """

    def standing(self, host: str) -> HostHealth:
        """Return how the host has been answering."""

    def note(self, standing: HostHealth) -> None:
        """Remember how the host has been answering; candidates of a closed host are not claimed until it opens."""

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return what is known of the robots.txt of an origin (`https://host:port`)."""

    def keep_robots(self, record: RobotsRecord) -> None:
        """Remember a robots.txt."""

    def moved(self, url: str) -> str | None:
        """Return where a URL has moved for good, as far as is known."""

    def keep_moved(self, url: str, target: str | None) -> None:
        """Remember where a URL has moved for good; None: forget it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which candidates a run works on: those of some sources, those of one batch, or all.

    A run that `gives_way` leaves a host alone for a minute where news has come due: whoever works on that is first.
    """

    sources: frozenset[str] = frozenset()
    batch: str = ""
    yields_to_live: bool = False


class Ledger(Protocol):
    """The candidate table: queue, ledger and status page at once. Blocking: call it through Offload."""

    def source_state(self, name: str) -> SourceState:
        """Return what is remembered of a source; an empty state for one never polled."""

    def lead_poll(self, source: str, *, now: datetime, lease: timedelta, worker: str, only_if_due: bool = True) -> bool:
        """Make this worker the one that polls a source until `record_poll` or the end of the lease.

        False where another worker leads, or where the source is not due.
        """

    def record_poll(self, poll: Poll, candidates: Sequence[Candidate]) -> int:
        """Write the end of a poll, its validators and its candidates in one transaction; return how many were new."""

    def replan(self, source: str, *, plan: str, due_at: datetime) -> None:
        """Give a source another due time, by a rule that was changed since its last poll."""

    def enqueue(self, candidates: Sequence[Candidate], *, now: datetime, again: bool = False, batch: str = "") -> int:
        """Add candidates that are not known yet (by canonical URL); return how many were new.

        Of a known one, an address that is new is kept, and tried if no other gave an article.
        A known one becomes pending and due again if `again` is set, or if its payload differs from the one it had.
        `batch` marks all of them, known ones included, for a `Scope`.
        """

    def queue_rechecks(self, *, now: datetime, limit: int) -> int:
        """Queue articles that have reached the age at which they are looked at again; return how many."""

    def claim(self, *, now: datetime, lease: timedelta, limit: int, worker: str, scope: Scope = Scope()) -> list[Claim]:
        """Lease due candidates: at most one for each host, none of a host that another live lease is on."""

    def extend(self, claims: Sequence[Claim], *, until: datetime) -> None:
        """Prolong leases that are still held."""

    def release(self, claims: Sequence[Claim]) -> None:
        """Give back claims that were not worked on; they are due again at once."""

    def lease_owners(self) -> frozenset[str]:
        """Return the names of the workers that hold leases."""

    def reclaim(self, workers: Collection[str]) -> int:
        """Free the leases of workers known to be dead; return how many."""

    def fallback(self, claim: Claim) -> Text | None:
        """Return the text that the publisher gave along with the link; None where another address is left to try."""

    def finish(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        now: datetime,
        page: Page | None = None,
        recheck_at: datetime | None = None,
    ) -> Outcome | None:
        """Write an outcome that stores no article, and keep the page; None where the lease was lost meanwhile.

        Returns the outcome that holds: pending where another address of the candidate is tried next.
        `look_at` is when the page is looked at again, if the outcome is one that allows it.
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
        """Find neighbours, judge, write article, index and outcome in one transaction; None if the lease was lost."""

    def pending(self, *, now: datetime, scope: Scope = Scope()) -> tuple[int, int]:
        """Return how many candidates are pending, and how many of them are due on hosts that are not closed."""

    def has_due(self, *, now: datetime, scope: Scope = Scope()) -> bool:
        """Tell whether anything is due on a host that is not closed: quicker than counting."""

    def next_due(self, *, now: datetime) -> datetime | None:
        """Return when the earliest claimable candidate comes due (may be past), None if nothing is pending."""


class BackfillRegistry(Protocol):
    """How far each backfill has come, kept so that any end is a pause. Blocking: call it through Offload."""

    def state(self, name: str) -> BackfillProgress:
        """Return how far a backfill has come; an empty state for one never begun."""

    def lead(self, name: str, *, now: datetime, until: datetime, worker: str) -> bool:
        """Make this worker the one that is at a backfill; False where another is."""

    def leave(self, name: str, *, worker: str) -> None:
        """Let another worker go on, if this one is still at it."""

    def begin(self, name: str, places: Sequence[tuple[str, str]], *, now: datetime, afresh: bool) -> None:
        """Note the places (kind and URL) to begin with, forgetting `afresh` all that was looked at before."""

    def next_place(self, name: str, *, after: int) -> BackfillPlace | None:
        """Return the first place that waits behind the one with this id."""

    def take(
        self, name: str, place: BackfillPlace, candidates: Sequence[Candidate], *, batch: str, now: datetime
    ) -> BackfillPlace:
        """Write candidates of a place into the ledger, with its counts and position, in one transaction.

        They wait behind all news of their hosts, marked with `batch`. Returns the place with the new ones counted.
        """

    def close(
        self, name: str, place: BackfillPlace, follow: Sequence[tuple[str, str]], *, digest: str, now: datetime
    ) -> bool:
        """End the look at a place and note those it leads to; where another gave the very same, it leads nowhere."""

    def fail(self, place: BackfillPlace, error: str, *, for_good: bool, now: datetime) -> None:
        """Note what went wrong at a place; it goes on waiting unless that is `for_good`."""

    def finish(self, name: str, *, now: datetime) -> None:
        """Note that everything was looked at."""
