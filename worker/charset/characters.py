"""The one door for characters: what no text may hold is taken out where bytes become text.

These are control characters, NUL, halves of surrogate pairs and noncharacters (Unicode 16, sections 23.1, 23.6, 23.7).
XML, databases and libraries refuse them; an article, a feed or a sitemap must not be lost for one of them.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections import Counter
from html import unescape
from typing import Final

# Beyond the basic plane the last two characters of each plane are none; one range is quicker to search than 16 of them.
_UNCLEAN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U00010000-\U0010ffff]"
)
_REFERENCE: Final = re.compile(r"&#(?:[xX]([0-9a-fA-F]{1,16})|([0-9]{1,16}));?")
# Those that may stand for a character no text holds; any other is left to the parser. A pattern that begins with the
# two letters themselves is searched for ten times as fast as one that begins with a group.
_SUSPECT_ONE: Final = (
    r"&#(?:[xX]0{0,9}(?:[0-8bcefBCEF]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F]|[dD][89a-fA-F][0-9a-fA-F]{2}"
    r"|[fF][dDfF][0-9a-fA-F]{2}|[0-9a-fA-F]{5,16})(?![0-9a-fA-F])"
    r"|0{0,9}(?:[0-8]|1[1-9]|2[0-9]|3[01]|12[7-9]|1[345][0-9]|5[5-7][0-9]{3}|6[45][0-9]{3}|[0-9]{6,16})(?![0-9]));?"
)
_SUSPECT: Final = re.compile(f"{_SUSPECT_ONE}(?:{_SUSPECT_ONE})*")
_ESCAPED: Final = re.compile(r"\\u(?:00[01789]|[dD][89a-fA-F]|[fF][dDfF])")
_CONTROL_BYTES: Final = bytes({*range(32), 127} - set(b"\t\n\x0b\x0c\r\x1b"))
_MAX_CONTROL_SHARE: Final = 0.08
"""A larger share of control characters is no text: packed data has a tenth, most programs and pictures have more."""
BYTE_ORDER_MARKS: Final = (
    (BOM_UTF8, "utf-8"),
    (BOM_UTF32_LE, "utf-32-le"),
    (BOM_UTF32_BE, "utf-32-be"),
    (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks and what they say, in the order to try them."""


def clean(text: str) -> str:
    """Return a text without the characters that no text may hold; a vertical tab and a form feed become a blank.

    Cleaning twice changes nothing.
    """
    return _UNCLEAN.sub(_replacement, text)


def clean_markup(markup: str) -> str:
    """Return HTML or XML without such characters, nor numbers (`&#0;`, `&#xFFFE;`) that stand for them.

    What browsers do is done: numbers from 128 to 159 mean the characters of windows-1252, and the two halves of a
    pair (`&#55357;&#56832;`) mean the character they make up.
    """
    cleaned = clean(markup)
    return _SUSPECT.sub(_references, cleaned) if "&#" in cleaned else cleaned


def is_text(head: bytes) -> bool:
    """Tell from its control characters whether the beginning of a file is text, in an encoding based on ASCII."""
    return len(head) - len(head.translate(None, _CONTROL_BYTES)) <= _MAX_CONTROL_SHARE * len(head)


def clean_bytes(line: bytes) -> bytes:
    """Return bytes in an encoding based on ASCII without control characters; tabs and line ends stay."""
    return line.translate(None, _CONTROL_BYTES)


def decode_plain(body: bytes) -> str:
    """Decode what is no page (a list, JSON) by its byte order mark, else as UTF-8, damaged or not; clean.

    Unlike a page it is not brought into one normal form: addresses stay as they are.
    """
    for mark, codec in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return clean(body[len(mark) :].decode(codec, "replace"))
    try:
        return clean(read_utf8(body))
    except UnicodeDecodeError:
        return clean(body.decode("utf-8", "replace"))


def read_utf8(body: bytes) -> str:
    """Decode UTF-8, also where one character was written as two halves; raises UnicodeDecodeError."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return _joined(body.decode("utf-8", "surrogatepass"))


def _joined(text: str) -> str:
    """Return a text with the halves of surrogate pairs joined, and without those that are alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def read_json(body: bytes) -> object:
    """Return what JSON holds, every string in it clean; raises ValueError or RecursionError where it cannot be read.

    Control characters that stand in strings unescaped, damaged UTF-8 and escapes of lone surrogates harm nothing.
    """
    encoding = json.detect_encoding(body[:4]) if body.count(b"\x00") * 4 >= len(body) else ""
    text = clean(body.decode(encoding, "replace")) if encoding else decode_plain(body)
    value: object = json.loads(text, strict=False)
    return _clean_strings(value) if _ESCAPED.search(text) else value


