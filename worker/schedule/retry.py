"""Retry times: of a source or a page after a failure, and of an article for a recheck.

All functions are pure. Their `chance` argument is a random number in 0..1 that spreads the retries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from worker.errors import FetchBlocked, FetchError, WorkerError
from worker.models import Claim, Outcome, PublishingStats, State
from worker.models.base import dataclass
from worker.schedule.poll_interval import IntervalPolicy

# Chosen, not measured: the delay doubles from five minutes, so the eight attempts at a page spread over about ten and a
# half hours. That outlasts a restart or a deployment of a site, and costs a page that is gone for good few fetches.
FIRST_RETRY_DELAY: Final = timedelta(minutes=5)
MAX_RETRY_DELAY: Final = timedelta(hours=12)
MAX_ATTEMPTS: Final = 8
MAX_RETRY_AFTER: Final = timedelta(hours=24)
"""The longest `Retry-After` that is honoured: a hostile or mistaken header must not stop a source for weeks."""
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_BLOCKED: Final = "blocked"
_UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff of a failing source: the wait doubles from `first` up to `longest`."""

    first: timedelta
    longest: timedelta

    def wait(self, failures: int) -> timedelta:
        """Return the wait after so many failures in a row (at least one)."""
        doublings = min(failures - 1, 16)
        return min(self.longest, self.first * (1 << doublings))


# The waits by class of error. Chosen, not measured: a host that is down recovers by itself, and its feed must not drop
# entries unread meanwhile, so the wait is short; a missing or forbidden page needs a person, so it is long.
_SHORT_BACKOFF: Final = Backoff(first=5 * _MINUTE, longest=2 * _HOUR)
_BACKOFFS: Final[Mapping[str, Backoff]] = MappingProxyType(
    {
        "timeout": _SHORT_BACKOFF,
        "connect": _SHORT_BACKOFF,
        "reset": _SHORT_BACKOFF,
        "truncated": _SHORT_BACKOFF,
        "host-closed": _SHORT_BACKOFF,
        "robots-silent": _SHORT_BACKOFF,
        "http-5xx": Backoff(first=5 * _MINUTE, longest=4 * _HOUR),
        "dns": Backoff(first=10 * _MINUTE, longest=6 * _HOUR),
        "tls": Backoff(first=30 * _MINUTE, longest=6 * _HOUR),
        "http-429": Backoff(first=30 * _MINUTE, longest=12 * _HOUR),
        _UNREADABLE: Backoff(first=15 * _MINUTE, longest=6 * _HOUR),
        "http-404": Backoff(first=_HOUR, longest=12 * _HOUR),
        "http-410": Backoff(first=6 * _HOUR, longest=12 * _HOUR),
        _BLOCKED: Backoff(first=6 * _HOUR, longest=12 * _HOUR),
    }
)
_DEFAULT_BACKOFF: Final = Backoff(first=15 * _MINUTE, longest=12 * _HOUR)


def fault_class(error: WorkerError) -> str:
    """Return the class of error that a source failed with, such as `timeout` or `http-404`; it selects the backoff."""
    if isinstance(error, FetchBlocked):
        return _BLOCKED
    if not isinstance(error, FetchError):
        return _UNREADABLE
    if error.status is None or error.reason not in {"http", "gone"}:
        return error.reason
    return "http-5xx" if error.status >= 500 else f"http-{error.status}"


def next_poll_after_failure(
    policy: IntervalPolicy,
    *,
    now: datetime,
    failures: int,
    fault: str,
    chance: float,
    retry_after: datetime | None = None,
) -> datetime:
    """Return when a source that failed `failures` times in a row is polled next; it is never given up.

    The backoff depends on `fault` (see `fault_class`) and never exceeds `policy.max_every`. A later `retry_after`, from
    the server's header, takes precedence up to `MAX_RETRY_AFTER`.
    """
    wait = min(policy.max_every, _BACKOFFS.get(fault, _DEFAULT_BACKOFF).wait(failures))
    delay = wait * (1 + policy.jitter * (2 * chance - 1))
    return _honour_retry_after(now + delay, now=now, retry_after=retry_after)


def retry_at(
    *, now: datetime, attempts: int, chance: float, retry_after: datetime | None = None, is_host_fault: bool = False
) -> datetime | None:
    """Return when a page that failed `attempts` times is fetched again, or None after the last attempt.

    The delay doubles from five minutes up to twelve hours, randomised by ±20%. A later `retry_after`, from the server's
    header, takes precedence up to `MAX_RETRY_AFTER`. With `hosts_fault` there is no last attempt, so that a site that
    is down for a week loses no article.
    """
    if attempts >= MAX_ATTEMPTS and not is_host_fault:
        return None
    delay = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2 ** min(attempts - 1, 16))
    return _honour_retry_after(now + delay * (0.8 + 0.4 * chance), now=now, retry_after=retry_after)


