"""What people see of a store beyond single articles: lists of them, who copies whom, pairs to review, rejected pages.

Titles, addresses and details are text from the web: escape them for display.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Final

from worker.models.articles import Comparison
from worker.models.base import dataclass
from worker.models.records import (
    AlignedPassage,
    ClusterMember,
    DuplicateLink,
    RecentArticle,
    SearchResult,
    StoredArticle,
)

# What was searched or listed.


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResults:
    """A part of the results of a search, the best first; `result` is None without a query."""

    query: str
    offset: int
    result: SearchResult | None
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArticles:
    """A part of the list of the articles that are exported, the newest first."""

    articles: tuple[RecentArticle, ...]
    next: str | None


# Who copies whom.


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedStory:
    """A cluster with copies on other hosts: the first text, then those of the other hosts in order of time.

    `texts` counts all texts of the cluster, of which only some are in `copies`; `hosts` counts the hosts of all.
    """

    cluster: int
    first: ClusterMember
    copies: tuple[ClusterMember, ...]
    texts: int
    hosts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShare:
    """How many of a host's texts another host had first."""

    host: str
    texts: int
    copied: int

    @property
    def share(self) -> float:
        """The share of copied texts, in 0..1."""
        return self.copied / self.texts


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """Who copied whom lately: the stories with the widest spread first, the hosts with the largest share first.

    `texts` is the number of texts that were looked at: those stored since `since`, or the newest of them if
    `is_cut` is true.
    """

    since: datetime
    texts: int
    is_cut: bool
    stories: tuple[CopiedStory, ...] = ()
    hosts: tuple[HostShare, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyList:
    """Recognised copies, the newest first; `before` is where the next part begins, None at the end."""

    links: tuple[DuplicateLink, ...]
    before: int | None = None


# Pairs to review.


UNDONE: Final = "undone"
"""The decision that takes back the decision on two articles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A person's decision on two articles, `same` or `different`, and what the judge had said.

    `judged_same` is None where the judge never compared the two.
    """

    article: int
    other: int
    title: str
    other_title: str
    decided: str
    at: datetime
    judged_same: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSummary:
    """How many pairs people decided, and in how many of those that the judge had compared it had said the same.

    `latest` are the newest decisions, the newest first.
    """

    same: int = 0
    different: int = 0
    compared: int = 0
    agreed: int = 0
    latest: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPair:
    """Two articles about which the judge was unsure, and its comparison of the first with the second."""

    article: StoredArticle
    other: StoredArticle
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPair:
    """Two texts about which the judge was unsure: the figures, its reasons in words, and the aligned passages.

    `judged_same` is what it decided: one item or two. `is_cut` is true if the texts go on after the passages. `words`
    and `other_words` are the lengths of both as the judge counts, as `shared_words` does: `4/3` is two words.
    """

    article: StoredArticle
    other: StoredArticle
    words: int
    other_words: int
    judged_same: bool
    probability: float
    jaccard: float
    containment: float
    shared_words: int
    rule: str
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    passages: tuple[AlignedPassage, ...]
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPage:
    """The least certain pair that nobody has decided, and how the decisions agree with the judge.

    `next` skips the pair. `found` pairs are in the `verdicts_read` newest of `verdicts`; some more are read each time.
    """

    pair: ComparedPair | None
    cursor: str
    next: str | None
    found: int
    verdicts_read: int
    verdicts: int
    marks: MarkSummary


# Pages without an article.


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedPage:
    """A page that gave no article: the reason in one word, and the sentence with the figure that decided.

    `is_kept` is false if its page was deleted since: it would be fetched again. `article` is the id of a text that it
    gave since.
    """

    candidate: int
    url: str
    source: str
    title: str | None
    reason: str
    detail: str
    at: datetime
    is_kept: bool
    article: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedList:
    """Rejected pages, the latest first; `before` is where the next part begins, None at the end.

    `reasons` counts the pages by reason, most first: all of them, or those of the newest part of the history.
    """

    pages: tuple[RejectedPage, ...]
    reasons: Mapping[str, int] = field(default_factory=dict)
    are_reasons_of_all: bool = True
    before: int | None = None
