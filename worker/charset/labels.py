"""What a charset name stands for, and where a page names one.

Only names of the WHATWG Encoding Standard are known. Python's own registry would also take `zlib`, `idna`,
`unicode_escape` or `punycode`, which are no charsets, and UTF-7, which smuggles markup.
"""

from __future__ import annotations

import re
from types import MappingProxyType

MAX_LABEL = 40
HEAD = 8_192  # the standard looks at 1,024 bytes; real pages put scripts before their meta

WINDOWS_1252 = "cp1252"
"""Stands for every kind of Latin-1, as browsers read it."""

_NAMES = {
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
_CODECS = MappingProxyType({label: codec for codec, labels in _NAMES.items() for label in labels.split()})

_IN_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_IN_META = re.compile(
    rb"<meta\b[^>]{0,300}?\bcharset\s*=\s*[\"']?\s*([a-z0-9_.:-]{1,40})|^\s*<\?xml\b[^>]{0,200}?\bencoding\s*=\s*[\"']([a-z0-9_.:-]{1,40})",
    re.IGNORECASE,
)


def codec_of(label: str) -> str | None:
    """Return the codec for a charset name; None for one that names no charset."""
    return _CODECS.get(label.strip().strip("\"'").lower()) if len(label) <= MAX_LABEL else None


def codec_in_header(content_type: str | None) -> str | None:
    """Return the codec that a Content-Type header names."""
    found = _IN_HEADER.search((content_type or "")[:1_000])
    return codec_of(found.group(1)) if found else None


def codec_in_page(body: bytes) -> str | None:
    """Return the codec that the page's head or XML declaration names."""
    for found in _IN_META.finditer(_without_comments(body[:HEAD])):
        codec = codec_of((found.group(1) or found.group(2)).decode("ascii"))
        if codec is not None:
            # A meta element that could be read is not in UTF-16, whatever it says (HTML, 13.2.3.2).
            return "utf-8" if codec.startswith("utf-16") else codec
    return None


def _without_comments(head: bytes) -> bytes:
    first, *rest = head.split(b"<!--")
    return first + b"".join(part.partition(b"-->")[2] for part in rest)
