"""When the text that a source gave along with a link may stand in for the page; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from worker.errors import ExtractError, FetchBlocked, FetchError, WorkerError
from worker.models import Article

_WITHHELD_BY_LAW: Final = 451
_NOT_THE_ARTICLE: Final = frozenset({"paywall", "consent", "gone", "moved", "empty"})


def may_stand_in(error: WorkerError) -> bool:
    """Tell whether a page that ended in this error may be stood in for.

    Where the page cannot be had, or shows something else in the article's place, the publisher's own words from the
    feed are what is left of it. Where robots.txt, a rights signal or the law (status 451, RFC 7725) keeps the page
    back, its text is kept back too; and what is too short or in another language stays so.
    """
    if isinstance(error, ExtractError):
        return error.reason in _NOT_THE_ARTICLE
    if isinstance(error, FetchBlocked) or not isinstance(error, FetchError):
        return False
    return error.status != _WITHHELD_BY_LAW


def standing_in(article: Article, error: WorkerError) -> Article:
    """Return an article made of the source's own text, saying so."""
    note = f"the text is the feed's own, not the page's: {error}"
    published, modified = ("feed" if at else "" for at in (article.published_at, article.modified_at))
    return replace(article, published_at_from=published, modified_at_from=modified, notes=(*article.notes, note))
