"""Judges an article against its neighbours, the stored articles that share index keys with it.

The pipeline uses `Deduper`: `fingerprint` gives the keys under which the store finds neighbours, and `judge` returns
the verdict. A verdict depends on the texts alone, not on the index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from worker.config.schema import DedupeSettings
from worker.dedupe.classify import (
    Classification,
    classify_pair,
    containment_relation,
    is_item_in_digest,
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
    is_one_page,
    measure_addition,
    publisher_of,
)
from worker.dedupe.model import DuplicateModel, shipped_model, weights_from_text
from worker.dedupe.prepared import PreparedText, prepare
from worker.dedupe.similarity import Similarity, compare
from worker.dedupe.tokenizer import NORMALISATION, SHINGLE
from worker.models import (
    EARLIER_VERSION,
    Article,
    Comparison,
    Fingerprint,
    IndexParameters,
    Kind,
    Neighbour,
    Relation,
    Verdict,
)
from worker.models.base import dataclass

_SAME_ADDRESS = "same address"
_MIN_SAME_ITEM_SHARE = 0.3
"""The share of common words below which a changed page is another item. Chosen by hand: a corrected or extended text
keeps far more of its words."""
_MAX_REWRITE_SHARE = 0.97
"""The share of words in its publisher's earlier story, or of that story's in a fuller text, below which an article is a
rewrite of it. Chosen by hand: a copy under another URL differs in a byline or a caption at most."""
_COMMON_CLUSTERS, _MIN_RARE_SHARE = 3, 0.15
"""At least this share of the words that two texts share must be in fewer other clusters (docs/dedupe.md,
"Verdicts")."""
_MIN_WITH_HEAD = 0.01
"""The least probability with the head at which an article is compared with the other members of a cluster. Chosen by
hand: it saves comparisons with clusters that have next to nothing in common with the article."""
_BY_MEMBER = "one item with another text of the cluster"
_COPIES = frozenset({Relation.COPY, Relation.CONTAINED})
_RANK = {
    Relation.REVISION: 0,
    Relation.COPY: 1,
    Relation.CONTAINED: 1,
    Relation.CONTAINS: 1,
    Relation.SEED_COPY: 2,
    Relation.FOLLOWUP: 3,
    Relation.TEMPLATE: 3,
    Relation.OVERLAP: 3,
    Relation.UNIQUE: 4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Criteria:
    """The settings and the model that a verdict depends on."""

    settings: DedupeSettings
    model: DuplicateModel


@dataclass(frozen=True, slots=True, kw_only=True)
class _ComparedNeighbour:
    """A neighbour with its similarity to the article."""

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
    """Compare an article with the cluster heads among its neighbours and return the verdict of the closest relation.

    Earlier versions of a head's page count like the head: a copy of one is a copy of the page, however much the page
    was revised since. If the article is one item with none of them, it is compared with the members as well that the
    index found. `prepare_text` prepares a text and its title for comparison.
    """
    if not neighbours:
        return Verdict(relation=Relation.UNIQUE, head=True)
    criteria = _Criteria(settings=settings, model=model)
    text = _published_text(article, prepare_text)
    heads = [_compare_neighbour(text, neighbour, prepare_text) for neighbour in neighbours if _worth_judging(neighbour)]
    found = [_judge_neighbour(article, text, match, heads, criteria) for match in heads]
    earlier = _earlier_versions(article, neighbours)
    versions = [_compare_neighbour(text, each, prepare_text) for each in neighbours if each.id in earlier]
    by_version = _joined_members(article, text, versions, heads, criteria, rule=EARLIER_VERSION)
    open_clusters = frozenset() if by_version else _open_clusters(heads, found, criteria)
    members = [
        _compare_neighbour(text, each, prepare_text)
        for each in neighbours
        if each.cluster in open_clusters and each.id not in earlier and not _worth_judging(each)
    ]
    by_member = _joined_members(article, text, members, heads, criteria, rule=_BY_MEMBER)
    considered = sorted([*_with_versions(found, by_version, earlier), *by_member], key=_closeness)
    if not considered or considered[0].relation is Relation.UNIQUE:
        return Verdict(relation=Relation.UNIQUE, head=True, considered=tuple(considered))
    best = considered[0]
    choice = _choose_head(article, text, best, [*heads, *versions, *members], keep=settings.keep)
    return Verdict(
        relation=best.relation,
        head=choice.is_head,
        best=best,
        considered=tuple(considered),
        reason=choice.reason,
    )


def _worth_judging(neighbour: Neighbour) -> bool:
    # The members of a cluster are compared only if its head leaves the matter open: a chain of members would join
    # texts that are not alike.
    return neighbour.head or bool(neighbour.marked)


def _earlier_versions(article: Article, neighbours: Sequence[Neighbour]) -> dict[int, int]:
    """Return the earlier versions of the pages of heads, each with the id of the head; not those of the article's page.

    A person's mark is on a page, so a marked version is compared like a head already.
    """
    heads = {each.cluster: each for each in neighbours if each.head}
    pairs = ((each, heads[each.cluster]) for each in neighbours if each.cluster in heads and not _worth_judging(each))
    return {each.id: head.id for each, head in pairs if is_one_page(each, head) and not is_one_page(article, head)}


def _with_versions(
    found: Sequence[Comparison], by_version: Sequence[Comparison], head_of: Mapping[int, int]
) -> list[Comparison]:
    """Return the comparisons with heads and with versions of their pages by which an article joins a cluster.

    Of a page that it would join by its newest version too, only the closer comparison counts, and an earlier version
    only if the article is a copy of it.
    """
    joined = {each.article: each for each in found if each.relation in CLUSTER_RELATIONS}
    pairs = [(each, joined.get(head_of[each.article])) for each in by_version]
    closer = [
        (each, head)
        for each, head in pairs
        if head is None or (each.relation in _COPIES and each.resemblance > head.resemblance)
    ]
    replaced = {head.article for _, head in closer if head}
    return [*(each for each in found if each.article not in replaced), *(each for each, _ in closer)]


def _open_clusters(
    heads: Sequence[_ComparedNeighbour], found: Sequence[Comparison], criteria: _Criteria
) -> frozenset[int]:
    """Return the clusters that an article joins if it is one item with a member; none if it joins one by its head.

    Their heads are probably another item, but not certainly, and no other use of the same form.
    """
    if any(each.relation in CLUSTER_RELATIONS for each in found):
        return frozenset()
    return frozenset(
        head.neighbour.cluster
        for head, each in zip(heads, found, strict=True)
        if each.relation is not Relation.TEMPLATE
        and each.probability is not None
        and _MIN_WITH_HEAD <= each.probability < criteria.settings.probability
    )


def _joined_members(
    article: Article,
    text: PublishedText,
    members: Sequence[_ComparedNeighbour],
    heads: Sequence[_ComparedNeighbour],
    criteria: _Criteria,
    *,
    rule: str,
) -> list[Comparison]:
    """Return the comparisons with the members of clusters that are one item with the article, under a rule."""
    found = (_judge_neighbour(article, text, member, heads, criteria) for member in members)
    return [replace(each, rule=rule) for each in found if each.relation in CLUSTER_RELATIONS]


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
    """Classify an article against one neighbour, and reject a match that rests on a frame or on common text."""
    classification = _classify(article, text, match, criteria)
    if classification.relation in CLUSTER_RELATIONS and not classification.rule.startswith("marked"):
        framed = _without_frame(article, text, match, classification)
        classification = framed or _without_common_text(match, matches, classification) or classification
        classification = _kept_beside_seed(article, match.neighbour, classification)
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
    """Classify an article against one neighbour: by marks, by the URL, or by the model."""
    neighbour, similarity = match.neighbour, match.similarity
    if neighbour.marked == "different":
        return Classification(relation=Relation.UNIQUE, rule="marked different")
    if neighbour.marked == "same":
        return Classification(relation=containment_relation(similarity), rule="marked same")
    if is_one_page(article, neighbour):
        if similarity.shorter_coverage >= _MIN_SAME_ITEM_SHARE:
            return Classification(relation=Relation.REVISION, rule=_SAME_ADDRESS)
        return Classification(relation=Relation.UNIQUE, rule="another item under the same address")
    classification = classify_pair(
        text, match.text, similarity, merge_at=criteria.settings.probability, model=criteria.model
    )
    if _is_rewrite(text, match, classification.relation):
        return replace(classification, relation=Relation.REVISION, rule="the publisher's own rewrite")
    return classification


def _is_rewrite(text: PublishedText, match: _ComparedNeighbour, relation: Relation) -> bool:
    """Return whether an article is its publisher's own later story in other words; a fuller text may leave them all."""
    earlier, later = match.text.published_at, text.published_at
    in_order = earlier is None or later is None or earlier < later
    own = bool(text.host) and publisher_of(text.host) == publisher_of(match.text.host)
    changed = {Relation.COPY: match.similarity.ours, Relation.CONTAINS: match.similarity.theirs}.get(relation)
    return own and in_order and changed is not None and changed.raw_share < _MAX_REWRITE_SHARE


