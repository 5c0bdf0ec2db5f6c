"""Choose the charset of a body and decode it; never raises, whatever the bytes and the declared names are.

The order of `decode`: byte order mark; UTF-16 and UTF-32 by their null bytes; UTF-8, if the bytes are valid UTF-8; the
charset of the Content-Type header; that of the page's own meta element; a legacy Vietnamese encoding (`vietnamese`); a
guess among other scripts (`guess_codec`); windows-1252, as in browsers. Charset labels are those of the WHATWG Encoding
Standard.
"""

from __future__ import annotations

import re
import unicodedata
from types import MappingProxyType

from worker.charset.characters import BYTE_ORDER_MARKS, clean, read_utf8, unmarked_codec
from worker.charset.vietnamese import (
    _PUNCTUATION,
    _UMLAUTS,
    _WINDOWS_1252,
    LEGACY_DECODERS,
    MANY_LETTERS,
    MAX_UMLAUT_SHARE,
    MIN_DISTINCT_LETTERS,
    MIN_WORDS,
    detect_legacy_encoding,
    expand_entities,
)
from worker.models.base import dataclass

# How much of a body the guess is made from: enough for any article, and a bound for its time (chosen, not measured).
SAMPLE_BYTES = 64_000
MIN_BYTES = 64  # bytes in lines that are not ASCII; with fewer, the guess is chance (chosen, not measured)
MIN_NON_ASCII_SHARE = 0.3  # of the letters; Latin scripts stay well below, all others well above

# Scripts other than Latin can be distinguished; the Latin code pages cannot (of 191 western pages, 123 were taken for
# cp1250), so all of those are decoded as windows-1252, as in browsers.
_LATIN_CODEC = "cp1252"
_GUESSED_CODECS = [
    *(_LATIN_CODEC, "cp1251", "cp1253", "cp1255", "cp1256", "cp874", "koi8_r"),
    *("gb18030", "big5", "euc_jp", "cp932", "cp949"),
]


def guess_codec(body: bytes) -> str | None:
    """Return the most likely codec of a script other than Latin; None for Latin, or if there is too little text."""
    # Splitting takes one pass over anything; a pattern for tags takes hours over a page of opening brackets.
    text = b" ".join(part.rpartition(b">")[2] for part in body[:SAMPLE_BYTES].split(b"<"))
    non_ascii = [line for line in text.splitlines() if not line.isascii()]
    sample = b"\n".join(non_ascii)[:SAMPLE_BYTES]
    if len(sample) < MIN_BYTES or _share_beyond_ascii(sample) < MIN_NON_ASCII_SHARE:
        return None
    # Heavy, and needed by one page in thousands.
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=_GUESSED_CODECS, enable_fallback=False).best()
    return None if best is None or best.encoding == _LATIN_CODEC else best.encoding


def _share_beyond_ascii(sample: bytes) -> float:
    beyond = len(sample) - len(sample.decode("ascii", "ignore"))
    letters = len(re.findall(rb"[A-Za-z]", sample))
    return beyond / max(1, beyond + letters)


# Charset labels, in a header or in a page. Only those of the WHATWG Encoding Standard and the Vietnamese ones are
# known: Python's own registry also accepts `zlib`, `idna`, `unicode_escape` or `punycode`, which are no charsets, and
# UTF-7, which can hide markup from filters.

MAX_LABEL_LENGTH = 40  # the longest label below has 17 characters
HEAD_BYTES = 8_192  # the standard looks at 1,024 bytes; real pages put scripts before their meta

WINDOWS_1252 = "cp1252"
"""The codec for every label of Latin-1, as in browsers."""

