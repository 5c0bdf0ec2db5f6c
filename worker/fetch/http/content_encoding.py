"""Decode Content-Encoding (gzip, deflate, br, zstd) in bounded pieces: protection against decompression bombs.

httpx and the libraries below it return whatever one chunk expands to (809 bytes of brotli are a gibibyte). Each
decoder here produces a small piece at a time, and the total is checked after every piece. Sources: RFC 9110, 8.4.1;
RFC 1950 to 1952; RFC 7932; RFC 8878.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

from worker.errors import FetchError

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
MAX_CODINGS = 3  # servers apply one, misconfigured proxies another; memory grows with each of them
PIECE = 64 * 1024  # bytes that a decoder returns at once: small beside every limit, large beside the cost of a call
ZSTD_SLICE = 128  # input bytes; four of them make at most one block of 128 KiB
ZSTD_WINDOW = 8 * 1024 * 1024  # RFC 9659: what a recipient must support, and no more


class Decoder(Protocol):
    """Decodes one content coding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes, in bounded pieces; raises errors of the library."""
        ...

    def complete(self) -> bool:
        """Return whether the encoded stream is complete."""
        ...


class InflateDecoder:
    """gzip, also with several members, and deflate, with or without the zlib wrapper."""

    def __init__(self, wbits: int | None = None) -> None:
        self._wbits = wbits
        self._member: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes, in bounded pieces."""
        while data:
            if self._member is None or self._member.eof:
                if not self._begins_member(data):
                    return
                self._member = zlib.decompressobj(self._wbits or _wrapping(data))
            yield from _drain(self._member, data)
            data = self._member.unused_data

    def complete(self) -> bool:
        """Return whether the last member is complete; no bytes at all are an empty body."""
        return self._member is None or self._member.eof

    def _begins_member(self, data: bytes) -> bool:
        # Bytes after the end that start no new member are padding, which browsers ignore as well.
        return self._member is None or (self._wbits is not None and data[:1] == b"\x1f")


def _drain(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while data:
        yield member.decompress(data, PIECE)
        data = member.unconsumed_tail
    # zlib may have consumed all input and still hold output.
    while not member.eof and (piece := member.decompress(b"", PIECE)):
        yield piece


def _wrapping(data: bytes) -> int:
    """Return the `wbits` for deflate: some servers send it without the zlib header (RFC 1950, 2.2)."""
    wrapped = data[0] & 0x0F == 8 and (len(data) < 2 or (data[0] << 8 | data[1]) % 31 == 0)
    return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


class BrotliDecoder:
    """Brotli."""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes, in bounded pieces."""
        self._started = True
        if self._decompressor.is_finished():
            return
        piece = self._decompressor.process(data, output_buffer_limit=PIECE)
        # The library may still hold output; an empty piece means that it has none left.
        while piece:
            yield piece
            piece = self._decompressor.process(b"", output_buffer_limit=PIECE)

    def complete(self) -> bool:
        """Return whether the stream is complete."""
        return not self._started or bool(self._decompressor.is_finished())


class ZstdDecoder:
    """Zstandard, also with several frames."""

    def __init__(self) -> None:
        self._factory = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes; the library has no output limit, so it gets its input in small slices."""
        for start in range(0, len(data), ZSTD_SLICE):
            piece = data[start : start + ZSTD_SLICE]
            while piece:
                if self._frame is None or self._frame.eof:
                    self._frame = self._factory.decompressobj()
                yield self._frame.decompress(piece)
                piece = self._frame.unused_data if self._frame.eof else b""

    def complete(self) -> bool:
        """Return whether the last frame is complete."""
        return self._frame is None or self._frame.eof


def _decoder(coding: str) -> Decoder:
    makers: dict[str, Callable[[], Decoder]] = {
        "gzip": lambda: InflateDecoder(zlib.MAX_WBITS | 16),
        "x-gzip": lambda: InflateDecoder(zlib.MAX_WBITS | 16),
        "deflate": InflateDecoder,
        "br": BrotliDecoder,
        "zstd": ZstdDecoder,
    }
    maker = makers.get(coding)
    if maker is None:
        raise FetchError(f"content coding {coding[:40]!r} was not requested", reason="encoding", retry=False)
    return maker()


def decoders_for(content_encoding: str) -> list[Decoder]:
    """Return the decoders for a Content-Encoding header, the last coding first; raises FetchError (`encoding`)."""
    codings = [coding.strip().lower() for coding in content_encoding.split(",")]
    wanted = [coding for coding in codings if coding not in {"", "identity", "none"}]
    if len(wanted) > MAX_CODINGS:
        raise FetchError(f"{len(wanted)} nested content codings", reason="encoding", retry=False)
    return [_decoder(coding) for coding in reversed(wanted)]


def size_error(limit: int) -> FetchError:
    """Return the FetchError (`size`) for a body over the limit."""
    message = f"the body is larger than {limit:,} bytes; fetch.max_bytes sets the limit"
    return FetchError(message, reason="size", retry=False)


class BodyDecoder:
    """Decodes a body while it is received, and raises as soon as it exceeds `max_bytes`, encoded or decoded.

    With `truncate` the first `max_bytes` are kept instead, and `full` is set once there are that many.
    """

    def __init__(self, content_encoding: str, *, max_bytes: int, truncate: bool = False) -> None:
        self._decoders = decoders_for(content_encoding)
        self._limit = max_bytes
        self._truncate = truncate
        self.full = False
        self._sizes = [0] * (len(self._decoders) + 1)
        # BytesIO returns its own buffer: joining a list would hold the body twice.
        self._buffer = io.BytesIO()

    def feed(self, chunk: bytes) -> None:
        """Add received bytes; raises FetchError (`size`, `encoding`)."""
        try:
            self._push(chunk, 0)
        except (zlib.error, brotli.error, zstandard.ZstdError) as exc:
            message = f"the body cannot be decoded by its content coding ({exc})"
            raise FetchError(message, reason="encoding", retry=True) from exc

    def finish(self) -> bytes:
        """Return the decoded body; raises FetchError (`truncated`) if an encoded stream is incomplete."""
        if not self.full and not all(decoder.complete() for decoder in self._decoders):
            raise FetchError("the compressed body is incomplete", reason="truncated", retry=True)
        return self._buffer.getvalue()

    def _push(self, data: bytes, stage: int) -> None:
        """Pass bytes through the decoders from `stage` on; the last stage is the buffer. Each stage has the limit.

        That of a truncated body as well: what unpacks to nothing would else be decoded for minutes in one piece.
        """
        room = self._limit - self._sizes[stage]
        is_over = len(data) > room
        if is_over and not self._truncate:
            raise size_error(self._limit)
        data = data[:room] if is_over else data
        self._sizes[stage] += len(data)
        if stage == len(self._decoders):
            self._buffer.write(data)
        else:
            for piece in self._decoders[stage].feed(data):
                if self.full:
                    return
                self._push(piece, stage + 1)
        self.full = self.full or is_over
