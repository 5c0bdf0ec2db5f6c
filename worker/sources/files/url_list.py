"""Read a list of URLs: a text with one URL a line, or a CSV or TSV table with one URL a row.

In a text, `#` starts a comment, and what follows a tab behind the URL does not count. A local list is the operator's
own, so its URLs may lead anywhere and have the operator's authority.
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
_LEAST_WORDS = 60  # the shortest article by default (`[extract] min_words`): a shorter text would be rejected
_SHOWN_LENGTH = 80  # characters of a line that is no address, in its message: a line of a terminal
_NO_SCHEME = "no web address; write it with http:// or https://"
_MORE = "more than an address; write a blank in it as %20, and a remark behind ` #`"
_WEB_SCHEMES = ("http://", "https://")
_TABLE = re.compile(r"\.[ct]sv(?:\.gz)?\Z", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|\s)#.*")


def parse_url_list(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return the URLs of a list; they may be of any site. Raises SourceError if the page is no list of URLs."""
    body = gunzip(page.body, limit=_MAX_BYTES)
    kind = sniff_content(body)
    if kind not in {ContentKind.URLS, ContentKind.TEXT, ContentKind.EMPTY}:
        raise SourceError(f"{page.url}: this is {kind.value}, not a list of URLs; write one URL a line as plain text")
    is_table = _TABLE.search(urlsplit(page.url).path) is not None
    lines = (_urls_of_table if is_table else _urls_of_text)(decode_plain(body))
    name = urls.local_path(page.url) if page.url.startswith("file:") else page.url
    entries = (
        Entry(link=word, place=f"{name}:{number}: {_shortened(line)}", problem=_problem(line, word, is_table=is_table))
        for number, line, word in lines
    )
    from_operator = page.url.startswith("file:")
    policy = replace(link_policy(source, page), follow_others=True, from_operator=from_operator)
    found = build_discovery(entries, page=page, source=source, policy=policy, now=now)
    return found if found.candidates or found.skipped else replace(found, notes=("the list has no URLs",))


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
    """Return whether a text is a list of URLs, some lines of which may be wrong.

    Except comments, every line begins with a URL, or some are nothing but a URL: at least half of them, or so many that
    the others together are too short for an article.
    """
    lines = [(line, word) for _, line, word in _urls_of_text(text)]
    alone = sum(line == word for line, word in lines)
    others = sum(len(line.split()) for line, word in lines if line != word)
    is_mixed = alone > 0 and (2 * alone >= len(lines) or others < _LEAST_WORDS)
    return bool(lines) and (is_mixed or all(word for _, word in lines))


def count_url_lines(text: str) -> int:
    """Return how many lines of a text are nothing but a URL."""
    return sum(line == word for _, line, word in _urls_of_text(text))


def has_url_line(file: Path) -> bool:
    """Return whether a line of a file begins with a URL. Raises OSError if it cannot be read."""
    with open_regular(file) as opened:
        return any(word for _, _, word in _urls_of_text(decode_plain(opened.read(_HEAD_BYTES))))


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


def _urls_of_text(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the number and text of each line without comments, and the URL it begins with, "" for none."""
    for number, line in lines_of_list(text):
        word = line.split()[0]
        yield number, line, word if _is_web(word) else ""


def _problem(line: str, word: str, *, is_table: bool) -> str:
    """Return why a line gives no address; in a text only a tab with other fields may follow the address."""
    if not word:
        return _NO_SCHEME
    return "" if is_table or line.partition("\t")[0].strip() == word else _MORE


def lines_of_list(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line of a list without comments; empty ones are left out."""
    for number, written in enumerate(text.splitlines(), 1):
        if line := _COMMENT.sub("", written).strip():
            yield number, line


def _urls_of_table(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the number and text of each row of a table, and its first URL; comments and the heading are skipped."""
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    numbered = [(number, line) for number, line in numbered if not line.lstrip().startswith("#")]
    separator = max("\t;,", key=lambda mark: sum(mark in line for _, line in numbered[:100]))
    rows = csv.reader((line for _, line in numbered), delimiter=separator)
    try:
        for index, row in enumerate(rows):
            found = next((cell.strip() for cell in row if _is_web(cell.strip())), "")
            if found or index:
                yield numbered[rows.line_num - 1][0], separator.join(row), found
    except csv.Error as exc:
        raise SourceError(f"the table of URLs cannot be read ({exc}); write one URL a line as plain text") from exc


def _is_web(word: str) -> bool:
    return word.lower().startswith(_WEB_SCHEMES)


def _shortened(line: str) -> str:
    """Return a line for a message, cut to the width of a terminal."""
    return line if len(line) <= _SHOWN_LENGTH else f"{line[:_SHOWN_LENGTH]}…"
