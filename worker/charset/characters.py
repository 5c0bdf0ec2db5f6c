"""Characters: remove those that no text may hold, strip tags from titles, count words of scripts without blanks.

`clean`, `clean_markup` and `clean_bytes` remove control characters, NUL, lone surrogates and noncharacters (Unicode 16,
sections 23.1, 23.6, 23.7). XML, databases and libraries refuse these, and no article, feed or sitemap should be lost
because of one. `strip_tags` reads a title that may contain markup. `count_spaceless` counts words in scripts that write
no blanks between them (Chinese, Japanese, Thai…).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections import Counter
from collections.abc import Iterable
from html import unescape
from itertools import filterfalse
from typing import Final

# The last two code points of each plane are noncharacters. Searching for the whole range above the first plane, with
# the check in `_replacement`, is faster than a pattern of 16 ranges.
_UNCLEAN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U00010000-\U0010ffff]"
)
_REFERENCE: Final = re.compile(r"&#(?:[xX]([0-9a-fA-F]{1,16})|([0-9]{1,16}));?")
# References that may resolve to such a character; the parser resolves all others. A pattern that starts with the two
# literal characters is found ten times as fast as one that starts with a group.
_SUSPECT_ONE: Final = (
    r"&#(?:[xX]0{0,9}(?:[0-8bcefBCEF]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F]|[dD][89a-fA-F][0-9a-fA-F]{2}"
    r"|[fF][dDfF][0-9a-fA-F]{2}|[0-9a-fA-F]{5,16})(?![0-9a-fA-F])"
    r"|0{0,9}(?:[0-8]|1[1-9]|2[0-9]|3[01]|12[7-9]|1[345][0-9]|5[5-7][0-9]{3}|6[45][0-9]{3}|[0-9]{6,16})(?![0-9]));?"
)
_SUSPECT: Final = re.compile(f"{_SUSPECT_ONE}(?:{_SUSPECT_ONE})*")
_ESCAPED: Final = re.compile(r"\\u(?:00[01789]|[dD][89a-fA-F]|[fF][dDfF])")
_CONTROL_BYTES: Final = bytes({*range(32), 127} - set(b"\t\n\x0b\x0c\r\x1b"))
_MAX_CONTROL_SHARE: Final = 0.08
"""Bytes with a larger share of control characters are no text: compressed data has a tenth, most binaries more."""
BYTE_ORDER_MARKS: Final = (
    (BOM_UTF8, "utf-8"),
    (BOM_UTF32_LE, "utf-32-le"),
    (BOM_UTF32_BE, "utf-32-be"),
    (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks and their codecs, in the order to try them."""


def unmarked_codec(body: bytes) -> str:
    """Return the codec of markup in UTF-16 or UTF-32 without a mark, by the null bytes of its first two characters.

    Empty for everything else.
    """
    if 0 in body[:4]:
        for codec, width in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
            first, second = (body[start : start + width].decode(codec, "ignore") for start in (0, width))
            if first and first in "<\t\n\r " and "\t" <= second <= "~":
                return codec
    return ""


def clean(text: str) -> str:
    """Return a text without the characters that no text may hold; a vertical tab or form feed becomes a blank.

    Idempotent.
    """
    return _UNCLEAN.sub(_replacement, text)


def clean_markup(markup: str) -> str:
    """Return HTML or XML without such characters and without numeric references to them (`&#0;`, `&#xFFFE;`).

    As in browsers, numbers from 128 to 159 are those of windows-1252, and the two references of a surrogate pair
    (`&#55357;&#56832;`) are one character.
    """
    return clean_references(clean(markup))


def clean_references(markup: str) -> str:
    """Return clean HTML or XML without numeric references to such characters."""
    return _SUSPECT.sub(_references, markup) if "&#" in markup else markup


def is_text(head: bytes) -> bool:
    """Return whether the beginning of a file is text in an encoding based on ASCII, by its control characters."""
    return len(head) - len(head.translate(None, _CONTROL_BYTES)) <= _MAX_CONTROL_SHARE * len(head)


def clean_bytes(line: bytes) -> bytes:
    """Return bytes in an encoding based on ASCII without control characters; tabs and line ends are kept."""
    return line.translate(None, _CONTROL_BYTES)


def decode_plain(body: bytes) -> str:
    """Decode a list or JSON by its byte order mark, else as UTF-8, damaged or not, and clean it.

    Unlike `decode` this does not normalise to NFC, because URLs have to stay as they are.
    """
    for mark, codec in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return clean(body[len(mark) :].decode(codec, "replace"))
    try:
        return clean(read_utf8(body))
    except UnicodeDecodeError:
        return clean(body.decode("utf-8", "replace"))


def read_utf8(body: bytes) -> str:
    """Decode UTF-8, also with characters encoded as surrogate pairs (CESU-8); raises UnicodeDecodeError."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return _joined(body.decode("utf-8", "surrogatepass"))


def _joined(text: str) -> str:
    """Return a text with surrogate pairs joined and lone surrogates removed."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def read_json(body: bytes) -> object:
    """Parse JSON in any UTF encoding, and clean every string; raises ValueError or RecursionError.

    Unescaped control characters in strings, damaged UTF-8 and escapes of lone surrogates are tolerated.
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
    """Return a run of numeric references with those resolved or removed that parsers refuse."""
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


# Titles with markup: formatting tags are removed, a tag that the title is about (`the <head> element`) is kept.

_TAG: Final = re.compile(r"<(/?)([a-zA-Z][\w:-]{0,30})((?:[\s/][^<>]{0,1000})?)>|<[!?][^<>]{0,1000}>")
_HIDDEN: Final = frozenset({"script", "style", "head"})
# Elements without an end tag, and those whose end tag may be omitted.
_UNPAIRED: Final = frozenset(
    {"br", "img", "hr", "wbr", "input", "p", "li", "dt", "dd", "td", "th", "tr", "embed", "source", "col", "area"}
)


def strip_tags(markup: str) -> str:
    """Return the text of a short piece of HTML that is escaped once or twice; takes linear time.

    A tag is markup if its counterpart is there, if it has attributes, if it needs no counterpart, or if it is a custom
    element (`<o:p>`). All others (`<head>`, `Vector<int>`, an unpaired tag) are text.
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


