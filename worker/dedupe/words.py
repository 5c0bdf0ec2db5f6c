"""Cuts a text into words and hashes them all at once, over its code points.

Words are runs of letters, digits and combining marks, without case, zero-width characters and soft hyphens; where a
tone mark stands in its word makes no difference, nor which script's digits a number is written in. The hash of a word
is a difference of prefix sums of a polynomial over its letters, so no word is ever built as a string.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.alphabet import ALONE, INVISIBLE, MARK, TABLE_SIZE, alphabet, beyond, scatter

NORMALISATION = 2
"""Raised whenever the same text would come out as other words: stored fingerprints must then be made again."""

SHINGLE = 5
"""Words in a shingle."""

_BASE = 0x9E3779B97F4A7C15 | 3
_INVERSE = pow(_BASE, -1, 1 << 64)
_TONE_WEIGHT = np.uint64(0xD6E8FEB86659FD93)
_KEPT_POWERS = 1 << 15


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
    if kinds.max(initial=0) == INVISIBLE:
        places = np.flatnonzero(kinds != INVISIBLE)
        kinds, letters, tones = kinds[places], letters[places], tones[places]
    starts, ends = _boundaries(kinds)
    hashes = _hash_runs(letters, tones, starts)
    if places is not None and len(starts):
        starts, ends = places[starts], places[ends - 1] + 1
    return Words(text=text, hashes=hashes, starts=starts, ends=ends)


def shingles(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash every run of SHINGLE words, in order and with repetitions; a shorter text is one shingle, an empty none."""
    if len(hashes) == 0:
        return hashes
    powers, inverses = _powers(len(hashes))
    sums = np.zeros(len(hashes) + 1, dtype=np.uint64)
    np.cumsum(hashes * powers, out=sums[1:])
    width = min(SHINGLE, len(hashes))
    mixed = sums[width:] - sums[:-width]
    mixed *= inverses[: len(mixed)]
    return scatter(mixed)


def distinct(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return hashes in order, each once: what `numpy.unique` does, several times as fast on short arrays."""
    ordered = np.sort(hashes)
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if len(ordered) else ordered


def among(hashes: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each hash whether it is one of the sorted ones."""
    if not len(ordered):
        return np.zeros(len(hashes), dtype=np.bool_)
    places = np.searchsorted(ordered, hashes)
    places[places == len(ordered)] = 0
    found: NDArray[np.bool_] = ordered.take(places) == hashes
    return found


def _classify(
    codes: NDArray[np.uint32],
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint16]]:
    tables = alphabet()
    places = codes.astype(np.intp)
    if codes.max(initial=0) < TABLE_SIZE:
        return tables.kinds.take(places), tables.letters.take(places), tables.tones.take(places)
    far = codes >= TABLE_SIZE
    places[far] = 0
    kinds, letters, tones = tables.kinds.take(places), tables.letters.take(places), tables.tones.take(places)
    distinct, which = np.unique(codes[far], return_inverse=True)
    rare = beyond(distinct)
    kinds[far], letters[far], tones[far] = rare.kinds[which], rare.letters[which], rare.tones[which]
    return kinds, letters, tones


def _boundaries(kinds: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    inside = np.zeros(len(kinds) + 2, dtype=np.bool_)
    np.not_equal(kinds, 0, out=inside[1:-1])
    edges = inside[1:] != inside[:-1]
    if kinds.max(initial=0) < ALONE:
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


def _hash_runs(letters: NDArray[np.uint64], tones: NDArray[np.uint16], starts: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Hash each word: the sum of its letters times powers of a base, shifted to begin at power 0, and its tones.

    What stands between two words counts as no letter and no tone, so each word may be summed up to the next.
    """
    if len(starts) == 0:
        return np.zeros(0, dtype=np.uint64)
    powers, inverses = _powers(len(letters))
    mixed = np.add.reduceat(letters * powers, starts)
    mixed *= inverses.take(starts)
    mixed += np.add.reduceat(tones, starts, dtype=np.uint16) * _TONE_WEIGHT
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
