"""What going back through a source's past hands on: the places to look at, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place to look at for the past: a sitemap, a page of a listing, a feed, or an archive file.

    `kind` is that of the source that would be polled there. `position` says how far a file has been read, in its
    reader's own measure; `found`, `new` and `left_out` count its candidates so far.
    """

    id: int
    kind: str
    url: str
    position: int = 0
    found: int = 0
    new: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillState:
    """How far a backfill has come: places looked at, places that wait, and what they gave.

    `unread` counts places that gave nothing but an error; those of them worth another try wait as well.
    """

    name: str
    begun_at: datetime | None = None
    finished_at: datetime | None = None
    looked: int = 0
    waiting: int = 0
    unread: int = 0
    found: int = 0
    new: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillStanding:
    """A backfill that is not done: how far it has come, how many of its candidates wait, and who, if any, is at it."""

    state: BackfillState
    pending: int
    worker: str = ""


def batch_of(backfill: str) -> str:
    """Return how the candidates of a backfill are marked."""
    return f"backfill:{backfill}"
