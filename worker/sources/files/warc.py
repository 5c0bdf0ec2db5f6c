"""Read the web pages of WARC and ARC files.

`read_warc` yields all pages of a file for `ingest`; `read_portions` yields them with the position to resume from, for
`backfill`. A `WarcFilter` selects pages by site and date from the record header, before the content is read, and by
language afterwards.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import brotli  # type: ignore[import-untyped]

from worker import urls
from worker.dates.parsing import read_date
from worker.dates.periods import TimeWindow
from worker.errors import SourceError
from worker.models import Authority, Candidate, Page
from worker.models.base import dataclass
from worker.sources.content import GZIP, RAW, ZLIB, InflateError, decompressor
from worker.sources.entries import one_line
from worker.sources.files.article_files import InputContext, InputProblem
from worker.sources.files.warc_records import WarcRecord, header_fields, iter_records

# The HTTP response in a record.

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?\s+(\d{3})")
_CHUNK_SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,8})[^\r\n]*\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarcResponse:
    """A stored HTTP response; `body` has no transfer or content coding any more."""

    status: int
    fields: Mapping[str, str]
    body: bytes


def parse_response(block: Sequence[bytes], *, limit: int) -> WarcResponse | None:
    """Return the HTTP response in a record's block, given as pieces.

    None if the block contains no response, if the body has an unknown or damaged coding, or more than `limit` bytes.
    """
    stream = io.BytesIO(block[0])
    status = _STATUS.match(stream.readline(1000))
    fields = header_fields(lambda: stream.readline(16_384)) if status else {}
    # The header may extend beyond the first piece. That is rare, so then all pieces are joined.
    if stream.tell() == len(block[0]) and len(block) > 1:
        return parse_response((b"".join(block),), limit=limit)
    if not status:
        return None
    body = b"".join((memoryview(block[0])[stream.tell() :], *block[1:]))
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _dechunked(body)
    decoded = _decoded(body, fields.get("content-encoding", "").strip().lower(), limit)
    return None if decoded is None else WarcResponse(status=int(status[1]), fields=fields, body=decoded)


def _dechunked(body: bytes) -> bytes:
    """Return a body without chunked transfer coding (RFC 9112, section 7.1), unchanged if it is not chunked."""
    pieces: list[bytes] = []
    at = 0
    while size := _CHUNK_SIZE.match(body, at):
        length = int(size[1], 16)
        if length == 0:
            return b"".join(pieces)
        pieces.append(body[size.end() : size.end() + length])
        at = size.end() + length
        at += 2 if body[at : at + 2] == b"\r\n" else 0
    # Many archives keep the header field but store the decoded body.
    return b"".join(pieces) if pieces and at >= len(body) else body


def _decoded(body: bytes, coding: str, limit: int) -> bytes | None:
    if coding in {"", "identity", "utf-8"}:
        return body if len(body) <= limit else None
    if coding in {"gzip", "x-gzip", "deflate"}:
        return _inflated(body, limit)
    return _unbrotli(body, limit) if coding == "br" else None


def _inflated(body: bytes, limit: int) -> bytes | None:
    for form in (GZIP if body.startswith(b"\x1f\x8b") else ZLIB, RAW):
        member = decompressor(form)
        try:
            plain = member.decompress(body, limit + 1)
        except InflateError:
            continue
        return plain if len(plain) <= limit and member.eof else None
    # The same with Content-Encoding: the body is plain HTML already.
    return body if body.lstrip()[:1] == b"<" and len(body) <= limit else None


def _unbrotli(body: bytes, limit: int) -> bytes | None:
    unpacker = brotli.Decompressor()
    try:
        plain = bytes(unpacker.process(body, output_buffer_limit=limit + 1))
    except brotli.error:
        return body if body.lstrip()[:1] == b"<" and len(body) <= limit else None
    return plain if len(plain) <= limit and unpacker.is_finished() else None


_KINDS = frozenset({"response", "resource"})
_PAGE_TYPES = ("text/html", "application/xhtml")
_KEPT_FIELDS = (
    "content-type",
    "content-language",
    "content-signal",
    "content-usage",
    "etag",
    "last-modified",
    "date",
    "link",
    "tdm-reservation",
    "x-robots-tag",
)
_HTML_LANGUAGE = re.compile(rb"<html[^>]{0,500}?\blang\s*=\s*[\"']?([a-zA-Z]{2,3})\b", re.IGNORECASE)
# U+1EA0 to U+1EF9 in UTF-8: letters that every line of Vietnamese contains and other languages hardly use.
_VIETNAMESE = re.compile(rb"\xe1(?:\xba[\xa0-\xbf]|\xbb[\x80-\xb9])")
_FIRST_BYTE = b"\xe1"
_MIN_VIETNAMESE_LETTERS = 30  # a page in another language that quotes some Vietnamese has fewer; chosen, not measured
_MAX_SCANNED = 200_000  # bytes of a page searched for its language; bounds the time for large pages
# Size of a portion, after which the position is saved: small enough to lose little work, large enough to save rarely.
_MAX_PAGES = 50
_MAX_RECORDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WarcFilter:
    """Which pages of an archive are wanted, by site, time of recording and two-letter language; empty means all."""

    sites: frozenset[str] = frozenset()
    window: TimeWindow = field(default_factory=TimeWindow)
    languages: frozenset[str] = frozenset()

    def accepts_header(self, fields: Mapping[str, str]) -> bool:
        """Return whether a record is wanted as far as its header fields show."""
        if fields.get("warc-type", "").lower() not in _KINDS:
            return False
        recorded = read_date(fields.get("warc-date"), zone=UTC)
        if recorded and not self.window.contains(recorded):
            return False
        return not self.sites or urls.belongs_to(_address(fields), self.sites)

    def accepts_content(self, response: WarcResponse) -> bool:
        """Return whether a page is in a wanted language; a page of unknown language is."""
        return not self.languages or (language := language_of(response)) is None or language in self.languages


def read_warc(
    file: Path, context: InputContext, wanted: WarcFilter | None = None
) -> Iterator[Candidate | InputProblem]:
    """Yield the pages of an archive as candidates with content and time of recording.

    A damaged record gives an `InputProblem`. Records that are no pages (images, requests, errors) are skipped.
    """
    wanted = wanted or WarcFilter(sites=context.sites)
    for record in iter_records(file, max_bytes=2 * context.max_bytes, wanted=wanted.accepts_header):
        item = _read(record, f"{file}:{record.number}", context, wanted)
        if item is not None:
            yield item


@dataclass(frozen=True, slots=True, kw_only=True)
class WarcPortion:
    """Some records of an archive.

    `rejected`: the number of pages that the filter refused. `position`: the offset in the file to resume from.
    """

    candidates: tuple[Candidate, ...]
    problems: tuple[InputProblem, ...]
    rejected: int
    position: int


def read_portions(file: Path, context: InputContext, wanted: WarcFilter, *, start: int = 0) -> Iterator[WarcPortion]:
    """Yield an archive from byte `start` on, in portions of about fifty pages or a thousand records."""
    found: list[Candidate] = []
    problems: list[InputProblem] = []
    records_read, refused = 0, _CountingFilter(wanted)
    for record in iter_records(file, max_bytes=2 * context.max_bytes, wanted=refused.accepts_header, start=start):
        if record.start is not None and (len(found) >= _MAX_PAGES or records_read >= _MAX_RECORDS):
            # If the filter refused this record, it is counted in the previous portion. The sum is right.
            yield WarcPortion(
                candidates=tuple(found), problems=tuple(problems), rejected=refused.take_count(), position=record.start
            )
            found, problems, records_read = [], [], 0
        records_read += 1
        where = f"{file}@{record.start if record.start is not None else f'record {record.number}'}"
        item = _read(record, where, context, wanted)
        if isinstance(item, Candidate):
            found.append(item)
        elif item is not None:
            problems.append(item)
    end = file.stat().st_size
    yield WarcPortion(candidates=tuple(found), problems=tuple(problems), rejected=refused.take_count(), position=end)


@dataclass(slots=True)
class _CountingFilter:
    """A filter of record headers that counts the refused pages."""

    wanted: WarcFilter
    count: int = 0

    def accepts_header(self, fields: Mapping[str, str]) -> bool:
        wanted = self.wanted.accepts_header(fields)
        self.count += not wanted and fields.get("warc-type", "").lower() in _KINDS
        return wanted

    def take_count(self) -> int:
        count, self.count = self.count, 0
        return count


def _read(record: WarcRecord, where: str, context: InputContext, wanted: WarcFilter) -> Candidate | InputProblem | None:
    """Return the page in a record, a problem, or None if the record is no wanted page."""
    if record.damaged:
        return InputProblem(where=where, why="the record is damaged and was skipped")
    if record.block is None:
        return None
    response = _response(record, record.block, context.max_bytes)
    if response is None:
        return InputProblem(
            where=where, why=f"the record's content cannot be unpacked within {context.max_bytes:,} bytes"
        )
    if response.status != 200 or not _is_page(response) or not wanted.accepts_content(response):
        return None
    return _candidate(record, response, where, context)


def _candidate(
    record: WarcRecord, response: WarcResponse, where: str, context: InputContext
) -> Candidate | InputProblem:
    """Return the page of a response; its authority is the publisher, because the archive recorded it there."""
    try:
        url = urls.resolve(_address(record.fields))
        key = urls.canonicalise(url)
    except SourceError as exc:
        return InputProblem(where=where, why=str(exc))
    recorded = read_date(record.fields.get("warc-date"), zone=UTC)
    page = _page(url, response, recorded or context.now)
    return Candidate(
        url=url,
        canonical_url=key,
        source=context.source,
        reference=where,
        authority=Authority.PUBLISHER,
        payload=page,
    )


def _response(record: WarcRecord, block: Sequence[bytes], limit: int) -> WarcResponse | None:
    if record.fields.get("warc-type", "").lower() == "resource":
        kind = record.fields.get("content-type", "")
        body = b"".join(block)
        return WarcResponse(status=200, fields={"content-type": kind}, body=body) if len(body) <= limit else None
    return parse_response(block, limit=limit)


def _page(url: str, response: WarcResponse, recorded: datetime) -> Page:
    return Page(
        url=url,
        final_url=url,
        status=response.status,
        body=response.body,
        fetched_at=recorded,
        content_type=response.fields.get("content-type"),
        headers={name: one_line(response.fields[name]) for name in _KEPT_FIELDS if name in response.fields},
    )


def _is_page(response: WarcResponse) -> bool:
    return bool(response.body) and response.fields.get("content-type", "text/html").lower().startswith(_PAGE_TYPES)


def _address(fields: Mapping[str, str]) -> str:
    # Some programs write the URL in angle brackets, as the grammar of WARC 1.0 has it.
    return fields.get("warc-target-uri", "").strip("<> ")


def language_of(response: WarcResponse) -> str | None:
    """Return the two-letter language of a page, or None if it is unknown.

    Vietnamese is recognised by its letters, because its pages often declare `en`; other languages as declared.
    """
    scanned = response.body[:_MAX_SCANNED]
    if _is_vietnamese(scanned):
        return "vi"
    declared = _HTML_LANGUAGE.search(scanned)
    written = declared[1].decode("ascii") if declared else response.fields.get("content-language", "")[:2]
    return written.lower()[:2] or None


def _is_vietnamese(scanned: bytes) -> bool:
    # In most pages the first byte of these letters is rare, and finding a byte is ten times faster than a pattern.
    at = -1
    for _ in range(_MIN_VIETNAMESE_LETTERS):
        at = scanned.find(_FIRST_BYTE, at + 1)
        if at < 0:
            return False
    return sum(1 for _ in islice(_VIETNAMESE.finditer(scanned), _MIN_VIETNAMESE_LETTERS)) == _MIN_VIETNAMESE_LETTERS