# Word counts of scripts that write no blanks between words.
#
# Elsewhere a word is a run of letters, digits and marks between blanks. In Chinese, Japanese, Thai, Lao, Khmer and
# Burmese a fixed number of letters counts as one word, so that a number of words is about the same amount of text in
# every language. The numbers come from translations of one text: 1,000 words of English are about 1,700 letters of
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
"""The code points of scripts without blanks between words: first and last of each range, inclusive."""

_LETTERS_PER_WORD: Final = ((_HAN_AND_KANA, 2), (_SOUTH_EAST_ASIAN, 3))


def _class_of(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


_SPACELESS_LETTER: Final = re.compile(f"[{_class_of(SPACELESS)}]")
# Letters without their marks: `\w` matches neither marks nor the vowel signs above and below a consonant.
_LETTERS: Final = tuple((re.compile(rf"(?=\w)[{_class_of(ranges)}]"), size) for ranges, size in _LETTERS_PER_WORD)


def count_spaceless(text: str) -> tuple[int, str]:
    """Return the number of words in scripts without blanks, rounded up, and the text without their letters."""
    if _SPACELESS_LETTER.search(text) is None:
        return 0, text
    words = sum(-(-len(letters.findall(text)) // size) for letters, size in _LETTERS)
    return words, _SPACELESS_LETTER.sub(" ", text)


# Normalises text: Unicode NFC, no characters that a database rejects, one paragraph per line.
#
# Also counts words and folds text for comparison.


# Invisible characters: soft hyphen, zero-width space, word joiner, byte-order mark. Zero-width joiners stay: Indic
# scripts and emoji need them.
_UNWANTED = re.compile(r"[\xad\u200b\u2060\ufeff]")
_BLANKS = re.compile(r"\s+")
_UNCLEAN_BLANKS = ("  ", " \n", "\n ", "\n\n")
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
    text = raw if raw.isascii() else unicodedata.normalize("NFC", raw)
    # The lines of a text that is clean already need not be cleaned one by one.
    is_clean = text.replace("\n", "").isprintable() and text == text.strip()
    if is_clean and not any(blanks in text for blanks in _UNCLEAN_BLANKS):
        return text
    return "\n".join(clean_paragraphs(_LINE_BREAKS.split(raw)))


def count_words(text: str) -> int:
    """Return the number of words: runs of non-blank characters with at least one letter or digit.

    In scripts without blanks, `worker.charset.characters` defines how much text counts as one word.
    """
    spaceless, rest = count_spaceless(text)
    tokens = rest.split()
    mixed = filterfalse(str.isalnum, tokens)
    return spaceless + len(tokens) - sum(1 for token in mixed if not any(map(str.isalnum, token)))


def one_line(text: str) -> str:
    """Return text with every run of white space replaced by one space."""
    return " ".join(text.split())


# A word is about 6 characters of English with the blank after it, and 4.6 of Vietnamese.
_LENGTH_OF_WORD: Final = 5


def text_length(text: str) -> int:
    """Return how long a text is in characters, runs of blanks counted once, so that lengths compare across scripts.

    In scripts without blanks each word has the length of one in an alphabet: two Chinese letters count as five.
    """
    # Few such letters (three bytes each) change little; most texts have none, and their bytes are counted quickly.
    words = 0
    if not text.isascii() and 2 * len(text.encode("utf-8", "surrogatepass")) > 3 * len(text):
        words, text = count_spaceless(text)
    # In a printable text there is no blank but U+0020.
    flat = text.strip() if text.isprintable() and "  " not in text else one_line(text)
    return _LENGTH_OF_WORD * words + len(flat)


def shortened(text: str, size: int) -> str:
    """Return a text on one line, of a longer one its beginning and end; words are not cut, but for very long ones."""
    flat = one_line(text)
    half = size // 2
    if len(flat) <= size:
        return flat
    return (
        f"{flat[: half + 1].rpartition(' ')[0] or flat[:half]} … {flat[-half - 1 :].partition(' ')[2] or flat[-half:]}"
    )


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


_SCRIPT = re.compile(r"<(script|style|noscript|template|svg)\b", re.IGNORECASE)


def visible_text(markup: str) -> str:
    """Return the text between the tags of a page, without its scripts; reads the markup once, however broken it is."""
    pieces, place = [], 0
    while (start := markup.find("<", place)) >= 0:
        pieces.append(markup[place:start])
        end = start
        if hidden := _SCRIPT.match(markup, start):
            closing = re.compile(f"</{hidden[1]}", re.IGNORECASE).search(markup, start)
            end = closing.start() if closing else len(markup)
        close = markup.find(">", end)
        place = close + 1 if close >= 0 else len(markup)
        pieces.append("\n")
    pieces.append(markup[place:])
    lines = (" ".join(line.split()) for line in unescape("".join(pieces)).splitlines())
    return "\n".join(filter(None, lines))
