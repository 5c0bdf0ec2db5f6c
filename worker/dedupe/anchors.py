"""Samples the shingles of a text, so that a text inside a longer one shares index keys with it.

A shingle is an anchor when its hash is small (FracMinHash: Irber et al. 2022), which holds in whatever text it stands;
so of the shingles two texts share, about one in ANCHOR_ONE_IN is an anchor of both. Very long texts keep a smaller
share, nested in the larger one, so that no text has more than MOST_ANCHORS.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ANCHOR_ONE_IN = 16
MOST_ANCHORS = 256

_SALT = np.uint64(0x5851F42D4C957F2D)


def anchors(shingles: NDArray[np.uint64]) -> tuple[int, ...]:
    """Return the sampled shingles as sorted signed 64-bit keys, without repetitions."""
    small = shingles[shingles < np.uint64((1 << 64) // ANCHOR_ONE_IN)]
    chosen = np.unique(small)[:MOST_ANCHORS]
    return tuple(np.sort((chosen * _SALT).view(np.int64)).tolist())
