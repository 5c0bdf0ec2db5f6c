"""Samples the shingles of a text, so that a text inside a longer one shares index keys with it.

A shingle is an anchor when its hash is small (FracMinHash: Irber et al. 2022), which holds in whatever text it stands;
so of the shingles two texts share, about one in ANCHOR_ONE_IN is an anchor of both. Short texts keep more, so that few
shared shingles are enough to meet; very long ones keep fewer. The samples are nested: the smallest hashes first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.words import distinct

ANCHOR_ONE_IN = 24
FEWEST_ANCHORS = 24
MOST_ANCHORS = 256

_SALT = np.uint64(0x5851F42D4C957F2D)
_SMALL = np.uint64((1 << 64) // ANCHOR_ONE_IN)


def anchors(shingles: NDArray[np.uint64]) -> tuple[int, ...]:
    """Return the sampled shingles as signed 64-bit keys, without repetitions."""
    # About four times FEWEST_ANCHORS shingles lie below this bound: sorting those is enough, but for repetitions.
    bound = np.uint64(min((1 << 64) - 1, (FEWEST_ANCHORS << 66) // max(1, len(shingles))))
    smallest = distinct(shingles[shingles < max(bound, _SMALL)])
    if len(smallest) < FEWEST_ANCHORS:
        smallest = distinct(shingles)
    wanted = max(FEWEST_ANCHORS, int(np.searchsorted(smallest, _SMALL)))
    return tuple((smallest[: min(wanted, MOST_ANCHORS)] * _SALT).view(np.int64).tolist())