_LABELS = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    "utf-16-le": "utf-16 utf-16le ucs-2 unicode csunicode iso-10646-ucs-2 unicodefeff",
    "utf-16-be": "utf-16be unicodefffe",
    WINDOWS_1252: "windows-1252 cp1252 x-cp1252 iso-8859-1 iso8859-1 iso88591 iso_8859-1 latin1 latin-1 l1 ascii "
    "us-ascii ansi_x3.4-1968 cp819 ibm819 iso-ir-100 csisolatin1 x-user-defined",
    "cp1250": "windows-1250 cp1250 x-cp1250",
    "cp1251": "windows-1251 cp1251 x-cp1251",
    "cp1253": "windows-1253 cp1253 x-cp1253",
    "cp1254": "windows-1254 cp1254 x-cp1254 iso-8859-9 iso8859-9 latin5 l5",
    "cp1255": "windows-1255 cp1255 x-cp1255",
    "cp1256": "windows-1256 cp1256 x-cp1256",
    "cp1257": "windows-1257 cp1257 x-cp1257",
    "cp1258": "windows-1258 cp1258 x-cp1258",
    "iso8859-2": "iso-8859-2 iso8859-2 latin2 l2",
    "iso8859-3": "iso-8859-3 iso8859-3 latin3",
    "iso8859-4": "iso-8859-4 iso8859-4 latin4",
    "iso8859-5": "iso-8859-5 iso8859-5 cyrillic",
    "iso8859-6": "iso-8859-6 iso8859-6 arabic",
    "iso8859-7": "iso-8859-7 iso8859-7 greek",
    "iso8859-8": "iso-8859-8 iso8859-8 iso-8859-8-i hebrew logical visual",
    "iso8859-10": "iso-8859-10 iso8859-10 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13",
    "iso8859-14": "iso-8859-14 iso8859-14",
    "iso8859-15": "iso-8859-15 iso8859-15 latin9 l9",
    "iso8859-16": "iso-8859-16",
    "koi8-r": "koi8-r koi8 koi cskoi8r",
    "koi8-u": "koi8-u koi8-ru",
    "mac-roman": "macintosh mac x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp866": "ibm866 cp866 866",
    "cp874": "windows-874 tis-620 iso-8859-11 iso8859-11 dos-874",
    "gb18030": "gb18030 gbk gb2312 gb_2312 gb_2312-80 x-gbk chinese csgb2312 cp936",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc_jp": "euc-jp x-euc-jp",
    "iso2022_jp": "iso-2022-jp csiso2022jp",
    "cp932": "shift_jis shift-jis sjis x-sjis windows-31j ms_kanji ms932 csshiftjis",
    "cp949": "euc-kr ks_c_5601-1987 ks_c_5601-1989 korean ksc5601 ksc_5601 windows-949 cseuckr",
    "tcvn3": "tcvn tcvn3 tcvn5712 tcvn-5712 x-tcvn tcvn5712-1 tcvn5712-1:1993 x-viet-tcvn5712 x-viet-tcvn",
    "vni": "vni vni-windows x-viet-vni x-vni",
}
_CODECS = MappingProxyType({label: codec for codec, labels in _LABELS.items() for label in labels.split()})

# Declarations in a Content-Type header, and in a meta element or XML declaration, with bounds against hostile pages.
_IN_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_IN_META = re.compile(
    rb"<meta\b[^>]{0,300}?\bcharset\s*=\s*[\"']?\s*([a-z0-9_.:-]{1,40})|^\s*<\?xml\b[^>]{0,200}?\bencoding\s*=\s*[\"']([a-z0-9_.:-]{1,40})",
    re.IGNORECASE,
)


def codec_for_label(label: str) -> str | None:
    """Return Python's codec (or `tcvn3`, `vni`) for a charset label; None for an unknown label."""
    return _CODECS.get(label.strip().strip("\"'").lower()) if len(label) <= MAX_LABEL_LENGTH else None


def codec_in_header(content_type: str | None) -> str | None:
    """Return the codec that a Content-Type header declares, None if it declares none that is known."""
    found = _IN_HEADER.search((content_type or "")[:1_000])
    return codec_for_label(found.group(1)) if found else None


def codec_in_page(body: bytes) -> str | None:
    """Return the codec that the page's meta element or XML declaration declares, None if there is none."""
    for found in _IN_META.finditer(_without_comments(body[:HEAD_BYTES])):
        codec = codec_for_label((found.group(1) or found.group(2)).decode("ascii"))
        if codec is not None:
            # A meta element that is readable as ASCII is not in UTF-16, whatever it declares (HTML, 13.2.3.2).
            return "utf-8" if codec.startswith("utf-16") else codec
    return None


