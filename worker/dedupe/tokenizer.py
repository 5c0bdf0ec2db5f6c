"""Splits a text into words and hashes them all at once with numpy, over its code points.

Words are runs of letters, digits and combining marks, without case, zero-width characters and soft hyphens. The
position of a tone mark within its word makes no difference, nor does the script of a number's digits. The hash of a
word is a difference of prefix sums of a polynomial over its letters, so no word is ever built as a string. `tokenize`
returns the words, and `shingles` hashes their runs of five.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from worker.charset.characters import SPACELESS
from worker.models.base import dataclass

# Code-point tables that numpy can index: the role of each code point in a word, its folded letter and its tone.
#
# Spellings of a Vietnamese word that differ only in the position of the tone mark (`hoà`, `hòa`) must have the same
# hash, so the tone is removed from its letter here and hashed separately.


SEPARATOR, LETTER, MARK, ALONE, INVISIBLE = range(5)
"""The role of a code point: between words; part of a word; part of a word but never its first character; a word by
itself (scripts without spaces); ignored (zero-width characters, soft hyphens). Rare roles have the highest numbers."""

_IN_WORDS = (LETTER, MARK, ALONE)
TABLE_SIZE = 1 << 16
"""The tables cover the Basic Multilingual Plane; code points beyond it are rare and are classified one by one."""
_BLOCK = 256  # code points filled in at a time; most alphabets have one or two such blocks
_NOT_FILLED_IN = 255  # higher than every role

_TONE_DIGITS = {"\u0300": 1, "\u0301": 1 << 3, "\u0303": 1 << 6, "\u0309": 1 << 9, "\u0323": 1 << 12}
# Letters that have several code points: Persian and Urdu have their own yeh, kaf and heh.
_ARABIC_VARIANTS = {
    "\u0649": "\u06cc",  # alef maksura
    "\u064a": "\u06cc",  # yeh
    "\u0643": "\u06a9",  # kaf
    "\u06c1": "\u0647",  # heh goal
    "\u06d5": "\u0647",  # ae
    "\u06be": "\u0647",  # heh doachashmee
    "\u06c3": "\u0629",  # teh marbuta goal
}
# Arabic vowel signs are optional, and the tatweel (U+0640) only stretches a line.
_ARABIC_OPTIONAL = frozenset({"\u0640", "\u0670", *map(chr, range(0x064B, 0x0653))})
_PRESENTATION_FORMS = ((0xFB50, 0xFDFF), (0xFE70, 0xFEFF), (0xFF00, 0xFFEF))
"""Ranges of compatibility forms of letters and digits: Arabic presentation forms, full and half width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CharTables:
    """Tables indexed by code point: `kinds`, folded `letters` (case and tone removed) and `tones`."""

    kinds: NDArray[np.uint8]
    letters: NDArray[np.uint64]
    tones: NDArray[np.uint16]


def char_kind(character: str) -> int:
    """Return the role of a code point in a word: one of `SEPARATOR` to `INVISIBLE`."""
    category = unicodedata.category(character)
    if category == "Cf" or 0xFE00 <= ord(character) <= 0xFE0F or character in _ARABIC_OPTIONAL:
        return INVISIBLE
    if category[0] == "M":
        return MARK
    if not character.isalnum():
        return SEPARATOR
    if category == "Nd":
        return LETTER
    return ALONE if any(low <= ord(character) <= high for low, high in SPACELESS) else LETTER


def plain_digits(text: str) -> str:
    """Return a text with every decimal digit of any script replaced by one of 0 to 9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(character, character)) for character in text)


def _canonical_char(character: str) -> str:
    """Return the letter or digit that a code point is a variant of, or the code point itself."""
    if character.isdecimal():
        return plain_digits(character)
    if any(low <= ord(character) <= high for low, high in _PRESENTATION_FORMS):
        whole = unicodedata.normalize("NFKC", character)
        character = whole if len(whole) == 1 else character
    return _ARABIC_VARIANTS.get(character, character)


def fold_char(character: str) -> tuple[int, int]:
    """Return a letter without case and Vietnamese tone, and the tone, both as integers."""
    character = _canonical_char(character)
    lower = character.lower()
    if len(lower) != 1:
        lower = character
    parts = unicodedata.normalize("NFD", lower)
    tone = sum(_TONE_DIGITS.get(part, 0) for part in parts)
    rest = unicodedata.normalize("NFC", "".join(part for part in parts if part not in _TONE_DIGITS))
    if not rest:
        return 0, tone
    return (ord(rest), tone) if len(rest) == 1 else (ord(lower), 0)


def fmix64(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64-bit integers so that close values become distant (the MurmurHash3 finaliser, a bijection)."""
    mixed = codes ^ (codes >> np.uint64(33))
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed


