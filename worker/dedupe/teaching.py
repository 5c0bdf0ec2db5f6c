"""Lets a store's marks move the shipped model: a factor for each curve and a shift, held by the fit's covariance."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.compare import compare
from worker.dedupe.features import Piece, features
from worker.dedupe.model import Model
from worker.dedupe.sides import prepare
from worker.models import Article

_STEPS = 25
_ONE_BY_ONE = 50
_FOLDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A pair that a person marked: what each feature adds in the shipped model, and whether it is one item."""

    parts: tuple[float, ...]
    one_item: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a model does on marks it did not see: mean surprise (log loss), and how many it calls wrong at a dial."""

    loss: float
    wrong: int


def lesson(one: Article, other: Article, *, same: bool, model: Model) -> Lesson | None:
    """Return what a mark teaches; nothing where the texts share no words, or hardly have any."""
    pieces = [
        Piece(side=prepare(each.text, title=each.title), host=each.host, published_at=each.published_at)
        for each in (one, other)
    ]
    figures = compare(pieces[0].side, pieces[1].side)
    if not figures.shared_words:
        return None
    values = features(pieces[0], pieces[1], figures)
    return Lesson(parts=tuple(curve.part(values[name]) for name, curve in model.curves.items()), one_item=same)


def taught(model: Model, lessons: Sequence[Lesson], *, fitted: str) -> Model:
    """Return the shipped model with the shift and the factors that the marks make most probable."""
    moved = _most_probable(model, lessons)
    factors = {name: round(1.0 + float(by), 4) for name, by in zip(model.curves, moved[1:], strict=True)}
    return model.taught(factors, shift=round(float(moved[0]), 4), fitted=fitted)


def before_and_after(model: Model, lessons: Sequence[Lesson], *, merge_at: float) -> tuple[Score, Score]:
    """Return how the shipped model does on the marks, and how one does that was taught by the others alone."""
    folds = len(lessons) if len(lessons) <= _ONE_BY_ONE else _FOLDS
    plain = [_total(model, each, np.zeros(len(each.parts) + 1)) for each in lessons]
    held_out = [0.0] * len(lessons)
    for fold in range(folds):
        moved = _most_probable(model, [each for place, each in enumerate(lessons) if place % folds != fold])
        for place in range(fold, len(lessons), folds):
            held_out[place] = _total(model, lessons[place], moved)
    return _score(plain, lessons, merge_at), _score(held_out, lessons, merge_at)


def to_text(model: Model) -> str:
    """Return what a store keeps of a taught model."""
    facts = {"version": model.version, "fitted": model.fitted, "shift": model.shift, "factors": dict(model.factors)}
    return json.dumps(facts, sort_keys=True)


def from_text(model: Model, text: str | None) -> Model:
    """Return the shipped model as a store was taught it; weights taught to another version count for nothing."""
    facts = json.loads(text) if text else {}
    if facts.get("version") != model.version or set(facts["factors"]) != set(model.curves):
        return model
    return model.taught(facts["factors"], shift=facts["shift"], fitted=facts["fitted"])


def _most_probable(model: Model, lessons: Sequence[Lesson]) -> NDArray[np.float64]:
    """Find the most probable shift and factors, less 1, by Newton's method; no factor turns a curve round."""
    held = np.linalg.inv(model.covariance)
    moved = np.zeros(len(held))
    if not lessons:
        return moved
    design = np.array([(1.0, *each.parts) for each in lessons])
    label = np.array([float(each.one_item) for each in lessons])
    base = model.intercept + design[:, 1:].sum(axis=1)
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(base + design @ moved, -35.0, 35.0)))
        slope = design.T @ (label - chance) - held @ moved
        bend = held + design.T @ (design * (chance * (1.0 - chance))[:, None])
        moved = moved + np.linalg.solve(bend, slope)
        moved[1:] = np.maximum(moved[1:], -1.0)
    return moved


def _total(model: Model, each: Lesson, moved: NDArray[np.float64]) -> float:
    return model.intercept + float(moved[0]) + float(np.dot(1.0 + moved[1:], each.parts))


def _score(totals: Sequence[float], lessons: Sequence[Lesson], merge_at: float) -> Score:
    dial = math.log(merge_at / (1.0 - merge_at)) if merge_at < 1.0 else math.inf
    pairs = list(zip(totals, lessons, strict=True))
    losses = [float(np.logaddexp(0.0, -total if each.one_item else total)) for total, each in pairs]
    wrong = sum((total >= dial) != each.one_item for total, each in pairs)
    return Score(loss=math.fsum(losses) / max(1, len(losses)), wrong=wrong)
