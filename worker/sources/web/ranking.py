"""Ranks what was test-polled and picks the best set: fresh, real articles, without overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.models import Discovery
from worker.sources.web.links import Link, link_features

_KIND_POINTS = {"feed": 3.0, "sitemap": 2.0, "listing": 1.0}
_MAX_AGE = timedelta(days=30)
_MIN_ARTICLE_SHARE = 0.5
_MIN_NEW = 3
_MIN_NEW_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPoll:
    """What one look at a suggestion gave: the keys of its entries, the newest date, and the share of real articles.

    `share` lies in 0..1; `error` is empty where the look worked. `site` is the one that names it as its own, where it
    lies on another.
    """

    kind: str
    url: str
    keys: frozenset[str] = frozenset()
    newest: datetime | None = None
    dated: int = 0
    share: float = 0.0
    error: str = ""
    title: str | None = None
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedSource:
    """A test-poll with its place in the order: how much of it better ones have already, and whether it is picked.

    `overlap` lies in 0..1; `reason` says in a few words why it was picked or not.
    """

    poll: TrialPoll
    score: float
    overlap: float
    picked: bool
    reason: str


def summarise_poll(kind: str, url: str, discoveries: Iterable[Discovery]) -> TrialPoll:
    """Sum up what a suggestion's page, and the pages it leads to, gave."""
    read_pages = list(discoveries)
    candidates = {candidate.canonical_url: candidate for page in read_pages for candidate in page.candidates}
    dates = [candidate.published_at or candidate.modified_at for candidate in candidates.values()]
    known = [date for date in dates if date]
    real = sum(_names_article(key) for key in candidates)
    return TrialPoll(
        kind=kind,
        url=url,
        keys=frozenset(candidates),
        newest=max(known, default=None),
        dated=len(known),
        share=real / len(candidates) if candidates else 0.0,
        title=next((page.title for page in read_pages if page.title), None),
    )


def _names_article(key: str) -> bool:
    features = link_features(Link(url=key, key=key, text=""))
    pattern = features.pattern
    return not features.is_service and (bool(pattern.number) or pattern.has_date or pattern.has_slug)


def rank_sources(polls: Sequence[TrialPoll], *, now: datetime) -> tuple[RankedSource, ...]:
    """Return every poll ranked, best first: each is picked if it is sound and adds enough to what was picked before."""
    ordered = sorted(polls, key=lambda poll: (-_score(poll, now), len(poll.url), poll.url))
    seen: set[str] = set()
    ranked = []
    for poll in ordered:
        new = poll.keys - seen
        overlap = 1 - len(new) / len(poll.keys) if poll.keys else 0.0
        refusal = _refusal(poll, now) or _adds_too_little(new, poll, nothing_yet=not seen)
        if not refusal:
            seen |= poll.keys
        ranked.append(
            RankedSource(
                poll=poll, score=_score(poll, now), overlap=overlap, picked=not refusal, reason=refusal or "picked"
            )
        )
    return tuple(ranked)


def _score(poll: TrialPoll, now: datetime) -> float:
    """Return how good a source is: its kind, its size up to a hundred entries, its dates, its freshness."""
    if poll.error or not poll.keys:
        return 0.0
    size = min(len(poll.keys), 100) / 100
    dated = poll.dated / len(poll.keys)
    days = (now - poll.newest) / timedelta(days=1) if poll.newest else 7.0
    return _KIND_POINTS.get(poll.kind, 0.0) + 2 * poll.share + size + dated + max(0.0, 1 - days / 7)


def _refusal(poll: TrialPoll, now: datetime) -> str:
    if poll.error:
        return poll.error
    if not poll.keys:
        return "no entries"
    if poll.newest and now - poll.newest > _MAX_AGE:
        return f"nothing new since {poll.newest:%Y-%m-%d}"
    return "" if poll.share >= _MIN_ARTICLE_SHARE else "mostly no articles"


def _adds_too_little(new: frozenset[str], poll: TrialPoll, *, nothing_yet: bool) -> str:
    if nothing_yet:
        return ""
    enough = len(new) >= _MIN_NEW and len(new) >= _MIN_NEW_SHARE * len(poll.keys)
    return "" if enough else "others have it already"
