"""The values of discovery: sources, candidates, polls, backfills, source statistics."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from worker.models.base import Authority, Page, Text, Validators, dataclass

# The learned behaviour of a source, stored as JSON: when it publishes, and what its articles are like.


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingStats:
    """When and how much a source publishes, updated with every poll; all sums decay exponentially with time.

    looked_at: the time of the latest poll.
    items, hours: for each hour of the day in the source's time zone, the items published then and the hours observed.
    recent, expected: the items seen lately, and the number that `items` and `hours` predicted for that time.
    window: the number of entries that the source showed last.
    half_window: the shortest time in which new items filled half of the window: the risk of missing items.
    new_at: the time of the latest new item; silence: the longest time without one.
    arrivals: the number of polls with new items; empty: the number of consecutive polls without any entry.
    read_at: the time at which the whole source was last read; nothing older needs to be read again.
    stopped_at: the page at which the next poll continues, if the source has more pages than one poll reads.
    round_began: when the first page of that round was read; None if a page of it failed.
    fruitful: the pages that gave new items last, the latest first; the next poll reads them first.
    idle: how many polls in a row read many pages of which hardly any gave a new item.
    """

    looked_at: datetime | None = None
    items: tuple[float, ...] = ()
    hours: tuple[float, ...] = ()
    recent: float = 0.0
    expected: float = 0.0
    window: int = 0
    half_window: timedelta | None = None
    new_at: datetime | None = None
    silence: timedelta = timedelta(0)
    arrivals: int = 0
    empty: int = 0
    read_at: datetime | None = None
    stopped_at: str = ""
    round_began: datetime | None = None
    fruitful: tuple[str, ...] = ()
    idle: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecayingSums:
    """Exponentially decaying sums over the outcomes of a source's pages.

    `outcomes` counts all pages, `useful` and `rejected` those with such an outcome. Over its articles: their number,
    the sums of `length` (the natural logarithm of the number of words) and of its square, and the numbers of articles
    without title, author or date, with an impossible date, or in another language than usual.
    """

    outcomes: float = 0.0
    useful: float = 0.0
    rejected: float = 0.0
    articles: float = 0.0
    length: float = 0.0
    length_squares: float = 0.0
    untitled: float = 0.0
    unsigned: float = 0.0
    undated: float = 0.0
    misdated: float = 0.0
    foreign: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeStats:
    """The outcomes of a source's pages over a long time (`usual`) and lately (`recent`, with a shorter half-life).

    `language` is the usual language of its articles, `votes` its lead over other languages (a majority vote).
    """

    usual: DecayingSums = DecayingSums()
    recent: DecayingSums = DecayingSums()
    language: str = ""
    votes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A warning about a source or the worker: `what` is a word or a few, `detail` a sentence with the figures."""

    what: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PollHistory:
    """What the polls of a source have shown.

    `plan` names the rule that set the time of its next poll. `fault` is the reason of its failures in one word, since
    `failing_since`. `gaps` counts the polls that had no entry in common with the one before, the last at `gap_at`:
    items between the two may be missing. `entries` are 64-bit keys of the entries in the latest poll.
    """

    plan: str = ""
    failing_since: datetime | None = None
    fault: str = ""
    gaps: int = 0
    gap_at: datetime | None = None
    publishing_stats: PublishingStats = PublishingStats()
    alarms: tuple[Alarm, ...] = ()
    entries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Options for reading a source; each kind of source uses those that apply to it.

    `sites` are further sites that count as the source's own; links to other sites are skipped unless `follow_others`.
    `keep_params`, `drop_params` and `fold_case` are its rules for canonical URLs. `pages` and `article_pattern` apply
    to listing pages, `max_age` (None: any) to sitemaps. Articles published before `since` are skipped. `read_at` is
    when a sitemap was last read completely; the flows set it, not the configuration. `sitemap` is read after a gap
    between two polls, `archive` (a URL pattern with dates) by a backfill.
    """

    follow_others: bool = False
    sites: frozenset[str] = frozenset()
    keep_params: frozenset[str] = frozenset()
    drop_params: frozenset[str] = frozenset()
    fold_case: bool = False
    pages: int = 1
    article_pattern: re.Pattern[str] | None = None
    max_age: timedelta | None = timedelta(days=30)
    since: datetime | None = None
    read_at: datetime | None = None
    sitemap: str = ""
    archive: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One configured source. `every` and `cron` (fixed times in `timezone`) replace the adaptive poll interval."""

    name: str
    kind: str
    url: str
    enabled: bool = True
    every: timedelta | None = None
    cron: str = ""
    timezone: str | None = None
    options: SourceOptions = SourceOptions()


