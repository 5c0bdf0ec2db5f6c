"""Brings XML to UTF-8 before anything parses it: what the bytes show counts more than what they declare."""

from __future__ import annotations

import codecs
import re

from worker.charset import clean_markup, nearly_utf8

DECLARATION = re.compile(r"\A\s*<\?xml[^>]{0,200}?\?>")
_CUT_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z")
_EBCDIC = b"\x4c\x6f\xa7\x94"
_DECLARED = re.compile(rb"\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']\s*([\w.:-]{1,40})")
AS_UTF8 = b'<?xml version="1.0" encoding="utf-8"?>'
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
# None of these writes feeds; some of them take quadratic time.
_NO_ENCODINGS = frozenset({"punycode", "idna", "utf-7", "unicode_escape", "raw_unicode_escape", "undefined"})
_MARKED = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\x00?\x00", "utf-16-le"),
    (b"\x00<\x00?", "utf-16-be"),
    (b"<\x00\x00\x00", "utf-32-le"),
    (b"\x00\x00\x00<", "utf-32-be"),
)


def as_utf8(body: bytes, content_type: str | None) -> bytes:
    """Return XML as UTF-8 and declared so, clean, in the first encoding that fits all its bytes.

    UTF-8 may have a little damage: a feed is not read as Latin for one byte. Tried are the byte order mark, UTF-8,
    what the server says, what the document declares, and Latin. EBCDIC is left to others.
    """
    marked = next((name for mark, name in _MARKED if body.startswith(mark)), None)
    if marked:
        return _redeclared(body.decode(marked, "replace"))
    served, declared = _CHARSET.search(content_type or ""), _DECLARED.match(body)
    if body.startswith(_EBCDIC):
        return body
    text = nearly_utf8(body)
    if text is None:
        names = (served[1] if served else "", declared[1].decode("ascii") if declared else "", "windows-1252")
        text = next((text for name in names if (text := _decoded(body, name)) is not None), None)
    return _redeclared(body.decode("latin-1") if text is None else text)


def codec_of(beginning: bytes, content_type: str | None) -> str:
    """Return the codec of XML of which only the beginning is known, by the same signs as `as_utf8`."""
    marked = next((name for mark, name in _MARKED if beginning.startswith(mark)), None)
    if marked:
        return marked
    # A piece may end inside a character.
    if not beginning.isascii() and nearly_utf8(_CUT_CHARACTER.sub(b"", beginning)) is not None:
        return "utf-8"
    served, declared = _CHARSET.search(content_type or ""), _DECLARED.match(beginning)
    names = (served[1] if served else "", declared[1].decode("ascii") if declared else "")
    named = next((name for name in names if _decoded(b"", name) is not None), "")
    if named and codecs.lookup(named).name not in {"ascii", "utf-8"}:
        return named
    return "utf-8" if beginning.isascii() else "windows-1252"


def _decoded(body: bytes, name: str) -> str | None:
    try:
        codec = codecs.lookup(name)
        return None if codec.name in _NO_ENCODINGS else body.decode(codec.name)
    except (LookupError, ValueError):
        return None


def _redeclared(text: str) -> bytes:
    return AS_UTF8 + DECLARATION.sub("", clean_markup(text), count=1).encode()
