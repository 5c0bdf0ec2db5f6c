"""The fitted model: the probability that two texts are one item, and its refit to the marks of a store.

The model is an additive logistic regression. Each feature adds the value of its curve, which is linear between a few
points, and the logistic function of the sum is the probability. `make fit-judge` (tests/bench/fit_judge.py) fits the
curves of `weights.json`. `refit` adapts the shipped model to the pairs that people marked in a store: it fits a factor
for each curve and a shift of the sum.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.features import PublishedText, measure_features
from worker.dedupe.prepared import prepare
from worker.dedupe.similarity import compare
from worker.models import Article
from worker.models.base import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCurve:
    """A piecewise linear curve: a feature with the value `at[i]` adds `adds[i]` to the sum."""

    at: tuple[float, ...]
    adds: tuple[float, ...]

    def part(self, value: float) -> float:
        """Return what a value adds; outside of the points the curve is constant."""
        # As `numpy.interp`, which takes most of its time to make arrays of its arguments.
        at, adds = self.at, self.adds
        place = bisect_right(at, value) - 1
        if place < 0 or value <= at[place] or place == len(at) - 1:
            return adds[max(0, place)]
        return (adds[place + 1] - adds[place]) / (at[place + 1] - at[place]) * (value - at[place]) + adds[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateModel:
    """The curves by feature name. `factors` and `shift` are a store's own; without marks they are 1 and 0.

    `covariance` is that of the intercept and the factors, in this order, from the fit; it limits how far marks move
    them. `fitted` is the date of the refit, empty for the shipped model.
    """

    version: int
    intercept: float
    curves: Mapping[str, FeatureCurve]
    covariance: NDArray[np.float64]
    factors: Mapping[str, float] = field(default_factory=dict)
    shift: float = 0.0
    fitted: str = ""

    def parts(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return what each feature adds to the sum."""
        return {name: self.factors.get(name, 1.0) * curve.part(values[name]) for name, curve in self.curves.items()}

    def probability(self, parts: Mapping[str, float]) -> float:
        """Return the probability that two texts are one item, given what each feature adds."""
        return _logistic(self.intercept + self.shift + math.fsum(parts.values()))

    def with_factors(self, factors: Mapping[str, float], *, shift: float, fitted: str) -> DuplicateModel:
        """Return the model with the refitted factors and shift of a store."""
        return replace(self, factors=dict(factors), shift=shift, fitted=fitted)


def read_model(text: str) -> DuplicateModel:
    """Return the model from the text of a `weights.json` file."""
    facts: dict[str, Any] = json.loads(text)
    curves = {
        name: FeatureCurve(at=tuple(each["at"]), adds=tuple(each["adds"])) for name, each in facts["curves"].items()
    }
    lower = facts["covariance"]
    square = np.zeros((len(lower), len(lower)))
    for place, row in enumerate(lower):
        square[place, : place + 1] = square[: place + 1, place] = row
    return DuplicateModel(version=facts["version"], intercept=facts["intercept"], curves=curves, covariance=square)


@cache
def shipped_model() -> DuplicateModel:
    """Return the model of the `weights.json` in this package."""
    return read_model(resources.files("worker.dedupe").joinpath("weights.json").read_text(encoding="utf-8"))


def _logistic(total: float) -> float:
    return 1.0 / (1.0 + math.exp(-total)) if total >= 0 else math.exp(total) / (1.0 + math.exp(total))


# The refit to marks.


# Chosen, not measured: the likelihood is concave, so Newton's method converges in far fewer steps. Up to 50 marks,
# leaving out one at a time costs little and uses the few marks best; ten folds are the usual number beyond that.
_NEWTON_STEPS = 25
_LEAVE_ONE_OUT = 50
_FOLDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedPair:
    """A pair that a person marked: what each feature adds in the shipped model, and whether both are one item."""

    parts: tuple[float, ...]
    one_item: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FitScore:
    """The quality of a model on marks: the mean log loss, and the number of wrong decisions at `merge_at`."""

    loss: float
    wrong: int


def marked_pair(one: Article, other: Article, *, same: bool, model: DuplicateModel) -> MarkedPair | None:
    """Return a marked pair for the refit; None if the texts share no words, since the model does not decide such."""
    values = _measure_pair(one, other)
    if values is None:
        return None
    return MarkedPair(parts=tuple(curve.part(values[name]) for name, curve in model.curves.items()), one_item=same)


