"""Computes the index keys of a text: a MinHash signature, its LSH bands, and sampled shingles (anchors).

The signature is datasketch's `affine32` scheme, bit for bit: a shingle's 32-bit hash is mixed once (MurmurHash3
finaliser), then permuted by `a * h + b` modulo 2**32, and the least value of each permutation is kept. Band keys
follow Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

import hashlib
import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.tokenizer import shingles, sorted_unique, tokenize
from worker.models import Fingerprint

# Samples the shingles of a text, so that a text inside a longer one shares index keys with it.
#
# A shingle is an anchor when its hash is small (FracMinHash: Irber et al. 2022), which holds in whatever text it
# stands;
# so of the shingles two texts share, about one in ANCHOR_ONE_IN is an anchor of both. Short texts keep more, so that
# few
# shared shingles are enough to meet; very long ones keep fewer. The samples are nested: the smallest hashes first.


ANCHOR_ONE_IN = 24
FEWEST_ANCHORS = 24
MOST_ANCHORS = 256

_SALT = np.uint64(0x5851F42D4C957F2D)
_SMALL = np.uint64((1 << 64) // ANCHOR_ONE_IN)


def anchor_keys(shingles: NDArray[np.uint64]) -> tuple[int, ...]:
    """Return the sampled shingles as signed 64-bit keys, without repetitions."""
    # About four times FEWEST_ANCHORS shingles lie below this bound: sorting those is enough, but for repetitions.
    bound = np.uint64(min((1 << 64) - 1, (FEWEST_ANCHORS << 66) // max(1, len(shingles))))
    smallest = sorted_unique(shingles[shingles < max(bound, _SMALL)])
    if len(smallest) < FEWEST_ANCHORS:
        smallest = sorted_unique(shingles)
    wanted = max(FEWEST_ANCHORS, int(np.searchsorted(smallest, _SMALL)))
    return tuple((smallest[: min(wanted, MOST_ANCHORS)] * _SALT).view(np.int64).tolist())


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
_BLOCK_SHINGLES = 256
_EMPTY = np.uint32(0xFFFFFFFF)


def to_uint32(shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the 32-bit hash of each shingle: what a datasketch MinHash with `hashfunc=int` is updated with."""
    return (shingles >> np.uint64(32)).astype(np.uint32)


def minhash(shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the MinHash values of a set of shingles, given with or without repetitions."""
    multipliers, offsets = _permutations()
    mixed = _fmix32(to_uint32(shingles))
    least = np.full(PERMUTATIONS, _EMPTY)
    for start in range(0, len(mixed), _BLOCK_SHINGLES):
        block = mixed[start : start + _BLOCK_SHINGLES]
        permuted = multipliers[:, : len(block)] * block
        permuted += offsets[:, : len(block)]
        np.minimum(least, permuted.min(axis=1), out=least)
    return least


def serialise_minhash(values: NDArray[np.uint32]) -> bytes:
    """Return the bytes that datasketch's `LeanMinHash.deserialize(..., byteorder="<")` reads."""
    return _HEADER.pack(SEED, -len(values), _AFFINE32_CODE) + values.astype("<u4").tobytes()


def band_keys(values: NDArray[np.uint32]) -> tuple[int, ...]:
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
    multipliers, offsets = (np.repeat(each[:, None], _BLOCK_SHINGLES, axis=1) for each in both)
    for table in (multipliers, offsets):
        table.setflags(write=False)
    return multipliers, offsets


def fingerprint(text: str) -> Fingerprint:
    """Return what the index keeps of a text."""
    every = shingles(tokenize(text).hashes)
    values = minhash(every)
    keys = anchor_keys(every)
    return Fingerprint(
        signature=serialise_minhash(values),
        bands=band_keys(values) if len(every) else (),
        anchors=keys,
        shingles=len(every),
    )
