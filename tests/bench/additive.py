"""Fits additive logistic models with monotone curves, and folds that keep a story on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
POINTS = 4
RIDGE = 0.5


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted model: the points of each curve, and what it adds there."""

    names: tuple[str, ...]
    points: tuple[Floats, ...]
    adds: tuple[Floats, ...]
    intercept: float

    def parts(self, table: Floats) -> Floats:
        """Return what each feature adds, a column each."""
        curves = zip(table.T, self.points, self.adds, strict=True)
        return np.column_stack([np.interp(values, points, adds) for values, points, adds in curves])

    def scores(self, table: Floats) -> Floats:
        """Return the sums."""
        total: Floats = self.parts(table).sum(axis=1) + self.intercept
        return total


def fit(table: Floats, labels: Floats, weights: Floats, signs: Mapping[str, int], *, ridge: float = RIDGE) -> Fit:
    """Fit curves to rows of features; `signs` says by the name of each whether more is for (1), against (-1) or either.

    A curve is a sum of ramps between neighbouring points, the points being quantiles; the ridge keeps ramps small.
    """
    names = tuple(signs)
    points = [_points(table[:, place], weights) for place in range(len(names))]
    ramps = [_ramps(table[:, place], points[place]) for place in range(len(names))]
    design = np.column_stack(ramps)
    middle = (design * weights[:, None]).sum(axis=0) / weights.sum()
    owner = np.concatenate([np.full(ramp.shape[1], place) for place, ramp in enumerate(ramps)]).astype(int)
    sign = [list(signs.values())[place] for place in owner]
    found = _solve(design - middle, labels, weights, sign, ridge)
    adds = []
    for place in range(len(names)):
        steps = found[:-1][owner == place]
        adds.append(np.concatenate(([0.0], np.cumsum(steps))) - float(middle[owner == place] @ steps))
    return Fit(names=names, points=tuple(points), adds=tuple(adds), intercept=float(found[-1]))


def rank(table: Floats, labels: Floats, weights: Floats, signs: Mapping[str, int]) -> list[str]:
    """Return the features in the order in which each next one promises to explain most of what the others leave."""
    names = list(signs)
    ramps = [_ramps(values, _points(values, weights)) for values in table.T]
    ramps = [each - np.average(each, axis=0, weights=weights) for each in ramps]
    chosen: list[str] = []
    chance = np.full(len(labels), np.average(labels, weights=weights))
    while len(chosen) < len(names):
        left, bend = weights * (labels - chance), weights * chance * (1.0 - chance)
        gains = {}
        for name, steps in zip(names, ramps, strict=True):
            gain = steps.T @ left / np.sqrt((steps**2 * bend[:, None]).sum(axis=0) + RIDGE)
            gains[name] = float(np.max(np.abs(gain) if signs[name] == 0 else gain * signs[name]))
        chosen.append(max((name for name in names if name not in chosen), key=lambda name: gains[name]))
        some = [names.index(name) for name in chosen]
        made = fit(table[:, some], labels, weights, {name: signs[name] for name in chosen})
        chance = 1.0 / (1.0 + np.exp(-made.scores(table[:, some])))
    return chosen


def _points(values: Floats, weights: Floats) -> Floats:
    """Return some quantiles of the values, each counted by its weight."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    places = np.searchsorted(sums, np.linspace(0.02, 0.98, POINTS) * sums[-1])
    points = np.unique(values[order][places].round(4))
    return points if len(points) > 1 else np.array([values.min(), max(values.max(), values.min() + 1.0)])


def _ramps(values: Floats, points: Floats) -> Floats:
    ramps: Floats = np.clip((values[:, None] - points[:-1]) / np.diff(points), 0.0, 1.0)
    return ramps


def _solve(design: Floats, labels: Floats, weights: Floats, signs: Sequence[int], ridge: float) -> Floats:
    side = 2.0 * labels - 1.0

    def loss(found: Floats) -> tuple[float, Floats]:
        steps = found[:-1]
        margin = side * (design @ steps + found[-1])
        pull = -weights * side * np.exp(-np.logaddexp(0.0, margin))
        value = float((weights * np.logaddexp(0.0, -margin)).sum() + 0.5 * ridge * steps @ steps)
        return value, np.append(design.T @ pull + ridge * steps, pull.sum())

    free, more, less = (None, None), (0.0, None), (None, 0.0)
    bounds = [{0: free, 1: more, -1: less}[sign] for sign in signs] + [free]
    start = np.zeros(design.shape[1] + 1)
    options = {"maxiter": 3000, "maxfun": 6000, "ftol": 1e-11, "gtol": 1e-7}
    result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    found: Floats = result.x
    return found


def folds(groups: Sequence[str], labels: Floats, *, count: int = 5, turn: int = 0) -> NDArray[np.int64]:
    """Put groups into folds, the largest first, each where pairs of its labels are fewest; `turn` deals anew."""

    def drawn(group: str) -> str:
        return hashlib.sha256(f"{turn} {group}".encode()).hexdigest()

    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    totals = np.zeros((count, 2))
    fold = np.zeros(len(groups), dtype=np.int64)
    for group in sorted(members, key=lambda each: (-len(members[each]), drawn(each))):
        rows = members[group]
        size = np.array([float((labels[rows] == label).sum()) for label in (0, 1)])
        every = np.maximum(1.0, np.array([float((labels == label).sum()) for label in (0, 1)]))
        cost = [((totals[each] + size) / every).sum() * 1e3 + totals[each] @ size for each in range(count)]
        chosen = int(np.argmin(cost))
        totals[chosen] += size
        fold[rows] = chosen
    return fold