def pair_probability(one: Article, other: Article, *, model: DuplicateModel) -> float | None:
    """Return the probability that two articles are one item; None if the texts share no words."""
    values = _measure_pair(one, other)
    return None if values is None else model.probability(model.parts(values))


def _measure_pair(one: Article, other: Article) -> Mapping[str, float] | None:
    """Return the features of two articles by name; None if the texts share no words."""
    texts = [
        PublishedText(prepared=prepare(each.text, title=each.title), host=each.host, published_at=each.published_at)
        for each in (one, other)
    ]
    similarity = compare(texts[0].prepared, texts[1].prepared)
    return measure_features(texts[0], texts[1], similarity) if similarity.shared_words else None


def refit(model: DuplicateModel, marks: Sequence[MarkedPair], *, fitted: str) -> DuplicateModel:
    """Return the model with the most probable shift and factors given the marks; `fitted` is the date."""
    moved = _fit_newton(model, marks)
    factors = {name: round(1.0 + float(by), 4) for name, by in zip(model.curves, moved[1:], strict=True)}
    return model.with_factors(factors, shift=round(float(moved[0]), 4), fitted=fitted)


def cross_validate(model: DuplicateModel, marks: Sequence[MarkedPair], *, merge_at: float) -> tuple[FitScore, FitScore]:
    """Return the score of the shipped model on the marks, and the cross-validated score of the refitted one."""
    folds = len(marks) if len(marks) <= _LEAVE_ONE_OUT else _FOLDS
    plain = [_total(model, each, np.zeros(len(each.parts) + 1)) for each in marks]
    held_out = [0.0] * len(marks)
    for fold in range(folds):
        moved = _fit_newton(model, [each for place, each in enumerate(marks) if place % folds != fold])
        for place in range(fold, len(marks), folds):
            held_out[place] = _total(model, marks[place], moved)
    return _score(plain, marks, merge_at), _score(held_out, marks, merge_at)


def weights_to_text(model: DuplicateModel) -> str:
    """Return the refitted part of a model as JSON text, for the store."""
    facts = {"version": model.version, "fitted": model.fitted, "shift": model.shift, "factors": dict(model.factors)}
    return json.dumps(facts, sort_keys=True)


def weights_from_text(model: DuplicateModel, text: str | None) -> DuplicateModel:
    """Return the model with the weights that a store keeps; weights for another model version are ignored."""
    facts = json.loads(text) if text else {}
    if facts.get("version") != model.version or set(facts["factors"]) != set(model.curves):
        return model
    return model.with_factors(facts["factors"], shift=facts["shift"], fitted=facts["fitted"])


def _fit_newton(model: DuplicateModel, marks: Sequence[MarkedPair]) -> NDArray[np.float64]:
    """Return the most probable shift and factors, less 1, by Newton's method.

    The prior is normal with the covariance of the fit. A factor is never negative, so no curve changes its direction.
    """
    precision = np.linalg.inv(model.covariance)
    moved = np.zeros(len(precision))
    if not marks:
        return moved
    design = np.array([(1.0, *each.parts) for each in marks])
    label = np.array([float(each.one_item) for each in marks])
    base = model.intercept + design[:, 1:].sum(axis=1)
    for _ in range(_NEWTON_STEPS):
        probability = 1.0 / (1.0 + np.exp(-np.clip(base + design @ moved, -35.0, 35.0)))
        gradient = design.T @ (label - probability) - precision @ moved
        hessian = precision + design.T @ (design * (probability * (1.0 - probability))[:, None])
        moved = moved + np.linalg.solve(hessian, gradient)
        moved[1:] = np.maximum(moved[1:], -1.0)
    return moved


def _total(model: DuplicateModel, each: MarkedPair, moved: NDArray[np.float64]) -> float:
    return model.intercept + float(moved[0]) + float(np.dot(1.0 + moved[1:], each.parts))


def _score(totals: Sequence[float], marks: Sequence[MarkedPair], merge_at: float) -> FitScore:
    threshold = math.log(merge_at / (1.0 - merge_at)) if merge_at < 1.0 else math.inf
    pairs = list(zip(totals, marks, strict=True))
    losses = [float(np.logaddexp(0.0, -total if each.one_item else total)) for total, each in pairs]
    wrong = sum((total >= threshold) != each.one_item for total, each in pairs)
    return FitScore(loss=math.fsum(losses) / max(1, len(losses)), wrong=wrong)
