"""Classifies a pair of texts with different URLs (copy, follow-up, template, overlap and so on), with reasons.

`classify_pair` is the main function. The fitted model gives the probability that both are one item, so that a corpus
should keep only one of them. Facts decide without the model if a text is too short, or if both have the same words.
`shares_only_frame` and `shares_only_common_text` find pairs that share no more than a template. `describe_features`
puts the model's reasons into words for `why`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.features import PublishedText, measure_features, time_features
from worker.dedupe.model import DuplicateModel
from worker.dedupe.prepared import PreparedText, title_overlap
from worker.dedupe.similarity import (
    PASSAGE_WORDS,
    TITLE_LEAD,
    Coverage,
    Similarity,
    marked_share,
    title_lead,
    unmatched_passages,
)
from worker.dedupe.tokenizer import Words, in_sorted, sorted_unique
from worker.models import Relation
from worker.models.base import dataclass

# Frames: a publisher's text around different items.


# The bounds of known word pairs are measured on the labelled pairs. Of 446 pairs that are one item, none has passages
# of its own on both sides that share under 8% of their word pairs with the other text; none under 16% if the titles
# share less than a fifth of their words; and none under 20% if both titles are about such passages. Of 163 pairs that
# are two items, the second bound finds six and the third finds seven. The other bounds were chosen by hand and checked
# on made pairs of one host (docs/dedupe.md, "Verdicts").
_MAX_KNOWN_PAIRS = 0.08
_MAX_KNOWN_PAIRS_OTHER_TITLE = 0.16
_MAX_KNOWN_PAIRS_OWN_TITLES = 0.2
_SAME_TITLE = 0.85
_DIFFERENT_TITLES = 0.2
_MIN_TITLE_SHARE = 0.5
_MIN_TITLE_LEAD = 0.2
_MIN_ITEM_WORDS = 20
_MIN_STORY_WORDS = 25
_MIN_STORY_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _OwnPassages:
    """The passages that only one of two texts has: their number of words, and their share of the text.

    `known_pairs` is the share of their word pairs that the other text has. `is_its_title` is true if the text's title
    is about these passages rather than about what both texts share.
    """

    words: int
    share: float
    known_pairs: float
    is_its_title: bool


def shares_only_frame(text: PreparedText, other: PreparedText, similarity: Similarity, *, same_publisher: bool) -> bool:
    """Return whether each of two texts has a story that the other lacks, so that they share only a frame around it.

    True if each title is about passages that only its own text has. True also for texts of one publisher with different
    titles, or with stories of their own that are a good part of both texts.
    """
    if (ours := _own_passages(similarity.ours)) is None or (theirs := _own_passages(similarity.theirs)) is None:
        return False
    words, known_pairs = min(ours.words, theirs.words), max(ours.known_pairs, theirs.known_pairs)
    if (
        ours.is_its_title
        and theirs.is_its_title
        and known_pairs < _MAX_KNOWN_PAIRS_OWN_TITLES
        and words >= PASSAGE_WORDS
    ):
        return True
    if not same_publisher or words < _MIN_ITEM_WORDS:
        return False
    titles = title_overlap(text.title, other.title)
    if len(text.title) and len(other.title) and titles < _DIFFERENT_TITLES:
        return known_pairs < _MAX_KNOWN_PAIRS_OTHER_TITLE
    if known_pairs >= _MAX_KNOWN_PAIRS:
        return False
    if titles < _SAME_TITLE:
        return True
    return words >= _MIN_STORY_WORDS and min(ours.share, theirs.share) >= _MIN_STORY_SHARE


def _own_passages(coverage: Coverage) -> _OwnPassages | None:
    """Measure the passages of a text that the other text lacks; None if there is none."""
    hashes = coverage.text.words.hashes
    passages = list(unmatched_passages(coverage.matched))
    if not passages:
        return None
    own = np.concatenate([hashes[start:stop] for start, stop in passages])
    return _OwnPassages(
        words=len(own),
        share=len(own) / len(hashes),
        known_pairs=coverage.known_share(passages),
        is_its_title=_is_title_of(coverage.text.title, own, hashes[coverage.matched]),
    )


def _is_title_of(title: Words, own: NDArray[np.uint64], shared: NDArray[np.uint64]) -> bool:
    """Return whether a title is about a text's own words rather than about those that it shares."""
    words = sorted_unique(title.hashes)
    told = marked_share(in_sorted(words, sorted_unique(own)))
    if told < _MIN_TITLE_SHARE:
        return False
    return told >= marked_share(in_sorted(words, sorted_unique(shared))) + _MIN_TITLE_LEAD


