"""Reads the pages of a WARC file, filtered early: by host and date before their content is looked at."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import brotli  # type: ignore[import-untyped]

from worker import urls
from worker.dates.parsing import read_date
from worker.dates.periods import TimeWindow
from worker.errors import SourceError
from worker.models import Authority, Candidate, Page
from worker.sources.content import GZIP, RAW, ZLIB, InflateError, decompressor
from worker.sources.entries import one_line
from worker.sources.files.article_files import InputContext, InputProblem
from worker.sources.files.warc_records import WarcRecord, header_fields, iter_records

# Reads the HTTP response that a WARC record holds: status, fields, and the body without its codings.


_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?\s+(\d{3})")
_CHUNK_SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,8})[^\r\n]*\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarcResponse:
    """A stored HTTP response; `body` is as the reader saw it, cut off at the limit it was read with."""

    status: int
    fields: Mapping[str, str]
    body: bytes


def parse_response(block: Sequence[bytes], *, limit: int) -> WarcResponse | None:
    """Read a response; None where the block holds none, or a body in a coding nobody knows or of more than `limit`.

    The block comes in pieces, so that what is large in it, the body, is joined once.
    """
    stream = io.BytesIO(block[0])
    status = _STATUS.match(stream.readline(1000))
    fields = header_fields(lambda: stream.readline(16_384)) if status else {}
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
    return _unbrotli(body, limit) if coding == "br" else None


def _inflated(body: bytes, limit: int) -> bytes | None:
    for form in (GZIP if body.startswith(b"\x1f\x8b") else ZLIB, RAW):
        member = decompressor(form)
        try:
            plain = member.decompress(body, limit + 1)
        except InflateError:
            continue
        return plain if len(plain) <= limit and member.eof else None
    # Stored decoded, with the field left as it was.
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
    "etag",
    "last-modified",
    "date",
    "link",
    "tdm-reservation",
    "x-robots-tag",
)
_HTML_LANGUAGE = re.compile(rb"<html[^>]{0,500}?\blang\s*=\s*[\"']?([a-zA-Z]{2,3})\b", re.IGNORECASE)
# Letters with two marks (U+1EA0 to U+1EF9) in UTF-8: Vietnamese has them in every line, no other language does.
_VIETNAMESE = re.compile(rb"\xe1(?:\xba[\xa0-\xbf]|\xbb[\x80-\xb9])")
_FIRST_BYTE = b"\xe1"
_MIN_VIETNAMESE_LETTERS = 30
_MAX_SCANNED = 200_000
_MAX_PAGES = 50
_MAX_RECORDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WarcFilter:
    """Which pages of an archive to take: of these sites, recorded in this span, in these languages; empty takes all."""

    sites: frozenset[str] = frozenset()
    window: TimeWindow = field(default_factory=TimeWindow)
    languages: frozenset[str] = frozenset()

    def accepts_header(self, fields: Mapping[str, str]) -> bool:
        """Tell from a record's header whether its content is worth reading."""
        if fields.get("warc-type", "").lower() not in _KINDS:
            return False
        recorded = read_date(fields.get("warc-date"), zone=UTC)
        if recorded and not self.window.contains(recorded):
            return False
        return not self.sites or urls.belongs_to(_address(fields), self.sites)

    def accepts_content(self, response: WarcResponse) -> bool:
        """Tell from a page whether it is in a wanted language; one that does not say is taken."""
        return not self.languages or (language := language_of(response)) is None or language in self.languages


def read_warc(
    file: Path, context: InputContext, wanted: WarcFilter | None = None
) -> Iterator[Candidate | InputProblem]:
    """Yield the pages of an archive with their content, their address and the time they were recorded.

    Damaged records are remarked on and the rest goes on; what is no page (pictures, requests, errors) is passed over.
    """
    wanted = wanted or WarcFilter(sites=context.sites)
    for record in iter_records(file, max_bytes=2 * context.max_bytes, wanted=wanted.accepts_header):
        item = _read(record, f"{file}:{record.number}", context, wanted)
        if item is not None:
            yield item


@dataclass(frozen=True, slots=True, kw_only=True)
class WarcPortion:
    """Some records of an archive: the pages in them, problems, how many were left out, and the byte to go on from."""

    candidates: tuple[Candidate, ...]
    problems: tuple[InputProblem, ...]
    rejected: int
    position: int


def read_portions(file: Path, context: InputContext, wanted: WarcFilter, *, start: int = 0) -> Iterator[WarcPortion]:
    """Yield an archive from a byte on in portions of some fifty pages or a thousand records, the last at its end."""
    found: list[Candidate] = []
    problems: list[InputProblem] = []
    records_read, refused = 0, _CountingFilter(wanted)
    for record in iter_records(file, max_bytes=2 * context.max_bytes, wanted=refused.accepts_header, start=start):
        if record.start is not None and (len(found) >= _MAX_PAGES or records_read >= _MAX_RECORDS):
            # This record's own refusal was counted with the portion before: nothing is lost by that but a place.
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
    """Asks whether a record is wanted, and counts the pages that are not."""

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
    # Some writers put the address between angle brackets, as WARC 1.0's grammar has it.
    return fields.get("warc-target-uri", "").strip("<> ")


def language_of(response: WarcResponse) -> str | None:
    """Return the two-letter language a page shows or declares, None where it does neither.

    Vietnamese is told by its letters: templates often declare `en` around it.
    """
    scanned = response.body[:_MAX_SCANNED]
    if _is_vietnamese(scanned):
        return "vi"
    declared = _HTML_LANGUAGE.search(scanned)
    written = declared[1].decode("ascii") if declared else response.fields.get("content-language", "")[:2]
    return written.lower()[:2] or None


def _is_vietnamese(scanned: bytes) -> bool:
    # Most pages have few of the letters' first byte, and looking for one byte takes a tenth of a pattern's time.
    at = -1
    for _ in range(_MIN_VIETNAMESE_LETTERS):
        at = scanned.find(_FIRST_BYTE, at + 1)
        if at < 0:
            return False
    return sum(1 for _ in islice(_VIETNAMESE.finditer(scanned), _MIN_VIETNAMESE_LETTERS)) == _MIN_VIETNAMESE_LETTERS
