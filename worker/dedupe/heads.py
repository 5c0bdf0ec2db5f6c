"""Decides which text of a cluster is its head, the one that is exported, with the reason in words.

The criteria, in this order: a person's decision, a seed, the publisher's newest version, the fuller text by what it
adds, and among copies the `keep` setting. Only evidence replaces a stored head of another publisher, never what an
article's own page claims. docs/dedupe.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.prepared import PreparedText
from worker.dedupe.similarity import PASSAGE_WORDS, Similarity, marked_share, unmarked_runs, unmatched_passages
from worker.dedupe.tokenizer import Words, in_sorted, sorted_unique, word_pairs
from worker.errors import SourceError
from worker.models import Article, Kind, Neighbour, Relation, publication_time
from worker.models.base import dataclass
from worker.urls import site_of

Keep = Literal["earliest", "first", "longest"]

CLUSTER_RELATIONS: Final = frozenset({Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION})
"""Relations that make two texts members of one cluster."""

_GIVEN_BY_INPUT: Final = "input"
_KEPT_HOSTS: Final = 4096  # hosts of which the publisher is kept; chosen, not measured: a megabyte at most


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCandidate:
    """The properties of a text that decide whether it becomes the head; `length` is in characters."""

    publisher: str
    is_seed: bool
    length: int
    published_at: datetime | None
    published_at_from: str
    fetched_at: datetime

    @property
    def published_or_fetched(self) -> datetime:
        """The publication time, or the time of the fetch if that is unknown, guessed or impossible."""
        return publication_time(self.published_at, self.published_at_from, fetched_at=self.fetched_at)

    @property
    def known_since(self) -> datetime:
        """The time since when the text exists by other evidence than its own publisher's claim."""
        return self.published_or_fetched if self.published_at_from == _GIVEN_BY_INPUT else self.fetched_at


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadChoice:
    """Whether an article becomes the head of the cluster it joins, and the reason in words."""

    is_head: bool
    reason: str


def head_candidate(text: Article | Neighbour) -> HeadCandidate:
    """Return the properties of an article or a stored article that decide about the head."""
    return HeadCandidate(
        publisher=publisher_of(text.host),
        is_seed=text.kind is Kind.SEED,
        length=len(text.text),
        published_at=text.published_at,
        published_at_from=text.published_at_from,
        fetched_at=text.fetched_at,
    )


@lru_cache(maxsize=_KEPT_HOSTS)
def publisher_of(host: str) -> str:
    """Return the publisher of a host, which is its site; empty for local files, which have no host."""
    try:
        return site_of(f"https://{host}/") if host else ""
    except SourceError:
        return host


def is_one_page(one: Article | Neighbour, other: Neighbour) -> bool:
    """Return whether two texts are versions of one page: under the same canonical URL of the same publisher."""
    return one.canonical_url == other.canonical_url and publisher_of(one.host) == publisher_of(other.host)


def choose_head(
    candidate: HeadCandidate,
    head: HeadCandidate,
    relation: Relation,
    *,
    keep: Keep,
    measure_added: Callable[[], AddedText],
    original: str = "",
    reworded: bool = False,
    outdated: bool = False,
) -> HeadChoice:
    """Decide whether a candidate replaces the head of the cluster that it joins by its `relation` to that head.

    `measure_added` returns what the candidate has beside the head; it is called only if that matters. `original` is
    `article` (the candidate) or `stored` (the head) if a person decided which of the two is the original. `reworded`
    is true if two copies differ in their words, `outdated` if the candidate has the text of an earlier version of the
    head's page.
    """
    if original:
        return HeadChoice(is_head=original == "article", reason="a person said that it is the original")
    if candidate.is_seed != head.is_seed:
        return HeadChoice(is_head=candidate.is_seed, reason="a seed comes before what is fetched")
    if outdated:
        return HeadChoice(is_head=False, reason="its publisher has revised the text since")
    own = candidate.publisher == head.publisher
    if relation is Relation.REVISION:
        return _choose_newest(candidate, head)
    if relation is Relation.CONTAINED:
        return HeadChoice(is_head=False, reason="a stored text is the fuller one")
    if relation is Relation.CONTAINS:
        return (
            HeadChoice(is_head=True, reason="the publisher's fuller text") if own else _choose_fuller(measure_added())
        )
    if own and reworded and candidate.published_or_fetched < head.published_or_fetched:
        return HeadChoice(is_head=False, reason="a newer version by the same publisher")
    return _choose_among_copies(candidate, head, keep, own=own, measure_added=measure_added)


