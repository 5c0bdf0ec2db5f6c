"""What going back through a source's past needs of the store. Everything here blocks: call it through `Offload`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from worker.models import BackfillState, Candidate, Place


class BackfillBook(Protocol):
    """How far each backfill has come, kept so that any end is a pause. Blocking: call it through Offload."""

    def state(self, name: str) -> BackfillState:
        """Return how far a backfill has come; an empty state for one never begun."""
        ...

    def lead(self, name: str, *, now: datetime, until: datetime, worker: str) -> bool:
        """Make this worker the one that is at a backfill; False where another is."""
        ...

    def leave(self, name: str, *, worker: str) -> None:
        """Let another worker go on, if this one is still at it."""
        ...

    def begin(self, name: str, places: Sequence[tuple[str, str]], *, now: datetime, afresh: bool) -> None:
        """Note the places (kind and URL) to begin with, forgetting `afresh` all that was looked at before."""
        ...

    def next_place(self, name: str, *, after: int) -> Place | None:
        """Return the first place that waits behind the one with this id."""
        ...

    def take(self, name: str, place: Place, candidates: Sequence[Candidate], *, batch: str, now: datetime) -> Place:
        """Write candidates of a place into the ledger, with its counts and position, in one transaction.

        They wait behind all news of their hosts, marked with `batch`. Returns the place with the new ones counted.
        """
        ...

    def close(self, name: str, place: Place, follow: Sequence[tuple[str, str]], *, digest: str, now: datetime) -> bool:
        """End the look at a place and note those it leads to; where another gave the very same, it leads nowhere."""
        ...

    def fail(self, place: Place, error: str, *, for_good: bool, now: datetime) -> None:
        """Note what went wrong at a place; it goes on waiting unless that is `for_good`."""
        ...

    def finish(self, name: str, *, now: datetime) -> None:
        """Note that everything was looked at."""
        ...
