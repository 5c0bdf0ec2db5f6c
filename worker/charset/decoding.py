"""Choose the charset of a body and decode it; never raises, whatever the bytes and the names are."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from worker.charset.cleaning import MARKS, clean, read_utf8
from worker.charset.guess import likely_codec
from worker.charset.labels import WINDOWS_1252, codec_in_header, codec_in_page
from worker.charset.vietnamese import READINGS, could_be_trick, expand_entities, told_encoding

_LATIN = frozenset({WINDOWS_1252, "cp1258", "iso8859-15"})
_ASCII = bytes(range(128))
TOLERATED_DAMAGE = 0.05  # of the letters beyond ASCII


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A decoded body, clean and in NFC; `chosen_by` is `bom`, `header`, `meta`, `detection` or `default`."""

    text: str
    charset: str
    chosen_by: str


def decode(body: bytes, content_type: str | None = None) -> Decoded:
    """Decode a body by its byte order mark, its header, its own meta element, or by what it reads as."""
    for mark, codec in MARKS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :].decode(codec, "replace"), codec, "bom")
    named = _named(body, content_type)
    utf8 = _as_utf8(body, dict(named))
    if utf8 is not None:
        return utf8
    for codec, chosen_by in named:
        decoded = _as_named(body, codec, chosen_by)
        if decoded is not None:
            return decoded
    return _detected(body)


def _named(body: bytes, content_type: str | None) -> list[tuple[str, str]]:
    header, page = codec_in_header(content_type), codec_in_page(body)
    named = [(codec, by) for codec, by in ((header, "header"), (page, "meta")) if codec is not None]
    # Servers say Latin-1 of everything where nobody told them better: then the page knows more about itself.
    return named[::-1] if header in _LATIN else named


def _as_utf8(body: bytes, named: dict[str, str]) -> Decoded | None:
    """Prefer UTF-8 wherever the bytes are valid and say something: no other charset looks like it by chance."""
    if body.isascii():
        # Plain ASCII is UTF-8 too, unless the name stands for a charset that writes other letters with it.
        plain = _decoded(body.decode("ascii"), "utf-8", named.get("utf-8", "default"))
        return None if "iso2022_jp" in named else plain
    text = nearly_utf8(body)
    if text is None:
        return None
    foreign = body.translate(None, _ASCII).decode("utf-8", "replace")
    mended = _mended(text) if could_be_trick(foreign) else None
    chosen_by = named.get("utf-8", "detection")
    if mended is None and "\ufffd" not in text and _is_composed(foreign):
        return Decoded(text=clean(text), charset="utf-8", chosen_by=chosen_by)
    return mended or _decoded(text, "utf-8", chosen_by)


def _is_composed(foreign: str) -> bool:
    """Tell from what is not ASCII of a text whether all of it is in NFC; most of a page is ASCII.

    What combines with a letter of ASCII has a combining class; what has none combines with its neighbour alone.
    """
    return not any(map(unicodedata.combining, set(foreign))) and unicodedata.is_normalized("NFC", foreign)


def nearly_utf8(body: bytes) -> str | None:
    """Return a body that is UTF-8 but for little damage, which is what a page or a feed cut in two has; else None."""
    # A page may hold U+FFFD of its own: somebody else's damage, saved as what it is.
    try:
        return read_utf8(body)
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    return text if _is_sound(text) else None


def _is_sound(text: str) -> bool:
    """Tell whether nearly all letters beyond ASCII could be read: a page cut in two has one that could not."""
    damage = text.count("\ufffd")
    if not damage:
        return True
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    return damage <= max(1, TOLERATED_DAMAGE * foreign) and 3 * damage < foreign


def _mended(text: str) -> Decoded | None:
    """Read a font trick that was saved as UTF-8: every character of it is still one byte of the old encoding."""
    try:
        latin = text.encode("cp1252").decode("latin-1")
    except UnicodeError:
        return None
    told = told_encoding(latin)
    return None if told is None or told == "cp1258" else _legacy(latin, told, "detection")


def _as_named(body: bytes, codec: str, chosen_by: str) -> Decoded | None:
    if codec in READINGS and codec != "cp1258":
        return _legacy(body.decode("latin-1"), codec, chosen_by)
    if codec in _LATIN:
        return _as_latin(body, codec, chosen_by)
    text = body.decode(codec, "replace")
    return _decoded(text, codec, chosen_by) if _is_sound(text) else None


def _as_latin(body: bytes, codec: str, chosen_by: str) -> Decoded:
    latin = body.decode("latin-1")
    told = told_encoding(latin)
    if told is not None and told != codec:
        return _legacy(latin, told, "detection")
    return _decoded(body.decode(codec, "replace"), codec, chosen_by)


def _detected(body: bytes) -> Decoded:
    latin = body.decode("latin-1")
    told = told_encoding(latin)
    if told is not None:
        return _legacy(latin, told, "detection")
    codec = likely_codec(body)
    if codec is not None:
        return _decoded(body.decode(codec, "replace"), codec, "detection")
    return _decoded(body.decode(WINDOWS_1252, "replace"), WINDOWS_1252, "default")


def _legacy(latin: str, told: str, chosen_by: str) -> Decoded:
    text = latin if told == "cp1258" else expand_entities(latin)
    return _decoded(READINGS[told](text), told, chosen_by)


def _decoded(text: str, codec: str, chosen_by: str) -> Decoded:
    names = {WINDOWS_1252: "windows-1252", "cp1258": "windows-1258"}
    return Decoded(text=unicodedata.normalize("NFC", clean(text)), charset=names.get(codec, codec), chosen_by=chosen_by)
