"""The ledger as the flows use it: each call is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from worker.models import Article, Candidate, Claim, Fingerprint, Outcome, Page, Poll, SourceState, Text
from worker.ports import Judge, Scope
from worker.storage import claims, fallbacks, looks, outcomes, polls, queue, settling, takeover
from worker.storage.claims import Lease
from worker.storage.database import Database
from worker.storage.intake import Intake
from worker.storage.settling import Arrival
from worker.storage.waiting import EVERYTHING


class StoredLedger:
    """`Ledger` on the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def source_state(self, name: str) -> SourceState:
        """Return what is remembered of a source; an empty state for one never polled."""
        return self._database.read(polls.source_state, name)

    def lead_poll(self, source: str, *, now: datetime, lease: timedelta, worker: str, only_if_due: bool = True) -> bool:
        """Make this worker the one that polls a source until `record_poll` or the end of the lease.

        False where another worker leads, or where the source is not due (another has just polled it).
        """
        until = now + lease
        return self._database.write(polls.lead, source, now=now, until=until, worker=worker, only_if_due=only_if_due)

    def record_poll(self, poll: Poll, candidates: Sequence[Candidate]) -> int:
        """Write the end of a poll, its validators and its candidates in one transaction; return how many were new."""
        return self._database.write(queue.record_poll, poll, candidates)

    def replan(self, source: str, *, plan: str, due_at: datetime) -> None:
        """Give a source another due time, by a rule that was changed since its last poll."""
        self._database.write(polls.replan, source, plan=plan, due_at=due_at)

    def enqueue(self, candidates: Sequence[Candidate], *, now: datetime, again: bool = False, batch: str = "") -> int:
        """Add candidates that are not known yet (by canonical URL); return how many were new.

        A known one becomes pending and due again if `again` is set, or if it changed: another payload than the one it
        had, or a later announced time of modification. One in a worker's hands stays there.
        """
        intake = Intake(now=now, again=again, batch=batch)
        return self._database.write(queue.enqueue, candidates, intake=intake)

    def look_again(self, *, now: datetime, limit: int) -> int:
        """Queue articles that have reached the age at which they are looked at again; return how many."""
        return self._database.write(looks.look_again, now=now, limit=limit)

    def claim(
        self, *, now: datetime, lease: timedelta, limit: int, worker: str, scope: Scope = EVERYTHING
    ) -> list[Claim]:
        """Lease due candidates: at most one for each host, none of a host that another live lease is on."""
        terms = Lease(now=now, until=now + lease, worker=worker)
        return self._database.write(claims.claim, lease=terms, limit=limit, scope=scope)

    def extend(self, held: Sequence[Claim], *, until: datetime) -> None:
        """Prolong leases that are still held."""
        self._database.write(claims.extend, held, until=until)

    def release(self, held: Sequence[Claim]) -> None:
        """Give back claims that were not worked on; they are due again at once."""
        self._database.write(claims.release, held)

    def holders(self) -> frozenset[str]:
        """Return the names of the workers that hold leases."""
        return self._database.read(takeover.holders)

    def take_over(self, workers: Collection[str]) -> int:
        """Free the leases of workers known to be dead; return how many."""
        return self._database.write(takeover.take_over, workers)

    def fallback(self, claim: Claim) -> Text | None:
        """Return the text that the publisher gave along with the link; None where another address is left to try."""
        return self._database.read(fallbacks.find, claim.id)

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
        """
        return self._database.write(outcomes.finish, claim, outcome, now=now, page=page, look_at=look_at)

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
        arrival = Arrival(article=article, fingerprint=fingerprint, judge=judge, now=now, page=page, look_at=look_at)
        return self._database.write(settling.settle, claim, arrival)

    def pending(self, *, now: datetime, scope: Scope = EVERYTHING) -> tuple[int, int]:
        """Return how many candidates are pending, and how many of them are due on hosts that are not closed."""
        return self._database.read(claims.pending, now=now, scope=scope)

    def has_due(self, *, now: datetime, scope: Scope = EVERYTHING) -> bool:
        """Return whether `pending` would count anything as due, without counting: quick on a long queue."""
        return self._database.read(claims.has_due, now=now, scope=scope)

    def next_due(self, *, now: datetime) -> datetime | None:
        """Return when the earliest claimable candidate comes due (may be past), None if nothing is pending."""
        return self._database.read(claims.next_due, now=now)