def _kept_beside_seed(article: Article, neighbour: Neighbour, classification: Classification) -> Classification:
    """Return the classification as `SEED_COPY` for two seeds that would be one item: a seed corpus is not thinned.

    A new version of the same seed file stays a revision.
    """
    seeds = article.kind is Kind.SEED and neighbour.kind is Kind.SEED
    if not seeds or classification.relation not in CLUSTER_RELATIONS or classification.rule == _SAME_ADDRESS:
        return classification
    return replace(classification, relation=Relation.SEED_COPY)


def _without_frame(
    article: Article, text: PublishedText, match: _ComparedNeighbour, classification: Classification
) -> Classification | None:
    """Return a classification that keeps both texts if one is an item in a digest, or both share only a frame."""
    if classification.rule == _SAME_ADDRESS:
        return None
    # Files without a host count as one publisher's frame, but not seeds: the text around them was left by their
    # scraper, and their first line may be a menu.
    seeds = Kind.SEED in (article.kind, match.neighbour.kind)
    own = not seeds and publisher_of(text.host) == publisher_of(match.text.host)
    if is_item_in_digest(match.similarity, same_publisher=own and bool(text.host), titled=not seeds):
        return replace(classification, relation=Relation.FOLLOWUP, rule="an item in a text on other matters")
    if shares_only_frame(text.prepared, match.text.prepared, match.similarity, same_publisher=own):
        return replace(classification, relation=Relation.TEMPLATE, rule="one frame around different items")
    return None


