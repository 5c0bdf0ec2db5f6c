"""The one door to what unpacks gzip and deflate: zlib-ng where there is a build of it, else Python's own zlib."""

from __future__ import annotations

import zlib
from typing import Protocol, cast

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


class Unpacker(Protocol):
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


def unpacker(form: int = GZIP) -> Unpacker:
    """Return an unpacker of one member of a form: `GZIP` (RFC 1952), `ZLIB` (RFC 1950) or `RAW` (RFC 1951)."""
    made: Unpacker = _fastest.decompressobj(form)
    return made
