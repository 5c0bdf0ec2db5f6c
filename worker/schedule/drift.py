"""Detects that a source has changed: its recent articles against its own history, and its silences. Pure.

Two sets of decaying sums are kept for every source, one over about the last 25 pages and one over about the last 400.
The recent pages are part of both sets, so their difference describes the pages before. A share has drifted if it rose
by at least `MIN_SHARE_CHANGE` and by `STANDARD_ERRORS` standard errors. A warning holds until the change falls below
half of these bounds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from worker.models import Alarm, Article, DecayingSums, OutcomeStats, PublishingStats, State
from worker.models.base import dataclass

# Set together and measured on simulated sources (docs/polling.md, "Sources that change"): 21,000 pages of unchanged
# sources raise no warning, and each kind of change raises one within 20 pages. The half-lives are numbers of pages; the
# fewest pages, recent and before, make a share worth comparing. Lengths count from half or twice as long.
USUAL_HALF_LIFE: Final = 300
RECENT_HALF_LIFE: Final = 12
MIN_RECENT: Final = 8.0
MIN_BEFORE: Final = 30.0
MIN_SHARE_CHANGE: Final = 0.3
MIN_LENGTH_CHANGE: Final = math.log(2)
STANDARD_ERRORS: Final = 4.0

HYSTERESIS: Final = 0.5
"""The share of a bound below which a known warning ends. Chosen, not measured: at 1 a warning near its bound would come
and go; at 0 it would never end."""
MIN_LENGTH_SPREAD: Final = 0.1
"""The least standard deviation assumed for the logarithm of lengths. A source of nearly equal lengths would otherwise
raise a warning at the first text that differs a little."""

# Chosen, not measured. A date counts as wrong if it is further than this before or after the fetch: listings link
# articles of the last weeks, and clocks and time zones differ by less than a day.
MAX_AGE: Final = timedelta(days=60)
MAX_AHEAD: Final = timedelta(days=1)

# Chosen, not measured. A silence is unusual at four times the longest one so far, but a quiet day or a source with a
# short history raises no warning. Three empty polls in a row are more than one broken answer.
MIN_ARRIVALS: Final = 10
SILENCE_FACTOR: Final = 4
MIN_SILENCE: Final = timedelta(days=1)
EMPTY_POLLS: Final = 3

MAX_VOTES: Final = 50
"""The greatest lead of the usual language in the majority vote. Chosen, not measured: a source that changes its
language for good gets a new usual language after about as many articles."""
_OF_ARTICLES: Final = tuple(
    each.name for each in fields(DecayingSums) if each.name not in {"outcomes", "useful", "rejected"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOutcome:
    """The outcome of one page: its state, whether it was new to the corpus (`useful`), and its article, if any."""

    state: State
    useful: bool
    article: Article | None = None


def add_outcome(stats: OutcomeStats, page: PageOutcome) -> OutcomeStats:
    """Return the statistics of a source's pages with one more page."""
    article = page.article
    language, votes = _vote(stats, article)
    one = DecayingSums(outcomes=1.0, useful=float(page.useful), rejected=float(page.state is State.REJECTED))
    if article is not None:
        one = _article_sums(one, article, foreign=bool(language) and article.language != language)
    return OutcomeStats(
        usual=_add_decayed(stats.usual, one, half_life=USUAL_HALF_LIFE),
        recent=_add_decayed(stats.recent, one, half_life=RECENT_HALF_LIFE),
        language=language,
        votes=votes,
    )


def useful_share(stats: OutcomeStats) -> float:
    """Return the share (0..1) of a source's pages that were new to the corpus, recent or usual, whichever is larger.

    So a good source keeps its share for some hundreds of pages after a relaunch that makes its pages unreadable. The
    share of a source with few pages is 1.
    """
    if stats.recent.outcomes < MIN_RECENT:
        return 1.0
    return max(sums.useful / sums.outcomes for sums in (stats.recent, stats.usual))


def drift_alarms(
    stats: OutcomeStats, publishing: PublishingStats, *, known: Sequence[Alarm], now: datetime
) -> tuple[Alarm, ...]:
    """Return the warnings that apply now, with current figures; a warning in `known` keeps its `since`."""
    since = {alarm.what: alarm.since for alarm in known}
    found = [*_silences(publishing, now), *_drifts(stats, frozenset(since))]
    return tuple(Alarm(what=what, since=since.get(what, now), detail=detail) for what, detail in found)


def _vote(stats: OutcomeStats, article: Article | None) -> tuple[str, int]:
    """Return the usual language and its lead: the majority vote of Boyer and Moore, with the lead limited."""
    if article is None or not article.language:
        return stats.language, stats.votes
    if article.language == stats.language:
        return stats.language, min(MAX_VOTES, stats.votes + 1)
    if stats.votes:
        return stats.language, stats.votes - 1
    return article.language, 1


