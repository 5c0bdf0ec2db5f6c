"""Reads a file, gzipped or not, as one stream of bytes by lines and by lengths, past damaged gzip members."""

from __future__ import annotations

from typing import BinaryIO

from worker.sources.inflating import InflateError, unpacker

_CHUNK = 64 * 1024
_UNPACKED = 256 * 1024
_GZIP = b"\x1f\x8b\x08"
_MAX_LINE = 16 * 1024


class Damage(Exception):
    """A gzip member cannot be unpacked; reading goes on with the next one."""


class ByteStream:
    """A file's content from a byte on, unpacked where it is gzipped, in memory that does not grow with it.

    Every way to read raises Damage, once for each damaged stretch; what the damaged member had given is forgotten.
    """

    def __init__(self, opened: BinaryIO, *, start: int) -> None:
        self._file = opened
        self._raw = opened.read(_CHUNK)
        self._read = start + len(self._raw)
        # Where the gzip member began whose bytes are being given, and how many of them were given.
        self._member, self._given = start, 0
        self._packed = self._raw.startswith(_GZIP)
        self._unpacker = unpacker()
        # What is ready to be given stands from `_at` on: nothing is moved for what was given.
        self._ready, self._at = b"", 0

    def start_of(self, line: bytes) -> int | None:
        """Return the byte of the file at which the line just given begins; None inside a gzip member."""
        if not self._packed:
            return self._read - len(self._raw) - self._left - len(line)
        return self._member if self._given == len(line) else None

    def line(self) -> bytes:
        """Return the next line with its end, of an over-long one a part; empty at the end of the file."""
        while (end := self._ready.find(b"\n", self._at, self._at + _MAX_LINE)) < 0 and self._left < _MAX_LINE:
            piece = self._piece(after_all=self._left == 0)
            if not piece:
                break
            self._ready, self._at = self._ready[self._at :] + piece, 0
        return self._give(_MAX_LINE if end < 0 else end + 1 - self._at)

    def take(self, size: int) -> tuple[bytes, ...]:
        """Return the next bytes, fewer at the end of the file, in the pieces they come in: joining them costs time."""
        pieces, left = [self._give(size)], size
        while (left := left - len(pieces[-1])) > 0:
            self._ready, self._at = self._piece(after_all=left == size), 0
            if not self._ready:
                break
            pieces.append(self._give(left))
        return tuple(pieces)

    def skip(self, size: int) -> int:
        """Pass over bytes and return how many there were."""
        left = size
        while left > 0:
            if self._left == 0:
                self._ready, self._at = self._piece(after_all=True), 0
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

    def _piece(self, *, after_all: bool) -> bytes:
        """Return the next bytes of the content, none at its end; `after_all` where all before them was given."""
        if self._packed:
            return self._unpacked(after_all=after_all)
        piece, self._raw = self._raw or self._more(), b""
        return piece

    def _unpacked(self, *, after_all: bool) -> bytes:
        while self._more_raw():
            if self._unpacker.eof:
                self._unpacker = unpacker()
                if after_all:
                    self._member, self._given = self._read - len(self._raw), 0
            try:
                piece = self._unpacker.decompress(self._raw, _UNPACKED)
            except InflateError as exc:
                self._next_member()
                raise Damage from exc
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
        """Move to where the next gzip member seems to begin, and forget what the damaged one had given."""
        self._ready, self._at = b"", 0
        self._unpacker = unpacker()
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
