"""Encodes Vietnamese in its legacy encodings, for tests."""

from __future__ import annotations

import unicodedata

TONES = "\u0300\u0301\u0303\u0309\u0323"

# Written out by hand from the charts, not derived from what is tested.
_TCVN3 = dict(
    zip(
        "àảãáạăằẳẵắặâầẩẫấậèẻẽéẹêềểễếệìỉĩíịòỏõóọôồổỗốộơờởỡớợùủũúụưừửữứựỳỷỹýỵđĂÂÊÔƠƯĐ",
        "µ¶·¸¹¨»¼½¾Æ©ÇÈÉÊËÌÎÏÐÑªÒÓÔÕÖ×ØÜÝÞßáâãä«åæçèé¬êëìíîïñòóô\xadõö÷øùúûüýþ®¡¢£¤¥¦§",
        strict=True,
    )
)
_VNI_TONE = dict(zip(TONES, "øùõûï", strict=True))
_VNI_BREVE = dict(zip(("", *TONES), "êèéüúë", strict=True))
_VNI_CIRCUMFLEX = dict(zip(("", *TONES), "âàáãåä", strict=True))
_VNI_WHOLE = dict(zip("đĩíìỉịỵơư", "ñóíìæòîôö", strict=True))


def tcvn3(text: str) -> bytes:
    return "".join(_TCVN3.get(letter, letter) for letter in unicodedata.normalize("NFC", text)).encode("latin-1")


def vni(text: str) -> bytes:
    return "".join(_vni_letter(letter) for letter in unicodedata.normalize("NFC", text)).encode("latin-1")


def _vni_letter(letter: str) -> str:
    small = letter.lower()
    if small.isascii():
        return letter
    if small in _VNI_WHOLE:
        written = _VNI_WHOLE[small]
    else:
        base, *marks = list(unicodedata.normalize("NFD", small))
        tone = "".join(mark for mark in marks if mark in TONES)
        if "\u0306" in marks:
            written = base + _VNI_BREVE[tone]
        elif "\u0302" in marks:
            written = base + _VNI_CIRCUMFLEX[tone]
        else:
            written = ("ô" if "\u031b" in marks and base == "o" else "ö" if "\u031b" in marks else base) + _VNI_TONE[
                tone
            ]
    return written.upper() if letter.isupper() else written


def windows_1258(text: str) -> bytes:
    return b"".join(_1258_letter(letter) for letter in unicodedata.normalize("NFC", text))


def _1258_letter(letter: str) -> bytes:
    try:
        return letter.encode("cp1258")
    except UnicodeEncodeError:
        decomposed = unicodedata.normalize("NFD", letter)
        tone = "".join(mark for mark in decomposed if mark in TONES)
        base = unicodedata.normalize("NFC", "".join(mark for mark in decomposed if mark not in TONES))
        return (base + tone).encode("cp1258")
