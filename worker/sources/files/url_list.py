"""Read a list of URLs: a text with one URL a line, or a CSV or TSV table with one URL a row.

In a text, `#` starts a comment and only the first word of a line counts. A local list is the operator's own, so its
URLs may lead anywhere and have the operator's authority.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from worker import urls
from worker.charset import decode_plain
from worker.errors import SourceError
from worker.files.reading import open_regular
from worker.models import Discovery, Page, Source
from worker.sources.content import ContentKind, gunzip, sniff_content
from worker.sources.entries import Entry, build_discovery, link_policy

_MAX_BYTES = 100 * 1024 * 1024  # over a million URLs; lists are read into memory. Chosen, not measured
_HEAD_BYTES = 64 * 1024  # enough to see whether every line is a URL
_WEB_SCHEMES = ("http://", "https://")
_TABLE = re.compile(r"\.[ct]sv(?:\.gz)?\Z", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|\s)#.*")


def parse_url_list(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return the URLs of a list; they may be of any site. Raises SourceError if the page is no list of URLs."""
    body = gunzip(page.body, limit=_MAX_BYTES)
    kind = sniff_content(body)
    if kind not in {ContentKind.URLS, ContentKind.TEXT, ContentKind.EMPTY}:
        raise SourceError(f"{page.url}: this is {kind.value}, not a list of URLs; write one URL a line as plain text")
    words = (_urls_of_table if _TABLE.search(urlsplit(page.url).path) else _urls_of_text)(decode_plain(body))
    entries = [Entry(link=word if word.lower().startswith(_WEB_SCHEMES) else "") for word in words]
    from_operator = page.url.startswith("file:")
    policy = replace(link_policy(source, page.url, page.final_url), follow_others=True, from_operator=from_operator)
    notes = () if entries else ("the list has no URLs",)
    return build_discovery(entries, page=page, source=source, policy=policy, now=now, notes=notes)


def read_url_list(file: Path, source: Source, *, now: datetime) -> Discovery:
    """Return the URLs of a local list; raises SourceError if the file is unreadable, too large or no list of URLs."""
    try:
        with open_regular(file) as opened:
            body = opened.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise SourceError(f"{file}: cannot be read: {exc.strerror or exc}; check its permissions") from exc
    if len(body) > _MAX_BYTES:
        raise SourceError(f"{file}: larger than {_MAX_BYTES:,} bytes; split it")
    place = urls.file_url(file)
    return parse_url_list(Page(url=place, final_url=place, status=200, body=body, fetched_at=now), source, now=now)


def is_url_list(text: str) -> bool:
    """Return whether every line of a text, except comments, begins with a URL."""
    words = list(_urls_of_text(text))
    return bool(words) and all(word.lower().startswith(_WEB_SCHEMES) for word in words)


def first_other_line(text: str) -> tuple[int, str]:
    """Return the number and text of the first line that does not begin with a URL; 0 if there is none."""
    for number, line in enumerate(text.splitlines(), 1):
        if (words := _COMMENT.sub("", line).split()) and not words[0].lower().startswith(_WEB_SCHEMES):
            return number, line.strip()
    return 0, ""


def is_file_of_urls(file: Path) -> bool:
    """Return whether the first 64 kB of a file are a list of URLs; False if it cannot be read."""
    try:
        with open_regular(file) as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError:
        return False
    # The last line may be incomplete.
    whole = head if len(head) < _HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    return is_url_list(decode_plain(whole))


def _urls_of_text(text: str) -> Iterator[str]:
    """Yield the first word of each line without comments; it need not be a URL."""
    lines = (_COMMENT.sub("", line).strip() for line in text.splitlines())
    return (line.split()[0] for line in lines if line)


def _urls_of_table(text: str) -> Iterator[str]:
    """Yield the first URL of each row of a table, "" for a row without one; comments and the heading are skipped."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    separator = max("\t;,", key=lambda mark: sum(mark in line for line in lines[:100]))
    try:
        for number, row in enumerate(csv.reader(lines, delimiter=separator)):
            found = next((cell.strip() for cell in row if cell.strip().lower().startswith(_WEB_SCHEMES)), "")
            if found or number:
                yield found
    except csv.Error as exc:
        raise SourceError(f"the table of URLs cannot be read ({exc}); write one URL a line as plain text") from exc
