"""Cuts a text into words and hashes them all at once, over its code points.

Words are runs of letters, digits and combining marks, without case, zero-width characters and soft hyphens; where a
tone mark stands in its word makes no difference. The hash of a word is a difference of prefix sums of a polynomial
over its letters, so no word is ever built as a string.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.alphabet import ALONE, INVISIBLE, MARK, TABLE_SIZE, alphabet, beyond, scatter

NORMALISATION = 1
"""Raised whenever the same text would come out as other words: stored fingerprints must then be made again."""

SHINGLE = 5
"""Words in a shingle."""

_BASE = 0x9E3779B97F4A7C15 | 3
_INVERSE = pow(_BASE, -1, 1 << 64)
_TONE_WEIGHT = np.uint64(0xD6E8FEB86659FD93)
_KEPT_POWERS = 1 << 15
_SHINGLE_WEIGHTS = tuple(
    np.uint64(weight)
    for weight in (0x8CB92BA72F3D8DD7, 0xA24BAED4963EE407, 0x9FB21C651E98DF25, 0xE7037ED1A0B428DB, 0x589965CC75374CC3)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of a text: their hashes, and where each begins and ends (code points of `text`, which is NFC)."""

    text: str
    hashes: NDArray[np.uint64]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.hashes)


def words(text: str) -> Words:
    """Cut a text into words."""
    text = unicodedata.normalize("NFC", text)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds, letters, tones = _classify(codes)
    places = None
    if (kinds == INVISIBLE).any():
        places = np.flatnonzero(kinds != INVISIBLE)
        kinds, letters, tones = kinds[places], letters[places], tones[places]
    starts, ends = _boundaries(kinds)
    hashes = _hash_runs(letters, tones, starts=starts, ends=ends)
    if places is not None and len(starts):
        starts, ends = places[starts], places[ends - 1] + 1
    return Words(text=text, hashes=hashes, starts=starts, ends=ends)


def shingles(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash every run of SHINGLE words, in order and with repetitions; a shorter text is one shingle, an empty none."""
    if len(hashes) == 0:
        return hashes
    width = min(SHINGLE, len(hashes))
    count = len(hashes) - width + 1
    mixed = hashes[:count] * _SHINGLE_WEIGHTS[0]
    for place in range(1, width):
        mixed += hashes[place : place + count] * _SHINGLE_WEIGHTS[place]
    return scatter(mixed)


def _classify(
    codes: NDArray[np.uint32],
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint64]]:
    tables = alphabet()
    if len(codes) == 0 or int(codes.max()) < TABLE_SIZE:
        return tables.kinds[codes], tables.letters[codes], tables.tones[codes]
    far = codes >= TABLE_SIZE
    near = np.where(far, np.uint32(0), codes)
    kinds, letters, tones = tables.kinds[near], tables.letters[near], tables.tones[near]
    distinct, which = np.unique(codes[far], return_inverse=True)
    rare = beyond(distinct)
    kinds[far], letters[far], tones[far] = rare.kinds[which], rare.letters[which], rare.tones[which]
    return kinds, letters, tones


def _boundaries(kinds: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    inside = np.zeros(len(kinds) + 2, dtype=np.bool_)
    np.not_equal(kinds, 0, out=inside[1:-1])
    edges = inside[1:] != inside[:-1]
    if not (kinds == ALONE).any():
        places = np.flatnonzero(edges)
        return places[::2], places[1::2]
    begins = inside[1:-1] & ~inside[:-2]
    alone = np.zeros(len(kinds) + 1, dtype=np.bool_)
    np.equal(kinds, ALONE, out=alone[1:])
    alone_before = alone[:-1] | ((kinds != MARK) & _after_marks(kinds, alone[1:]))
    begins |= (alone[1:] | (alone_before & inside[1:-1])) & (kinds != MARK)
    starts = np.flatnonzero(begins)
    stops = np.flatnonzero(~inside[1:-1] & inside[:-2])
    ends = np.append(starts[1:], len(kinds))
    which = np.searchsorted(starts, stops, side="left") - 1
    ends[which] = stops
    return starts, ends


def _after_marks(kinds: NDArray[np.uint8], alone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say of each place whether the nearest earlier code point that is no mark is a word by itself."""
    places = np.where(kinds != MARK, np.arange(len(kinds)), 0)
    latest = np.maximum.accumulate(places)
    result = np.zeros(len(kinds), dtype=np.bool_)
    result[1:] = alone[latest[:-1]]
    return result


def _hash_runs(
    letters: NDArray[np.uint64], tones: NDArray[np.uint64], *, starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.uint64]:
    if len(starts) == 0:
        return np.zeros(0, dtype=np.uint64)
    powers, inverses = _powers(len(letters))
    sums = np.zeros(len(letters) + 1, dtype=np.uint64)
    np.cumsum(letters * powers, out=sums[1:])
    mixed = (sums[ends] - sums[starts]) * inverses[starts]
    np.cumsum(tones, out=sums[1:])
    mixed += (sums[ends] - sums[starts]) * _TONE_WEIGHT
    return scatter(mixed)


def _powers(length: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    if length > _KEPT_POWERS:
        return _geometric(_BASE, length), _geometric(_INVERSE, length)
    powers, inverses = _kept_powers()
    return powers[:length], inverses[:length]


@cache
def _kept_powers() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    both = _geometric(_BASE, _KEPT_POWERS), _geometric(_INVERSE, _KEPT_POWERS)
    for table in both:
        table.setflags(write=False)
    return both


def _geometric(base: int, length: int) -> NDArray[np.uint64]:
    factors = np.full(length, base, dtype=np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)
