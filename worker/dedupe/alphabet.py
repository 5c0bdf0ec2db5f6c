"""Says of every code point what it is to a word, as lookup tables that numpy can gather from.

Spellings of one Vietnamese word that differ only in where the tone mark stands (`hoà`, `hòa`) must hash alike, so a
tone is taken off its letter here and counted beside the letters of the word.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from worker.scripts import SPACELESS

SEPARATOR, LETTER, MARK, ALONE, INVISIBLE = range(5)
"""What a code point is: between words; part of a word; part of a word that never begins one; a word by itself
(scripts that write no spaces); not there at all (zero-width characters, soft hyphens). Rare kinds come last."""

_IN_WORDS = (LETTER, MARK, ALONE)
TABLE_SIZE = 1 << 16
"""The tables cover the Basic Multilingual Plane; what lies beyond is rare and classified one by one."""

_TONES = {"\u0300": 1, "\u0301": 1 << 3, "\u0303": 1 << 6, "\u0309": 1 << 9, "\u0323": 1 << 12}
# One letter under several code points: Persian and Urdu write a yeh, a kaf and a heh of their own.
_SAME = {
    "\u0649": "\u06cc",  # alef maksura
    "\u064a": "\u06cc",  # yeh
    "\u0643": "\u06a9",  # kaf
    "\u06c1": "\u0647",  # heh goal
    "\u06d5": "\u0647",  # ae
    "\u06be": "\u0647",  # heh doachashmee
    "\u06c3": "\u0629",  # teh marbuta goal
}
# Arabic is written with and without its vowel signs, and letters are stretched to fill a line.
_OPTIONAL = frozenset({"\u0640", "\u0670", *map(chr, range(0x064B, 0x0653))})
_FORMS = ((0xFB50, 0xFDFF), (0xFE70, 0xFEFF), (0xFF00, 0xFFEF))
"""Code points that stand for a letter or digit in one of its forms: Arabic presentation forms, full and half width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphabet:
    """Tables indexed by code point: `kinds`, folded `letters` (case and tone removed) and `tones`."""

    kinds: NDArray[np.uint8]
    letters: NDArray[np.uint64]
    tones: NDArray[np.uint16]


def kind_of(character: str) -> int:
    """Return what a code point is to a word."""
    category = unicodedata.category(character)
    if category == "Cf" or 0xFE00 <= ord(character) <= 0xFE0F or character in _OPTIONAL:
        return INVISIBLE
    if category[0] == "M":
        return MARK
    if not character.isalnum():
        return SEPARATOR
    if category == "Nd":
        return LETTER
    return ALONE if any(low <= ord(character) <= high for low, high in SPACELESS) else LETTER


def plain_digits(text: str) -> str:
    """Return a text with every decimal digit, of whatever script, as one of 0 to 9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(character, character)) for character in text)


def _canonical(character: str) -> str:
    """Return the letter or digit that a code point is a form of; itself for all of Latin but its full-width forms."""
    if character.isdecimal():
        return plain_digits(character)
    if any(low <= ord(character) <= high for low, high in _FORMS):
        whole = unicodedata.normalize("NFKC", character)
        character = whole if len(whole) == 1 else character
    return _SAME.get(character, character)


def fold(character: str) -> tuple[int, int]:
    """Return a letter without case and Vietnamese tone, and the tone; both as integers. One letter, one integer."""
    character = _canonical(character)
    lower = character.lower()
    if len(lower) != 1:
        lower = character
    parts = unicodedata.normalize("NFD", lower)
    tone = sum(_TONES.get(part, 0) for part in parts)
    rest = unicodedata.normalize("NFC", "".join(part for part in parts if part not in _TONES))
    if not rest:
        return 0, tone
    return (ord(rest), tone) if len(rest) == 1 else (ord(lower), 0)


def scatter(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64-bit integers so that close ones land far apart (the MurmurHash3 finaliser, a bijection)."""
    mixed = codes ^ (codes >> np.uint64(33))
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed


@cache
def alphabet() -> Alphabet:
    """Return the tables for the Basic Multilingual Plane, built once a process (some tens of milliseconds)."""
    kinds = np.zeros(TABLE_SIZE, dtype=np.uint8)
    letters = np.zeros(TABLE_SIZE, dtype=np.uint64)
    tones = np.zeros(TABLE_SIZE, dtype=np.uint16)
    for code in range(TABLE_SIZE):
        kinds[code] = kind = kind_of(chr(code))
        if kind in _IN_WORDS:
            letters[code], tones[code] = fold(chr(code))
    return _frozen(kinds, letters, tones)


def beyond(codes: NDArray[np.uint32]) -> Alphabet:
    """Return tables for the given code points, in their order."""
    characters = [chr(code) for code in codes.tolist()]
    kinds = [kind_of(character) for character in characters]
    folded = [
        fold(character) if kind in _IN_WORDS else (0, 0) for character, kind in zip(characters, kinds, strict=True)
    ]
    return _frozen(
        np.array(kinds, dtype=np.uint8),
        np.array([letter for letter, _ in folded], dtype=np.uint64),
        np.array([tone for _, tone in folded], dtype=np.uint16),
    )


def _frozen(kinds: NDArray[np.uint8], letters: NDArray[np.uint64], tones: NDArray[np.uint16]) -> Alphabet:
    values = np.where(letters > 0, scatter(letters), np.uint64(0))
    for table in (kinds, values, tones):
        table.setflags(write=False)
    return Alphabet(kinds=kinds, letters=values, tones=tones)