@cache
def char_tables() -> CharTables:
    """Return the tables for the Basic Multilingual Plane, whose blocks are filled in by `_fill_blocks`."""
    return CharTables(
        kinds=np.full(TABLE_SIZE, _NOT_FILLED_IN, dtype=np.uint8),
        letters=np.zeros(TABLE_SIZE, dtype=np.uint64),
        tones=np.zeros(TABLE_SIZE, dtype=np.uint16),
    )


def _fill_blocks(tables: CharTables, codes: NDArray[np.uint32]) -> None:
    """Fill in the blocks of the given code points. All blocks would take a second, those of a language some ms."""
    for block in np.unique(codes // _BLOCK).tolist():
        start, stop = block * _BLOCK, (block + 1) * _BLOCK
        found = char_tables_of(np.arange(start, stop, dtype=np.uint32))
        tables.letters[start:stop], tables.tones[start:stop] = found.letters, found.tones
        # The kinds come last: another thread uses a code point as soon as its kind is there.
        tables.kinds[start:stop] = found.kinds


def char_tables_of(codes: NDArray[np.uint32]) -> CharTables:
    """Return tables for the given code points, in their order."""
    characters = [chr(code) for code in codes.tolist()]
    kinds = [char_kind(character) for character in characters]
    folded = [
        fold_char(character) if kind in _IN_WORDS else (0, 0) for character, kind in zip(characters, kinds, strict=True)
    ]
    return _freeze_tables(
        np.array(kinds, dtype=np.uint8),
        np.array([letter for letter, _ in folded], dtype=np.uint64),
        np.array([tone for _, tone in folded], dtype=np.uint16),
    )


def _freeze_tables(kinds: NDArray[np.uint8], letters: NDArray[np.uint64], tones: NDArray[np.uint16]) -> CharTables:
    values = np.where(letters > 0, fmix64(letters), np.uint64(0))
    for table in (kinds, values, tones):
        table.setflags(write=False)
    return CharTables(kinds=kinds, letters=values, tones=tones)


NORMALISATION = 2
"""The version of the word rules. Increase it when a text would give other words, so that stores are indexed again."""

SHINGLE = 5
"""Words in a shingle. Chosen, not measured: shorter shingles occur in unrelated texts by chance, longer ones break at
every edit. The value is stored with the index, so a change requires indexing every store again."""

# The base of the polynomial hash modulo 2**64, from the golden ratio; it must be odd to have an inverse.
_HASH_BASE = 0x9E3779B97F4A7C15 | 3
_HASH_BASE_INVERSE = pow(_HASH_BASE, -1, 1 << 64)
_TONE_WEIGHT = np.uint64(0xD6E8FEB86659FD93)
_CACHED_POWERS = 1 << 15  # powers kept, two tables of 256 KiB: longer than nearly every article in code points


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of a text: their hashes, and where each begins and ends (code points of `text`, which is NFC)."""

    text: str
    hashes: NDArray[np.uint64]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.hashes)

    def is_capitalised(self, word: int) -> bool:
        """Return whether a word, by its number, begins with a capital letter."""
        return self.text[self.starts[word]].isupper()


def tokenize(text: str) -> Words:
    """Split a text into words, after normalising it to NFC."""
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
    """Hash every run of SHINGLE words, in order and with repetitions.

    A text with fewer words gives one shingle, an empty text none.
    """
    if len(hashes) == 0:
        return hashes
    powers, inverses = _powers(len(hashes))
    sums = np.zeros(len(hashes) + 1, dtype=np.uint64)
    np.cumsum(hashes * powers, out=sums[1:])
    width = min(SHINGLE, len(hashes))
    mixed = sums[width:] - sums[:-width]
    mixed *= inverses[: len(mixed)]
    return fmix64(mixed)


def sorted_unique(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the distinct hashes in ascending order: `numpy.unique`, but several times as fast on short arrays."""
    ordered = np.sort(hashes)
    is_first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered[is_first]


def in_sorted(hashes: NDArray[np.unsignedinteger[Any]], ordered: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.bool_]:
    """Return for each hash whether it is in the sorted array."""
    if not len(ordered):
        return np.zeros(len(hashes), dtype=np.bool_)
    # A hash above all others is compared with the last one, which it does not equal.
    found: NDArray[np.bool_] = ordered.take(ordered.searchsorted(hashes), mode="clip") == hashes
    return found


def _classify(
    codes: NDArray[np.uint32],
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint16]]:
    """Return the role, folded letter and tone of each code point."""
    tables = char_tables()
    places = codes.astype(np.intp)
    far = np.flatnonzero(codes >= TABLE_SIZE) if codes.max(initial=0) >= TABLE_SIZE else None
    if far is not None:
        places[far] = 0
    kinds = tables.kinds.take(places)
    if kinds.max(initial=0) == _NOT_FILLED_IN:
        _fill_blocks(tables, places[kinds == _NOT_FILLED_IN].astype(np.uint32))
        kinds = tables.kinds.take(places)
    letters, tones = tables.letters.take(places), tables.tones.take(places)
    if far is not None:
        distinct, which = np.unique(codes[far], return_inverse=True)
        rare = char_tables_of(distinct)
        kinds[far], letters[far], tones[far] = rare.kinds[which], rare.letters[which], rare.tones[which]
    return kinds, letters, tones


