"""Rank test-polled sources of a site and pick the best set of them.

`sources add` uses it: `summarise_poll` reduces a test poll to figures, `rank_sources` sorts the polls by score and
picks, from the best downwards, each that is fresh, consists of articles and adds URLs that the picked ones lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from worker.models import Discovery
from worker.models.base import dataclass
from worker.sources.web.links import Link, link_features

# A feed is preferred to a sitemap and a sitemap to a listing page, unless it is worse in nearly everything else.
_KIND_POINTS = {"feed": 3.0, "sitemap": 2.0, "listing": 1.0}
# Thresholds for picking a source; chosen, not measured. A person sees the result and the reasons before it is written.
_MAX_AGE = timedelta(days=30)  # of the newest entry; an older one belongs to an abandoned feed
_MIN_ARTICLE_SHARE = 0.5  # of the entries
_MIN_NEW = 3  # entries that no better source has
_MIN_NEW_SHARE = 0.2  # of the entries


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPoll:
    """The result of one test poll of a suggested source.

    `keys`: canonical URLs of its entries. `newest`: the latest date. `dated`: how many entries have a date. `share`:
    how many of the entries look like articles, 0 to 1, and `seen` what that was read from, in words. `error`: "" if the
    poll succeeded. `site`: if the source is on another site, the site that names it as its own.
    """

    kind: str
    url: str
    keys: frozenset[str] = frozenset()
    newest: datetime | None = None
    dated: int = 0
    share: float = 0.0
    seen: str = ""
    error: str = ""
    title: str | None = None
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedSource:
    """A test poll with its score and whether it was picked, with the reason in a few words.

    `overlap` is the share of its entries that better sources have already, 0 to 1. `doubtful`: it is refused for its
    share of articles and for nothing else.
    """

    poll: TrialPoll
    score: float
    overlap: float
    picked: bool
    reason: str
    doubtful: bool = False


def summarise_poll(kind: str, url: str, discoveries: Iterable[Discovery]) -> TrialPoll:
    """Return the figures of a test poll from the pages that it read."""
    read_pages = list(discoveries)
    candidates = {candidate.canonical_url: candidate for page in read_pages for candidate in page.candidates}
    dates = [candidate.published_at or candidate.modified_at for candidate in candidates.values()]
    known = [date for date in dates if date]
    others = [key for key in candidates if not _names_article(key)]
    real = len(candidates) - len(others)
    return TrialPoll(
        kind=kind,
        url=url,
        keys=frozenset(candidates),
        newest=max(known, default=None),
        dated=len(known),
        share=real / len(candidates) if candidates else 0.0,
        seen=_forms_seen(real, others),
        title=next((page.title for page in read_pages if page.title), None),
    )


def _names_article(key: str) -> bool:
    features = link_features(Link(url=key, key=key, text=""))
    return features.pattern.is_article_like and not features.is_service


def _forms_seen(real: int, others: Sequence[str]) -> str:
    """Return in words how many addresses are formed like those of articles, with one that is not."""
    example = f", {others[0]} has not" if others else ""
    return f"{real} of {real + len(others)} addresses have a number, a date or a long name as articles have{example}"


def rank_sources(polls: Sequence[TrialPoll], *, now: datetime) -> tuple[RankedSource, ...]:
    """Return all polls, best first; a poll is picked if it is usable and adds enough entries to those picked before."""
    ordered = sorted(polls, key=lambda poll: (-_score(poll, now), len(poll.url), poll.url))
    seen: set[str] = set()
    ranked = []
    for poll in ordered:
        new = poll.keys - seen
        overlap = 1 - len(new) / len(poll.keys) if poll.keys else 0.0
        unusable, sparse = _refusal(poll, now), poll.share < _MIN_ARTICLE_SHARE
        doubt = f"mostly not articles: {poll.seen}" if sparse else ""
        refusal = unusable or doubt or _adds_too_little(new, poll, nothing_yet=not seen)
        if not refusal:
            seen |= poll.keys
        ranked.append(
            RankedSource(
                poll=poll,
                score=_score(poll, now),
                overlap=overlap,
                picked=not refusal,
                reason=refusal or "picked",
                doubtful=sparse and not unusable,
            )
        )
    return tuple(ranked)


def _score(poll: TrialPoll, now: datetime) -> float:
    """Return how good a source is: the sum of its kind, its share of articles, its size, its dates and its freshness.

    The size counts up to a hundred entries; freshness falls to zero within a week.
    """
    if poll.error or not poll.keys:
        return 0.0
    size = min(len(poll.keys), 100) / 100
    dated = poll.dated / len(poll.keys)
    days = (now - poll.newest) / timedelta(days=1) if poll.newest else 7.0
    return _KIND_POINTS.get(poll.kind, 0.0) + 2 * poll.share + size + dated + max(0.0, 1 - days / 7)


def _refusal(poll: TrialPoll, now: datetime) -> str:
    """Return why a source is not usable, or ""."""
    if poll.error:
        return poll.error
    if not poll.keys:
        return "no entries"
    return f"nothing new since {poll.newest:%Y-%m-%d}" if poll.newest and now - poll.newest > _MAX_AGE else ""


def _adds_too_little(new: frozenset[str], poll: TrialPoll, *, nothing_yet: bool) -> str:
    if nothing_yet:
        return ""
    enough = len(new) >= _MIN_NEW and len(new) >= _MIN_NEW_SHARE * len(poll.keys)
    return "" if enough else "other sources have its entries already"
