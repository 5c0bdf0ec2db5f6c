"""Turns shingles into a MinHash signature, bit for bit datasketch's own, and the signature into LSH band keys.

datasketch's `affine32` scheme: a shingle's 32-bit hash is mixed once (MurmurHash3 finaliser), then permuted by
`a * h + b` modulo 2**32, and the least value of each permutation is kept. Band keys follow Leskovec, Rajaraman and
Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

import hashlib
import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

SCHEME = "affine32"
SEED = 1
PERMUTATIONS = 64
BANDS = 10
ROWS = 4
"""Set by hand: 10 bands of 4 rows, the first 40 values of the signature, meet a pair of Jaccard 0.8 with probability
0.995; what datasketch would choose by itself for 128 values, 9 bands of 13, meets it with 0.40. What resembles less is
met through anchors."""

_HEADER = struct.Struct("<qiB")
_AFFINE32_CODE = 1
_BLOCK = 256
_EMPTY = np.uint32(0xFFFFFFFF)


def narrow(shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the 32-bit hash of each shingle: what a datasketch MinHash with `hashfunc=int` is updated with."""
    return (shingles >> np.uint64(32)).astype(np.uint32)


def signature(shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the MinHash values of a set of shingles, given with or without repetitions."""
    multipliers, offsets = _permutations()
    mixed = _fmix32(narrow(shingles))
    least = np.full(PERMUTATIONS, _EMPTY)
    for start in range(0, len(mixed), _BLOCK):
        block = mixed[start : start + _BLOCK]
        permuted = multipliers[:, : len(block)] * block
        permuted += offsets[:, : len(block)]
        np.minimum(least, permuted.min(axis=1), out=least)
    return least


def serialise(values: NDArray[np.uint32]) -> bytes:
    """Return the bytes that datasketch's `LeanMinHash.deserialize(..., byteorder="<")` reads."""
    return _HEADER.pack(SEED, -len(values), _AFFINE32_CODE) + values.astype("<u4").tobytes()


def bands(values: NDArray[np.uint32]) -> tuple[int, ...]:
    """Return one signed 64-bit key for each band, hashed in full and carrying the band's number."""
    packed, size = values.astype("<u4").tobytes(), 4 * ROWS
    return tuple(
        int.from_bytes(
            hashlib.blake2b(packed[band * size : (band + 1) * size], digest_size=8, salt=b"band%d" % band).digest(),
            "little",
            signed=True,
        )
        for band in range(BANDS)
    )


def _fmix32(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    mixed = hashes ^ (hashes >> np.uint32(16))
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed ^= mixed >> np.uint32(16)
    return mixed


@cache
def _permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return datasketch's permutations, each repeated over a block: numpy multiplies rows by rows the fastest."""
    from datasketch import MinHash  # takes most of a second to import: only who makes signatures pays

    both = MinHash(num_perm=PERMUTATIONS, seed=SEED, scheme=SCHEME).permutations
    multipliers, offsets = (np.repeat(each[:, None], _BLOCK, axis=1) for each in both)
    for table in (multipliers, offsets):
        table.setflags(write=False)
    return multipliers, offsets
