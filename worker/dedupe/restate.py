"""Finds what a passage says again: words of a stretch that the other text has in the same order, in one place.

Alignment lays every word along at most one other. A lead written anew from a sentence further down, a paragraph that
stands twice, or a short one that was moved and edited, is left over then; but it is nothing new.
"""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.facts import word_pairs

AGAIN = 0.5
"""Share of a stretch's words, in order and in one place, from which it is said again: above nineteen in twenty of the
passages that follow-ups and independent reports add."""

_LONGEST = 200
_KNOWN_PAIRS = 0.15
_COMMON = 8


class Places:
    """Where each pair of neighbouring words stands in a text."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self._hashes = hashes
        pairs = word_pairs(hashes)
        self._order = np.argsort(pairs, kind="stable")
        self._sorted = pairs[self._order]

    def said_again(self, stretch: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each word of a stretch whether this text has it, in the one place that says the stretch again."""
        again = np.zeros(len(stretch), dtype=np.bool_)
        window = self._window(stretch) if len(stretch) <= _LONGEST else None
        if window is None:
            return again
        blocks = SequenceMatcher(None, stretch.tolist(), window.tolist(), autojunk=False).get_matching_blocks()
        for block in blocks:
            again[block.a : block.a + block.size] = True
        return again if again.mean() >= AGAIN else np.zeros_like(again)

    def _window(self, stretch: NDArray[np.uint64]) -> NDArray[np.uint64] | None:
        """Return the part of the text, somewhat longer than the stretch, that has the most of its word pairs."""
        said = word_pairs(stretch)
        first = np.searchsorted(self._sorted, said, side="left")
        count = np.searchsorted(self._sorted, said, side="right") - first
        if np.count_nonzero(count) < _KNOWN_PAIRS * len(stretch):
            return None
        count[count > _COMMON] = 0
        total = int(count.sum())
        if not total:
            return None
        within = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        offsets = np.sort(self._order[np.repeat(first, count) + within] - np.repeat(np.arange(len(said)), count))
        slack = max(4, len(stretch) // 3)
        ends = np.searchsorted(offsets, offsets + slack, side="right")
        best = int(np.argmax(ends - np.arange(len(offsets))))
        middle = int(offsets[best : ends[best]].mean())
        start, stop = max(0, middle - slack // 2), middle + len(stretch) + slack // 2
        return self._hashes[start:stop]
