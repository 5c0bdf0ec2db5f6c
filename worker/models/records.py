"""What the store tells people: histories, stored articles, recognised copies, the books."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from worker.models.articles import Article
from worker.models.enums import Authority, Relation, State
from worker.models.sources import Source, SourceState


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One line of a candidate's history: when, what (`discovered`, `fetched`, `decided`…), and details for people."""

    at: datetime
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArticle:
    """An article as the store holds it, for `export`, `why` and `duplicates`."""

    id: int
    article: Article
    cluster: int
    revision: int
    head: bool
    relation: Relation
    judged_against: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateLink:
    """One recognised copy, follow-up, template or overlap, linked to the head of the cluster it was judged against.

    `first_host` is where the text of that cluster came out first, empty for a seed or a file: by publication, where
    that is known and can be true, else by fetching; or where a person said.
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
    """One address that was seen for a candidate: who named it, and how the last try of it ended (empty: not tried).

    `reference` is the place it was named in (feed URL, file and line), `current` says that it is the one tried next or
    last.
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
    """Everything the ledger holds about one candidate, for `why`."""

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
class AuditReport:
    """The sum of the ledger and what is wrong with the store, if anything is.

    `counts` has every state; `problems` are sentences for people, empty in a sound store.
    """

    discovered: int
    counts: Mapping[State, int]
    articles: int
    seeds: int
    clusters: int
    problems: tuple[str, ...] = ()

    @property
    def balanced(self) -> bool:
        """Whether every candidate is in exactly one state and the index fits the articles."""
        return not self.problems and self.discovered == sum(self.counts.values())


# What a running worker tells of itself: is it well, and in figures.


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether work gets on; `reason` says for people why not, `figures` what it was told from."""

    ok: bool
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStats:
    """One source: what is remembered of its polls, what became of its candidates, and its newest text.

    `paused` says that the configuration keeps it from being polled: nothing about its polls is a trouble then.
    """

    name: str
    state: SourceState
    counts: Mapping[State, int] = field(default_factory=dict)
    newest_at: datetime | None = None
    paused: bool = False

    @property
    def known(self) -> int:
        """How many candidates it has brought."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentArticle:
    """One text that came in lately; its title and address are as somebody else wrote them."""

    id: int
    title: str
    url: str
    source: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What a worker and its store look like at one moment.

    `due` counts the pending candidates that could be claimed now, `in_hand` those that are being worked on, `texts`
    what `export` would write, `articles` every text a worker brought, `seeds` those that were there before. `recent`
    says by span how many candidates came to which end in it; `rejected`, where it was asked for, by reason how many
    pages gave no article and how many of them are kept. `size` is in bytes; None where nobody knows.
    """

    at: datetime
    pending: int
    due: int
    in_hand: int = 0
    counts: Mapping[State, int] = field(default_factory=dict)
    texts: int = 0
    articles: int = 0
    seeds: int = 0
    size: int | None = None
    sources: tuple[SourceStats, ...] = ()
    recent: Mapping[timedelta, Mapping[str, int]] = field(default_factory=dict)
    latest: tuple[RecentArticle, ...] = ()
    rejected: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def under(self, configured: Iterable[Source]) -> StoreStats:
        """Return these figures with the sources paused that are not polled: not enabled, or configured no longer."""
        polled = {source.name for source in configured if source.enabled}
        told = tuple(replace(each, paused=each.name not in polled) for each in self.sources)
        return replace(self, sources=told)


# What is wrong with a source, in sentences for people, each with since when.


GAP_SHOWN_FOR: Final = timedelta(days=7)
"""How long a gap between two polls counts as trouble."""


def source_warnings(source: SourceStats, *, now: datetime, moment: Callable[[datetime], str]) -> list[str]:
    """Return failed polls, gaps of late and drift; nothing for a source that is well or paused.

    `moment` writes a time.
    """
    if source.paused:
        return []
    state, learned = source.state, source.state.learned
    found = []
    if state.error:
        since = learned.failing_since or state.succeeded_at
        when = f"since {moment(since)}" if since else "from the first poll on"
        found.append(f"{_counted(state.failures, 'failed poll')} {when}: {state.error}")
    if learned.gap_at and now - learned.gap_at < GAP_SHOWN_FOR:
        gaps = _counted(learned.gaps, "gap")
        found.append(f"{gaps}, the last at {moment(learned.gap_at)}: items may have been missed")
    return found + [f"{alarm.what} since {moment(alarm.since)}: {alarm.detail}" for alarm in learned.alarms]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
