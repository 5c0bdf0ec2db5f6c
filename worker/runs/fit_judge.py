"""Teaches the judge of a store by what people marked there, and finds the pairs that are most worth marking."""

from __future__ import annotations

from dataclasses import dataclass

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.dedupe import Deduper
from worker.dedupe.model import FitScore, MarkedPair, cross_validate, marked_pair, refit, shipped_model, weights_to_text
from worker.errors import StoreError
from worker.storage import open_store
from worker.storage.corpus.judge_model import UnsurePair

FEWEST_MARKS = 6
"""Marks of either kind together, under which nothing is learned but chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What fitting did, or would do: on how many marks, how well on marks not seen, and what moved."""

    applied: bool
    same: int
    different: int
    before: FitScore
    after: FitScore
    shift: float
    factors: dict[str, float]


def fit_judge(settings: Settings, *, dry_run: bool) -> FitReport:
    """Refit the shipped weights with the marks of the store, and keep them there unless it is a `dry_run`.

    Raises StoreError where there are too few marks.
    """
    model = shipped_model()
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        made = (
            marked_pair(one, other, same=decided == "same", model=model)
            for one, other, decided in store.reader.marked_pairs()
        )
        lessons: list[MarkedPair] = [each for each in made if each is not None]
        same = sum(each.one_item for each in lessons)
        if len(lessons) < FEWEST_MARKS or same in (0, len(lessons)):
            raise StoreError(
                f"{len(lessons)} marked pairs to learn from, {same} of them the same; it takes {FEWEST_MARKS}, some of "
                "either kind: `corpus-worker duplicates review` lists pairs worth marking"
            )
        before, after = cross_validate(model, lessons, merge_at=settings.dedupe.probability)
        learned = refit(model, lessons, fitted=SystemClock().now().date().isoformat())
        if not dry_run:
            store.review.keep_weights(weights_to_text(learned))
    return FitReport(
        applied=not dry_run,
        same=same,
        different=len(lessons) - same,
        before=before,
        after=after,
        shift=learned.shift,
        factors=dict(learned.factors),
    )


def find_unsure_pairs(settings: Settings, *, most: int) -> list[UnsurePair]:
    """Return the pairs about which the judge was least sure."""
    with open_store(settings.store.url, parameters=None, create=False) as store:
        return store.reader.unsure(merge_at=settings.dedupe.probability, most=most)
