"""When an article is looked at again after it was taken in, and what a look that failed means. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from worker.models import Claim, Outcome, State

FIRST_PAUSE: Final = timedelta(hours=1)
LONGEST_PAUSE: Final = timedelta(days=30)
OLDEST_NEWS: Final = timedelta(days=2)
"""How old an article may be when it is found, for its age to count from its publication."""

_IN_VAIN: Final = frozenset({State.FAILED, State.REJECTED, State.BLOCKED})


def next_look(ages: Sequence[timedelta], claim: Claim, *, now: datetime) -> datetime | None:
    """Return when an article is looked at next, being of one of these ages; None where there is no such time ahead."""
    found = claim.discovered_at or now
    published = claim.published_at
    born = published if published and timedelta(0) <= found - published <= OLDEST_NEWS else found
    return min((born + age for age in ages if born + age > now), default=None)


def pause(looks: int) -> timedelta:
    """Return how long a page is left alone after so many looks in a row that showed nothing new."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(looks - 1, 16))) if looks else timedelta(0)


def lasting(claim: Claim, outcome: Outcome) -> Outcome:
    """Return the outcome that stands: of a page that has its article, and was looked at again in vain, the former one.

    A look for its age alone is not tried again where it fails: the next age comes.
    """
    former = claim.former
    given_up = outcome.state is State.PENDING and claim.by_age
    if former is None or not (given_up or outcome.state in _IN_VAIN):
        return outcome
    why = ": ".join(part for part in (outcome.reason, outcome.detail) if part)
    return replace(former, detail=f"looked at again in vain: {why}", article=claim.known_article, in_vain=True)
