"""Make foreign XML and HTML safe and readable for libxml2.

Three steps, in the order in which a document passes them: `to_utf8` decodes XML; `repair_xml` and `escape_document`
escape stray ampersands and HTML entities, because `?a=1&b=2` and `&nbsp;` are common in feeds and sitemaps but are not
XML, and a recovering parser drops them and so corrupts URLs; `refuse_hostile_markup` and `strip_code` reject markup on
which libxml2 needs quadratic time. `repair_xml` works on pieces, so its memory use does not grow with the document.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from html.entities import html5
from itertools import islice
from types import MappingProxyType

from worker.charset import clean, clean_markup, nearly_utf8
from worker.errors import SourceError

# Decoding to UTF-8. Evidence in the bytes counts more than the declared encoding.

XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]{0,200}?\?>")
_CUT_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z")
_EBCDIC = b"\x4c\x6f\xa7\x94"
_DECLARED = re.compile(rb"\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']\s*([\w.:-]{1,40})")
UTF8_DECLARATION = b'<?xml version="1.0" encoding="utf-8"?>'
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
# Codecs of Python that no feed uses; some of them need quadratic time.
_REFUSED_CODECS = frozenset({"punycode", "idna", "utf-7", "unicode_escape", "raw_unicode_escape", "undefined"})
# Byte order marks, and `<?` or `<` in encodings of two and four bytes. The longer marks come first.
_SIGNATURES = (
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


def to_utf8(body: bytes, content_type: str | None) -> bytes:
    """Return an XML document as clean UTF-8 with a matching declaration.

    Tried in order: the byte order mark, UTF-8, the charset of `content_type`, the declared encoding, windows-1252 and
    Latin-1; the first that decodes all bytes is used. UTF-8 may have a little damage: one wrong byte does not turn a
    feed into Latin-1. EBCDIC is returned unchanged; feedparser decodes it.
    """
    marked = next((name for mark, name in _SIGNATURES if body.startswith(mark)), None)
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


def xml_codec(beginning: bytes, content_type: str | None) -> str:
    """Return the codec of an XML document by its first piece, with the same evidence as `to_utf8`."""
    marked = next((name for mark, name in _SIGNATURES if beginning.startswith(mark)), None)
    if marked:
        return marked
    # The piece may end in the middle of a character.
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
        return None if codec.name in _REFUSED_CODECS else body.decode(codec.name)
    except (LookupError, ValueError):
        return None


def _redeclared(text: str) -> bytes:
    return UTF8_DECLARATION + XML_DECLARATION.sub("", clean_markup(text), count=1).encode()


# Repair of ampersands and entities, piece by piece.

_QUOTED = re.compile(r"<!(?:\[CDATA\[|--)", re.IGNORECASE)
_ENDS = {"<![CDATA[": "]]>", "<!--": "-->"}
_AMPERSAND = re.compile(r"&(?:(\w{1,31});|(?!#(?:[0-9]{1,16}|[xX][0-9a-fA-F]{1,16});))")
_XML_ENTITIES = frozenset({"lt", "gt", "amp", "quot", "apos"})
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_NO_ENTITIES: Mapping[str, str] = MappingProxyType({})
_MAX_REFERENCE = 40  # characters; more than the longest entity name of HTML (31) with its `&` and `;`
# Text with an ampersand in every fourth character is not written by people; see `escape_ampersands`.
_MIN_AMPERSAND_DISTANCE = 4


def repair_xml(pieces: Iterable[bytes], *, content_type: str | None) -> Iterator[bytes]:
    """Yield a document as clean, well-declared UTF-8, given as pieces of bytes.

    Stray ampersands are escaped and entities of HTML replaced; other entities become plain text.
    """
    texts = _decoded_pieces(pieces, content_type)
    first = next(texts, "")
    yield UTF8_DECLARATION
    repairer = _Repairer()
    yield repairer.feed(XML_DECLARATION.sub("", clean(first), count=1)).encode()
    for text in texts:
        yield repairer.feed(text).encode()
    yield repairer.finish().encode()


def escape_ampersands(markup: str, *, own: Mapping[str, str] = _NO_ENTITIES) -> str:
    """Return markup with the entities of HTML and of the document (`own`) replaced, and other ampersands escaped.

    The five entities of XML and character references stay.
    """
    if markup.count("&") * _MIN_AMPERSAND_DISTANCE > len(markup):
        # Hostile input. Escaping all of them is wrong for real entities but harmless, and much faster.
        return markup.replace("&", "&amp;")
    return _AMPERSAND.sub(partial(_replacement, own=own), markup)


def escape_document(markup: str, *, own: Mapping[str, str] = _NO_ENTITIES) -> str:
    """Return a whole document, cleaned and escaped like `escape_ampersands`; CDATA sections and comments stay."""
    repairer = _Repairer(own)
    return repairer.feed(markup) + repairer.finish()


def _replacement(match: re.Match[str], own: Mapping[str, str]) -> str:
    """Return the replacement of one reference or stray ampersand."""
    name = match[1]
    if name is None:
        return "&amp;"
    if name in _XML_ENTITIES:
        return match[0]
    if name in own:
        return own[name]
    written = html5.get(f"{name};", "")
    # As character references: the HTML entities `&AMP;` and `&LT;` stand for characters that need escaping.
    return "".join(f"&#{ord(letter)};" for letter in written) if written else f"&amp;{name};"


def _decoded_pieces(pieces: Iterable[bytes], content_type: str | None) -> Iterator[str]:
    """Yield the pieces of a document as text; the first piece decides on the codec."""
    decoder: codecs.IncrementalDecoder | None = None
    codec = ""
    for piece in pieces:
        if decoder is None:
            codec = xml_codec(piece, content_type)
            decoder = codecs.getincrementaldecoder(codec)("replace")
        # Some programs write surrogates in UTF-8. They are removed, so that the rest still decodes.
        yield decoder.decode(_SURROGATE.sub(b"", piece) if codec == "utf-8" else piece)
    if decoder is not None:
        yield decoder.decode(b"", final=True)


class _Repairer:
    """Repairs a document given in pieces; the unfinished end of a piece is kept until the next one.

    `_until` is the end mark of the CDATA section or comment that the text is in, or "".
    """

    def __init__(self, own: Mapping[str, str] = _NO_ENTITIES) -> None:
        self._own = own
        self._waiting = ""
        self._until = ""

    def feed(self, text: str) -> str:
        """Return the part of the document that this text completes."""
        return self._repair(self._waiting + text, last=False)

    def finish(self) -> str:
        """Return the rest of the document."""
        return self._repair(self._waiting, last=True)

    def _repair(self, text: str, *, last: bool) -> str:
        """Return the repaired text up to the last safe cut; keep the rest for the next call."""
        done: list[str] = []
        at = 0
        while at < len(text):
            if self._until:
                end = text.find(self._until, at)
                stop = end + len(self._until) if end >= 0 else _safe_cut(text, at, last=last)
                done.append(clean(text[at:stop]))
                self._until = self._until if end < 0 else ""
                found = end >= 0
            else:
                quoted = _QUOTED.search(text, at)
                stop = quoted.end() if quoted else _safe_cut(text, at, last=last)
                done.append(escape_ampersands(clean_markup(text[at:stop]), own=self._own))
                self._until = _ENDS[quoted[0].upper()] if quoted else ""
                found = quoted is not None
            at = stop
            if not found:
                break
        self._waiting = text[at:]
        return "".join(done)


def _safe_cut(text: str, at: int, *, last: bool) -> int:
    """Return where a text may be cut: before anything that may be the start of a reference, a mark or an end mark."""
    if last:
        return len(text)
    tail = max(at, len(text) - _MAX_REFERENCE)
    places = (text.find(mark, tail) for mark in ("&", "<", "]", "-"))
    return min((place for place in places if place >= 0), default=len(text))


# Refusal of hostile markup: libxml2 needs time quadratic in the size of some invalid documents. The limits were chosen
# far above what real documents contain: none of the 3,395 feeds of the benchmark (docs/discovery.md) is refused.

# libxml2 compares each attribute with every other attribute of its tag.
_ENDLESS_TAG = re.compile(rb"<[a-zA-Z?][^<>]{20000}")
# The cost of its recovery grows with every tag that begins inside another tag.
_BROKEN_TAG = re.compile(rb"<[a-zA-Z][^<>]*(?=<)")
_MAX_BROKEN = 2000  # broken tags a document
_CODE = re.compile(rb"<(?:(script|style)\b|!--)", re.IGNORECASE)
_CODE_ENDS = {
    b"script": re.compile(rb"</script[^<>]*>?", re.IGNORECASE),
    b"style": re.compile(rb"</style[^<>]*>?", re.IGNORECASE),
    b"": re.compile(rb"-->"),
}
# The mark before stays: a tag that ends with it is a broken one.
_NO_MARKUP = re.compile(rb"(?<=<)!(?:\[(CDATA)\[|--)")
_NO_MARKUP_ENDS = {b"cdata": re.compile(rb"\]\]>"), b"": re.compile(rb"-->")}
# A tag as HTML parsers read it, up to 2,000 attributes: a value in quotes may hold any character, and only `>` ends a
# tag. Names and bare values are taken in pieces, so that the time is linear; a longer one counts as several.
_TAG = re.compile(
    rb"""<[a-zA-Z][^\s/>]{0,200}+"""
    rb"""(?:[\s/]*+[^\s/>][^\s/>=]{0,200}+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]{0,200}+))?+){0,2000}+[\s/]*+"""
)
_MAX_ATTRIBUTES = 2000  # attributes a tag of an HTML page, as in the pattern


def refuse_hostile_markup(markup: bytes) -> None:
    """Raise SourceError for a tag of more than 20,000 characters or for thousands of broken tags; takes linear time.

    CDATA sections and comments are no markup: an entry with an embedded picture does not cost the whole feed.
    """
    broken = 0
    for part in _outside(markup, _NO_MARKUP, _NO_MARKUP_ENDS):
        if _ENDLESS_TAG.search(part):
            raise SourceError("it has a tag of more than 20,000 characters and was not read")
        broken += sum(1 for _ in islice(_BROKEN_TAG.finditer(part), _MAX_BROKEN))
        if broken >= _MAX_BROKEN:
            raise SourceError(f"it has {_MAX_BROKEN:,} broken tags and was not read")


def strip_code(page: bytes) -> bytes:
    """Return an HTML page without scripts, styles and comments.

    Raises SourceError for a tag with thousands of attributes. Long attributes are allowed: pages embed images and state
    in them, and they cost libxml2 little.
    """
    plain = b"".join(_outside(page, _CODE, _CODE_ENDS))
    if any(plain[tag.end() : tag.end() + 1] not in {b">", b""} for tag in _TAG.finditer(plain)):
        raise SourceError(f"it has a tag with {_MAX_ATTRIBUTES:,} attributes and was not read")
    return plain


def _outside(text: bytes, starts: re.Pattern[bytes], ends: Mapping[bytes, re.Pattern[bytes]]) -> Iterator[bytes]:
    """Yield what is outside the stretches that begin and end so; one that is not closed extends to the end."""
    at = 0
    while start := starts.search(text, at):
        yield text[at : start.start()]
        end = ends[(start[1] or b"").lower()].search(text, start.end())
        if end is None:
            return
        at = end.end()
    yield text[at:]
