"""Decides which of two texts of one cluster is exported, its head, and says why in words.

In this order: a person's word, a seed, the publisher's newest version, the fuller text by what it adds, and among
copies what `keep` says. A stored head of another publisher gives way to evidence alone, never to what a newcomer says
of itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.prepared import PreparedText
from worker.dedupe.similarity import PASSAGE_WORDS, Similarity, marked_share, unmatched_passages
from worker.dedupe.tokenizer import in_sorted, sorted_unique, word_pairs
from worker.errors import SourceError
from worker.models import Article, Kind, Neighbour, Relation, publication_time
from worker.urls import site_of

Keep = Literal["earliest", "first", "longest"]

JOINING: Final = frozenset({Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION})
"""Relations that make two texts members of one cluster."""

_GIVEN_BY_INPUT: Final = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCandidate:
    """What of a text counts for being the head: whose it is, when it came, and how long it is."""

    publisher: str
    is_seed: bool
    length: int
    published_at: datetime | None
    published_at_from: str
    fetched_at: datetime

    @property
    def came_out(self) -> datetime:
        """When the text came out: its publication, or where that is unknown, a guess or impossible, its fetching."""
        return publication_time(self.published_at, self.published_at_from, fetched_at=self.fetched_at)

    @property
    def known_since(self) -> datetime:
        """Since when the text is known by other evidence than its own publisher's word."""
        return self.came_out if self.published_at_from == _GIVEN_BY_INPUT else self.fetched_at


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadChoice:
    """Whether a newcomer becomes the head of the cluster it joins, and why it does or does not."""

    newcomer: bool
    reason: str


def head_candidate(text: Article | Neighbour) -> HeadCandidate:
    """Return what of a text counts for being the head."""
    return HeadCandidate(
        publisher=publisher_of(text.host),
        is_seed=text.kind is Kind.SEED,
        length=len(text.text),
        published_at=text.published_at,
        published_at_from=text.published_at_from,
        fetched_at=text.fetched_at,
    )


def publisher_of(host: str) -> str:
    """Return whose host it is: its site; empty for what came from no host, a local file."""
    try:
        return site_of(f"https://{host}/") if host else ""
    except SourceError:
        return host


def choose_head(
    newcomer: HeadCandidate,
    head: HeadCandidate,
    relation: Relation,
    *,
    keep: Keep,
    adds: Callable[[], AddedText],
    original: str = "",
    reworded: bool = False,
) -> HeadChoice:
    """Say whether a newcomer takes the place of the head of the cluster that it joins by its relation to it.

    `adds` measures what the newcomer says beside the head; it is called only where that counts. `original` is
    `newcomer` or `stored` where a person said which of the two is the original; `reworded` says that two copies differ
    in their words.
    """
    if original:
        return HeadChoice(newcomer=original == "newcomer", reason="a person said that it is the original")
    if newcomer.is_seed != head.is_seed:
        return HeadChoice(newcomer=newcomer.is_seed, reason="a seed comes before what is fetched")
    own = newcomer.publisher == head.publisher
    if relation is Relation.REVISION:
        return _choose_newest(newcomer, head)
    if relation is Relation.CONTAINED:
        return HeadChoice(newcomer=False, reason="it has all of the other and more")
    if relation is Relation.CONTAINS:
        return HeadChoice(newcomer=True, reason="the publisher's fuller text") if own else _choose_fuller(adds())
    if own and reworded and newcomer.came_out < head.came_out:
        return HeadChoice(newcomer=False, reason="a newer version by the same publisher")
    return _choose_among_copies(newcomer, head, keep, own=own, adds=adds)


def _choose_newest(newcomer: HeadCandidate, head: HeadCandidate) -> HeadChoice:
    if newcomer.fetched_at < head.fetched_at:
        return HeadChoice(newcomer=False, reason="a newer version by the same publisher")
    return HeadChoice(newcomer=True, reason="the publisher's newest version")


def _choose_fuller(added: AddedText) -> HeadChoice:
    if refusal := added.foreign or added.missing:
        return HeadChoice(newcomer=False, reason=f"another publisher's longer text does not replace it: {refusal}")
    return HeadChoice(newcomer=True, reason=f"the fuller text: {added.words} words more of the story")


def _choose_among_copies(
    newcomer: HeadCandidate, head: HeadCandidate, keep: Keep, *, own: bool, adds: Callable[[], AddedText]
) -> HeadChoice:
    if keep == "longest":
        if newcomer.length <= head.length:
            return HeadChoice(newcomer=False, reason="the longest of the copies")
        if not own and (foreign := adds().foreign):
            return HeadChoice(newcomer=False, reason=f"another publisher's longer copy does not replace it: {foreign}")
        return HeadChoice(newcomer=True, reason="the longest of the copies")
    if keep == "first":
        return HeadChoice(newcomer=newcomer.fetched_at < head.fetched_at, reason="the copy that was fetched first")
    if (newcomer.came_out if own else newcomer.known_since) < head.came_out:
        return HeadChoice(newcomer=True, reason="the copy that came out first")
    if newcomer.came_out < head.came_out:
        claim = "only its own publisher says that the other came out earlier"
        return HeadChoice(newcomer=False, reason=f"the stored copy stays: {claim}")
    return HeadChoice(newcomer=False, reason="the copy that came out first")


# Says what a longer text adds to a shorter one that it holds: more of the story, or foreign matter.


