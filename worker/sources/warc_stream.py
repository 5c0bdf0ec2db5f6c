"""Streams the records of a WARC file (ISO 28500), or of an ARC file, its forerunner, past damage, in bounded memory."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

_CHUNK = 64 * 1024
_UNPACKED = 256 * 1024
_GZIP = b"\x1f\x8b\x08"
_MAX_LINE = 16 * 1024
_MAX_HEADERS = 200
# An ARC record is headed by its address, which may hold blanks, the server's, the time, the content's type and length.
_ARC = re.compile(rb"(\S.*) [0-9a-fA-F.:]{2,45} (\d{14}) (\S+)(?: .*)? (\d{1,12})\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record: its number since reading began, its header fields (names in lower case), and its block.

    `block` is None where nobody wanted it or it was too large; `damaged` where the file ends or breaks inside it.
    `start` is the byte of the file it begins at, None where reading cannot begin there (inside a gzip member).
    """

    number: int
    fields: Mapping[str, str]
    block: bytes | None = None
    damaged: bool = False
    start: int | None = None


class _Damage(Exception):
    """A gzip member cannot be unpacked; reading goes on with the next one."""


def records(
    file: Path, *, max_bytes: int, wanted: Callable[[Mapping[str, str]], bool], start: int = 0
) -> Iterator[Record]:
    """Yield every record from a byte on; only of those whose header is `wanted` and that fit the block is kept."""
    with file.open("rb") as opened:
        opened.seek(start)
        stream = _Stream(opened, start=start)
        number, lost = 0, False
        while True:
            try:
                line = stream.line()
                if not line:
                    return
                if line.startswith(b"WARC/"):
                    number, lost, begins = number + 1, False, stream.start_of(line)
                    fields = header_fields(stream.line)
                    yield replace(_record(stream, number, fields, max_bytes, wanted), start=begins)
                elif arc := _ARC.fullmatch(line):
                    number, lost, begins = number + 1, False, stream.start_of(line)
                    yield replace(_record(stream, number, _arc_fields(arc), max_bytes, wanted), start=begins)
                elif line.strip() and not lost:
                    # Not where a record should begin: one is damaged, or the last one's length was a lie.
                    number, lost = number + 1, True
                    yield Record(number=number, fields={}, damaged=True)
            except _Damage:
                number, lost = number + 1, False
                yield Record(number=number, fields={}, damaged=True)


def _arc_fields(line: re.Match[bytes]) -> dict[str, str]:
    """Return the one line that heads a record of an ARC file as the fields of a WARC record."""
    url, moment, kind, length = (part.decode("utf-8", "replace") for part in line.groups())
    day, time = f"{moment[:4]}-{moment[4:6]}-{moment[6:8]}", f"{moment[8:10]}:{moment[10:12]}:{moment[12:14]}"
    return {
        "warc-type": "response" if url.startswith(("http://", "https://")) else "warcinfo",
        "warc-target-uri": url,
        "warc-date": f"{day}T{time}Z",
        "content-type": kind,
        "content-length": length,
    }


def _record(
    stream: _Stream,
    number: int,
    fields: Mapping[str, str],
    max_bytes: int,
    wanted: Callable[[Mapping[str, str]], bool],
) -> Record:
    length = fields.get("content-length", "")
    if not length.isascii() or not length.isdecimal():
        return Record(number=number, fields=fields, damaged=True)
    size = int(length)
    if size > max_bytes or not wanted(fields):
        return Record(number=number, fields=fields, damaged=stream.skip(size) < size)
    block = stream.take(size)
    return Record(number=number, fields=fields, block=block, damaged=len(block) < size)


def header_fields(next_line: Callable[[], bytes]) -> dict[str, str]:
    """Read header fields up to the empty line; of a repeated one the first counts."""
    fields: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        line = next_line()
        if not line.strip():
            break
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


class _Stream:
    """The file's content as one stream of bytes, unpacked where it is gzipped."""

    def __init__(self, opened: BinaryIO, *, start: int) -> None:
        self._file = opened
        self._raw = opened.read(_CHUNK)
        self._read = start + len(self._raw)
        # Where the gzip member began whose bytes are being given, and how many of them were given.
        self._member, self._given = start, 0
        self._packed = self._raw.startswith(_GZIP)
        self._unpacker = self._new()
        self._ready = bytearray()

    def start_of(self, line: bytes) -> int | None:
        """Return the byte of the file at which the line just given begins; None inside a gzip member."""
        if not self._packed:
            return self._read - len(self._raw) - len(self._ready) - len(line)
        return self._member if self._given == len(line) else None

    def line(self) -> bytes:
        """Return the next line with its end, of an over-long one a part; empty at the end of the file."""
        while (end := self._ready.find(b"\n")) < 0 and len(self._ready) < _MAX_LINE and self._fill():
            pass
        return self._cut(min(end + 1 if end >= 0 else len(self._ready), _MAX_LINE))

    def take(self, size: int) -> bytes:
        """Return the next bytes, fewer at the end of the file."""
        while len(self._ready) < size and self._fill():
            pass
        return self._cut(size)

    def skip(self, size: int) -> int:
        """Pass over bytes and return how many there were."""
        left = size
        while left > 0:
            if not self._ready and not self._fill():
                break
            left -= len(self._cut(left))
        return size - left

    def _cut(self, size: int) -> bytes:
        with memoryview(self._ready) as ready:
            piece = bytes(ready[:size])
        del self._ready[:size]
        self._given += len(piece)
        return piece

    def _fill(self) -> bool:
        """Make more bytes ready; False at the end. Raises _Damage, once for each damaged stretch."""
        if not self._packed:
            piece, self._raw = self._raw or self._more(), b""
            self._ready += piece
            return bool(piece)
        return self._unpack()

    def _unpack(self) -> bool:
        while self._more_raw():
            if self._unpacker.eof:
                self._unpacker = self._new()
                if not self._ready:
                    self._member, self._given = self._read - len(self._raw), 0
            try:
                piece = self._unpacker.decompress(self._raw, _UNPACKED)
            except zlib.error as exc:
                self._next_member()
                raise _Damage from exc
            self._raw = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            if piece:
                self._ready += piece
                return True
        return False

    def _more_raw(self) -> bool:
        self._raw = self._raw or self._more()
        return bool(self._raw)

    def _more(self) -> bytes:
        piece = self._file.read(_CHUNK)
        self._read += len(piece)
        return piece

    def _next_member(self) -> None:
        """Move to where the next gzip member seems to begin, and forget what the damaged one had given."""
        self._ready.clear()
        self._unpacker = self._new()
        self._raw = self._raw[1:]
        while True:
            at = self._raw.find(_GZIP)
            if at >= 0:
                self._raw = self._raw[at:]
                self._member, self._given = self._read - len(self._raw), 0
                return
            more = self._more()
            if not more:
                self._raw = b""
                return
            self._raw = self._raw[-2:] + more

    @staticmethod
    def _new() -> zlib._Decompress:
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