def _honour_retry_after(planned: datetime, *, now: datetime, retry_after: datetime | None) -> datetime:
    """Return the later of the planned time and the server's, the latter limited to `MAX_RETRY_AFTER`."""
    return planned if retry_after is None else max(planned, min(retry_after, now + MAX_RETRY_AFTER))


# How many pages of a source a poll reads: fewer and fewer while they give nothing. Pure.


LEAST_PAGES: Final = 20
"""Pages that a poll may always read. Chosen, not measured: as many as a small site has sub-sitemaps."""
_PATIENT_POLLS: Final = 4
"""Polls that may find nothing before they read less: at 500 pages, 2,000 sub-sitemaps are read at full speed."""
_FRUITFUL_SHARE: Final = 0.02
"""The share of the pages that must give something new, so that the next poll reads as many again. Chosen, not measured:
with one live sub-sitemap among many, which is read first, polls end up at 50 to 100 pages."""
_MAX_FRUITFUL: Final = 20  # pages remembered as those with something new; more sections than most papers have
_MOST_IDLE: Final = 10  # counted no further, so that as many good polls bring the whole budget back


def page_budget(stats: PublishingStats, most: int) -> int:
    """Return how many further pages of a source a poll may read, `most` at most."""
    return min(most, max(LEAST_PAGES, most >> max(0, stats.idle - _PATIENT_POLLS + 1)))


def after_pages(
    stats: PublishingStats, before: PublishingStats, *, pages: int, fruitful: Sequence[str]
) -> PublishingStats:
    """Return the statistics after a poll that read further pages, some of them `fruitful`: with something new.

    `before` are those of the poll before. Until a source was once read to its end everything is new in it, so that no
    page stands out.
    """
    kept = tuple(dict.fromkeys((*fruitful, *before.fruitful)))[:_MAX_FRUITFUL] if before.read_at else ()
    is_idle = len(fruitful) < _FRUITFUL_SHARE * pages
    change = 0 if not pages else -1 if not is_idle else 1 if pages >= LEAST_PAGES else 0
    return replace(stats, fruitful=kept, idle=min(_MOST_IDLE, max(0, before.idle + change)))


# Rechecks: when a stored article is fetched again, and the outcome if that fails. Pure.


# Chosen, not measured: a page that was the same at its last recheck is believed to have changed again only after a
# pause that doubles from an hour to a month. A site that dates every page with the time of the request then costs few
# fetches.
FIRST_RECHECK_PAUSE: Final = timedelta(hours=1)
MAX_RECHECK_PAUSE: Final = timedelta(days=30)
MAX_NEWS_AGE: Final = timedelta(days=2)
"""The greatest age at discovery at which rechecks count from the publication; else they count from the discovery.
Chosen, not measured: news is found within hours, and an older article has no early edits left to catch."""

_FAILED_STATES: Final = frozenset({State.FAILED, State.REJECTED, State.BLOCKED})


def next_recheck(ages: Sequence[timedelta], claim: Claim, *, now: datetime) -> datetime | None:
    """Return the next time at which an article reaches one of the ages; None if it is past all of them."""
    found = claim.discovered_at or now
    published = claim.published_at
    published_or_found = published if published and timedelta(0) <= found - published <= MAX_NEWS_AGE else found
    return min((published_or_found + age for age in ages if published_or_found + age > now), default=None)


def recheck_pause(rechecks: int) -> timedelta:
    """Return the pause after so many rechecks in a row that found the page unchanged."""
    return min(MAX_RECHECK_PAUSE, FIRST_RECHECK_PAUSE * (1 << min(rechecks - 1, 16))) if rechecks else timedelta(0)


def keep_former_outcome(claim: Claim, outcome: Outcome) -> Outcome:
    """Return the outcome to store: the former one if a recheck of a stored article failed, else `outcome`.

    A recheck that is due by age alone is not retried after a failure, since the next age follows.
    """
    former = claim.previous_outcome
    is_abandoned = outcome.state is State.PENDING and claim.is_scheduled_recheck
    if former is None or not (is_abandoned or outcome.state in _FAILED_STATES):
        return outcome
    why = ": ".join(part for part in (outcome.reason, outcome.detail) if part)
    return replace(former, detail=f"recheck failed: {why}", article=claim.known_article, is_failed_recheck=True)