def _choose_newest(candidate: HeadCandidate, head: HeadCandidate) -> HeadChoice:
    """Decide between two versions of one publisher: the one fetched later is the head."""
    if candidate.fetched_at < head.fetched_at:
        return HeadChoice(is_head=False, reason="a newer version by the same publisher")
    return HeadChoice(is_head=True, reason="the publisher's newest version")


def _choose_fuller(added: AddedText) -> HeadChoice:
    """Decide about a text of another publisher that contains the head: it must continue the story."""
    if refusal := added.foreign or added.shortfall:
        return HeadChoice(is_head=False, reason=f"another publisher's longer text does not replace it: {refusal}")
    return HeadChoice(is_head=True, reason=f"the fuller text: {added.words} words more of the story")


def _choose_among_copies(
    candidate: HeadCandidate, head: HeadCandidate, keep: Keep, *, own: bool, measure_added: Callable[[], AddedText]
) -> HeadChoice:
    """Decide between copies by the `keep` setting."""
    if keep == "longest":
        if candidate.length <= head.length:
            return HeadChoice(is_head=False, reason="the longest of the copies")
        if not own and (foreign := measure_added().foreign):
            return HeadChoice(is_head=False, reason=f"another publisher's longer copy does not replace it: {foreign}")
        return HeadChoice(is_head=True, reason="the longest of the copies")
    if keep == "first":
        return HeadChoice(is_head=candidate.fetched_at < head.fetched_at, reason="the copy that was fetched first")
    if (candidate.published_or_fetched if own else candidate.known_since) < head.published_or_fetched:
        return HeadChoice(is_head=True, reason="the copy that came out first")
    if candidate.published_or_fetched < head.published_or_fetched:
        claim = "only its own publisher says that the other came out earlier"
        return HeadChoice(is_head=False, reason=f"the stored copy stays: {claim}")
    return HeadChoice(is_head=False, reason="the copy that came out first")


# Additions: what a longer text adds to a shorter one that it contains, more of the story or something foreign.


# Chosen by hand: an addition of fewer words is no fuller text, nor is a text that lacks more than these shares of the
# older text and of its own addition.
_MIN_ADDED_WORDS = 20
_MAX_LOST_SHARE = 0.15
_MAX_LOST_PER_ADDED = 0.25

# Measured on 300 articles: the first part of an article has 7% or more of the word pairs of its rest in 93 of 100
# cases, but of another article's in 4 of 100. Pairs of the title show a continuation that repeats nothing else.
_MIN_KNOWN_PAIRS = 0.07
_MIN_KNOWN_PAIRS_WITH_TITLE = 0.01
_MIN_TITLE_PAIRS = 0.005

_MIN_RATIO_TO_CHANCE = 2.0
"""How many times as often neighbouring words must be a pair of the older text as words some places apart, which have
chance's share. Measured: the ends of all of 119 articles exceed it; random words give 1."""
_CHANCE_DISTANCES = (3, 4, 5, 6)

# Chosen by hand. A passage with more known word pairs restates the older text, and adds nothing. A longer text has more
# pairs by chance, so the bound of known pairs grows with its length in words, up to the factor.
_RESTATED_SHARE = 0.6
_USUAL_LENGTH = 500
_MAX_LENGTH_FACTOR = 1.5

# Chosen by hand: so many words in order, and so much of a title, are that title and no mention of its subject.
_MIN_TITLE_WORDS = 4
_TITLE_SHARE = 0.6

# Insertions of a few words into the older text, per shared word. Measured: labelled fuller texts have up to 1.8% in 90
# of 100 cases, and a negation in every sentence gives 2.9% or more in 95 of 100. At half of that, an editor can be told
# from a falsifier only because an editor also drops and exchanges words (`_MIN_ONE_SIDED_SHARE` of the edits are
# insertions).
_MIN_INSERTED = 0.016
_MIN_INSERTED_ONE_SIDED = 0.008
_MIN_ONE_SIDED_SHARE = 0.75
_MIN_INSERTED_PLACES = 3
_MIN_WRAPPING_WORDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedText:
    """The number of `words` that a text adds to an older one, and of the `lost` words of passages that it lacks.

    `foreign` is the reason why the addition does not continue the story, empty if it does. `older_words` is the length
    of the older text in words.
    """

    words: int
    lost: int
    older_words: int
    foreign: str = ""

    @property
    def shortfall(self) -> str:
        """The reason why the text is not the fuller one, empty if it is."""
        if self.words < _MIN_ADDED_WORDS:
            return "it adds nothing of weight"
        if self.lost > max(_MAX_LOST_SHARE * self.older_words, _MAX_LOST_PER_ADDED * self.words):
            return "it lacks passages of the other"
        return ""


