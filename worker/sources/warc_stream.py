"""Streams the records of a WARC file (ISO 28500), or of an ARC file, its forerunner, past damage, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from worker.charset import as_written
from worker.inputs import open_ordinary
from worker.sources.byte_stream import ByteStream, Damage

_MAX_HEADERS = 200
# A record's first line. In a plain file, leftovers of a damaged record may come before it without a line end between.
_WARC = re.compile(rb"\AWARC/|WARC/\d\.\d{1,2}\s*\Z")
# An ARC record is headed by its address, which may hold blanks, the server's, the time, the content's type and length.
_ARC = re.compile(rb"(?>(\S.*?) [0-9a-fA-F.:]{2,45} (\d{14}) )(\S+)(?: .*)? (\d{1,12})\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record: its number since reading began, its header fields (names in lower case), and its block.

    `block` comes in pieces, and is None where nobody wanted it or it was too large; `damaged` where the file ends or
    breaks inside it. `start` is the byte of the file it begins at, None where reading cannot begin there (inside a
    gzip member).
    """

    number: int
    fields: Mapping[str, str]
    block: tuple[bytes, ...] | None = None
    damaged: bool = False
    start: int | None = None


def records(
    file: Path, *, max_bytes: int, wanted: Callable[[Mapping[str, str]], bool], start: int = 0
) -> Iterator[Record]:
    """Yield every record from a byte on; only of those whose header is `wanted` and that fit the block is kept."""
    with open_ordinary(file) as opened:
        opened.seek(start)
        stream = ByteStream(opened, start=start)
        number, lost = 0, False
        while True:
            try:
                line = stream.line()
                if not line:
                    return
                before, head = _head(line, stream)
                if before.strip() and not lost:
                    # Not where a record should begin: one is damaged, or the last one's length was a lie.
                    number, lost = number + 1, True
                    yield Record(number=number, fields={}, damaged=True)
                if head is not None:
                    number, lost = number + 1, False
                    yield _whole(replace(head, number=number), stream, max_bytes, wanted)
            except Damage:
                number, lost = number + 1, False
                yield Record(number=number, fields={}, damaged=True)


def _head(line: bytes, stream: ByteStream) -> tuple[bytes, Record | None]:
    """Return the record that begins in a line, still without its block, and what the line holds before it."""
    if warc := _WARC.search(line):
        begins = stream.start_of(line[warc.start() :])
        return line[: warc.start()], Record(number=0, start=begins, fields=header_fields(stream.line))
    if arc := _ARC.fullmatch(line):
        return b"", Record(number=0, start=stream.start_of(line), fields=_arc_fields(arc))
    return line, None


def _arc_fields(line: re.Match[bytes]) -> dict[str, str]:
    """Return the one line that heads a record of an ARC file as the fields of a WARC record."""
    url, moment, kind, length = (as_written(part) for part in line.groups())
    day, time = f"{moment[:4]}-{moment[4:6]}-{moment[6:8]}", f"{moment[8:10]}:{moment[10:12]}:{moment[12:14]}"
    return {
        "warc-type": "response" if url.startswith(("http://", "https://")) else "warcinfo",
        "warc-target-uri": url,
        "warc-date": f"{day}T{time}Z",
        "content-type": kind,
        "content-length": length,
    }


def _whole(head: Record, stream: ByteStream, max_bytes: int, wanted: Callable[[Mapping[str, str]], bool]) -> Record:
    """Return a record with its block where that is wanted, after passing over it where it is not."""
    length = head.fields.get("content-length", "")
    if not length.isascii() or not length.isdecimal():
        return replace(head, damaged=True)
    size = int(length)
    if size > max_bytes or not wanted(head.fields):
        return head if stream.skip(size) == size else replace(head, damaged=True)
    block = stream.take(size)
    return replace(head, block=block, damaged=sum(map(len, block)) < size)


def header_fields(next_line: Callable[[], bytes]) -> dict[str, str]:
    """Read header fields up to the empty line; of a repeated one the first counts."""
    fields: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        line = next_line()
        if not line.strip():
            break
        name, colon, value = as_written(line).partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields
