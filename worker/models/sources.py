"""What discovery hands on: sources, pages, candidates, and how a poll went."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker.models.enums import Authority

# What is remembered of how a source behaves: when it publishes, and what its articles are like.


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingStats:
    """How a source publishes, learned poll by poll; every sum decays, so that what is long past counts less.

    `items` and `hours` hold, for each hour of the day in the source's time zone, how many items came then and for how
    long it was watched. `recent` and `expected` set what came lately against what these hours had promised. `window` is
    how many entries the source showed last, `half_window` the shortest time in which so many new items came as fill
    half of it. `silence` is the longest time without anything new, `arrivals` the number of polls that brought
    something, `empty` how many polls in a row found no entry at all. `read_at` is when all of it was last read: before
    that nothing is owed. Of a source with more pages than one poll reads, `stopped_at` is the page to go on at, and
    `round_began` when the first of the round was read, None where a part of it failed.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DecayingSums:
    """Decaying sums over what became of a source's pages: `outcomes` in all, those that were `useful` or `rejected`.

    Over its articles: how many (`articles`), the sums of `length` (the logarithm of the number of words) and of its
    square, and how many had no title, no author, no date, a date that cannot be, or another language than is usual.
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
    """What became of a source's pages: over a long time (`usual`), and lately (`recent`, which is part of it).

    `language` is the usual language of its articles, `votes` how far it is ahead.
    """

    usual: DecayingSums = DecayingSums()
    recent: DecayingSums = DecayingSums()
    language: str = ""
    votes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A warning about a source: `what` in one word, since when, and a sentence with the figures."""

    what: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PollHistory:
    """What polls have taught about a source.

    `plan` is the rule its next poll was set by; `fault` is why it fails, in one word, since `failing_since`. `gaps`
    counts the polls that shared no entry with the one before, the last at `gap_at`. `entries` are 64-bit keys of what
    the last poll showed.
    """

    plan: str = ""
    failing_since: datetime | None = None
    fault: str = ""
    gaps: int = 0
    gap_at: datetime | None = None
    habits: PublishingStats = PublishingStats()
    alarms: tuple[Alarm, ...] = ()
    entries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How a source is read; each kind of source takes what concerns it.

    `sites` are further sites that count as its own; links to others are left out unless `follow_others`. `keep_params`,
    `drop_params` and `fold_case` are its rules for addresses. `pages` and `article_pattern` are for listing pages,
    `max_age` (None: any) for sitemaps. Nothing published before `since` is wanted. `read_at` is when all of a sitemap
    was last read: the flows know it, not the configuration. `sitemap` is looked in where polls leave a gap, `archive`
    by a backfill.
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
    """One place to poll, as the configuration names it; `cron` are fixed times in its time zone."""

    name: str
    kind: str
    url: str
    enabled: bool = True
    every: timedelta | None = None
    cron: str = ""
    timezone: str | None = None
    options: SourceOptions = SourceOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a conditional GET sends back to the server (RFC 9110, section 13)."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One fetch to make. `accept` is the kind of body wanted: `page`, `feed` or `any`."""

    url: str
    validators: Validators = Validators()
    accept: str = "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What came back for one URL: the body after decompression, or nothing for a 304.

    `url` is what was asked for and `final_url` what answered, after redirects. `headers` holds the response
    headers that matter later, names in lower case. `permanent_url` is the end of the leading run of permanent
    redirects, if there was one; `moved_before` says that it was known before this fetch.
    """

    url: str
    final_url: str
    status: int
    body: bytes
    fetched_at: datetime
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    validators: Validators = Validators()
    permanent_url: str | None = None
    moved_before: bool = False
    elapsed: timedelta = timedelta(0)

    @property
    def not_modified(self) -> bool:
        """Whether the server said that nothing changed (304)."""
        return self.status == 304


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text that needs no extraction: what an input file or a feed gave as plain text."""

    text: str
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An article somebody pointed at, before anybody has looked.

    `payload` is set where discovery already holds the content (input files, WARC records): nothing is fetched then.
    `reference` names the place of discovery (feed URL, file and line), `authority` whose word the address is.
    `fallback` is the article's text as the source itself gives it, for a page that turns out to be out of reach.
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
    """What reading one page of a source gave: candidates, and further pages of the source to read.

    `skipped` counts entries that could not become candidates, `strangers` those among them that lead to other sites
    (`elsewhere`: one address on each of a few of these), `outside` those of another time than was looked for; `notes`
    say why, for people. `itself` says that the page read
    is the one candidate. `rest` is what was not read of a very long page, as a page of its own.
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
    """What the store remembers of a source between polls, and of what became of its pages (`harvest`)."""

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
    harvest: OutcomeStats = OutcomeStats()


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """The end of one poll of a source, to be written together with the candidates it found.

    `interval` is the source's interval from now on; `error` is empty after a poll that worked.
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


# What going back through a source's past hands on: the places to look at, and how far it has come.


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPlace:
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
class BackfillProgress:
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
class BackfillStatus:
    """A backfill that is not done: how far it has come, how many of its candidates wait, and who, if any, is at it."""

    state: BackfillProgress
    pending: int
    worker: str = ""


def backfill_batch(backfill: str) -> str:
    """Return how the candidates of a backfill are marked."""
    return f"backfill:{backfill}"