def measure_addition(text: PreparedText, older: PreparedText, similarity: Similarity) -> AddedText:
    """Return what a text adds to an older text; `similarity` is that of the text to the older one."""
    passages = unmatched_passages(similarity.ours.matched)
    own = [
        each
        for start, stop in passages
        for each in _around_title(text, start, stop, older.title)
        if similarity.ours.known_share([each]) < _RESTATED_SHARE
    ]
    lost = similarity.theirs.own
    return AddedText(
        words=_count_words(own),
        lost=_count_words(lost),
        older_words=len(older.words),
        foreign=_why_foreign(text, older, similarity, own),
    )


def _around_title(text: PreparedText, start: int, stop: int, title: Words) -> Iterator[tuple[int, int]]:
    """Yield what a passage has before and after the title of another text: above an item of a digest it is no story."""
    of_title = in_sorted(word_pairs(text.words.hashes[start:stop]), sorted_unique(word_pairs(title.hashes)))
    place = start
    for first, last in unmarked_runs(~of_title):
        if last - first + 1 >= max(_MIN_TITLE_WORDS, _TITLE_SHARE * len(title)):
            if place < start + first:
                yield place, start + first
            place = start + last + 1
    if place < stop:
        yield place, stop


def _count_words(passages: Iterable[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in passages)


def _why_foreign(text: PreparedText, older: PreparedText, similarity: Similarity, own: list[tuple[int, int]]) -> str:
    """Return the reason why an addition does not continue the story, empty if it does."""
    if _is_interspersed(similarity):
        return "it puts words of its own into the sentences of the other"
    if _count_words(own) < _MIN_ADDED_WORDS:
        return ""
    if _is_wrapped(len(text.words), own):
        return "it wraps the other into text of its own"
    return (
        ""
        if _continues_story(text, older, similarity.ours.known_share(own), own)
        else "what it adds speaks of something else"
    )


def _is_interspersed(similarity: Similarity) -> bool:
    """Return whether a few words are inserted all over the other text, as in no honest edit."""
    edits = [gap for gap in similarity.alignment.gaps if max(len(gap.ours), len(gap.theirs)) < PASSAGE_WORDS]
    inserted = sum(not gap.theirs for gap in edits)
    rate = inserted / max(1, int(similarity.ours.matched.sum()))
    if inserted < _MIN_INSERTED_PLACES:
        return False
    return rate >= _MIN_INSERTED or (rate >= _MIN_INSERTED_ONE_SIDED and inserted >= _MIN_ONE_SIDED_SHARE * len(edits))


def _is_wrapped(length: int, own: list[tuple[int, int]]) -> bool:
    """Return whether the other text is in one piece between passages at the beginning and the end of this one."""
    before = _count_words(each for each in own if each[0] == 0)
    after = _count_words(each for each in own if each[1] == length)
    inside = _count_words(own) - before - after
    return min(before, after) >= _MIN_WRAPPING_WORDS > inside


def _continues_story(text: PreparedText, older: PreparedText, known: float, own: list[tuple[int, int]]) -> bool:
    """Return whether the added passages, taken together, are on the topic of the older text.

    `known` is the share of their word pairs that the older text has.
    """
    if known < _MIN_RATIO_TO_CHANCE * _shared_by_chance(text, own, older):
        return False
    length_factor = min(_MAX_LENGTH_FACTOR, math.pow(max(1.0, len(older.words) / _USUAL_LENGTH), 0.4))
    if known >= _MIN_KNOWN_PAIRS * length_factor:
        return True
    title = in_sorted(_pairs_in(text, own), sorted_unique(word_pairs(older.title.hashes)))
    return known >= _MIN_KNOWN_PAIRS_WITH_TITLE and marked_share(title) >= _MIN_TITLE_PAIRS


def _shared_by_chance(text: PreparedText, own: list[tuple[int, int]], older: PreparedText) -> float:
    """Return the share that chance gives: of pairs of words some places apart, which the older text has."""
    apart = [_pairs_in(text, own, apart=places) for places in _CHANCE_DISTANCES]
    return marked_share(in_sorted(np.concatenate(apart), older.pairs))


def _pairs_in(text: PreparedText, own: list[tuple[int, int]], *, apart: int = 1) -> NDArray[np.uint64]:
    return np.concatenate([word_pairs(text.words.hashes[start:stop], apart=apart) for start, stop in own])
