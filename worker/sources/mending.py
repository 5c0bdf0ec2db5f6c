"""Mends XML before it is parsed, in one pass over pieces of any size: its encoding, its characters, its ampersands.

Programs write addresses into sitemaps and feeds as they are: `?a=1&b=2` is no XML, nor is `&nbsp;`. A parser that
recovers leaves out such a reference or stops there, and an address is mangled without a word.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from html.entities import html5
from types import MappingProxyType

from worker.charset import clean, clean_markup
from worker.sources.declarations import AS_UTF8, DECLARATION, codec_of

_QUOTED = re.compile(r"<!(?:\[CDATA\[|--)", re.IGNORECASE)
_ENDS = {"<![CDATA[": "]]>", "<!--": "-->"}
_AMPERSAND = re.compile(r"&(?:(\w{1,31});|(?!#(?:[0-9]{1,16}|[xX][0-9a-fA-F]{1,16});))")
_OF_XML = frozenset({"lt", "gt", "amp", "quot", "apos"})
_HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_NO_ENTITIES: Mapping[str, str] = MappingProxyType({})
_LONGEST_REFERENCE = 40
_CLOSEST = 4


def mended(pieces: Iterable[bytes], *, content_type: str | None) -> Iterator[bytes]:
    """Yield a document as clean UTF-8 that declares itself so; entities that are not HTML's own are plain text."""
    texts = _decoded(pieces, content_type)
    first = next(texts, "")
    yield AS_UTF8
    mender = _Mender()
    yield mender.take(DECLARATION.sub("", clean(first), count=1)).encode()
    for text in texts:
        yield mender.take(text).encode()
    yield mender.rest().encode()


def escaped(markup: str, *, own: Mapping[str, str] = _NO_ENTITIES) -> str:
    """Return markup with HTML's entities and those of the document written out, and all other ampersands escaped."""
    if markup.count("&") * _CLOSEST > len(markup):
        # Nobody writes that many: escaped once too often they do no harm, one by one they take time.
        return markup.replace("&", "&amp;")
    return _AMPERSAND.sub(partial(_replacement, own=own), markup)


def escaped_outside_quotes(markup: str, *, own: Mapping[str, str] = _NO_ENTITIES) -> str:
    """Do the same to a whole document, of which CDATA sections and comments stay as they are; it comes out clean."""
    mender = _Mender(own)
    return mender.take(markup) + mender.rest()


def _replacement(match: re.Match[str], own: Mapping[str, str]) -> str:
    name = match[1]
    if name is None:
        return "&amp;"
    if name in _OF_XML:
        return match[0]
    if name in own:
        return own[name]
    written = html5.get(f"{name};", "")
    # As numbers: `&AMP;` and `&LT;` are HTML's too.
    return "".join(f"&#{ord(letter)};" for letter in written) if written else f"&amp;{name};"


def _decoded(pieces: Iterable[bytes], content_type: str | None) -> Iterator[str]:
    decoder: codecs.IncrementalDecoder | None = None
    codec = ""
    for piece in pieces:
        if decoder is None:
            codec = codec_of(piece, content_type)
            decoder = codecs.getincrementaldecoder(codec)("replace")
        # Halves of surrogate pairs, which some programs write, are no damage to UTF-8 around them.
        yield decoder.decode(_HALF.sub(b"", piece) if codec == "utf-8" else piece)
    if decoder is not None:
        yield decoder.decode(b"", final=True)


class _Mender:
    """Mends a document given in pieces; what a piece ends in the middle of waits for the next one."""

    def __init__(self, own: Mapping[str, str] = _NO_ENTITIES) -> None:
        self._own = own
        self._waiting = ""
        self._until = ""

    def take(self, text: str) -> str:
        """Return what of the document is finished so far and was not returned before."""
        return self._mend(self._waiting + text, last=False)

    def rest(self) -> str:
        """Return the end of the document."""
        return self._mend(self._waiting, last=True)

    def _mend(self, text: str, *, last: bool) -> str:
        done: list[str] = []
        at = 0
        while at < len(text):
            if self._until:
                end = text.find(self._until, at)
                stop = end + len(self._until) if end >= 0 else _safe(text, at, last=last)
                done.append(clean(text[at:stop]))
                self._until = self._until if end < 0 else ""
                going_on = end >= 0
            else:
                quoted = _QUOTED.search(text, at)
                stop = quoted.end() if quoted else _safe(text, at, last=last)
                done.append(escaped(clean_markup(text[at:stop]), own=self._own))
                self._until = _ENDS[quoted[0].upper()] if quoted else ""
                going_on = quoted is not None
            at = stop
            if not going_on:
                break
        self._waiting = text[at:]
        return "".join(done)


def _safe(text: str, at: int, *, last: bool) -> int:
    """Return where a text may be cut: before what could be the beginning of a reference, or of a mark or its end."""
    if last:
        return len(text)
    tail = max(at, len(text) - _LONGEST_REFERENCE)
    places = (text.find(mark, tail) for mark in ("&", "<", "]", "-"))
    return min((place for place in places if place >= 0), default=len(text))