def _article_sums(one: DecayingSums, article: Article, *, foreign: bool) -> DecayingSums:
    """Return the sums of one page with those of its article added."""
    length, published = math.log(max(1, article.words)), article.published_at
    age = article.fetched_at - published if published else timedelta(0)
    return DecayingSums(
        outcomes=one.outcomes,
        useful=one.useful,
        rejected=one.rejected,
        articles=1.0,
        length=length,
        length_squares=length * length,
        untitled=float(not article.title.strip()),
        unsigned=float(not article.authors),
        undated=float(published is None),
        misdated=float(age > MAX_AGE or age < -MAX_AHEAD),
        foreign=float(foreign),
    )


def _add_decayed(sums: DecayingSums, one: DecayingSums, *, half_life: int) -> DecayingSums:
    """Return the sums with one more page: sums over articles decay with each article, the others with each page."""
    fade = 0.5 ** (1 / half_life)
    slow = fade if one.articles else 1.0
    return DecayingSums(
        outcomes=sums.outcomes * fade + one.outcomes,
        useful=sums.useful * fade + one.useful,
        rejected=sums.rejected * fade + one.rejected,
        **{name: getattr(sums, name) * slow + getattr(one, name) for name in _OF_ARTICLES},
    )


def _silences(publishing: PublishingStats, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield the warnings of a source that shows no entries, or nothing new for too long."""
    if publishing.empty >= EMPTY_POLLS and publishing.arrivals:
        yield "empty", f"no entry at all in {publishing.empty} polls; it used to show {publishing.window}"
    if publishing.new_at is None or publishing.arrivals < MIN_ARRIVALS:
        return
    silent = now - publishing.new_at
    if silent > max(MIN_SILENCE, SILENCE_FACTOR * publishing.silence):
        usual = f"its longest silence was {_days(publishing.silence)} days"
        yield "silence", f"nothing new for {_days(silent)} days; {usual}"


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.1f}"


def _drifts(stats: OutcomeStats, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the warnings of shares and lengths that differ from the usual ones."""
    usual, recent = stats.usual, stats.recent
    pages, pages_before = recent.outcomes, usual.outcomes - recent.outcomes
    shares = (
        ("rejected", "pages without an article", recent.rejected, usual.rejected),
        ("useless", "pages that brought nothing new", pages - recent.useful, usual.outcomes - usual.useful),
    )
    for what, words, lately, in_all in shares:
        yield from _share(what, words, (lately, pages), (in_all - lately, pages_before), known)
    now, before = recent.articles, usual.articles - recent.articles
    for what, words, lately, in_all in (
        ("titles", "articles without a title", recent.untitled, usual.untitled),
        ("authors", "articles without an author", recent.unsigned, usual.unsigned),
        ("undated", "articles without a date", recent.undated, usual.undated),
        ("dates", "articles with a date that cannot be", recent.misdated, usual.misdated),
        ("language", f'articles in another language than "{stats.language}"', recent.foreign, usual.foreign),
    ):
        yield from _share(what, words, (lately, now), (in_all - lately, before), known)
    if _enough(now, before):
        yield from _length(stats, known)


def _enough(now: float, before: float) -> bool:
    return now >= MIN_RECENT and before >= MIN_BEFORE


def _share(
    what: str, words: str, lately: tuple[float, float], before: tuple[float, float], known: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Yield a warning if a share has risen; `lately` and `before` are pairs of hits and total."""
    (hits, number), (hits_before, number_before) = lately, before
    if not _enough(number, number_before):
        return
    share, usual = hits / number, (hits_before + 0.5) / (number_before + 1)
    bound = max(MIN_SHARE_CHANGE, STANDARD_ERRORS * math.sqrt(usual * (1 - usual) / number))
    if share - usual >= bound * (HYSTERESIS if what in known else 1):
        yield what, f"{words}: {share:.0%} lately, {max(0.0, hits_before / number_before):.0%} before"


def _length(stats: OutcomeStats, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield a warning if the mean logarithm of lengths has moved."""
    usual, recent = stats.usual, stats.recent
    number, before = recent.articles, usual.articles - recent.articles
    mean, mean_before = recent.length / number, (usual.length - recent.length) / before
    spread = max(MIN_LENGTH_SPREAD**2, (usual.length_squares - recent.length_squares) / before - mean_before**2)
    bound = max(MIN_LENGTH_CHANGE, STANDARD_ERRORS * math.sqrt(spread / number))
    if abs(mean - mean_before) >= bound * (HYSTERESIS if "length" in known else 1):
        yield "length", f"length of articles: {math.exp(mean):.0f} words lately, {math.exp(mean_before):.0f} before"


# Entries that two polls of a source have in common: without any, entries may have been missed in between. Pure.


MAX_ENTRIES: Final = 500
"""Entries of a poll that are remembered, 8 bytes each. Chosen, not measured: more than nearly every feed shows."""


def entry_keys(addresses: Iterable[str]) -> tuple[int, ...]:
    """Return signed 64-bit keys of a poll's entries, in their order, for the first `MAX_ENTRIES`."""
    return tuple(map(_key, islice(addresses, MAX_ENTRIES)))


def no_common_entry(before: Iterable[int], now: Iterable[int]) -> bool:
    """Return whether two polls, neither of them empty, have no entry in common."""
    earlier, later = set(before), set(now)
    return bool(earlier) and bool(later) and earlier.isdisjoint(later)


def _key(address: str) -> int:
    """Return the signed 64-bit hash of an address."""
    digest = hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
