"""Normalises text: Unicode NFC, no characters that a database rejects, one paragraph per line.

Also counts words and folds text for comparison.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from itertools import filterfalse

from worker.charset import clean
from worker.charset.characters import count_spaceless

# Invisible characters: soft hyphen, zero-width space, word joiner, byte-order mark. Zero-width joiners stay: Indic
# scripts and emoji need them.
_UNWANTED = re.compile(r"[\xad\u200b\u2060\ufeff]")
_BLANKS = re.compile(r"\s+")
_LINE_BREAKS = re.compile(r"[\r\n\x0b\x0c\x85\u2028\u2029]+")


def clean_line(raw: str) -> str:
    """Return one line in NFC, blanks collapsed, without control characters, NUL or lone surrogates."""
    line = raw if raw.isascii() else unicodedata.normalize("NFC", raw)
    if line.isprintable():
        # A printable string has no unwanted character, and no blank but U+0020.
        return " ".join(line.split()) if "  " in line else line.strip()
    return _BLANKS.sub(" ", _UNWANTED.sub("", clean(line))).strip()


def clean_paragraphs(lines: Iterable[str]) -> list[str]:
    """Return the lines cleaned, without those that are empty."""
    return [line for line in map(clean_line, lines) if line]


def clean_text(raw: str) -> str:
    """Return a text as clean paragraphs separated by one newline; cleaning twice changes nothing."""
    return "\n".join(clean_paragraphs(_LINE_BREAKS.split(raw)))


def count_words(text: str) -> int:
    """Return the number of words: runs of non-blank characters with at least one letter or digit.

    In scripts without blanks, `worker.charset.characters` defines how much text counts as one word.
    """
    spaceless, rest = count_spaceless(text)
    tokens = rest.split()
    mixed = filterfalse(str.isalnum, tokens)
    return spaceless + len(tokens) - sum(1 for token in mixed if not any(map(str.isalnum, token)))


def sha256_of(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def fold(text: str) -> str:
    """Return only letters and digits, in lower case, words separated by single blanks: for comparing, not storing."""
    # ASCII and general punctuation become blanks in the encoded bytes; that alone settles three lines in four.
    encoded = text.casefold().encode("utf-8", "surrogatepass").translate(_ASCII_WORDS)
    if b"\xe2\x80" in encoded:
        encoded = _GENERAL_PUNCTUATION.sub(b" ", encoded)
    tokens = encoded.decode("utf-8", "surrogatepass").split()
    if not "".join(tokens).isalnum():
        tokens = [word for token in tokens for word in ((token,) if token.isalnum() else _WORD.findall(token))]
    return " ".join(tokens)


def fold_ascii(text: str) -> str:
    """Return `fold` without diacritics, as in a slug (`Đồng Nai` gives `dong nai`)."""
    bare = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return fold("".join(char for char in bare if not unicodedata.combining(char)))


_WORD = re.compile(r"[^\W_]+")
_ASCII_WORDS = bytes(code if code > 127 or chr(code).isalnum() else ord(" ") for code in range(256))
# U+2000 to U+203F: spaces, dashes, quotation marks, dots.
_GENERAL_PUNCTUATION = re.compile(rb"\xe2\x80[\x80-\xbf]")
