"""The values that the store returns for display: histories, stored articles, duplicates, audits and statistics.

`source_warnings` turns the state of a source into sentences for `status` and the status page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Final

from worker.models.articles import Article
from worker.models.base import Authority, Kind, Relation, State, dataclass, format_utc
from worker.models.sources import Alarm, Source, SourceState


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One event of a candidate's history: `what` is a word such as `discovered`, `fetched` or `decided`."""

    at: datetime
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFacts:
    """The other texts of an article's cluster: copies on other pages, and other versions of the same page.

    `others` is their number, `hosts` are their hosts, sorted. `first_seen` and `last_seen` are the earliest and the
    latest time at which a text of the cluster was fetched, this article included. `first_host` is as in
    `DuplicateLink`. For an article that is not the head of its cluster, `copy_of` is the id of the head and `relation`
    what the article is to it.
    """

    others: int
    hosts: tuple[str, ...]
    first_seen: datetime
    last_seen: datetime
    first_host: str
    copy_of: int | None = None
    relation: Relation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArticle:
    """A stored article with its place in the corpus, for `export`, `why` and `duplicates`.

    `cluster` is the id of the first article of its cluster, `revision` the number of its version of the page, from 1.
    `head` is true if its cluster exports this article. `judged_against` is the id of the article that `relation`
    refers to. `copies` is only read for exports.
    """

    id: int
    article: Article
    cluster: int
    revision: int
    head: bool
    relation: Relation
    judged_against: int | None = None
    copies: CopyFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The stored texts that are wanted: every condition must hold, and one that is left empty holds for all texts.

    `since` and `before` bound the time of publication, or of fetching for a text without a date of publication.
    Without `copies`, only the head of each cluster is wanted.
    """

    since: datetime | None = None
    before: datetime | None = None
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    min_words: int = 0
    copies: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Why an article that was exported is exported no longer.

    `reason` is `forgotten` if a person had it removed for good (`forget`), `removed` if it is gone from the store in
    another way, the relation by which another text of its cluster is exported instead, or `filtered` if it is a head
    that is no longer selected. `replaced_by` is the id of that other text.
    """

    reason: str
    replaced_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What is left of something that was forgotten: `what` is `address`, `host` or `article`; when, and why.

    `article` is the id of a removed article. `candidate` is the id of the candidate that had the address, if any.
    """

    what: str
    at: datetime
    reason: str
    article: int | None = None
    candidate: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateLink:
    """A copy, follow-up, template or overlap, linked to the exported article of the cluster it was judged against.

    `first_host` is the host that published the text of that cluster first, by publication time if that is plausible,
    else by the time of fetching, unless a person marked an original; it is empty for a seed or a file.
    """

    id: int
    url: str
    source: str
    title: str
    fetched_at: datetime
    duplicate_of: int
    duplicate_of_url: str
    duplicate_of_title: str
    relation: Relation
    jaccard: float
    containment: float
    shared_words: int
    published_at: datetime | None = None
    duplicate_of_published_at: datetime | None = None
    duplicate_of_fetched_at: datetime | None = None
    first_host: str = ""
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAddress:
    """One URL under which a candidate was seen, and the outcome of its last attempt (empty `state`: not tried).

    `reference` is the place of discovery (feed URL, file and line). `current` is true for the URL that was tried last
    or is tried next.
    """

    url: str
    source: str
    reference: str
    authority: Authority
    seen_at: datetime
    state: str = ""
    reason: str = ""
    tried_at: datetime | None = None
    current: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """Everything the ledger stores about one candidate, for `why`; `articles` are ids, oldest first."""

    id: int
    url: str
    canonical_url: str
    source: str
    reference: str
    state: State
    reason: str
    detail: str
    discovered_at: datetime
    due_at: datetime | None
    attempts: int
    articles: tuple[int, ...]
    events: tuple[HistoryEvent, ...]
    addresses: tuple[SeenAddress, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a text; `is_hit` is true for words that a query looks for."""

    text: str
    is_hit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedPassage:
    """A passage of both texts: the same words if `shared`, else different ones (either side may be empty)."""

    shared: bool
    text: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedPassages:
    """Two texts split into passages in the order of `text`.

    `shared_words` counts the words of shared passages, as those of an article are counted.
    A moved passage is at its place in `text`. A passage that only `other` has precedes the passage that follows it in
    `other`, or is the last.
    """

    passages: tuple[AlignedPassage, ...]
    shared_words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """An article that a search found: its title and a part of its text, with the hits in them."""

    id: int
    url: str
    source: str
    host: str
    language: str
    published_at: datetime | None
    fetched_at: datetime
    title: tuple[Passage, ...]
    snippet: tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The hits of a search, the best first; `more` is true if there are others.

    `unindexed` counts the articles that could not be searched yet; `notes` say which parts of the query were ignored.
    """

    hits: tuple[SearchHit, ...]
    more: bool
    unindexed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMember:
    """An article of a cluster: where and when it was published, and how it was judged when it came.

    `at` is its place in time among the others: the time of publication if that is plausible, else of fetching.
    `is_dated` is false for a seed whose time of publication is not known: when it appeared first cannot be said.
    """

    id: int
    url: str
    host: str
    source: str
    title: str
    words: int
    at: datetime
    published_at: datetime | None
    fetched_at: datetime
    relation: Relation
    head: bool
    revision: int
    is_dated: bool = True


LOST_REASONS: Final = ("timeout", "crash", "memory")
"""The reasons of rejected pages that are errors of the worker: the page ended an extraction process."""
LOST: Final = "lost"
"""The state of such pages in `ActivityCounts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityCounts:
    """How often candidates ended in each state: `hours` maps an hour and a state to a number.

    `last_event` is the id of the last event that is counted, for a later call that only adds what is new.
    """

    hours: Mapping[tuple[datetime, str], int]
    last_event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The totals of the ledger and the problems found in the store.

    `counts` has an entry for every state; `problems` are sentences for people, none if the store is sound.
    """

    discovered: int
    counts: Mapping[State, int]
    articles: int
    seeds: int
    clusters: int
    problems: tuple[str, ...] = ()

    @property
    def balanced(self) -> bool:
        """Whether every candidate is in exactly one state and no problem was found."""
        return not self.problems and self.discovered == sum(self.counts.values())


# The status of a running worker: its health and its statistics.


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the worker makes progress; `reason` explains why not, `figures` are the numbers behind it."""

    ok: bool
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStats:
    """The statistics of one source: its polls, its candidates by state, and the time of its newest text.

    `paused` is true if the configuration disables it or has removed it; a paused source has no warnings.
    """

    name: str
    state: SourceState
    counts: Mapping[State, int] = field(default_factory=dict)
    newest_at: datetime | None = None
    paused: bool = False

    @property
    def known(self) -> int:
        """The number of candidates from this source."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentArticle:
    """An article stored recently. Its title, summary and URL are text from the web: escape them for display."""

    id: int
    title: str
    url: str
    source: str
    at: datetime
    published_at: datetime | None = None
    language: str = ""
    words: int = 0
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """The statistics of a worker and its store at one moment.

    `due` counts the pending candidates that could be claimed now, `in_hand` those being worked on, `held` those that
    wait because their source is paused. `texts` is the number of texts that `export` would write, `articles` of all
    texts from the web, `seeds` of all seeds. `recent` maps a time span to the numbers of outcomes within it, by event.
    `rejected`, if requested, maps a reason to the number of pages without an article and the number of those still
    stored. `size` is in bytes, None if unknown. `latest` are the newest articles, without copies and earlier versions.
    `unindexed` counts the articles that full-text search has to read one by one, as they are not in its index yet.
    """

    at: datetime
    pending: int
    due: int
    in_hand: int = 0
    held: int = 0
    counts: Mapping[State, int] = field(default_factory=dict)
    texts: int = 0
    articles: int = 0
    seeds: int = 0
    size: int | None = None
    sources: tuple[SourceStats, ...] = ()
    recent: Mapping[timedelta, Mapping[str, int]] = field(default_factory=dict)
    latest: tuple[RecentArticle, ...] = ()
    rejected: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unindexed: int = 0

    def mark_paused(self, configured: Iterable[Source]) -> StoreStats:
        """Return the statistics with every source marked as paused that is disabled or no longer configured."""
        polled = {source.name for source in configured if source.enabled}
        return replace(self, sources=tuple(replace(each, paused=each.name not in polled) for each in self.sources))


GAP_SHOWN_FOR: Final = timedelta(days=7)
"""How long a gap between two polls is reported: long enough for someone who looks at `status` once a week."""


def source_warnings(source: SourceStats, *, now: datetime) -> list[Alarm]:
    """Return a sentence for each problem of a source, in `detail`: failed polls, recent gaps, drift of its articles.

    The list is empty for a healthy or paused source.
    """
    if source.paused:
        return []
    state, learned, found = source.state, source.state.learned, []
    if state.error:
        since = learned.failing_since or state.succeeded_at
        when = f"since {format_utc(since)}" if since else "from the first poll on"
        text = f"{_counted(state.failures, 'failed poll')} {when}: {state.error}"
        found.append(Alarm(what="polls", since=since or now, detail=text))
    if learned.gap_at and now - learned.gap_at < GAP_SHOWN_FOR:
        text = f"{_counted(learned.gaps, 'gap')}, the last at {format_utc(learned.gap_at)}: items may have been missed"
        found.append(Alarm(what="gap", since=learned.gap_at, detail=text))
    return found + [
        replace(alarm, detail=f"{alarm.what} since {format_utc(alarm.since)}: {alarm.detail}")
        for alarm in learned.alarms
    ]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
