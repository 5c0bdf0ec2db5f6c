"""What the store tells people: histories, stored articles, recognised copies, the books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from worker.models.articles import Article
from worker.models.enums import Authority, Relation, State


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
