"""Stream the records of a WARC file (ISO 28500) or of an ARC file, its predecessor.

`iter_records` skips damaged records and gzip members and continues after them. Memory use is bounded by the largest
record that the caller wants. `ByteStream` below it reads a plain or gzipped file by lines and lengths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from worker.charset import decode_plain
from worker.files.reading import open_regular
from worker.models.base import dataclass
from worker.sources.content import InflateError, decompressor

# Buffer sizes in bytes, chosen for few system calls and little memory (throughput: docs/discovery.md).
_CHUNK = 64 * 1024  # read from the file at a time
_UNPACKED = 256 * 1024  # inflated at a time
_GZIP = b"\x1f\x8b\x08"
_MAX_LINE = 16 * 1024  # a header line is longer only in damaged files


class GzipDamage(Exception):
    """A gzip member cannot be inflated. The stream is already positioned at the next member."""


class ByteStream:
    """The content of a file from byte `start` on, inflated if it is gzipped, in bounded memory.

    All reading methods raise GzipDamage once for each damaged part of the file. Unread content of the damaged member is
    discarded.
    """

    def __init__(self, opened: BinaryIO, *, start: int) -> None:
        self._file = opened
        self._raw = opened.read(_CHUNK)
        self._read = start + len(self._raw)
        # Where the current gzip member begins in the file, and how many inflated bytes of it were returned.
        self._member, self._given = start, 0
        self._packed = self._raw.startswith(_GZIP)
        self._unpacker = decompressor()
        # The buffer of content. The unread part begins at `_at`, so that reading does not copy the rest.
        self._ready, self._at = b"", 0

    def start_of(self, line: bytes) -> int | None:
        """Return the offset in the file of the line just read; None if it is in the middle of a gzip member."""
        if not self._packed:
            return self._read - len(self._raw) - self._left - len(line)
        return self._member if self._given == len(line) else None

    def read_line(self) -> bytes:
        """Return the next line with its line end, at most 16 kB of it; b"" at the end of the file."""
        while (end := self._ready.find(b"\n", self._at, self._at + _MAX_LINE)) < 0 and self._left < _MAX_LINE:
            piece = self._piece(all_given=self._left == 0)
            if not piece:
                break
            self._ready, self._at = self._ready[self._at :] + piece, 0
        return self._give(_MAX_LINE if end < 0 else end + 1 - self._at)

    def read(self, size: int) -> tuple[bytes, ...]:
        """Return the next `size` bytes, fewer at the end of the file, as pieces (joining them would cost time)."""
        pieces, left = [self._give(size)], size
        while (left := left - len(pieces[-1])) > 0:
            self._ready, self._at = self._piece(all_given=left == size), 0
            if not self._ready:
                break
            pieces.append(self._give(left))
        return tuple(pieces)

    def skip(self, size: int) -> int:
        """Skip `size` bytes and return how many there were."""
        left = size
        while left > 0:
            if self._left == 0:
                self._ready, self._at = self._piece(all_given=True), 0
                if not self._ready:
                    break
            passed = min(left, self._left)
            self._at += passed
            self._given += passed
            left -= passed
        return size - left

    @property
    def _left(self) -> int:
        return len(self._ready) - self._at

    def _give(self, size: int) -> bytes:
        piece = self._ready[self._at : self._at + size]
        self._at += len(piece)
        self._given += len(piece)
        return piece

    def _piece(self, *, all_given: bool) -> bytes:
        """Return the next bytes of content, b"" at the end; `all_given` if the buffer was read completely."""
        if self._packed:
            return self._unpacked(all_given=all_given)
        piece, self._raw = self._raw or self._more(), b""
        return piece

    def _unpacked(self, *, all_given: bool) -> bytes:
        while self._more_raw():
            if self._unpacker.eof:
                self._unpacker = decompressor()
                if all_given:
                    self._member, self._given = self._read - len(self._raw), 0
            try:
                piece = self._unpacker.decompress(self._raw, _UNPACKED)
            except InflateError as exc:
                self._next_member()
                raise GzipDamage from exc
            self._raw = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            if piece:
                return piece
        return b""

    def _more_raw(self) -> bool:
        self._raw = self._raw or self._more()
        return bool(self._raw)

    def _more(self) -> bytes:
        piece = self._file.read(_CHUNK)
        self._read += len(piece)
        return piece

    def _next_member(self) -> None:
        """Move to the next occurrence of a gzip header and discard the buffered content."""
        self._ready, self._at = b"", 0
        self._unpacker = decompressor()
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


_MAX_HEADERS = 200  # header fields a record; real ones have about ten
# A record's first line. In a plain file, leftovers of a damaged record may come before it without a line end between.
_WARC = re.compile(rb"\AWARC/|WARC/\d\.\d{1,2}\s*\Z")
# The header line of an ARC record: URL (which may contain spaces), IP address, time, content type and length.
_ARC = re.compile(rb"(?>(\S.*?) [0-9a-fA-F.:]{2,45} (\d{14}) )(\S+)(?: .*)? (\d{1,12})\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarcRecord:
    """One record of a WARC or ARC file.

    `number` counts from 1 at the start of reading. `fields` has lower-case names. `block` is the content as pieces, or
    None if it was not wanted or too large. `damaged`: the record is incomplete. `start` is its offset in the file, or
    None if reading cannot start there because it is in the middle of a gzip member.
    """

    number: int
    fields: Mapping[str, str]
    block: tuple[bytes, ...] | None = None
    damaged: bool = False
    start: int | None = None


def iter_records(
    file: Path, *, max_bytes: int, wanted: Callable[[Mapping[str, str]], bool], start: int = 0
) -> Iterator[WarcRecord]:
    """Yield every record of a file from byte `start` on.

    The block is read only if `wanted` accepts the header fields and the content has at most `max_bytes` bytes. A
    damaged part of the file gives one damaged record. Raises OSError if the file cannot be read.
    """
    with open_regular(file) as opened:
        opened.seek(start)
        stream = ByteStream(opened, start=start)
        number, lost = 0, False
        while True:
            try:
                line = stream.read_line()
                if not line:
                    return
                before, head = _head(line, stream)
                if before.strip() and not lost:
                    # No record begins here: it is damaged, or the length of the previous record is wrong.
                    number, lost = number + 1, True
                    yield WarcRecord(number=number, fields={}, damaged=True)
                if head is not None:
                    number, lost = number + 1, False
                    yield _whole(replace(head, number=number), stream, max_bytes, wanted)
            except GzipDamage:
                number, lost = number + 1, False
                yield WarcRecord(number=number, fields={}, damaged=True)


def _head(line: bytes, stream: ByteStream) -> tuple[bytes, WarcRecord | None]:
    """Return what a line contains before a record, and the record that begins in it, without its block."""
    if warc := _WARC.search(line):
        begins = stream.start_of(line[warc.start() :])
        return line[: warc.start()], WarcRecord(number=0, start=begins, fields=header_fields(stream.read_line))
    if arc := _ARC.fullmatch(line):
        return b"", WarcRecord(number=0, start=stream.start_of(line), fields=_arc_fields(arc))
    return line, None


def _arc_fields(line: re.Match[bytes]) -> dict[str, str]:
    """Return the header line of an ARC record as the header fields of a WARC record."""
    url, moment, kind, length = (decode_plain(part) for part in line.groups())
    day, time = f"{moment[:4]}-{moment[4:6]}-{moment[6:8]}", f"{moment[8:10]}:{moment[10:12]}:{moment[12:14]}"
    return {
        "warc-type": "response" if url.startswith(("http://", "https://")) else "warcinfo",
        "warc-target-uri": url,
        "warc-date": f"{day}T{time}Z",
        "content-type": kind,
        "content-length": length,
    }


def _whole(
    head: WarcRecord, stream: ByteStream, max_bytes: int, wanted: Callable[[Mapping[str, str]], bool]
) -> WarcRecord:
    """Return a record with its block if that is wanted; otherwise skip the block."""
    length = head.fields.get("content-length", "")
    if not length.isascii() or not length.isdecimal():
        return replace(head, damaged=True)
    size = int(length)
    if size > max_bytes or not wanted(head.fields):
        return head if stream.skip(size) == size else replace(head, damaged=True)
    block = stream.read(size)
    return replace(head, block=block, damaged=sum(map(len, block)) < size)


def header_fields(next_line: Callable[[], bytes]) -> dict[str, str]:
    """Read header fields up to the empty line. Names become lower-case; of a repeated field the first value counts."""
    fields: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        line = next_line()
        if not line.strip():
            break
        name, colon, value = decode_plain(line).partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields
