"""Fit the judge's weights to the pairs that people marked in a store, and find pairs worth marking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.dedupe.judge import Deduper
from worker.dedupe.model import (
    DuplicateModel,
    FitScore,
    MarkedPair,
    cross_validate,
    marked_pair,
    pair_probability,
    refit,
    shipped_model,
    weights_to_text,
)
from worker.errors import StoreError
from worker.models.base import dataclass
from worker.storage.corpus.judge_model import UnsurePair
from worker.storage.store import Store, open_store

MIN_MARKS: Final = 6
"""The smallest number of marked pairs that weights are fitted to: with fewer, cross-validation measures only chance."""
MAX_PAIRS_COMPARED: Final = 1_000
"""Stored pairs that are judged again to show what would change: those nearest to the threshold. Chosen, not measured:
fitted weights move a probability little, so what is far from the threshold stays, and this takes some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPair:
    """Two stored articles about which the fitted weights decide otherwise: their ids, and both probabilities."""

    article: int
    other: int
    title: str
    other_title: str
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """The result of fitting.

    `same` and `different` count the marked pairs; `unused` are those whose texts share no words, about which the model
    does not decide. `before` and `after` are cross-validated scores, that is, on pairs
    not used for fitting. `shift` and `factors` are the changes of the bias and of the weights. `compared` counts the
    stored pairs that were judged again with the fitted weights, and `changed` lists those decided otherwise.
    """

    applied: bool
    same: int
    different: int
    unused: int
    before: FitScore
    after: FitScore
    shift: float
    factors: dict[str, float]
    compared: int
    changed: tuple[ChangedPair, ...]

    @property
    def is_better(self) -> bool:
        """Whether fitted weights do better than the shipped ones on marks that they were not fitted to."""
        return self.after.loss < self.before.loss


def fit_judge(settings: Settings, *, dry_run: bool, force: bool = False) -> FitReport:
    """Fit the shipped weights to the marked pairs of the store, and save the result if it is better, or by `force`.

    With `dry_run`, nothing is saved. Raises StoreError if there are too few marked pairs, or pairs of one kind only.
    """
    model = shipped_model()
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        made = [
            marked_pair(one, other, same=decided == "same", model=model)
            for one, other, decided in store.reader.marked_pairs()
        ]
        pairs: list[MarkedPair] = [each for each in made if each is not None]
        same, unused = sum(each.one_item for each in pairs), len(made) - len(pairs)
        if len(pairs) < MIN_MARKS or same in (0, len(pairs)):
            without = f" ({unused} more do not count: their texts share no words)" if unused else ""
            raise StoreError(
                f"pairs marked as the same or different: {len(pairs)}{without}, {same} of them the same; "
                f"at least {MIN_MARKS} are needed, some of each kind: `corpus-worker duplicates review` lists pairs "
                "worth marking"
            )
        before, after = cross_validate(model, pairs, merge_at=settings.dedupe.probability)
        learned = refit(model, pairs, fitted=SystemClock().now().date().isoformat())
        threshold = settings.dedupe.probability
        stored = store.reader.unsure(merge_at=threshold, limit=MAX_PAIRS_COMPARED)
        changed = tuple(_changed_pairs(store, stored, learned, threshold=threshold))
        applied = not dry_run and (force or after.loss < before.loss)
        if applied:
            store.review.save_weights(weights_to_text(learned))
    return FitReport(
        applied=applied,
        same=same,
        different=len(pairs) - same,
        unused=unused,
        before=before,
        after=after,
        shift=learned.shift,
        factors=dict(learned.factors),
        compared=len(stored),
        changed=changed,
    )


def _changed_pairs(
    store: Store, pairs: list[UnsurePair], model: DuplicateModel, *, threshold: float
) -> Iterator[ChangedPair]:
    """Yield the pairs that were decided one way when they were stored, and are decided the other way by `model`."""
    for each in pairs:
        one, other = store.reader.article(each.article), store.reader.article(each.other)
        after = None if one is None or other is None else pair_probability(one.article, other.article, model=model)
        if after is not None and (after >= threshold) != (each.probability >= threshold):
            yield ChangedPair(
                article=each.article,
                other=each.other,
                title=each.title,
                other_title=each.other_title,
                before=each.probability,
                after=after,
            )


def find_unsure_pairs(settings: Settings, *, most: int) -> list[UnsurePair]:
    """Return at most `most` unmarked pairs, those first whose probability is nearest to the threshold."""
    with open_store(settings.store.url, parameters=None, create=False) as store:
        return store.reader.unsure(merge_at=settings.dedupe.probability, limit=most)
