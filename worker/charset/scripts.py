"""Scripts that write no blanks between words, and how much of their text counts as one word.

A word is a run of letters, digits and marks between blanks. Chinese, Japanese, Thai, Lao, Khmer and Burmese write none:
there a letter with its marks counts as a part of a word, so that a number of words is about the same amount of text in
every language. The parts come from translations of the same text: 1,000 words of English are about 1,700 letters of
Chinese, 2,300 of Japanese and 3,000 to 3,500 of Thai, Lao, Khmer and Burmese, marks not counted.
"""

from __future__ import annotations

import re
from typing import Final

_HAN_AND_KANA: Final = (
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana, phonetic extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # Katakana, half width
    (0x20000, 0x3FFFF),  # Han, extensions B and later
)
_SOUTH_EAST_ASIAN: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0xA9E0, 0xA9FF),  # Myanmar, extended B
    (0xAA60, 0xAA7F),  # Myanmar, extended A
)
SPACELESS: Final = (*_SOUTH_EAST_ASIAN, *_HAN_AND_KANA)
"""The code points of scripts without blanks between words, as first and last of each range."""

_LETTERS_A_WORD: Final = ((_HAN_AND_KANA, 2), (_SOUTH_EAST_ASIAN, 3))


def _class_of(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


_ANY: Final = re.compile(f"[{_class_of(SPACELESS)}]")
# Letters without their marks: `\w` holds no marks, nor the vowel signs above and below a consonant.
_LETTERS: Final = tuple((re.compile(rf"(?=\w)[{_class_of(ranges)}]"), size) for ranges, size in _LETTERS_A_WORD)


def count_spaceless(text: str) -> tuple[int, str]:
    """Return how many words of scripts without blanks a text holds, rounded up, and the text without them."""
    if _ANY.search(text) is None:
        return 0, text
    words = sum(-(-len(letters.findall(text)) // size) for letters, size in _LETTERS)
    return words, _ANY.sub(" ", text)