def _without_common_text(
    match: _ComparedNeighbour, matches: Sequence[_ComparedNeighbour], classification: Classification
) -> Classification | None:
    """Return a `TEMPLATE` classification if a pair shares only text that many other clusters have, else None."""
    clusters = {each.neighbour.cluster: each.similarity for each in matches}
    clusters.pop(match.neighbour.cluster, None)
    others = list(clusters.values())
    if shares_only_common_text(match.similarity, others, min_clusters=_COMMON_CLUSTERS, min_rare_share=_MIN_RARE_SHARE):
        return replace(classification, relation=Relation.TEMPLATE, rule="what both have stands in many articles")
    return None


def _closeness(comparison: Comparison) -> tuple[bool, int, float, int]:
    """Return the sort key of comparisons: marks by people first, then the closest relation."""
    by_people = comparison.rule == "marked same"
    return (not by_people, _RANK[comparison.relation], -comparison.resemblance, comparison.article)


def _choose_head(
    article: Article, text: PublishedText, best: Comparison, matches: Sequence[_ComparedNeighbour], *, keep: Keep
) -> HeadChoice:
    """Return whether an article becomes the head of the cluster it joins; it is the head of a cluster of its own."""
    if best.relation not in CLUSTER_RELATIONS:
        return HeadChoice(is_head=True, reason="")
    joined = next(match for match in matches if match.neighbour.id == best.article)
    # An article that a person marked as the same need not be the head of its cluster: compare with that head.
    cluster = joined.neighbour.cluster
    head = next((each for each in matches if each.neighbour.head and each.neighbour.cluster == cluster), joined)
    is_in_member = best.rule == _BY_MEMBER and best.relation is Relation.CONTAINED
    return choose_head(
        head_candidate(article),
        head_candidate(head.neighbour),
        best.relation if head is joined or is_in_member else containment_relation(head.similarity),
        keep=keep,
        measure_added=lambda: measure_addition(text.prepared, head.text.prepared, head.similarity),
        original=head.neighbour.original,
        reworded=head.similarity.ours.raw_share < _MAX_REWRITE_SHARE,
        outdated=best.rule == EARLIER_VERSION and best.relation is not Relation.REVISION,
    )


# Chosen, not measured: 256 prepared texts of usual length take some 20 MB. Longer texts, in code points, are not kept.
_CACHED_TEXTS = 256
_MAX_CACHED_LENGTH = 20_000


class Deduper:
    """Computes fingerprints and judges articles, with the shipped model or with the refitted `weights` of a store.

    Prepared texts are cached (some 20 MB), since stock phrases make the same articles neighbours again and again.
    """

    def __init__(self, settings: DedupeSettings | None = None, weights: str | None = None) -> None:
        self._settings = settings or DedupeSettings()
        self._model = weights_from_text(shipped_model(), weights)
        self._kept = lru_cache(maxsize=_CACHED_TEXTS)(prepare)

    @property
    def terms(self) -> str:
        """Return the settings and the model's version in words; other terms may give other verdicts."""
        taught = f", taught {self._model.fitted}" if self._model.fitted else ""
        settings = self._settings
        return f"merge_at {settings.probability:g}, keep {settings.keep}, weights {self._model.version}{taught}"

    @property
    def parameters(self) -> IndexParameters:
        """Return the parameters of fingerprints, which the store keeps and checks when it is opened."""
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
        """Return the fingerprint of an article; a text without words has no keys and no neighbours."""
        return fingerprint(article.text)

    def judge(self, article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
        """Return the verdict on an article, given its neighbours."""
        if not fingerprint.shingles:
            neighbours = [neighbour for neighbour in neighbours if neighbour.marked]
        return judge(article, neighbours, settings=self._settings, model=self._model, prepare_text=self._prepare_text)

    def _prepare_text(self, text: str, title: str) -> PreparedText:
        return self._kept(text, title=title) if len(text) <= _MAX_CACHED_LENGTH else prepare(text, title=title)
