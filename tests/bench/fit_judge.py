"""Fits the judge to the labelled pairs and writes its weights: curves, the figures they reach, never a text.

    python -m tests.bench.fit_judge [--data FOLDER] [--out FILE] [--check | --nested]

Everything is measured out of fold: five folds, a story in one of them, three ways of dealing, averaged. With --nested
each fold also chooses the features, the ridge and the operating point anew, which is what unseen pairs may expect.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench.additive import RIDGE, Fit, Floats, fit, folds, rank
from tests.bench.articles import SHARED
from tests.bench.judged_pairs import DATINGS, Example, measure, read_examples, shares, stories, weigh
from worker.dedupe.features import FEATURE_SIGNS

OUT = Path(__file__).resolve().parents[2] / "worker" / "dedupe" / "weights.json"
VERSION = 4
MOST_WRONG = 0.035  # of the target of 0.04: on stories that were not used it is up to a hundredth more
_TURNS = 3
_FOLDS = 5
_SIZES = (12, 15, 18)
_RIDGES = (0.25, 0.5, 1.0, 2.0)
_SHOWN_DATINGS = {"near_identical": (0, 2), "edited": (0, 3), "misprint": (0, 3), "repeated": (3,)}
_DIALS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, print what was reached, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="the folder that holds neardup/")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write")
    parser.add_argument("--check", action="store_true", help="print the figures and write nothing")
    parser.add_argument("--nested", action="store_true", help="print the figures with every choice made inside")
    asked = parser.parse_args(argv)
    if not (asked.data / "neardup").is_dir():
        sys.stderr.write(f"{asked.data}: no folder neardup there; name the data with --data FOLDER\n")
        return 1
    examples = read_examples(asked.data)
    pairs = prepared(examples)
    out_of_fold = cross_validate_nested(examples, pairs) if asked.nested else cross_validate(pairs)
    shift = 0.0 if asked.nested else operating_point(examples, out_of_fold[0])
    figures = reached(examples, out_of_fold - shift)
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value}\n")
    if not asked.check and not asked.nested:
        table, labels, weights = pairs.rows(pairs.weights > 0)
        made = fit(table, labels, weights, FEATURE_SIGNS)
        asked.out.write_text(written(made, table, weights, shift=shift, figures=figures), encoding="utf-8")
    return 0


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Examples as numbers: the features of each under each dating, its label, its weight under each, and its story."""

    tables: tuple[Floats, ...]
    labels: Floats
    weights: Floats
    shares: Floats
    stories: Sequence[str]

    def rows(self, which: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
        """Return features, labels and weights of some pairs, a row for each dating that counts."""
        chosen = [which & (share > 0) for share in self.shares.T]
        return (
            np.vstack([table[each] for table, each in zip(self.tables, chosen, strict=True)]),
            np.concatenate([self.labels[each] for each in chosen]),
            np.concatenate([(self.weights * share)[each] for share, each in zip(self.shares.T, chosen, strict=True)]),
        )


def prepared(examples: Sequence[Example]) -> Pairs:
    """Measure and weigh examples."""
    groups = stories(examples)
    measured = measure(examples)
    return Pairs(
        tables=tuple(
            np.array([[each[at][name] for name in FEATURE_SIGNS] for each in measured]) for at in range(len(DATINGS))
        ),
        labels=np.array([-1.0 if each.label is None else float(each.label) for each in examples]),
        weights=np.array(weigh(examples, groups)),
        shares=np.array([shares(each) for each in examples]),
        stories=groups,
    )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a fit may choose: the features and the ridge."""

    names: tuple[str, ...] = tuple(FEATURE_SIGNS)
    ridge: float = RIDGE

    def fit(self, table: Floats, labels: Floats, weights: Floats) -> Fit:
        """Fit the chosen features."""
        return fit(
            self._of(table), labels, weights, {name: FEATURE_SIGNS[name] for name in self.names}, ridge=self.ridge
        )

    def scores(self, made: Fit, table: Floats) -> Floats:
        """Return the scores of a fit."""
        return made.scores(self._of(table))

    def _of(self, table: Floats) -> Floats:
        return table[:, [list(FEATURE_SIGNS).index(name) for name in self.names]]


def cross_validate(
    pairs: Pairs, turns: int = _TURNS, *, choice: Choice = Choice(), among: NDArray[np.bool_] | None = None
) -> Floats:
    """Return the scores of pairs under each dating, by models that saw no pair of their story."""
    scores = np.zeros((len(DATINGS), len(pairs.labels)))
    for turn in range(turns):
        fold = _fold_of(pairs, pairs.weights > 0 if among is None else among & (pairs.weights > 0), turn)
        for each in range(_FOLDS):
            made = choice.fit(*pairs.rows((fold != each) & (fold >= 0)))
            for place, table in enumerate(pairs.tables):
                scores[place, fold == each] += choice.scores(made, table[fold == each]) / turns
    return scores


def _fold_of(pairs: Pairs, which: NDArray[np.bool_], turn: int) -> NDArray[np.int64]:
    used = np.flatnonzero(which)
    fold = np.full(len(pairs.labels), -1)
    fold[used] = folds([pairs.stories[place] for place in used.tolist()], pairs.labels[used], count=_FOLDS, turn=turn)
    return fold


def cross_validate_nested(examples: Sequence[Example], pairs: Pairs) -> Floats:
    """Return scores less the operating point, where each fold chose features, ridge and point without its pairs."""
    labelled = np.array([each.collection == "labelled" and each.label is not None for each in examples])
    scores = np.zeros((len(DATINGS), len(pairs.labels)))
    fold = _fold_of(pairs, pairs.weights > 0, 0)
    for each in range(_FOLDS):
        others = (fold != each) & (fold >= 0)
        order = rank(*pairs.rows(others), FEATURE_SIGNS)
        tried = []
        for choice in (Choice(names=tuple(order[:size]), ridge=ridge) for size in _SIZES for ridge in _RIDGES):
            inner = cross_validate(pairs, 1, choice=choice, among=others)
            side = 2.0 * pairs.labels - 1.0
            known = others & labelled
            tried.append((float(np.logaddexp(0.0, -(side * inner)[:2, known]).mean()), choice, inner))
        _, best, inner = min(tried, key=lambda one: one[0])
        inside = [example for example, kept in zip(examples, others, strict=True) if kept]
        shift = operating_point(inside, inner[0, others])
        made = best.fit(*pairs.rows(others))
        for place, table in enumerate(pairs.tables):
            scores[place, fold == each] = best.scores(made, table[fold == each]) - shift
    return scores


def operating_point(examples: Sequence[Example], scores: Floats) -> float:
    """Return the score from which at most MOST_WRONG of the labelled look-alikes merge."""
    wrong = np.sort([score for each, score in zip(examples, scores, strict=True) if _is(each, "labelled", 0)])[::-1]
    merged = int(MOST_WRONG * len(wrong))
    return float((wrong[merged - 1] + wrong[merged]) / 2)


def reached(examples: Sequence[Example], scores: Floats) -> dict[str, object]:
    """Return the figures out of fold, by collection; `curve` is recall and look-alikes merged at some dials."""
    is_one, is_two = (np.array([_is(each, "labelled", label) for each in examples]) for label in (1, 0))
    one, two = scores[0, is_one], scores[0, is_two]
    ranks = np.searchsorted(np.sort(two), one, side="left") / len(two)
    figures: dict[str, object] = {
        "labelled": f"{len(one)} copies, {len(two)} look-alikes",
        "auc": round(ranks.mean(), 4),
    }
    for share in (0.04, 0.05, 0.1):
        bound = np.sort(two)[::-1][int(share * len(two))]
        figures[f"recall at {share:.0%}"] = round(float((one > bound).mean()), 3)
    figures["curve"] = {
        f"{dial}": [round(float((each >= np.log(dial / (1 - dial))).mean()), 3) for each in (one, two)]
        for dial in _DIALS
    }
    figures["undated"] = [round(float((scores[1, each] >= 0).mean()), 3) for each in (is_one, is_two)]
    for name in ("near_identical", "reuters", "pairs", "events", "edited", "misprint", "repeated"):
        for dating in _SHOWN_DATINGS.get(name, (0,)):
            said = f"{name}, {DATINGS[dating]}" if dating else name
            figures[said] = _counted(examples, scores[dating], name)
    return figures


def _counted(examples: Sequence[Example], scores: Floats, name: str) -> str:
    seen = [(each, score >= 0) for each, score in zip(examples, scores, strict=True) if each.collection == name]
    found = sum(each.counts for each, merged in seen if merged and each.label == 1)
    wrong = sum(each.counts for each, merged in seen if merged and each.label == 0)
    every = [sum(each.counts for each, _ in seen if each.label == label) for label in (1, 0)]
    return f"{found:g} of {every[0]:g} copies, {wrong:g} of {every[1]:g} look-alikes"


def _is(example: Example, collection: str, label: int) -> bool:
    return example.collection == collection and example.label == label


def written(made: Fit, table: Floats, weights: Floats, *, shift: float, figures: dict[str, object]) -> str:
    """Return the file's text: one line a curve, one a row of the covariance."""
    curves = [
        f"    {json.dumps(name)}: " + json.dumps({"at": _round(points), "adds": _round(adds)})
        for name, points, adds in zip(made.names, made.points, made.adds, strict=True)
    ]
    covariance = covariance_of(made, table, weights)
    rows = [f"    {json.dumps(_round(covariance[place, : place + 1], 5))}" for place in range(len(covariance))]
    head = {
        "version": VERSION,
        "trained_on": "labelled_pairs, more_labels, pairs, near_identical_pairs, reuters_pairs, same_event_clusters,"
        " made copies, repeated notices",
        "out_of_fold": figures,
        "intercept": round(made.intercept - shift, 4),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    lines.append('  "curves": {\n' + ",\n".join(curves) + "\n  }")
    lines.append('  "covariance": [\n' + ",\n".join(rows) + "\n  ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def covariance_of(made: Fit, table: Floats, weights: Floats) -> Floats:
    """Return the covariance of the intercept and of a factor for each curve, about 1, at the fit (Laplace)."""
    parts = np.column_stack([np.ones(len(table)), made.parts(table)])
    chance = 1.0 / (1.0 + np.exp(-made.scores(table)))
    # A curve that adds next to nothing is not to grow without bound: a factor is known to a half beforehand.
    prior = np.diag([1.0, *([4.0] * (parts.shape[1] - 1))])
    bent = parts.T @ (parts * (weights * chance * (1 - chance))[:, None])
    return np.asarray(np.linalg.inv(bent + prior), dtype=np.float64)


def _round(values: Floats, digits: int = 4) -> list[float]:
    return [round(float(value), digits) for value in values]


if __name__ == "__main__":
    sys.exit(main())
