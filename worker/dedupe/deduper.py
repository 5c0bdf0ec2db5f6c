"""Joins fingerprinting and judging into what the flows ask for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from worker.dedupe.anchors import ANCHOR_ONE_IN, FEWEST_ANCHORS, MOST_ANCHORS, anchors
from worker.dedupe.judge import judge
from worker.dedupe.model import shipped
from worker.dedupe.sides import Side, prepare
from worker.dedupe.signature import BANDS, PERMUTATIONS, ROWS, SCHEME, SEED, bands, serialise, signature
from worker.dedupe.teaching import from_text
from worker.dedupe.words import NORMALISATION, SHINGLE, shingles, words
from worker.models import Article, Fingerprint, IndexParameters, Neighbour, Verdict
from worker.settings import DedupeSettings

_KEPT_SIDES = 256
_LONGEST_KEPT = 20_000


class Deduper:
    """Decides what is a copy, by facts and a fitted model: the shipped one, or `weights` that a store was taught.

    The texts it met last are kept ready for comparing (some 20 MB): stock phrases bring up the same articles again and
    again.
    """

    def __init__(self, settings: DedupeSettings | None = None, weights: str | None = None) -> None:
        self._settings = settings or DedupeSettings()
        self._model = from_text(shipped(), weights)
        self._kept = lru_cache(maxsize=_KEPT_SIDES)(prepare)

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
        return judge(article, neighbours, settings=self._settings, model=self._model, ready=self._ready)

    def _ready(self, text: str, title: str) -> Side:
        return self._kept(text, title=title) if len(text) <= _LONGEST_KEPT else prepare(text, title=title)


def fingerprint(text: str) -> Fingerprint:
    """Return what the index keeps of a text."""
    every = shingles(words(text).hashes)
    values = signature(every)
    keys = anchors(every)
    return Fingerprint(
        signature=serialise(values),
        bands=bands(values) if len(every) else (),
        anchors=keys,
        shingles=len(every),
    )
