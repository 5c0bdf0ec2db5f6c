"""The fitted model: the probability that a corpus should keep only one of two texts, as a sum of readable parts.

Each feature adds what its curve says at its value (straight lines between the points of the curve); the logistic
function of the sum is the probability. A store that was taught has a factor for each curve besides.
`bench/fit_judge.py` fits the curves that are shipped, and writes `weights.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What a feature adds to the sum at some values, and in between on straight lines."""

    at: tuple[float, ...]
    adds: tuple[float, ...]

    def part(self, value: float) -> float:
        """Return what a value adds."""
        return float(np.interp(value, self.at, self.adds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Curves by the names of their features; `factors` are a store's own, each 1 where nobody taught it.

    `covariance` is that of the intercept and the factors, in this order, from the fit: how far marks may move them.
    """

    version: int
    intercept: float
    curves: Mapping[str, Curve]
    covariance: NDArray[np.float64]
    factors: Mapping[str, float] = field(default_factory=dict)
    shift: float = 0.0
    fitted: str = ""

    def parts(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return what each feature adds to the sum."""
        return {name: self.factors.get(name, 1.0) * curve.part(values[name]) for name, curve in self.curves.items()}

    def probability(self, parts: Mapping[str, float]) -> float:
        """Return the probability for what the features add."""
        return _logistic(self.intercept + self.shift + math.fsum(parts.values()))

    def taught(self, factors: Mapping[str, float], *, shift: float, fitted: str) -> Model:
        """Return the model with the factors that a store was taught."""
        return replace(self, factors=dict(factors), shift=shift, fitted=fitted)


def read_model(text: str) -> Model:
    """Return the model written in the form of `weights.json`."""
    facts: dict[str, Any] = json.loads(text)
    curves = {name: Curve(at=tuple(each["at"]), adds=tuple(each["adds"])) for name, each in facts["curves"].items()}
    lower = facts["covariance"]
    square = np.zeros((len(lower), len(lower)))
    for place, row in enumerate(lower):
        square[place, : place + 1] = square[: place + 1, place] = row
    return Model(version=facts["version"], intercept=facts["intercept"], curves=curves, covariance=square)


@cache
def shipped() -> Model:
    """Return the model that comes with the program."""
    return read_model(resources.files("worker.dedupe").joinpath("weights.json").read_text(encoding="utf-8"))


def _logistic(total: float) -> float:
    return 1.0 / (1.0 + math.exp(-total)) if total >= 0 else math.exp(total) / (1.0 + math.exp(total))
