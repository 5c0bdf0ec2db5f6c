"""Judges an article against the stored articles that share index keys with it: `Deduper` is what the pipeline calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from worker.config.schema import DedupeSettings
from worker.dedupe.classify import (
    Classification,
    classify_pair,
    containment_relation,
    shares_only_common_text,
    shares_only_frame,
)
from worker.dedupe.features import PublishedText
from worker.dedupe.fingerprint import (
    ANCHOR_ONE_IN,
    BANDS,
    FEWEST_ANCHORS,
    MOST_ANCHORS,
    PERMUTATIONS,
    ROWS,
    SCHEME,
    SEED,
    fingerprint,
)
from worker.dedupe.heads import (
    CLUSTER_RELATIONS,
    HeadChoice,
    Keep,
    choose_head,
    head_candidate,
    measure_addition,
    publisher_of,
)
from worker.dedupe.model import DuplicateModel, shipped_model, weights_from_text
from worker.dedupe.prepared import PreparedText, prepare
from worker.dedupe.similarity import Similarity, compare
from worker.dedupe.tokenizer import NORMALISATION, SHINGLE
from worker.models import Article, Comparison, Fingerprint, IndexParameters, Kind, Neighbour, Relation, Verdict

# Decides what a newcomer is to the stored articles that share index keys with it.


_SAME_ADDRESS = "same address"
_MIN_SAME_ITEM_SHARE = 0.3
"""The share of words under which a page with a new text has become another item."""
_MAX_REWRITE_SHARE = 0.97
"""The share of an article's words in the publisher's own earlier story under which it is a rewrite of that."""
_COMMON_CLUSTERS, _MIN_RARE_SHARE = 3, 0.15
"""Of the words two texts share, at least this share must not stand in so many other clusters (docs/dedupe.md)."""
_REWRITES = frozenset({Relation.COPY, Relation.CONTAINS})
_RANK = {
    Relation.REVISION: 0,
    Relation.COPY: 1,
    Relation.CONTAINED: 1,
    Relation.CONTAINS: 1,
    Relation.FOLLOWUP: 2,
    Relation.TEMPLATE: 2,
    Relation.OVERLAP: 2,
    Relation.UNIQUE: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Criteria:
    """What is judged by."""

    settings: DedupeSettings
    model: DuplicateModel


@dataclass(frozen=True, slots=True, kw_only=True)
class _ComparedNeighbour:
    """A neighbour laid along the newcomer."""

    neighbour: Neighbour
    text: PublishedText
    similarity: Similarity


def judge(
    article: Article,
    neighbours: Sequence[Neighbour],
    *,
    settings: DedupeSettings,
    model: DuplicateModel,
    prepare_text: Callable[[str, str], PreparedText],
) -> Verdict:
    """Compare a newcomer with the heads among its neighbours and return the closest relation found.

    `ready` makes a text and its title ready for comparing.
    """
    criteria = _Criteria(settings=settings, model=model)
    text = _published_text(article, prepare_text)
    matches = [
        _compare_neighbour(text, neighbour, prepare_text) for neighbour in neighbours if _worth_judging(neighbour)
    ]
    considered = sorted(
        (_judge_neighbour(article, text, match, matches, criteria) for match in matches), key=_closeness
    )
    if not considered or considered[0].relation is Relation.UNIQUE:
        return Verdict(relation=Relation.UNIQUE, head=True, considered=tuple(considered))
    best = considered[0]
    choice = _choose_head(article, text, best, matches, keep=settings.keep)
    return Verdict(
        relation=best.relation,
        head=choice.is_head,
        best=best,
        considered=tuple(considered),
        reason=choice.reason,
    )


def _worth_judging(neighbour: Neighbour) -> bool:
    # Members are verified against the head of a cluster: chains of members would tie unlike texts together.
    return neighbour.head or bool(neighbour.marked)


def _published_text(item: Article | Neighbour, prepare_text: Callable[[str, str], PreparedText]) -> PublishedText:
    return PublishedText(prepared=prepare_text(item.text, item.title), host=item.host, published_at=item.published_at)


def _compare_neighbour(
    text: PublishedText, neighbour: Neighbour, prepare_text: Callable[[str, str], PreparedText]
) -> _ComparedNeighbour:
    stored = _published_text(neighbour, prepare_text)
    return _ComparedNeighbour(neighbour=neighbour, text=stored, similarity=compare(text.prepared, stored.prepared))


def _judge_neighbour(
    article: Article,
    text: PublishedText,
    match: _ComparedNeighbour,
    matches: Sequence[_ComparedNeighbour],
    criteria: _Criteria,
) -> Comparison:
    classification = _classify(article, text, match, criteria)
    if classification.relation in CLUSTER_RELATIONS and not classification.rule.startswith("marked"):
        framed = _without_frame(article, text, match, classification)
        classification = framed or _without_common_text(match, matches, classification) or classification
    return Comparison(
        article=match.neighbour.id,
        relation=classification.relation,
        rule=classification.rule,
        jaccard=match.similarity.jaccard,
        containment=match.similarity.containment,
        shared_words=match.similarity.shared_words,
        notes=(f"{match.similarity.shorter_coverage:.0%} of the shorter text's words", *classification.notes),
        probability=classification.probability,
    )


def _classify(article: Article, text: PublishedText, match: _ComparedNeighbour, criteria: _Criteria) -> Classification:
    neighbour, similarity = match.neighbour, match.similarity
    if neighbour.marked == "different":
        return Classification(relation=Relation.UNIQUE, rule="marked different")
    if neighbour.marked == "same":
        return Classification(relation=containment_relation(similarity), rule="marked same")
    same_publisher = publisher_of(neighbour.host) == publisher_of(article.host)
    if same_publisher and neighbour.canonical_url == article.canonical_url:
        if similarity.shorter_coverage >= _MIN_SAME_ITEM_SHARE:
            return Classification(relation=Relation.REVISION, rule=_SAME_ADDRESS)
        return Classification(relation=Relation.UNIQUE, rule="another item under the same address")
    classification = classify_pair(
        text, match.text, similarity, merge_at=criteria.settings.probability, model=criteria.model
    )
    if classification.relation in _REWRITES and _is_rewrite(text, match):
        return replace(classification, relation=Relation.REVISION, rule="the publisher's own rewrite")
    return classification


def _is_rewrite(text: PublishedText, match: _ComparedNeighbour) -> bool:
    """Say whether a publisher tells its own story again, later and in other words."""
    earlier, later = match.text.published_at, text.published_at
    in_order = earlier is None or later is None or earlier < later
    own = bool(text.host) and publisher_of(text.host) == publisher_of(match.text.host)
    return own and in_order and match.similarity.ours.raw_share < _MAX_REWRITE_SHARE


def _without_frame(
    article: Article, text: PublishedText, match: _ComparedNeighbour, classification: Classification
) -> Classification | None:
    """Take back a match that rests on what a publisher sets around different items."""
    if classification.rule == _SAME_ADDRESS:
        return None
    # Files without a host are one collector's; but what stands around a seed was left there by whoever scraped it.
    seeds = Kind.SEED in (article.kind, match.neighbour.kind)
    own = not seeds and publisher_of(text.host) == publisher_of(match.text.host)
    if shares_only_frame(text.prepared, match.text.prepared, match.similarity, same_publisher=own):
        return replace(classification, relation=Relation.TEMPLATE, rule="one frame around different items")
    return None


def _without_common_text(
    match: _ComparedNeighbour, matches: Sequence[_ComparedNeighbour], classification: Classification
) -> Classification | None:
    """Take back a match that rests on passages which many other clusters have."""
    clusters = {each.neighbour.cluster: each.similarity for each in matches}
    clusters.pop(match.neighbour.cluster, None)
    others = list(clusters.values())
    if shares_only_common_text(match.similarity, others, min_clusters=_COMMON_CLUSTERS, min_rare_share=_MIN_RARE_SHARE):
        return replace(classification, relation=Relation.TEMPLATE, rule="what both have stands in many articles")
    return None


def _closeness(comparison: Comparison) -> tuple[bool, int, float, int]:
    by_people = comparison.rule == "marked same"
    return (not by_people, _RANK[comparison.relation], -comparison.jaccard - comparison.containment, comparison.article)


def _choose_head(
    article: Article, text: PublishedText, best: Comparison, matches: Sequence[_ComparedNeighbour], *, keep: Keep
) -> HeadChoice:
    """Say whether a newcomer becomes the head of the cluster it joins, or heads one of its own."""
    if best.relation not in CLUSTER_RELATIONS:
        return HeadChoice(is_head=True, reason="")
    joined = next(match for match in matches if match.neighbour.id == best.article)
    # What a person called the same need not be the head of its cluster, and that is what the newcomer is held against.
    head = next((each for each in matches if each.neighbour.head and _are_in_one_cluster(each, joined)), joined)
    return choose_head(
        head_candidate(article),
        head_candidate(head.neighbour),
        best.relation if head is joined else containment_relation(head.similarity),
        keep=keep,
        measure_added=lambda: measure_addition(text.prepared, head.text.prepared, head.similarity),
        original=head.neighbour.original,
        reworded=head.similarity.ours.raw_share < _MAX_REWRITE_SHARE,
    )


def _are_in_one_cluster(one: _ComparedNeighbour, other: _ComparedNeighbour) -> bool:
    return one.neighbour.cluster == other.neighbour.cluster


_CACHED_TEXTS = 256
_LONGEST_CACHED = 20_000


class Deduper:
    """Decides what is a copy, by facts and a fitted model: the shipped one, or `weights` that a store was taught.

    The texts it met last are kept ready for comparing (some 20 MB): stock phrases bring up the same articles again and
    again.
    """

    def __init__(self, settings: DedupeSettings | None = None, weights: str | None = None) -> None:
        self._settings = settings or DedupeSettings()
        self._model = weights_from_text(shipped_model(), weights)
        self._kept = lru_cache(maxsize=_CACHED_TEXTS)(prepare)

    @property
    def terms(self) -> str:
        """Return by what is judged, in words: verdicts given by other terms may be others."""
        taught = f", taught {self._model.fitted}" if self._model.fitted else ""
        settings = self._settings
        return f"merge_at {settings.probability:g}, keep {settings.keep}, weights {self._model.version}{taught}"

    @property
    def parameters(self) -> IndexParameters:
        """Return how fingerprints are made, for the store to keep and check."""
        return IndexParameters(
            scheme=SCHEME,
            seed=SEED,
            permutations=PERMUTATIONS,
            bands=BANDS,
            rows=ROWS,
            shingle=SHINGLE,
            anchor_one_in=ANCHOR_ONE_IN,
            fewest_anchors=FEWEST_ANCHORS,
            most_anchors=MOST_ANCHORS,
            normalisation=NORMALISATION,
        )

    def fingerprint(self, article: Article) -> Fingerprint:
        """Return what the index keeps of an article; a text without words has no keys and meets nothing."""
        return fingerprint(article.text)

    def judge(self, article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
        """Return what the article is, given stored articles that share index keys with it."""
        if not fingerprint.shingles:
            neighbours = [neighbour for neighbour in neighbours if neighbour.marked]
        return judge(article, neighbours, settings=self._settings, model=self._model, prepare_text=self._prepare_text)

    def _prepare_text(self, text: str, title: str) -> PreparedText:
        return self._kept(text, title=title) if len(text) <= _LONGEST_CACHED else prepare(text, title=title)
