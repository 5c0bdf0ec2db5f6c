"""Unpacks gzip within bounds, whatever the ending or the content type says."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol, cast

from worker.errors import SourceError

# The one door to what unpacks gzip and deflate: zlib-ng where there is a build of it, else Python's own zlib.


try:
    from zlib_ng import zlib_ng as _fastest
except ImportError:
    # A machine that nobody builds it for reads the same, at less than half the speed.
    import zlib as _fastest  # type: ignore[no-redef]

GZIP = zlib.MAX_WBITS | 16
ZLIB = zlib.MAX_WBITS
RAW = -zlib.MAX_WBITS

InflateError = cast("type[Exception]", _fastest.error)
"""What is to be unpacked is damaged, or nothing of the kind."""


class Decompressor(Protocol):
    """Unpacks one member (the attributes are those of `zlib.Decompress`)."""

    @property
    def eof(self) -> bool:
        """Whether the member has come to its end."""

    @property
    def unused_data(self) -> bytes:
        """What follows the member's end."""

    @property
    def unconsumed_tail(self) -> bytes:
        """What there was no room for."""

    def decompress(self, packed: bytes, most: int, /) -> bytes:
        """Return at most so many bytes; raises InflateError."""


def decompressor(form: int = GZIP) -> Decompressor:
    """Return an unpacker of one member of a form: `GZIP` (RFC 1952), `ZLIB` (RFC 1950) or `RAW` (RFC 1951)."""
    made: Decompressor = _fastest.decompressobj(form)
    return made


_MAGIC = b"\x1f\x8b"
CHUNK = 64 * 1024


def gunzip(body: bytes, *, limit: int) -> bytes:
    """Return a gzipped body unpacked, any other as it is; see `chunks`."""
    return b"".join(iter_gunzipped(body, limit=limit)) if body.startswith(_MAGIC) else body


def iter_gunzipped(body: bytes, *, limit: int) -> Iterator[bytes]:
    """Yield a body in pieces of at most 64 kB, unpacked if it is gzipped; what follows damage is lost.

    Raises SourceError beyond `limit` unpacked bytes.
    """
    if not body.startswith(_MAGIC):
        yield from (body[at : at + CHUNK] for at in range(0, len(body), CHUNK))
        return
    room = limit
    for chunk in _unpacked(body):
        room -= len(chunk)
        if room < 0:
            raise SourceError(f"it unpacks to more than {limit:,} bytes and was not read to its end")
        yield chunk


def _unpacked(body: bytes) -> Iterator[bytes]:
    """Yield the content of every member of a gzip file, in pieces."""
    while body.startswith(_MAGIC):
        member = decompressor()
        rest = body
        try:
            while rest and not member.eof:
                yield member.decompress(rest, CHUNK)
                rest = member.unconsumed_tail
        except InflateError:
            return
        body = member.unused_data