def _boundaries(kinds: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the start and end index of each word, given the role of each code point."""
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
    """Return for each index whether the last code point before it that is no mark is a word by itself."""
    places = np.where(kinds != MARK, np.arange(len(kinds)), 0)
    latest = np.maximum.accumulate(places)
    result = np.zeros(len(kinds), dtype=np.bool_)
    result[1:] = alone[latest[:-1]]
    return result


def _hash_runs(letters: NDArray[np.uint64], tones: NDArray[np.uint16], starts: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Hash each word: the sum of its letters times powers of the base, shifted to start at power 0, and of its tones.

    Separators have letter and tone 0, so the sum of a word may run up to the start of the next one.
    """
    if len(starts) == 0:
        return np.zeros(0, dtype=np.uint64)
    powers, inverses = _powers(len(letters))
    mixed = np.add.reduceat(letters * powers, starts)
    mixed *= inverses.take(starts)
    mixed += np.add.reduceat(tones, starts, dtype=np.uint16) * _TONE_WEIGHT
    return fmix64(mixed)


def _powers(length: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the first `length` powers of the hash base and of its inverse."""
    if length > _CACHED_POWERS:
        return _geometric(_HASH_BASE, length), _geometric(_HASH_BASE_INVERSE, length)
    powers, inverses = _cached_powers()
    return powers[:length], inverses[:length]


@cache
def _cached_powers() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    both = _geometric(_HASH_BASE, _CACHED_POWERS), _geometric(_HASH_BASE_INVERSE, _CACHED_POWERS)
    for table in both:
        table.setflags(write=False)
    return both


def _geometric(base: int, length: int) -> NDArray[np.uint64]:
    factors = np.full(length, base, dtype=np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)


_PAIR_FACTOR = np.uint64(0xA24BAED4963EE407)


def word_pairs(hashes: NDArray[np.uint64], *, apart: int = 1) -> NDArray[np.uint64]:
    """Hash every pair of neighbouring words, or of words `apart` positions apart; the order of the two counts."""
    return hashes[:-apart] * _PAIR_FACTOR + hashes[apart:]


# Sketches: which texts are aligned at all.


_Hash = TypeVar("_Hash", bound=np.unsignedinteger[Any])
MIN_CONTAINMENT = 0.15
"""Texts that share fewer of the shorter one's shingles have no word in common and are not aligned, which saves most of
the time spent on a pair. Chosen by hand."""
_SKETCH_BITS = np.uint64(48)  # a hash less so many bits is one of 65,536 values


def shared_values(one: NDArray[_Hash], two: NDArray[_Hash]) -> NDArray[_Hash]:
    """Return the values of the shorter of two sorted arrays that the other has."""
    short, long = (one, two) if len(one) <= len(two) else (two, one)
    return short[in_sorted(short, long)]


def sketch(shingles: NDArray[np.uint64]) -> bytes:
    """Return the first two bytes of each distinct shingle of a text, in ascending order."""
    return (sorted_unique(shingles) >> _SKETCH_BITS).astype("<u2").tobytes()


def may_be_aligned(one: bytes, two: bytes) -> bool:
    """Return whether two texts may have enough shingles in common to be aligned, given their sketches.

    Each shingle that they share is counted, so the answer is no only if they are not aligned. It is yes without need
    if others have the same first bytes: one in 230 of those of a text, compared with one of 300 words.
    """
    ours, theirs = np.frombuffer(one, dtype="<u2"), np.frombuffer(two, dtype="<u2")
    fewer = min(len(ours), len(theirs))
    return fewer > 0 and len(shared_values(ours, theirs)) / fewer >= MIN_CONTAINMENT
