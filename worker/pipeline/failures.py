"""What comes after a try that failed: another one later, or the end; pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from worker.errors import ExtractError, ExtractorDown, FetchBlocked, FetchError, WorkerError
from worker.models import Article, Claim, Outcome, State
from worker.schedule import retry_at

DEADLINE: Final = "deadline"
"""The reason of a try that was broken off because it took too long."""


def deadline_error(*, after: timedelta) -> FetchError:
    """Return the error of a try that was broken off."""
    return FetchError(f"given up after {after.total_seconds():.0f} seconds", reason=DEADLINE, retry=True)


def outcome_of_failure(claim: Claim, error: Exception, *, now: datetime, chance: float) -> Outcome:
    """Return the outcome of a try that ended in an error: pending where there is a next one.

    No page is given up for the fault of its host, or of this machine (`ExtractorDown`); a bug is tried again.
    """
    if isinstance(error, FetchError):
        wish, blameless, last = error.retry_at, error.hosts_fault, not error.retry
    else:
        wish, blameless, last = None, isinstance(error, ExtractorDown), False
    at = retry_at(now=now, attempts=claim.attempts, chance=chance, wish=wish, hosts_fault=blameless)
    if isinstance(error, (FetchError, ExtractorDown)):
        reason, detail = error.reason, str(error)
    else:
        reason, detail = "internal", repr(error)
    state = State.FAILED if last or at is None else State.PENDING
    return Outcome(state=state, reason=reason, detail=detail, retry_at=None if last else at)


# When the text that a source gave along with a link may stand in for the page; pure.


_UNAVAILABLE_FOR_LEGAL_REASONS: Final = 451
_REASONS_WITHOUT_ARTICLE: Final = frozenset({"paywall", "consent", "gone", "moved", "empty"})


def may_use_feed_text(error: WorkerError) -> bool:
    """Tell whether a page that ended in this error may be stood in for.

    Where the page cannot be had, or shows something else in the article's place, the publisher's own words from the
    feed are what is left of it. Where robots.txt, a rights signal or the law (status 451, RFC 7725) keeps the page
    back, its text is kept back too; and what is too short or in another language stays so.
    """
    if isinstance(error, ExtractError):
        return error.reason in _REASONS_WITHOUT_ARTICLE
    if isinstance(error, FetchBlocked) or not isinstance(error, FetchError):
        return False
    return error.status != _UNAVAILABLE_FOR_LEGAL_REASONS


def with_feed_text(article: Article, error: WorkerError) -> Article:
    """Return an article made of the source's own text, saying so."""
    note = f"the text is the feed's own, not the page's: {error}"
    published, modified = ("feed" if at else "" for at in (article.published_at, article.modified_at))
    return replace(article, published_at_from=published, modified_at_from=modified, notes=(*article.notes, note))
