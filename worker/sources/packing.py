"""Unpacks gzip within bounds, whatever the ending or the content type says."""

from __future__ import annotations

from collections.abc import Iterator

from worker.errors import SourceError
from worker.sources.inflating import InflateError, unpacker

_MAGIC = b"\x1f\x8b"
CHUNK = 64 * 1024


def inflated(body: bytes, *, limit: int) -> bytes:
    """Return a gzipped body unpacked, any other as it is; see `chunks`."""
    return b"".join(chunks(body, limit=limit)) if body.startswith(_MAGIC) else body


def chunks(body: bytes, *, limit: int) -> Iterator[bytes]:
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
        member = unpacker()
        rest = body
        try:
            while rest and not member.eof:
                yield member.decompress(rest, CHUNK)
                rest = member.unconsumed_tail
        except InflateError:
            return
        body = member.unused_data
