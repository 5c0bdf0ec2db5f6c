"""What the flows need of each stage, as protocols; concrete classes are named in `app` alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from worker.models import (
    Article,
    Books,
    Candidate,
    CandidateRecord,
    Claim,
    Discovery,
    DuplicateLink,
    Fingerprint,
    Kind,
    Neighbour,
    Outcome,
    Page,
    Poll,
    Request,
    Seed,
    Source,
    SourceState,
    StoredArticle,
    Text,
    Verdict,
)

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """Tells the time and sleeps; the only way to do either."""

    def now(self) -> datetime:
        """Return the wall-clock time, in UTC and aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    async def sleep(self, delay: timedelta) -> None:
        """Wait; a zero or negative delay only yields."""
        ...


class Offload(Protocol):
    """Runs a blocking call (the store's) off the event loop."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Return an awaitable of what `call` returns."""
        ...


class Fetcher(Protocol):
    """Fetches one URL politely and safely."""

    async def fetch(self, request: Request) -> Page:
        """Return the page (status 200, or 304 where validators were sent).

        Raises FetchBlocked where fetching is forbidden, FetchError for everything else that gives no page.
        """
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What discovery already knows about a page, for the extractor."""

    url: str
    canonical_url: str
    source: str
    title: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    external_id: str | None = None
    timezone: str | None = None
    kind: Kind = Kind.ARTICLE


class Extractor(Protocol):
    """Turns a page into an article."""

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        """Return the article; raises ExtractError with the reason where the page holds none."""
        ...

    async def aclose(self) -> None:
        """End the worker processes."""
        ...


class InputReader(Protocol):
    """Reads a file or folder of input on this machine."""

    def __call__(self, path: Path, *, source: str, now: datetime, max_bytes: int) -> Iterator[Discovery]:
        """Yield what is in it, in small batches; raises SourceError where nothing can be read."""
        ...


class Parser(Protocol):
    """Reads one fetched page of a source: bytes to candidates, pure."""

    def __call__(self, page: Page, source: Source, *, now: datetime) -> Discovery:
        """Return what the page points at; raises SourceError where it is not what the source says it is."""
        ...


class Deduper(Protocol):
    """Decides what is a copy; pure."""

    def fingerprint(self, article: Article) -> Fingerprint:
        """Return what the index keeps of an article."""
        ...

    def judge(self, article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
        """Return what the article is, given stored articles that share index keys with it."""
        ...


Judge = Callable[[Sequence[Neighbour]], Verdict]
"""`Deduper.judge` with the newcomer already bound: what `settle` calls inside its transaction."""


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
class HostStanding:
    """How a host has been answering: consecutive failures, and until when it is left alone."""

    host: str
    failures: int = 0
    closed_until: datetime | None = None


class HostBook(Protocol):
    """What is remembered of hosts, shared by every worker on one store. Blocking: call it through Offload."""

    def reserve(self, host: str, *, now: datetime, delay: timedelta) -> datetime:
        """Take the host's next turn and return when it starts, now or later; the turn after it is `delay` later."""
        ...

    def standing(self, host: str) -> HostStanding:
        """Return how the host has been answering."""
        ...

    def note(self, standing: HostStanding) -> None:
        """Remember how the host has been answering; candidates of a closed host are not claimed until it opens."""
        ...

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return what is known of the robots.txt of an origin (`https://host:port`)."""
        ...

    def keep_robots(self, record: RobotsRecord) -> None:
        """Remember a robots.txt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which candidates a run works on: those of some sources, those of one batch, or all."""

    sources: frozenset[str] = frozenset()
    batch: str = ""


class Ledger(Protocol):
    """The candidate table: queue, ledger and status page at once. Blocking: call it through Offload."""

    def source_state(self, name: str) -> SourceState:
        """Return what is remembered of a source; an empty state for one never polled."""
        ...

    def record_poll(self, poll: Poll, candidates: Sequence[Candidate]) -> int:
        """Write the end of a poll, its validators and its candidates in one transaction; return how many were new."""
        ...

    def enqueue(self, candidates: Sequence[Candidate], *, now: datetime, again: bool = False, batch: str = "") -> int:
        """Add candidates that are not known yet (by canonical URL); return how many were new.

        A known one becomes pending and due again if `again` is set, or if its payload differs from the one it had.
        `batch` marks all of them, known ones included, for a `Scope`.
        """
        ...

    def claim(self, *, now: datetime, lease: timedelta, limit: int, worker: str, scope: Scope = Scope()) -> list[Claim]:
        """Lease due candidates: at most one for each host, none of a host that another live lease is on."""
        ...

    def extend(self, claims: Sequence[Claim], *, until: datetime) -> None:
        """Prolong leases that are still held."""
        ...

    def release(self, claims: Sequence[Claim]) -> None:
        """Give back claims that were not worked on; they are due again at once."""
        ...

    def finish(self, claim: Claim, outcome: Outcome, *, now: datetime, page: Page | None = None) -> bool:
        """Write an outcome that stores no article, and keep the page; False where the lease was lost meanwhile."""
        ...

    def settle(
        self,
        claim: Claim,
        article: Article,
        *,
        fingerprint: Fingerprint,
        judge: Judge,
        now: datetime,
        page: Page | None = None,
    ) -> Outcome | None:
        """Find neighbours, judge, write article, index and outcome in one transaction; None if the lease was lost."""
        ...

    def pending(self, *, now: datetime, scope: Scope = Scope()) -> tuple[int, int]:
        """Return how many candidates are pending, and how many of them are due on hosts that are not closed."""
        ...

    def next_due(self, *, now: datetime) -> datetime | None:
        """Return when the earliest claimable candidate comes due (may be past), None if nothing is pending."""
        ...


class SeedShelf(Protocol):
    """The seed corpus inside the store. Blocking: call it through Offload."""

    def has_seed(self, seed: Seed) -> bool:
        """Return whether this file, with these bytes, was imported before."""
        ...

    def add_seed(self, seed: Seed, article: Article, *, fingerprint: Fingerprint, judge: Judge, now: datetime) -> int:
        """Store a seed, its raw file and its index rows in one transaction; return its article id."""
        ...


class Reader(Protocol):
    """Read-only views for people and exports. Blocking."""

    def heads(self) -> Iterator[StoredArticle]:
        """Yield the one text of each cluster, ordered by id, in bounded memory."""
        ...

    def duplicates(self, *, links_that_keep_both: bool = False) -> Iterator[DuplicateLink]:
        """Yield recognised copies, ordered by id; with the flag also followups and templates."""
        ...

    def article(self, article_id: int) -> StoredArticle | None:
        """Return one article."""
        ...

    def candidate(self, url_or_id: str) -> CandidateRecord | None:
        """Find a candidate by URL, canonical URL, or the id of one of its articles."""
        ...

    def neighbours(self, article: Article, fingerprint: Fingerprint) -> list[Neighbour]:
        """Return the stored articles a newcomer would be judged against."""
        ...

    def verdicts(self, article_id: int) -> tuple[tuple[datetime, Verdict], ...]:
        """Return the decisions made about an article, oldest first."""
        ...

    def sources(self) -> tuple[SourceState, ...]:
        """Return every source ever polled."""
        ...

    def counts(self) -> Books:
        """Count everything, and check nothing: quick."""
        ...

    def audit(self) -> Books:
        """Count everything, and check that every row has its partners."""
        ...
