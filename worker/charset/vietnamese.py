"""The legacy Vietnamese encodings TCVN3 (ABC), VNI-Windows and windows-1258: detect and decode them.

The first two are font tricks: the page declares Latin-1 or nothing, and its font draws Vietnamese letters for Latin-1
characters. `detect_legacy_encoding` decodes a sample in each encoding and takes the one in which its words are
Vietnamese syllables. Sources: TCVN 5712:1993 (VN3) and the VNI-Windows chart; windows-1258 is Python's codec. TCVN3
encodes capitals as small letters (a second font draws them), so they come out small.

Measured (docs/fetch.md): 1,338 of 1,338 Vietnamese pages detected, none of 191 western pages mistaken.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import islice
from types import MappingProxyType

# The sample: enough words for a stable share, and a bound for the time (chosen, not measured). Only words with letters
# beyond ASCII count.
SAMPLE_BYTES = 200_000
SAMPLE_WORDS = 400
# With fewer marked words a share means nothing; a headline has about three (chosen, not measured).
MIN_WORDS = 3
# An encoding is detected if this share of the marked words are syllables in it, and this much more than as Latin-1.
# The rest leaves room for foreign names and typing errors. The figures above were measured with these values.
MIN_SYLLABLE_SHARE = 0.75
MIN_LEAD = 0.15
# The first words show whether the rest is worth decoding: from below this share none gets above the other.
PROBE_WORDS = 60
MIN_PROBE_SHARE = 0.5
# `may_be_font_trick`: so many non-ASCII letters of Vietnamese contain at least so many different ones; German has seven
# (ÄÖÜäöüß). Chosen, not measured; it only saves time.
MANY_LETTERS = 60
MIN_DISTINCT_LETTERS = 10

_TCVN3_CHARACTERS = {
    0xA1: "ĂÂÊÔƠƯĐăâêôơưđ",
    0xB5: "àảãáạ",
    0xBB: "ằẳẵắ",
    0xC6: "ặầẩẫấậè",
    0xCE: "ẻẽéẹềểễếệìỉ",
    0xDC: "ĩíịò",
    0xE1: "ỏõóọồổỗốộờởỡớợù",
    0xF1: "ủũúụừửữứựỳỷỹýỵ",
}
_TCVN3 = MappingProxyType(
    {start + offset: character for start, text in _TCVN3_CHARACTERS.items() for offset, character in enumerate(text)}
)

_GRAVE, _ACUTE, _TILDE, _HOOK, _DOT, _BREVE, _CIRCUMFLEX = "\u0300\u0301\u0303\u0309\u0323\u0306\u0302"
_VNI_ALONE = MappingProxyType(dict(zip("ñÑíÍìÌæÆóÓòÒîÎôÔöÖ", "đĐíÍìÌỉỈĩĨịỊỵỴơƠưƯ", strict=True)))
_VNI_TONES = dict(zip("ùøûõï", (_ACUTE, _GRAVE, _HOOK, _TILDE, _DOT), strict=True))
_VNI_BREVES = dict(zip("êéèúüë", ("", _ACUTE, _GRAVE, _HOOK, _TILDE, _DOT), strict=True))
_VNI_CIRCUMFLEXES = dict(zip("âáàåãä", ("", _ACUTE, _GRAVE, _HOOK, _TILDE, _DOT), strict=True))
_VNI_UNIT = re.compile(r"([aăeouyôöAEOUYÔÖ])([ùøûõïêéèúüëâáàåãäÙØÛÕÏÊÉÈÚÜËÂÁÀÅÃÄ])|[ñÑíÍìÌæÆóÓòÒîÎôÔöÖ]")

_TONES = re.compile(f"[{_GRAVE}{_ACUTE}{_TILDE}{_HOOK}{_DOT}]")
_SYLLABLE = re.compile(
    "(?:ngh?|nh|n|gh|gi|g|kh|k|ph|p|qu|th|tr|t|ch|c|b|d|đ|h|l|m|r|s|v|x)?"
    "(?:uyê|uya|uyu|uôi|uây|ươi|ươu|iêu|yêu|oai|oay|oao|oeo|uê|uâ|uô|uơ|uy|ua|ui|uo|ưa|ưi|ưu|ươ|iê|yê|ia|iu|oa|oă|oe"
    "|oi|oo|ôi|ôô|ơi|ai|ao|au|ay|âu|ây|eo|êu|a|ă|â|e|ê|i|o|ô|ơ|u|ư|y)"
    "(?:ch|c|k|m|ng|nh|n|p|t)?"
)
# A word with letters beyond ASCII. It can match only at the start of a word, or long words would take quadratic time.
_MARKED_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]*+[\x80-\xff][A-Za-z\x80-\xff]*")
_WINDOWS_1252 = frozenset(bytes(range(128, 256)).decode("cp1252", "ignore"))
# No letters in any of the encodings: quotation marks, dashes, no-break space.
_PUNCTUATION = frozenset(bytes(range(128, 161)).decode("cp1252", "ignore"))
_UMLAUTS = frozenset("äöüßÄÖÜ")
MAX_UMLAUT_SHARE = 0.6  # of the non-ASCII letters: a page with more is German (chosen, not measured)
_ENTITY = re.compile(r"&(?!(?:amp|quot|nbsp|lt|gt);)(?:#\d{2,3}|#[xX][0-9a-fA-F]{2}|[A-Za-z]{2,8});")

LegacyDecoder = Callable[[str], str]
"""Decodes a legacy encoding, given as Latin-1 text (one character for each byte)."""


def decode_tcvn3(latin: str) -> str:
    """Decode TCVN3, given as Latin-1 text."""
    return latin.translate(_TCVN3)


def decode_vni(latin: str) -> str:
    """Decode VNI-Windows, given as Latin-1 text: a base letter and, for most, a second character with its marks."""
    return _VNI_UNIT.sub(_vni_unit, latin)


def decode_windows_1258(latin: str) -> str:
    """Decode windows-1258, given as Latin-1 text; its tones are combining marks, the result is in NFC."""
    return unicodedata.normalize("NFC", latin.encode("latin-1").decode("cp1258", "replace"))


def _vni_unit(found: re.Match[str]) -> str:
    if found.group(1) is None:
        return _VNI_ALONE[found.group()]
    letter, mark = found.group(1), found.group(2).lower()
    base = _VNI_ALONE.get(letter, letter)
    if mark in _VNI_TONES:
        marks = _VNI_TONES[mark]
    elif mark in _VNI_BREVES and letter in "aA":
        marks = _BREVE + _VNI_BREVES[mark]
    elif mark in _VNI_CIRCUMFLEXES and letter in "aeoAEO":
        marks = _CIRCUMFLEX + _VNI_CIRCUMFLEXES[mark]
    else:
        return base + _VNI_ALONE.get(found.group(2), found.group(2))
    return unicodedata.normalize("NFC", base + marks)


LEGACY_DECODERS: MappingProxyType[str, LegacyDecoder] = MappingProxyType(
    {"tcvn3": decode_tcvn3, "vni": decode_vni, "cp1258": decode_windows_1258}
)


def expand_entities(latin: str) -> str:
    """Replace character references to Latin-1 letters: in a font trick they are bytes like all others."""

    def expand(found: re.Match[str]) -> str:
        text = html.unescape(found.group())
        return text if len(text) == 1 and 0xA1 <= ord(text) <= 0xFF else found.group()

    return _ENTITY.sub(expand, latin)


def detect_legacy_encoding(latin: str) -> str | None:
    """Return the encoding (a key of `LEGACY_DECODERS`) in which a text is clearly Vietnamese, None if there is none."""
    marked = _marked_words(latin[:SAMPLE_BYTES])
    words = list(islice(marked, PROBE_WORDS))
    if len(words) < MIN_WORDS or max(_shares(words).values()) < MIN_PROBE_SHARE:
        return None
    words.extend(islice(marked, SAMPLE_WORDS - PROBE_WORDS))
    shares = _shares(words)
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= max(MIN_SYLLABLE_SHARE, share_of_syllables(words) + MIN_LEAD) else None


def _shares(words: list[str]) -> dict[str, float]:
    return {name: share_of_syllables([decode(word) for word in words]) for name, decode in LEGACY_DECODERS.items()}


def _marked_words(latin: str) -> Iterator[str]:
    """Yield the words outside tags that have letters beyond ASCII."""
    for part in latin.split("<"):
        text = part.rpartition(">")[2]
        if "&" in text:
            text = expand_entities(text)
        if not text.isascii():
            yield from (found.group().strip("\xa0\xab\xbb") for found in _MARKED_WORD.finditer(text))


def share_of_syllables(words: list[str]) -> float:
    """Return the share of words that are spelt like Vietnamese syllables, from 0 to 1."""
    return sum(map(is_syllable, words)) / len(words) if words else 0.0


def is_syllable(word: str) -> bool:
    """Return whether a word is spelt like a Vietnamese syllable, with at most one tone."""
    decomposed = unicodedata.normalize("NFD", word.lower())
    bare = unicodedata.normalize("NFC", _TONES.sub("", decomposed))
    return len(_TONES.findall(decomposed)) <= 1 and _SYLLABLE.fullmatch(bare) is not None
