"""Reads the HTTP response that a WARC record holds: status, fields, and the body without its codings."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import brotli  # type: ignore[import-untyped]

from worker.sources.inflating import GZIP, RAW, ZLIB, InflateError, unpacker
from worker.sources.warc_stream import header_fields

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?\s+(\d{3})")
_CHUNK_SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,8})[^\r\n]*\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A stored HTTP response; `body` is as the reader saw it, cut off at the limit it was read with."""

    status: int
    fields: Mapping[str, str]
    body: bytes


def response_of(block: Sequence[bytes], *, limit: int) -> Response | None:
    """Read a response; None where the block holds none, or a body in a coding nobody knows or of more than `limit`.

    The block comes in pieces, so that what is large in it, the body, is joined once.
    """
    stream = io.BytesIO(block[0])
    status = _STATUS.match(stream.readline(1000))
    fields = header_fields(lambda: stream.readline(16_384)) if status else {}
    if stream.tell() == len(block[0]) and len(block) > 1:
        return response_of((b"".join(block),), limit=limit)
    if not status:
        return None
    body = b"".join((memoryview(block[0])[stream.tell() :], *block[1:]))
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _joined(body)
    decoded = _decoded(body, fields.get("content-encoding", "").strip().lower(), limit)
    return None if decoded is None else Response(status=int(status[1]), fields=fields, body=decoded)


def _joined(body: bytes) -> bytes:
    """Join the chunks of a body (RFC 9112, section 7.1); one that is not chunked after all is returned as it is."""
    pieces: list[bytes] = []
    at = 0
    while size := _CHUNK_SIZE.match(body, at):
        length = int(size[1], 16)
        if length == 0:
            return b"".join(pieces)
        pieces.append(body[size.end() : size.end() + length])
        at = size.end() + length
        at += 2 if body[at : at + 2] == b"\r\n" else 0
    # Many archives keep the field but store the body joined already.
    return b"".join(pieces) if pieces and at >= len(body) else body


def _decoded(body: bytes, coding: str, limit: int) -> bytes | None:
    if coding in {"", "identity", "utf-8"}:
        return body if len(body) <= limit else None
    if coding in {"gzip", "x-gzip", "deflate"}:
        return _inflated(body, limit)
    return _unbrotlied(body, limit) if coding == "br" else None


def _inflated(body: bytes, limit: int) -> bytes | None:
    for form in (GZIP if body.startswith(b"\x1f\x8b") else ZLIB, RAW):
        member = unpacker(form)
        try:
            plain = member.decompress(body, limit + 1)
        except InflateError:
            continue
        return plain if len(plain) <= limit and member.eof else None
    # Stored decoded, with the field left as it was.
    return body if body.lstrip()[:1] == b"<" and len(body) <= limit else None


def _unbrotlied(body: bytes, limit: int) -> bytes | None:
    unpacker = brotli.Decompressor()
    try:
        plain = bytes(unpacker.process(body, output_buffer_limit=limit + 1))
    except brotli.error:
        return body if body.lstrip()[:1] == b"<" and len(body) <= limit else None
    return plain if len(plain) <= limit and unpacker.is_finished() else None
