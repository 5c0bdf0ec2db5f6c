"""Reads `.jsonl` files: one object a line with `url` and either `html` or `text`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import BinaryIO

from worker import urls
from worker.charset import read_json
from worker.errors import SourceError
from worker.inputs import open_ordinary
from worker.models import Authority, Candidate, Text
from worker.sources.dates import as_written, plausible, read_date
from worker.sources.entries import clean_text, clean_title
from worker.sources.files import Intake, Remark, page_candidate, plain_paragraphs

_OPTIONAL = ("title", "published_at", "source")


def read_json_lines(file: Path, intake: Intake) -> Iterator[Candidate | Remark]:
    """Yield the article of each line; a line that gives none is remarked on and the rest goes on.

    Of the optional members `title`, `published_at`, `source` and `id`, one of a wrong type is ignored with a remark.
    A line with both `text` and `html` is taken as text.
    """
    with open_ordinary(file) as opened:
        for number, line in _lines(opened, intake.max_bytes):
            where = f"{file}:{number}"
            if len(line) > intake.max_bytes:
                yield Remark(
                    where=where, why=f"the line is longer than {intake.max_bytes:,} bytes; raise fetch.max_bytes"
                )
            elif line.strip():
                yield from _line(line, where, intake)


def _lines(opened: BinaryIO, longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines, of an over-long one only the beginning."""
    number = 0
    while line := opened.readline(longest + 1):
        number += 1
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        while line and not line.endswith(b"\n"):
            line = opened.readline(longest + 1)


def _line(line: bytes, where: str, intake: Intake) -> Iterator[Candidate | Remark]:
    try:
        members = read_json(line)
    except (ValueError, RecursionError) as exc:
        yield Remark(where=where, why=f"the line is not valid JSON ({exc}); write one object a line")
        return
    if not isinstance(members, dict):
        yield Remark(
            where=where, why=f"the line holds a {type(members).__name__}, not an object; write one object a line"
        )
        return
    candidate = _candidate(members, where, intake)
    yield candidate
    if isinstance(candidate, Candidate):
        yield from _ignored(members, where)


def _candidate(members: dict[str, object], where: str, intake: Intake) -> Candidate | Remark:
    url, text, html = (_text(members, name) for name in ("url", "text", "html"))
    if not url:
        return Remark(where=where, why="the object has no url; add the article's address")
    if not (text or html):
        return Remark(where=where, why="the object has neither text nor html; add one of them")
    try:
        address = urls.resolve(url)
        key = urls.canonicalise(address)
    except SourceError as exc:
        return Remark(where=where, why=str(exc))
    if text:
        payload = Text(text=plain_paragraphs(text), title=clean_title(_text(members, "title")))
        candidate = Candidate(
            url=address,
            canonical_url=key,
            source=intake.source,
            reference=where,
            authority=Authority.OPERATOR,
            payload=payload,
        )
    else:
        body = (html or "").encode("utf-8", "replace")
        candidate = page_candidate(
            address, body, key=key, intake=intake, reference=where, content_type="text/html; charset=utf-8"
        )
    return _described(candidate, members, intake)


def _described(candidate: Candidate, members: dict[str, object], intake: Intake) -> Candidate:
    published = read_date(as_written(members.get("published_at")), zone=intake.zone)
    identity = members.get("id")
    return replace(
        candidate,
        title=clean_title(_text(members, "title")),
        published_at=plausible(published, now=intake.now),
        source=clean_text(_text(members, "source")) or intake.source,
        external_id=clean_text(str(identity)) or None if isinstance(identity, str | int) else None,
    )


def _ignored(members: dict[str, object], where: str) -> Iterator[Remark]:
    for name in _OPTIONAL:
        value = members.get(name)
        if value is not None and not isinstance(value, str) and not (name == "published_at" and as_written(value)):
            yield Remark(where=where, why=f"{name} is no text and was ignored", lost=False)
    written = as_written(members.get("published_at"))
    if written and read_date(written, zone=UTC) is None:
        yield Remark(where=where, why=f"published_at {written[:50]!r} is no date and was ignored", lost=False)


def _text(members: dict[str, object], name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) and value.strip() else None