_FEWEST_WORDS = 20
_MOST_LOST = 0.15
_LOST_FOR_GAINED = 0.25
# Of the pairs of neighbouring words in the rest of an article its first part has 7% or more in 93 of 100, in another
# article 7% or more in 4 of 100. Pairs of the title help where a writer repeats nothing else.
_KNOWN_PAIRS = 0.07
_FEW_KNOWN_PAIRS = 0.01
_TITLE_PAIRS = 0.005
# How many times as often as words that stand some places apart neighbouring ones are a pair of the older text's, where
# passages go on with its story; of 119 articles' ends all have more. Words dealt at random have as often.
_TIMES_BY_CHANCE = 2.0
_CHANCE_DISTANCES = (3, 4, 5, 6)
_RESTATED_SHARE = 0.6
_USUAL_LENGTH = 500
_MOST_SCALED = 1.5
# Places where a few words stand between the older text's own, for each word that both have. Fuller texts that people
# labelled have up to 1.8% in 90 of 100, a negation in every sentence gives 2.9% or more in 95 of 100; at half of that
# what tells them apart is that an editor also drops and exchanges words.
_INSERTED = 0.016
_FEW_INSERTED = 0.008
_ONE_SIDED = 0.75
_FEWEST_INSERTED = 3
_SHORTEST_WRAPPING = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedText:
    """What a text says beside an older one: `words` in passages of its own, and `lost` words of passages it lacks.

    `foreign` says why the addition is no more of the story, and is empty where it is; `of` is the length of the older
    text.
    """

    words: int
    lost: int
    of: int
    foreign: str = ""

    @property
    def missing(self) -> str:
        """What the text lacks to stand for the older one, empty where it lacks nothing of weight."""
        if self.words < _FEWEST_WORDS:
            return "it adds nothing of weight"
        if self.lost > max(_MOST_LOST * self.of, _LOST_FOR_GAINED * self.words):
            return "it lacks passages of the other"
        return ""


def measure_addition(newcomer: PreparedText, older: PreparedText, figures: Similarity) -> AddedText:
    """Return what a newcomer adds to an older text; `figures` are those of the newcomer against it."""
    own = [
        each
        for each in unmatched_passages(figures.ours.matched)
        if _shared_pairs(newcomer, [each], older) < _RESTATED_SHARE
    ]
    lost = unmatched_passages(figures.theirs.matched | ~figures.theirs.story)
    return AddedText(
        words=_count_words(own),
        lost=_count_words(lost),
        of=len(older.words),
        foreign=_why_foreign(newcomer, older, figures, own),
    )


def _count_words(passages: Iterable[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in passages)


def _why_foreign(newcomer: PreparedText, older: PreparedText, figures: Similarity, own: list[tuple[int, int]]) -> str:
    if _is_interspersed(figures):
        return "it puts words of its own into the sentences of the other"
    if _count_words(own) < _FEWEST_WORDS:
        return ""
    if _is_wrapped(len(newcomer.words), own):
        return "it wraps the other into text of its own"
    return "" if _is_more_of_it(newcomer, older, own) else "what it adds speaks of something else"


def _is_interspersed(figures: Similarity) -> bool:
    """Say whether a few words stand between the other's all over, as nobody edits who does not also drop some."""
    slips = [gap for gap in figures.alignment.gaps if max(len(gap.ours), len(gap.theirs)) < PASSAGE_WORDS]
    inserted = sum(not gap.theirs for gap in slips)
    rate = inserted / max(1, int(figures.ours.matched.sum()))
    if inserted < _FEWEST_INSERTED:
        return False
    return rate >= _INSERTED or (rate >= _FEW_INSERTED and inserted >= _ONE_SIDED * len(slips))


def _is_wrapped(length: int, own: list[tuple[int, int]]) -> bool:
    """Say whether the other stands in one piece between passages of the text's own, at its beginning and its end."""
    before = _count_words(each for each in own if each[0] == 0)
    after = _count_words(each for each in own if each[1] == length)
    inside = _count_words(own) - before - after
    return min(before, after) >= _SHORTEST_WRAPPING > inside


def _is_more_of_it(newcomer: PreparedText, older: PreparedText, own: list[tuple[int, int]]) -> bool:
    """Say whether passages speak of what the older text speaks of, all of them together."""
    known = _shared_pairs(newcomer, own, older)
    if known < _TIMES_BY_CHANCE * _shared_by_chance(newcomer, own, older):
        return False
    longer = min(_MOST_SCALED, math.pow(max(1.0, len(older.words) / _USUAL_LENGTH), 0.4))
    if known >= _KNOWN_PAIRS * longer:
        return True
    title = in_sorted(_pairs_in(newcomer, own), sorted_unique(word_pairs(older.title.hashes)))
    return known >= _FEW_KNOWN_PAIRS and marked_share(title) >= _TITLE_PAIRS


def _shared_pairs(newcomer: PreparedText, own: list[tuple[int, int]], older: PreparedText) -> float:
    """Return the share of the pairs of neighbouring words in some passages that the older text has."""
    return marked_share(in_sorted(_pairs_in(newcomer, own), older.pairs))


def _shared_by_chance(newcomer: PreparedText, own: list[tuple[int, int]], older: PreparedText) -> float:
    """Return the share that the older text has of the pairs that words some places apart would make."""
    apart = [_pairs_in(newcomer, own, apart=places) for places in _CHANCE_DISTANCES]
    return marked_share(in_sorted(np.concatenate(apart), older.pairs))


def _pairs_in(newcomer: PreparedText, own: list[tuple[int, int]], *, apart: int = 1) -> NDArray[np.uint64]:
    return np.concatenate([word_pairs(newcomer.words.hashes[start:stop], apart=apart) for start, stop in own])
