"""Reads rows of JSON, the lines of a file or the elements of an array, and the articles in them for `ingest`.

`json_rows` and `read_members` are for all who read JSON: `ingest`, the seeds and `dedupe`.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Final

from worker import urls
from worker.charset import decode, is_text, nearly_utf8, read_json
from worker.charset.characters import read_utf8
from worker.dates.parsing import date_text, plausible_date, read_date
from worker.errors import SourceError
from worker.models import ORIGIN_FIELDS, Authority, Candidate, Text
from worker.models.base import counted
from worker.sources.entries import clean_title, named_value, one_line
from worker.sources.files.article_files import (
    InputContext,
    InputProblem,
    numbered_lines,
    opened_lines,
    page_candidate,
    plain_paragraphs,
)

MAX_TRIED: Final = 100
"""After so many rows without a text at the beginning, a file is given up. Chosen, not measured."""
_BETWEEN: Final = re.compile(r"[\s,]*")  # what separates the elements of an array; matches everywhere
_ARRAY: Final = re.compile(rb"\[\s*+(?:[{\]]|$)")  # of objects, as a file may be one; of others, it is a row
_HEAD: Final = 64_000  # bytes, or characters, of JSON that are read at a time. Chosen, not measured


def json_rows(opened: io.BufferedReader, longest: int, *, may_be_one: bool = False) -> Iterator[tuple[str, int, bytes]]:
    """Yield the lines with content, or the elements of an array, each with `line` or `element` and its number.

    Of a row longer than `longest` bytes there are only the first `longest + 1`. With `may_be_one` the file may be a
    single object on several lines. Raises SourceError where an array is damaged.
    """
    start = opened.peek(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    head, newline, _ = start.partition(b"\n")
    if _ARRAY.match(start):
        with io.TextIOWrapper(opened, "utf-8-sig", errors="replace", newline="") as text:
            yield from (("element", number, value) for number, value in enumerate(_array_elements(text, longest), 1))
    elif may_be_one and newline and not _is_json(head):
        yield "line", 1, opened.read(longest + 1)
    else:
        lines = numbered_lines(opened, longest)
        yield from (("line", number, line) for number, line in lines if line.strip())


def _array_elements(text: io.TextIOWrapper, longest: int) -> Iterator[bytes]:
    """Yield the elements of an array of any length; raises SourceError where it is damaged."""
    decoder, count = json.JSONDecoder(strict=False), 0
    buffer = text.read(_HEAD)
    at = buffer.index("[") + 1
    while not buffer.startswith("]", at := next(_BETWEEN.finditer(buffer, at)).end()):
        try:
            _, end = decoder.raw_decode(buffer, at)
        except (ValueError, RecursionError):
            left = len(buffer) - at
            more = text.read(max(_HEAD, left)) if left <= longest else ""
            if not more:
                why = f"the JSON array is damaged or cut off after {counted(count, 'element')}; the rest was not read"
                raise SourceError(why) from None
            buffer, at = buffer[at:] + more, 0
        else:
            yield buffer[at:end].encode("utf-8", "replace")
            at, count = end, count + 1
    if buffer[at + 1 :].strip() or text.read(_HEAD).strip():
        raise SourceError(
            f"the JSON array ends after {counted(count, 'element')}, and what comes behind it was not read"
        )


def _is_json(line: bytes) -> bool:
    try:
        read_json(line)
    except (ValueError, RecursionError):
        return False
    return True


def read_members(row: bytes, longest: int) -> tuple[dict[str, object], str]:
    """Return the object in a row, and what was wrong with it all the same; raises SourceError if there is none."""
    if len(row) > longest:
        raise SourceError(f"the row is longer than {longest:,} bytes; split it")
    text, wrong = _as_utf8(row)
    try:
        members = read_json(text)
    except RecursionError as exc:
        raise SourceError("the line is not valid JSON (nested too deeply); write one object a line") from exc
    except ValueError as exc:
        found = f"{exc.msg}: character {exc.pos + 1}" if isinstance(exc, json.JSONDecodeError) else str(exc)
        raise SourceError(f"the line is not valid JSON ({found}); write one object a line") from exc
    if not isinstance(members, dict):
        raise SourceError(f"the line holds {named_value(members)}, not an object; write one object a line")
    return members, wrong


def _as_utf8(row: bytes) -> tuple[bytes, str]:
    """Return a row in UTF-8, and what it was in if it was not; raises SourceError if that cannot be told."""
    try:
        read_utf8(row)
    except UnicodeDecodeError:
        if nearly_utf8(row) is not None:
            return row, "bytes that are not UTF-8 were replaced; save the file as UTF-8"
        found = decode(row)
        if not is_text(row) or found.chosen_by != "detection" or "\ufffd" in found.text:
            raise SourceError("the line is not UTF-8, nor in another recognisable encoding; save it as UTF-8") from None
        return found.text.encode("utf-8", "replace"), f"the line is not UTF-8 and was read as {found.charset}"
    return row, ""


# The articles of `ingest`: one object a row with `url` and either `html` or `text`.

_OPTIONAL: Final = ("title", "published_at", "source")
_LISTS: Final = frozenset({"tags", "authors"})


def read_json_lines(file: Path, context: InputContext) -> Iterator[Candidate | InputProblem]:
    """Yield the article in each row; a row without one gives a problem, and reading continues.

    An optional member (`title`, `published_at`, `source`) of a wrong type is ignored and reported. A row with both
    `text` and `html` is read as text.
    """
    with opened_lines(file) as opened:
        try:
            for _, number, row in json_rows(opened, context.max_bytes):
                yield from _read_row(row, f"{file}:{number}", context)
        except SourceError as exc:
            yield InputProblem(where=str(file), why=str(exc))


def _read_row(row: bytes, where: str, context: InputContext) -> Iterator[Candidate | InputProblem]:
    """Yield the article in one row of JSON, and its problems."""
    if len(row) > context.max_bytes:
        why = f"the line is longer than {context.max_bytes:,} bytes; raise fetch.max_bytes"
        yield InputProblem(where=where, why=why)
        return
    try:
        members, wrong = read_members(row, context.max_bytes)
    except SourceError as exc:
        yield InputProblem(where=where, why=str(exc))
        return
    candidate = _candidate(members, where, context)
    yield candidate
    if isinstance(candidate, Candidate):
        if wrong:
            yield InputProblem(where=where, why=wrong, lost=0)
        yield from _ignored(members, where)


def _candidate(members: dict[str, object], where: str, context: InputContext) -> Candidate | InputProblem:
    """Return the article in an object, or the problem that prevents it."""
    url, text, html = (_text(members, name) for name in ("url", "text", "html"))
    if not url:
        return InputProblem(where=where, why="the object has no url; add the article's address")
    if not (text or html):
        return InputProblem(where=where, why="the object has neither text nor html; add one of them")
    try:
        address = urls.resolve(url)
        key = urls.canonicalise(address)
    except SourceError as exc:
        return InputProblem(where=where, why=str(exc))
    if text:
        payload = Text(
            text=plain_paragraphs(text), title=clean_title(_text(members, "title")), fields=dict(_fields(members))
        )
        candidate = Candidate(
            url=address,
            canonical_url=key,
            source=context.source,
            reference=where,
            authority=Authority.OPERATOR,
            payload=payload,
        )
    else:
        body = (html or "").encode("utf-8", "replace")
        candidate = page_candidate(
            address, body, key=key, context=context, reference=where, content_type="text/html; charset=utf-8"
        )
    return _described(candidate, members, context)


def _described(candidate: Candidate, members: dict[str, object], context: InputContext) -> Candidate:
    published = read_date(date_text(members.get("published_at")), zone=context.zone)
    identity = members.get("id")
    return replace(
        candidate,
        title=clean_title(_text(members, "title")),
        published_at=plausible_date(published, now=context.now),
        source=one_line(_text(members, "source")) or context.source,
        external_id=one_line(str(identity)) or None if isinstance(identity, str | int) else None,
    )


def _ignored(members: dict[str, object], where: str) -> Iterator[InputProblem]:
    for name in _OPTIONAL:
        value = members.get(name)
        if value is not None and not isinstance(value, str) and not (name == "published_at" and date_text(value)):
            yield InputProblem(where=where, why=f"{name} is not a string and was ignored", lost=0)
    written = date_text(members.get("published_at"))
    if written and read_date(written, zone=UTC) is None:
        yield InputProblem(where=where, why=f"published_at {written[:50]!r} is not a date and was ignored", lost=0)


def _fields(members: dict[str, object]) -> Iterator[tuple[str, str | tuple[str, ...]]]:
    """Yield the fields of an article that an object has, by the names of `export`, without those of a wrong type."""
    for name in ORIGIN_FIELDS:
        value = members.get(name)
        if name in _LISTS and isinstance(value, list):
            yield name, tuple(item for item in value if isinstance(item, str))
        elif isinstance(value, str) and value.strip():
            yield name, (value,) if name in _LISTS else value


def _text(members: dict[str, object], name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) and value.strip() else None