def _clean_strings(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean_strings(item) for item in value]
    if isinstance(value, dict):
        return {clean(name): _clean_strings(item) for name, item in value.items()}
    return value


def _replacement(match: re.Match[str]) -> str:
    character = match[0]
    if character in "\x0b\x0c":
        return " "
    return character if character > "\uffff" and ord(character) & 0xFFFE != 0xFFFE else ""


def _references(match: re.Match[str]) -> str:
    """Return a run of numeric references with those resolved that no parser takes."""
    pieces: list[str] = []
    for each in _REFERENCE.finditer(match[0]):
        code = int(each[1], 16) if each[1] else int(each[2])
        if 0x80 <= code < 0xA0:
            pieces.append(bytes((code,)).decode("cp1252", "ignore"))
        elif 0xD800 <= code < 0xE000:
            pieces.append(chr(code))
        elif code <= 0x10FFFF and _UNCLEAN.sub(_replacement, chr(code)) == chr(code):
            pieces.append(each[0])
        elif code in {0x0B, 0x0C}:
            pieces.append(" ")
    return _joined("".join(pieces))


# Reads a title that may hold markup: tags that format go, a tag that is written about (`the <head> element`) stays.


_TAG: Final = re.compile(r"<(/?)([a-zA-Z][\w:-]{0,30})((?:[\s/][^<>]{0,1000})?)>|<[!?][^<>]{0,1000}>")
_HIDDEN: Final = frozenset({"script", "style", "head"})
# Those that stand alone or whose end may be left out.
_UNPAIRED: Final = frozenset(
    {"br", "img", "hr", "wbr", "input", "p", "li", "dt", "dd", "td", "th", "tr", "embed", "source", "col", "area"}
)


def strip_tags(markup: str) -> str:
    """Return what a short piece of HTML says, once escaped or twice; linear in its length.

    A tag is taken for markup where it has its other half or attributes, where it needs no other half, and where it is
    an element of somebody's own (`<o:p>`). What is left (`<head>`, `Vector<int>`, half of a pair) is text.
    """
    return _strip_once(unescape(_strip_once(markup)))


def _strip_once(text: str) -> str:
    if "<" not in text:
        return text
    tags = list(_TAG.finditer(text))
    counts = Counter((tag[2].lower(), tag[1]) for tag in tags if tag[2])
    pieces: list[str] = []
    position = 0
    hidden = ""
    for tag in tags:
        name, closing = (tag[2] or "").lower(), bool(tag[1])
        paired = counts[name, ""] > 0 and counts[name, "/"] > 0
        if not hidden:
            replacement = (" " if name in _UNPAIRED else "") if _is_markup(tag, name, paired=paired) else tag[0]
            pieces.append(text[position : tag.start()] + replacement)
            hidden = name if name in _HIDDEN and paired and not closing else ""
        elif closing and name == hidden:
            hidden = ""
        position = tag.end()
    return "".join(pieces) + ("" if hidden else text[position:])


def _is_markup(tag: re.Match[str], name: str, *, paired: bool) -> bool:
    return not name or paired or name in _UNPAIRED or ":" in name or "-" in name or "=" in tag[3]


# Scripts that write no blanks between words, and how much of their text counts as one word.
#
# A word is a run of letters, digits and marks between blanks. Chinese, Japanese, Thai, Lao, Khmer and Burmese write
# none:
# there a letter with its marks counts as a part of a word, so that a number of words is about the same amount of text
# in
# every language. The parts come from translations of the same text: 1,000 words of English are about 1,700 letters of
# Chinese, 2,300 of Japanese and 3,000 to 3,500 of Thai, Lao, Khmer and Burmese, marks not counted.


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

_LETTERS_PER_WORD: Final = ((_HAN_AND_KANA, 2), (_SOUTH_EAST_ASIAN, 3))


def _class_of(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


_SPACELESS_LETTER: Final = re.compile(f"[{_class_of(SPACELESS)}]")
# Letters without their marks: `\w` holds no marks, nor the vowel signs above and below a consonant.
_LETTERS: Final = tuple((re.compile(rf"(?=\w)[{_class_of(ranges)}]"), size) for ranges, size in _LETTERS_PER_WORD)


def count_spaceless(text: str) -> tuple[int, str]:
    """Return how many words of scripts without blanks a text holds, rounded up, and the text without them."""
    if _SPACELESS_LETTER.search(text) is None:
        return 0, text
    words = sum(-(-len(letters.findall(text)) // size) for letters, size in _LETTERS)
    return words, _SPACELESS_LETTER.sub(" ", text)