FORGOTTEN_SCHEME: Final = "forgotten:"
"""What the address of a forgotten candidate begins with; a hash of its own address follows. Nothing fetches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A discovered article that was not fetched yet.

    `reference` is the place of discovery (feed URL, file and line), `authority` the party that supplied the URL.
    `payload` is the content if discovery has it already (input files, WARC records); nothing is fetched then.
    `fallback` is the full text from the source's feed, used if the page cannot be fetched.
    """

    url: str
    canonical_url: str
    source: str
    reference: str
    authority: Authority = Authority.PUBLISHER
    title: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    external_id: str | None = None
    payload: Page | Text | None = None
    fallback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The result of parsing one page of a source: candidates, and further pages to read (`follow`).

    `skipped` counts the entries that gave no candidate; among them `offsite` those that link to other sites
    (`offsite_examples`: a URL of a page of each of the first few) and `out_of_range` those outside the requested time.
    `notes` explain problems for people. `is_article` is true if the parsed page itself is the only candidate. `rest` is
    the unparsed remainder of a very long page, as a page of its own.
    """

    candidates: tuple[Candidate, ...] = ()
    follow: tuple[str, ...] = ()
    skipped: int = 0
    offsite: int = 0
    offsite_examples: tuple[str, ...] = ()
    out_of_range: int = 0
    notes: tuple[str, ...] = ()
    title: str | None = None
    is_article: bool = False
    rest: Page | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """The stored state of a source.

    `found` is the number of entries in the latest poll, `failures` the number of consecutive failed polls, `learned`
    the result of its polls so far, `outcome_stats` the outcomes of its pages.
    """

    name: str
    due_at: datetime | None = None
    validators: Validators = Validators()
    polled_at: datetime | None = None
    succeeded_at: datetime | None = None
    failures: int = 0
    error: str = ""
    found: int = 0
    interval: timedelta | None = None
    learned: PollHistory = PollHistory()
    outcome_stats: OutcomeStats = OutcomeStats()


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """The result of one poll of a source, written in one transaction with its candidates.

    `interval` is the new poll interval of the source; `error` is empty after a successful poll.
    """

    source: str
    polled_at: datetime
    due_at: datetime
    validators: Validators = Validators()
    error: str = ""
    found: int = 0
    not_modified: bool = False
    interval: timedelta | None = None
    learned: PollHistory = PollHistory()


# Backfills: the places to visit, and the progress.


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPlace:
    """One place that a backfill visits: a sitemap, a page of a listing, a feed, or an archive file.

    `kind` is a kind of source and selects the parser. `position` is how far a file has been read, in the unit of its
    reader. `found`, `new` and `left_out` count its candidates so far.
    """

    id: int
    kind: str
    url: str
    position: int = 0
    found: int = 0
    new: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillProgress:
    """The progress of a backfill: places visited (`looked`) and waiting, and the candidates found.

    `unread` counts the places whose latest visit failed; those worth another attempt are also counted as waiting.
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
class BackfillStatus:
    """An unfinished backfill: its progress, its pending candidates, and the worker that runs it (empty: none)."""

    state: BackfillProgress
    pending: int
    worker: str = ""


def backfill_batch(backfill: str) -> str:
    """Return the batch label of a backfill's candidates."""
    return f"backfill:{backfill}"