# Common text: a form, a notice or a sign-off that many texts contain.


_MIN_FORM_SHARE = 0.8
"""A text of another cluster counts as another use of the form only if the share of its words found in the judged text
is at least this fraction of the converse. A much longer text is a digest or a follow-up that quotes the judged text
whole, which makes nothing common. Chosen by hand."""


def shares_only_common_text(
    similarity: Similarity, others: Sequence[Similarity], *, min_clusters: int, min_rare_share: float
) -> bool:
    """Return whether a text and another share nothing but text that is common to many clusters.

    A word is common if at least `min_clusters` other clusters have it, and the shared words must be common but for a
    share of `min_rare_share`. `others` has the similarity of the text with one text of each other cluster.
    """
    same_form = [each.ours.matched for each in others if each.theirs.raw_share >= _MIN_FORM_SHARE * each.ours.raw_share]
    if len(same_form) < min_clusters or similarity.jaccard == 1.0:
        return False
    clusters_with_word = np.sum(np.stack(same_form), axis=0)
    matched = similarity.ours.matched
    rare = int((matched & (clusters_with_word < min_clusters)).sum())
    return rare < min_rare_share * int(matched.sum())


# The classification of a pair.


# Chosen by hand (docs/dedupe.md, "Verdicts"); they decide which relation a pair has, not whether it is one item. A text
# of fewer shingles is too short for the model. The coverages say how much of a text the other must have, to be related,
# a copy or contained. The bounds of digests were checked on made ones.
_MIN_SHINGLES = 8
_MIN_RELATED_COVERAGE = 0.5
_OVERLAP_OWN_SHARE = 0.15
_COPY_COVERAGE = 0.8
_CONTAINED_COVERAGE = 0.7
_SAME_COVERAGE = 0.1
_DIGEST_RATIO = 0.125
_DIGEST_STORY_SHARE = 0.5
_TITLED_STORY_SHARE = 2 / 3
_MAX_KNOWN_TITLE = 0.3
_TEMPLATE_FEATURES = ("clash_rate", "clash_share", "renamed", "numbers_in_like_titles", "brief_and_days")
_FOLLOWUP_FEATURES = (
    "both_have_passages",
    "longest_passage",
    "news_in_both",
    "lead_pairs",
    "other_title_and_passages",
    "own_dates",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The relation of a text to another, and the rule that decided it.

    `notes` are reasons in words, and `probability` is the model's that both are one item, None if a fact decided.
    """

    relation: Relation
    rule: str
    notes: tuple[str, ...] = ()
    probability: float | None = None


def classify_pair(
    text: PublishedText, other: PublishedText, similarity: Similarity, *, merge_at: float, model: DuplicateModel
) -> Classification:
    """Classify a text against another text with another URL; from `merge_at` on, both are one item."""
    if _is_too_short(text.prepared, other.prepared):
        return _classify_short(text.prepared, other.prepared)
    if not similarity.shared_words:
        return Classification(relation=Relation.UNIQUE, rule="too little in common")
    # A brief notice with the same words on another day is a new item.
    if _equal(text.prepared, other.prepared, titles=True) and not time_features(text, other)["brief_and_days"]:
        return Classification(relation=Relation.COPY, rule="same words", probability=1.0)
    values = measure_features(text, other, similarity)
    parts = model.parts(values)
    probability = model.probability(parts)
    if probability >= merge_at:
        relation, rule = containment_relation(similarity), "probably one item"
    else:
        relation, rule = _classify_two_items(similarity, values, parts)
    return Classification(relation=relation, rule=rule, notes=describe_features(values, parts), probability=probability)


def _is_too_short(text: PreparedText, other: PreparedText) -> bool:
    return min(len(text.distinct_shingles), len(other.distinct_shingles)) < _MIN_SHINGLES


def _classify_short(text: PreparedText, other: PreparedText) -> Classification:
    """Classify texts that are too short for the model: copies only if their words are the same."""
    if _equal(text, other, titles=False):
        return Classification(relation=Relation.COPY, rule="same words", probability=1.0)
    return Classification(relation=Relation.UNIQUE, rule="too little text to tell")


def _equal(one: PreparedText, two: PreparedText, *, titles: bool) -> bool:
    """Return whether two texts have the same words; with `titles` also the same titles."""
    if titles and not np.array_equal(one.title.hashes, two.title.hashes):
        return False
    return len(one.words) > 0 and np.array_equal(one.words.hashes, two.words.hashes)


def _classify_two_items(
    similarity: Similarity, values: Mapping[str, float], parts: Mapping[str, float]
) -> tuple[Relation, str]:
    """Return the relation of two items, by the group of features that counts most against their being one."""
    if similarity.shorter_coverage < _MIN_RELATED_COVERAGE:
        return Relation.UNIQUE, "too little in common"
    form, news = (sum(min(0.0, parts[name]) for name in names) for names in (_TEMPLATE_FEATURES, _FOLLOWUP_FEATURES))
    if form < news:
        return Relation.TEMPLATE, "a form filled in anew"
    of_one_time = values["together"] >= 1.0 and not values["own_dates"]
    if of_one_time and min(similarity.ours.own_passages, similarity.theirs.own_passages) >= _OVERLAP_OWN_SHARE:
        return Relation.OVERLAP, "much in common, and each has much of its own"
    return Relation.FOLLOWUP, "much in common, and news besides"


def is_item_in_digest(similarity: Similarity, *, same_publisher: bool, titled: bool) -> bool:
    """Return whether one text is an item among others in the other text, so that neither replaces the other.

    The longer text is mostly on other topics, and has a title of its own or is many times as long. One publisher's
    boilerplate is around both its texts, so what is around one alone is other items, unless the title is the item's.
    `titled` is false if the titles do not count.
    """
    shorter, longer = sorted((similarity.ours, similarity.theirs), key=lambda coverage: len(coverage.matched))
    story, title = longer.story_words / max(1, len(longer.matched)), shorter.text.title
    holds_item = titled and story < _TITLED_STORY_SHARE and shorter.raw_share >= _CONTAINED_COVERAGE
    if holds_item and _has_title_of_its_own(longer, title):
        return True
    if story >= _DIGEST_STORY_SHARE:
        return False
    return similarity.ratio < _DIGEST_RATIO or (same_publisher and not _has_title_of_item(longer, title))


def _has_title_of_its_own(longer: Coverage, title: Words) -> bool:
    """Return whether the title of a text is neither about what it shares nor like the title of the other text."""
    text, words = longer.text, sorted_unique(longer.text.title.hashes)
    known = in_sorted(words, sorted_unique(np.concatenate((text.words.hashes[longer.matched], title.hashes))))
    return len(words) > 0 and marked_share(known) < _MAX_KNOWN_TITLE and title_lead(text, longer.matched) < TITLE_LEAD


def _has_title_of_item(longer: Coverage, title: Words) -> bool:
    """Return whether the title of a text is about what it shares, or like the title of the other text."""
    own, shared = (longer.text.words.hashes[marks] for marks in (~longer.matched, longer.matched))
    return title_overlap(longer.text.title, title) >= _SAME_TITLE or _is_title_of(longer.text.title, shared, own)


def containment_relation(similarity: Similarity) -> Relation:
    """Return the relation of two texts of one item: copies, or one contained in the other.

    It is decided by all words, boilerplate included, so that nothing that only one text has is lost.
    """
    ours, theirs = similarity.ours.raw_share, similarity.theirs.raw_share
    if min(ours, theirs) >= _COPY_COVERAGE or (
        min(ours, theirs) >= _CONTAINED_COVERAGE and abs(ours - theirs) <= _SAME_COVERAGE
    ):
        return Relation.COPY
    if max(ours, theirs) >= _CONTAINED_COVERAGE:
        return Relation.CONTAINS if theirs > ours else Relation.CONTAINED
    return _fuller_relation(similarity)


def _fuller_relation(similarity: Similarity) -> Relation:
    """Return the relation of two texts that each lack much of the other: the one with more of the story contains.

    If both have about as much of the story, the one with less boilerplate counts as the fuller one.
    """
    ours, theirs = similarity.ours.share, similarity.theirs.share
    if abs(ours - theirs) <= _SAME_COVERAGE:
        ours, theirs = similarity.theirs.raw_share, similarity.ours.raw_share
    return Relation.CONTAINS if theirs > ours else Relation.CONTAINED


# Reasons: the largest parts of the model's sum, for and against one item, in words.


# Chosen, not measured: three reasons of each kind fit on a screen. A smaller weight would print as +0.0.
_MAX_REASONS = 3
_MIN_WEIGHT = 0.05


def _count(value: float) -> int:
    return round(math.expm1(value))


def _together(value: float) -> str:
    if value <= 0.0:
        return "not known to have been published within two days"
    return "published within a day" if value >= 1.0 else "published within two days"


_Describe = Callable[[float], str]

_DESCRIPTIONS: Final[Mapping[str, tuple[_Describe, _Describe]]] = MappingProxyType(
    {
        "both_have_passages": (
            lambda _: "one of them has no long passages of its own",
            lambda _: "each has passages of its own",
        ),
        "longest_passage": (
            lambda value: f"the shorter text's longest passage of its own has {_count(value)} words",
            lambda value: f"the shorter text has a passage of {_count(value)} words of its own",
        ),
        "news_in_both": (
            lambda value: f"one of them says next to nothing that the other does not, {value:.0%} of its words",
            lambda value: f"each has {value:.0%} or more of its words in passages that say something else",
        ),
        "lead_pairs": (
            lambda value: f"the shorter text has {value:.0%} of the word pairs that the longer begins with",
            lambda value: f"the shorter text has only {value:.0%} of the word pairs that the longer begins with",
        ),
        "own_numbers": (
            lambda _: "one of them has hardly a number that the other lacks",
            lambda value: f"each has {_count(value)} or more numbers that the other lacks",
        ),
        "edits": (
            lambda value: f"edited at {value:.1%} of the words",
            lambda value: f"edited at {value:.1%} of the words",
        ),
        "single_word_edits": (
            lambda value: f"single words exchanged all over, {value:.1%} of them",
            lambda _: "few single words exchanged",
        ),
        "clash_rate": (
            lambda _: "next to no numbers against other numbers",
            lambda value: f"numbers against other numbers, {value:.1f} in a hundred words",
        ),
        "clash_share": (
            lambda _: "few of the differences are other numbers",
            lambda _: "many of the differences are other numbers",
        ),
        "renamed": (
            lambda _: "no other names or numbers in place of those in the titles",
            lambda _: "another name or number in place of the one in the title",
        ),
        "title": (
            lambda value: f"the titles share {value:.0%} of their words",
            lambda value: f"the titles share {value:.0%} of their words",
        ),
        "other_title_and_passages": (
            lambda _: "hardly a passage of its own under another title",
            lambda _: "another title, and passages that go with it",
        ),
        "numbers_in_like_titles": (
            lambda _: "no other numbers in titles worded alike",
            lambda _: "titles worded alike give other numbers",
        ),
        "together": (_together, _together),
        "brief_and_days": (
            lambda _: "no brief notices of different days",
            lambda _: "brief, and of another day",
        ),
        "own_dates": (
            lambda _: "one of them begins with no date that the other does not name",
            lambda value: f"each begins with {value:.0f} or more dates that the other does not name",
        ),
        "length": (
            lambda value: f"the shorter text has {_count(value)} words",
            lambda value: f"the shorter text has {_count(value)} words",
        ),
        "ratio": (
            lambda value: f"the story in the shorter text is {value:.0%} as long as in the longer",
            lambda value: f"the story in the shorter text is {value:.0%} as long as in the longer",
        ),
    }
)


def describe_features(values: Mapping[str, float], parts: Mapping[str, float]) -> tuple[str, ...]:
    """Return the strongest reasons for one item, then those against it, each with its part of the sum."""
    order = sorted(parts, key=lambda name: (-abs(parts[name]), name))
    pro = [name for name in order if parts[name] >= _MIN_WEIGHT][:_MAX_REASONS]
    con = [name for name in order if parts[name] <= -_MIN_WEIGHT][:_MAX_REASONS]
    return (
        *(f"for: {_DESCRIPTIONS[name][0](values[name])} ({parts[name]:+.1f})" for name in pro),
        *(f"against: {_DESCRIPTIONS[name][1](values[name])} ({parts[name]:+.1f})" for name in con),
    )
