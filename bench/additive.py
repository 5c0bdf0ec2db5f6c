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
    """A fitted model: the points of each curve, what it adds there, and where the feature is not known."""

    names: tuple[str, ...]
    points: tuple[Floats, ...]
    adds: tuple[Floats, ...]
    unknown: tuple[float, ...]
    intercept: float

    def parts(self, table: Floats) -> Floats:
        """Return what each feature adds, a column each."""
        columns = []
        for place, (points, adds, unknown) in enumerate(zip(self.points, self.adds, self.unknown, strict=True)):
            values = table[:, place]
            columns.append(np.where(np.isnan(values), unknown, np.interp(values, points, adds)))
        return np.column_stack(columns)

    def scores(self, table: Floats) -> Floats:
        """Return the sums."""
        total: Floats = self.parts(table).sum(axis=1) + self.intercept
        return total


def fit(table: Floats, labels: Floats, weights: Floats, signs: Mapping[str, int], *, ridge: float = RIDGE) -> Fit:
    """Fit curves to rows of features; `signs` says by the name of each whether more is for (1), against (-1) or either.

    A curve is a sum of ramps between neighbouring points, the points being quantiles; the ridge keeps ramps small.
    """
    names = tuple(signs)
    points = [_points(table[:, place]) for place in range(len(names))]
    ramps = [_ramps(table[:, place], points[place]) for place in range(len(names))]
    missing = [place for place in range(len(names)) if np.isnan(table[:, place]).any()]
    design = np.column_stack([*ramps, *(np.isnan(table[:, place]).astype(float) for place in missing)])
    middle = (design * weights[:, None]).sum(axis=0) / weights.sum()
    owner = np.concatenate([np.full(ramp.shape[1], place) for place, ramp in enumerate(ramps)]).astype(int)
    sign = [list(signs.values())[place] for place in owner] + [0] * len(missing)
    found = _solve(design - middle, labels, weights, sign, ridge)
    adds, unknown = [], []
    for place in range(len(names)):
        steps = found[: len(owner)][owner == place]
        base = -float(middle[: len(owner)][owner == place] @ steps)
        blank = 0.0
        if place in missing:
            own = len(owner) + missing.index(place)
            base -= float(middle[own] * found[own])
            blank = base + float(found[own])
        adds.append(base + np.concatenate(([0.0], np.cumsum(steps))))
        unknown.append(blank)
    return Fit(names=names, points=tuple(points), adds=tuple(adds), unknown=tuple(unknown), intercept=float(found[-1]))


def _points(values: Floats) -> Floats:
    known = values[~np.isnan(values)]
    points = np.unique(np.quantile(known, np.linspace(0.02, 0.98, POINTS)).round(4))
    return points if len(points) > 1 else np.array([known.min(), max(known.max(), known.min() + 1.0)])


def _ramps(values: Floats, points: Floats) -> Floats:
    ramps = np.clip((values[:, None] - points[:-1]) / np.diff(points), 0.0, 1.0)
    return np.nan_to_num(ramps)


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
