"""Computes the fingerprint of a text: a MinHash signature, its LSH bands, and sampled shingles (anchors).

Bands and anchors are the keys under which the store finds neighbours; they decide nothing themselves.

The signature is datasketch's `affine32` scheme, bit for bit: a shingle's 32-bit hash is mixed once (MurmurHash3
finaliser), then permuted by `a * h + b` modulo 2**32, and the least value of each permutation is kept. Band keys follow
Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec, module_from_spec
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.tokenizer import shingles, sorted_unique, tokenize
from worker.models import Fingerprint

# Anchors: sampled shingles, so that a text inside a longer one shares index keys with it.
#
# A shingle is an anchor if its hash is small (FracMinHash: Irber et al. 2022), whatever text contains it. Of the
# shingles that two texts share, about one in ANCHOR_ONE_IN is therefore an anchor of both. Short texts have more
# anchors, so that a few shared shingles are enough; very long ones have fewer. The samples are nested: the smallest
# hashes come first.


# Measured against other samples and bands in docs/dedupe.md, "Candidates". The upper limit bounds the rows that one
# very long text adds to the index.
ANCHOR_ONE_IN = 24
FEWEST_ANCHORS = 24
MOST_ANCHORS = 256

_SALT = np.uint64(0x5851F42D4C957F2D)
_SMALL = np.uint64((1 << 64) // ANCHOR_ONE_IN)


def anchor_keys(shingles: NDArray[np.uint64]) -> tuple[int, ...]:
    """Return the sampled shingles as signed 64-bit keys, without repetitions."""
    # About four times FEWEST_ANCHORS shingles are below this bound; sorting those is enough unless shingles repeat.
    bound = np.uint64(min((1 << 64) - 1, (FEWEST_ANCHORS << 66) // max(1, len(shingles))))
    smallest = sorted_unique(shingles[shingles < max(bound, _SMALL)])
    if len(smallest) < FEWEST_ANCHORS:
        smallest = sorted_unique(shingles)
    wanted = max(FEWEST_ANCHORS, int(np.searchsorted(smallest, _SMALL)))
    return tuple((smallest[: min(wanted, MOST_ANCHORS)] * _SALT).view(np.int64).tolist())


# All of these are stored with the index (see `Deduper.parameters`): another value makes every stored fingerprint
# invalid. Set by hand: 10 bands of 4 rows, the first 40 values of the signature, share a key in a pair of Jaccard 0.8
# with probability 0.995. datasketch's own choice for 128 values, 9 bands of 13, does so with probability 0.40. Pairs
# that are less similar are found through anchors. A signature of 64 permutations takes 269 bytes.
SCHEME = "affine32"
SEED = 1
PERMUTATIONS = 64
BANDS = 10
ROWS = 4

_HEADER = struct.Struct("<qiB")
_AFFINE32_CODE = 1  # datasketch's number for the scheme in a serialised signature
_BLOCK_SHINGLES = 256  # shingles permuted at a time: 64 rows of 256 values fit the cache of a core
_EMPTY = np.uint32(0xFFFFFFFF)


def to_uint32(shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the 32-bit hash of each shingle: the input of a datasketch MinHash with `hashfunc=int`."""
    return (shingles >> np.uint64(32)).astype(np.uint32)


def minhash(shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the `PERMUTATIONS` MinHash values of a set of shingles; repetitions make no difference."""
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
    """Return one signed 64-bit key for each band, a hash of the band's values salted with its number."""
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


@contextmanager
def _without_package_code(name: str) -> Iterator[None]:
    """Let modules of a package be imported during the block without running its `__init__`.

    Afterwards the package is as if it had not been imported, so that an import of it elsewhere runs it in full.
    """
    found = None if name in sys.modules else find_spec(name)
    if found is None:
        yield
        return
    sys.modules[name] = module_from_spec(found)
    try:
        yield
    finally:
        for loaded in [each for each in list(sys.modules) if each == name or each.startswith(f"{name}.")]:
            del sys.modules[loaded]


_ONE_IMPORT = Lock()
"""Held while modules are removed again: two threads may need the permutations at once."""


@cache
def _permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return datasketch's permutations, each repeated over a block: numpy multiplies rows by rows fastest."""
    with (
        _ONE_IMPORT,
        _without_package_code("datasketch"),
    ):  # it imports scipy: most of a second, for classes not used here
        from datasketch.minhash import MinHash

    both = MinHash(num_perm=PERMUTATIONS, seed=SEED, scheme=SCHEME).permutations
    multipliers, offsets = (np.repeat(each[:, None], _BLOCK_SHINGLES, axis=1) for each in both)
    for table in (multipliers, offsets):
        table.setflags(write=False)
    return multipliers, offsets


def fingerprint(text: str) -> Fingerprint:
    """Return the signature and index keys of a text; a text without words has no keys."""
    return fingerprint_of(shingles(tokenize(text).hashes))


def fingerprint_of(every: NDArray[np.uint64]) -> Fingerprint:
    """Return the signature and index keys of a text, given all of its shingles."""
    values = minhash(every)
    keys = anchor_keys(every)
    return Fingerprint(
        signature=serialise_minhash(values),
        bands=band_keys(values) if len(every) else (),
        anchors=keys,
        shingles=len(every),
    )
