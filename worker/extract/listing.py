"""Tells listing, section and home pages from articles: they must never be stored as articles."""

from __future__ import annotations

from worker.errors import ExtractError, SourceError
from worker.extract.document import Document
from worker.extract.outline import Shares
from worker.urls import is_home

_MANY_TEASERS = 5
_MOSTLY = 0.8
_LITTLE = 400


def refuse_listing(document: Document, shares: Shares) -> None:
    """Reject a page that lists articles rather than being one; raises ExtractError (`listing`)."""
    claims = document.claims_article
    if not claims and shares.elsewhere > 0.4 and _is_home(document.url):
        raise ExtractError(f"a home page, not an article: {_figures(shares)}", reason="listing")
    many = shares.teaser_count >= _MANY_TEASERS or shares.links > 4 * _LITTLE
    if many and shares.elsewhere > _MOSTLY and (not claims or shares.prose < _LITTLE / 2):
        raise ExtractError(f"a listing page, not an article: {_figures(shares)}", reason="listing")


def _is_home(url: str) -> bool:
    try:
        return not url.startswith("file:") and is_home(url)
    except SourceError:
        return False


def _figures(shares: Shares) -> str:
    return (
        f"{shares.elsewhere:.0%} of its text announces other pages "
        f"({shares.teaser_count} teasers, {shares.prose} characters of its own)"
    )
