"""What the flows need of the store. Everything here blocks: call it through `Offload`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from worker.models import (
    Article,
    Books,
    Candidate,
    CandidateRecord,
    Claim,
    DuplicateLink,
    Fingerprint,
    Neighbour,
    Outcome,
    Page,
    Poll,
    Seed,
    SourceState,
    StoredArticle,
    Text,
    Verdict,
)
from worker.ports.stages import Judge


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

    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        """Take the host's next turn and return when it starts, now or later; the turn after it is `delay` later.

        A turn that was missed is named with `instead_of`: where nobody has taken one after it, it moves to `now`.
        """
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

    def moved(self, url: str) -> str | None:
        """Return where a URL has moved for good, as far as is known."""
        ...

    def keep_moved(self, url: str, target: str | None) -> None:
        """Remember where a URL has moved for good; None: forget it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which candidates a run works on: those of some sources, those of one batch, or all.

    A run that `gives_way` leaves a host alone for a minute where news has come due: whoever works on that is first.
    """

    sources: frozenset[str] = frozenset()
    batch: str = ""
    gives_way: bool = False


class Ledger(Protocol):
    """The candidate table: queue, ledger and status page at once. Blocking: call it through Offload."""

    def source_state(self, name: str) -> SourceState:
        """Return what is remembered of a source; an empty state for one never polled."""
        ...

    def lead_poll(self, source: str, *, now: datetime, lease: timedelta, worker: str, only_if_due: bool = True) -> bool:
        """Make this worker the one that polls a source until `record_poll` or the end of the lease.

        False where another worker leads, or where the source is not due.
        """
        ...

    def record_poll(self, poll: Poll, candidates: Sequence[Candidate]) -> int:
        """Write the end of a poll, its validators and its candidates in one transaction; return how many were new."""
        ...

    def replan(self, source: str, *, plan: str, due_at: datetime) -> None:
        """Give a source another due time, by a rule that was changed since its last poll."""
        ...

    def enqueue(self, candidates: Sequence[Candidate], *, now: datetime, again: bool = False, batch: str = "") -> int:
        """Add candidates that are not known yet (by canonical URL); return how many were new.

        Of a known one, an address that is new is kept, and tried if no other gave an article.
        A known one becomes pending and due again if `again` is set, or if its payload differs from the one it had.
        `batch` marks all of them, known ones included, for a `Scope`.
        """
        ...

    def look_again(self, *, now: datetime, limit: int) -> int:
        """Queue articles that have reached the age at which they are looked at again; return how many."""
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

    def holders(self) -> frozenset[str]:
        """Return the names of the workers that hold leases."""
        ...

    def take_over(self, workers: Collection[str]) -> int:
        """Free the leases of workers known to be dead; return how many."""
        ...

    def fallback(self, claim: Claim) -> Text | None:
        """Return the text that the publisher gave along with the link; None where another address is left to try."""
        ...

    def finish(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        now: datetime,
        page: Page | None = None,
        look_at: datetime | None = None,
    ) -> Outcome | None:
        """Write an outcome that stores no article, and keep the page; None where the lease was lost meanwhile.

        Returns the outcome that holds: pending where another address of the candidate is tried next.
        `look_at` is when the page is looked at again, if the outcome is one that allows it.
        """
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
        look_at: datetime | None = None,
    ) -> Outcome | None:
        """Find neighbours, judge, write article, index and outcome in one transaction; None if the lease was lost."""
        ...

    def pending(self, *, now: datetime, scope: Scope = Scope()) -> tuple[int, int]:
        """Return how many candidates are pending, and how many of them are due on hosts that are not closed."""
        ...

    def has_due(self, *, now: datetime, scope: Scope = Scope()) -> bool:
        """Tell whether anything is due on a host that is not closed: quicker than counting."""
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

    def head_of(self, cluster: int) -> StoredArticle | None:
        """Return the article that a cluster exports."""
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


class ParagraphMemory(Protocol):
    """How often each paragraph stood in the articles of a host. Blocking: call it through Offload.

    What is counted and what is boilerplate is decided by pure functions of the extractor; the store only remembers.
    """

    def paragraphs(self, host: str) -> tuple[int, Mapping[int, int]]:
        """Return how many articles of the host were counted, and in how many of them each paragraph key stood."""
        ...

    def keep_paragraphs(self, host: str, articles: int, counts: Mapping[int, int]) -> None:
        """Replace what is remembered of a host, in the caller's transaction where there is one."""
        ...