def _without_comments(head: bytes) -> bytes:
    first, *rest = head.split(b"<!--")
    return first + b"".join(part.partition(b"-->")[2] for part in rest)


_LATIN = frozenset({WINDOWS_1252, "cp1258", "iso8859-15"})
_ASCII = bytes(range(128))
_PLAIN_ASCII = bytes({*range(128)} - {*range(32), 127} | set(b"\t\n\r"))
# Of the non-ASCII letters. A body cut in the middle has one damaged letter; in another charset nearly all are.
MAX_DAMAGED_SHARE = 0.05
# The same for a page that says it is UTF-8: read as such, texts in fourteen other charsets had .70 to 1 of damage.
MAX_DAMAGED_IF_DECLARED = 0.33


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A decoded body: clean text in NFC.

    `chosen_by` says where the charset came from: `bom`, `header`, `meta`, `detection` or `default`.
    """

    text: str
    charset: str
    chosen_by: str


def decode(body: bytes, content_type: str | None = None) -> Decoded:
    """Decode a body by its byte order mark, as UTF-8, by header, meta element or detection; never raises."""
    for mark, codec in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :].decode(codec, "replace"), codec, "bom")
    if codec := unmarked_codec(body):
        return _decoded(body.decode(codec, "replace"), codec, "detection")
    declared = _declared(body, content_type)
    utf8 = _decode_utf8(body, dict(declared))
    if utf8 is not None:
        return utf8
    for codec, chosen_by in declared:
        decoded = _decode_declared(body, codec, chosen_by)
        if decoded is not None:
            return decoded
    return _decode_detected(body)


def _declared(body: bytes, content_type: str | None) -> list[tuple[str, str]]:
    """Return the declared codecs in the order to try them, each with where it was declared."""
    header, page = codec_in_header(content_type), codec_in_page(body)
    declared = [(codec, by) for codec, by in ((header, "header"), (page, "meta")) if codec is not None]
    # Servers declare Latin-1 by default, for pages of any charset: the page's own declaration is better.
    return declared[::-1] if header in _LATIN else declared


def _decode_utf8(body: bytes, declared: dict[str, str]) -> Decoded | None:
    """Decode valid UTF-8 whatever is declared: text in another charset is hardly ever valid UTF-8 by chance."""
    if body.isascii():
        # ASCII is valid UTF-8, unless the declared charset encodes other letters in ASCII bytes.
        plain = body.decode("ascii")
        plain = clean(plain) if body.translate(None, _PLAIN_ASCII) else plain
        by = declared.get("utf-8", "default")
        return None if "iso2022_jp" in declared else Decoded(text=plain, charset="utf-8", chosen_by=by)
    text = nearly_utf8(body)
    if text is None:
        return None
    # All that has to be looked at: characters beyond ASCII, and control characters.
    special = body.translate(None, _PLAIN_ASCII)
    beyond = special.translate(None, _ASCII)
    non_ascii = beyond.decode("utf-8", "replace")
    if may_be_font_trick(non_ascii) and (font_trick := _read_font_trick(text)) is not None:
        return font_trick
    is_clean = len(beyond) == len(special) and clean(non_ascii) == non_ascii
    plain = text if is_clean else clean(text)
    composed = plain if _is_composed(non_ascii) else unicodedata.normalize("NFC", plain)
    return Decoded(text=composed, charset="utf-8", chosen_by=declared.get("utf-8", "detection"))


def _is_composed(non_ascii: str) -> bool:
    """Return whether a text is in NFC, from its non-ASCII characters alone: most of a page is ASCII.

    Characters that compose with an ASCII letter have a combining class; the others compose only with each other.
    """
    return not any(map(unicodedata.combining, set(non_ascii))) and unicodedata.is_normalized("NFC", non_ascii)


def nearly_utf8(body: bytes) -> str | None:
    """Return a body decoded as UTF-8, None if it is not; a little damage is tolerated (a page cut in the middle)."""
    # Valid UTF-8 may contain U+FFFD: damage from an earlier decoding, saved as it was.
    try:
        return read_utf8(body)
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    return text if _is_mostly_valid(text) else None


def _is_mostly_valid(text: str, share: float = MAX_DAMAGED_SHARE) -> bool:
    """Return whether but for a `share` all non-ASCII letters were decoded; in a page cut in the middle one was not."""
    damage = text.count("\ufffd")
    if not damage:
        return True
    non_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return damage <= max(1, share * non_ascii) and 3 * damage < non_ascii


def _read_font_trick(text: str) -> Decoded | None:
    """Decode a legacy encoding that was saved as UTF-8: each character is one byte of it. None if it is not one."""
    try:
        latin = text.encode("cp1252").decode("latin-1")
    except UnicodeError:
        return None
    detected = detect_legacy_encoding(latin)
    return None if detected is None or detected == "cp1258" else _decode_legacy(latin, detected, "detection")


def _decode_declared(body: bytes, codec: str, chosen_by: str) -> Decoded | None:
    """Decode by a declared codec; None if too many bytes are invalid in it."""
    if codec in LEGACY_DECODERS and codec != "cp1258":
        return _decode_legacy(body.decode("latin-1"), codec, chosen_by)
    if codec in _LATIN:
        return _decode_latin(body, codec, chosen_by)
    text = body.decode(codec, "replace")
    share = MAX_DAMAGED_IF_DECLARED if codec == "utf-8" else MAX_DAMAGED_SHARE
    return _decoded(text, codec, chosen_by) if _is_mostly_valid(text, share) else None


def _decode_latin(body: bytes, codec: str, chosen_by: str) -> Decoded:
    """Decode a body declared as a Latin charset, or by the legacy encoding that it really has."""
    latin = body.decode("latin-1")
    detected = detect_legacy_encoding(latin)
    if detected is not None and detected != codec:
        return _decode_legacy(latin, detected, "detection")
    return _decoded(body.decode(codec, "replace"), codec, chosen_by)


def _decode_detected(body: bytes) -> Decoded:
    """Decode a body without a usable declaration."""
    latin = body.decode("latin-1")
    detected = detect_legacy_encoding(latin)
    if detected is not None:
        return _decode_legacy(latin, detected, "detection")
    codec = guess_codec(body)
    if codec is not None:
        return _decoded(body.decode(codec, "replace"), codec, "detection")
    return _decoded(body.decode(WINDOWS_1252, "replace"), WINDOWS_1252, "default")


def _decode_legacy(latin: str, detected: str, chosen_by: str) -> Decoded:
    text = latin if detected == "cp1258" else expand_entities(latin)
    return _decoded(LEGACY_DECODERS[detected](text), detected, chosen_by)


def _decoded(text: str, codec: str, chosen_by: str) -> Decoded:
    names = {WINDOWS_1252: "windows-1252", "cp1258": "windows-1258"}
    return Decoded(text=unicodedata.normalize("NFC", clean(text)), charset=names.get(codec, codec), chosen_by=chosen_by)


def may_be_font_trick(non_ascii: str) -> bool:
    """Return, within microseconds, whether a page in UTF-8 may contain a font trick that was converted to UTF-8.

    `non_ascii` are all non-ASCII characters of the page. In a font trick they are all in windows-1252, and Vietnamese
    uses more different letters than German, and other ones.
    """
    distinct = set(non_ascii)
    if distinct.difference(_WINDOWS_1252):
        return False
    letters = len(non_ascii) - sum(map(non_ascii.count, distinct & _PUNCTUATION))
    if len(distinct - _PUNCTUATION) < (MIN_DISTINCT_LETTERS if letters >= MANY_LETTERS else MIN_WORDS):
        return False
    return sum(map(non_ascii.count, distinct & _UMLAUTS)) < MAX_UMLAUT_SHARE * letters
