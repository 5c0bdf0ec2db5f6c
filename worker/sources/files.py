"""Reads one `.html` or `.txt` file as one article."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from lxml import etree, html

from worker import urls
from worker.charset import MARKS, as_written, clean_markup, decode, is_text, nearly_utf8
from worker.errors import SourceError
from worker.inputs import open_ordinary
from worker.models import Authority, Candidate, Page, Text
from worker.sources.entries import clean_text, clean_title
from worker.sources.shapes import Shape, shape_of
from worker.sources.url_list import is_url_list

_HEAD = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something about an input for people: where it stands, what is wrong and what to do.

    `lost` says whether an article was lost by it.
    """

    where: str
    why: str
    lost: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What every reader of input files is told: the name of the source, the time, and the largest article in bytes.

    `sites` are those whose pages are taken from archives; none: all. `zone` is that of dates that name none.
    """

    source: str
    now: datetime
    max_bytes: int
    sites: frozenset[str] = frozenset()
    zone: tzinfo = UTC


def read_html(file: Path, intake: Intake) -> Iterator[Candidate | Remark]:
    """Yield a page, named by its `rel=canonical` where that is complete and no front page, and known by its file.

    What a saved page says of its address is not proved by anything: it is no reason to take two files for one page, nor
    a file for a page of the web.
    """
    body = _bounded(file, intake)
    if isinstance(body, Remark):
        yield body
        return
    shape = shape_of(body)
    if shape not in {Shape.HTML, Shape.XML}:
        yield Remark(where=str(file), why=f"is {shape.value}, not an HTML page; remove it or give it its own ending")
        return
    key = urls.file_url(file)
    yield page_candidate(declared_url(body) or key, body, key=key, intake=intake, reference=str(file))


def page_candidate(
    url: str, body: bytes, *, key: str, intake: Intake, reference: str, content_type: str | None = None
) -> Candidate:
    """Return a candidate that brings its page along."""
    page = Page(
        url=url,
        final_url=url,
        status=200,
        body=body,
        fetched_at=intake.now,
        content_type=content_type,
    )
    return Candidate(
        url=url,
        canonical_url=key,
        source=intake.source,
        reference=reference,
        authority=Authority.OPERATOR,
        payload=page,
    )


def declared_url(body: bytes) -> str | None:
    """Return the address a page declares as its canonical one: complete, and no front page."""
    try:
        markup = clean_markup(as_written(body[:_HEAD])).encode()
        root = html.document_fromstring(markup, parser=html.HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, ValueError):
        return None
    for link in root.iter("link"):
        if "canonical" in (link.get("rel") or "").lower().split():
            return _usable(link.get("href") or "")
    return None


def _usable(href: str) -> str | None:
    try:
        url = urls.resolve(href)
    except SourceError:
        return None
    return url if url.startswith("http") and not urls.is_home(url) else None


def read_text(file: Path, intake: Intake) -> Iterator[Candidate | Remark]:
    """Yield an article written as plain text: the first line its title, the rest its paragraphs."""
    body = _bounded(file, intake)
    text = decoded(body) if isinstance(body, bytes) else None
    if isinstance(body, Remark):
        yield body
    elif text is None:
        yield Remark(where=str(file), why="is no text in UTF-8 nor in an encoding that can be told; save it as UTF-8")
    elif is_url_list(text):
        yield Remark(where=str(file), why='is a list of addresses, no article; read it with kind = "urls", or name it')
    else:
        yield _article(file, text, intake)


def _article(file: Path, text: str, intake: Intake) -> Candidate | Remark:
    title, _, rest = text.strip().partition("\n")
    paragraphs = plain_paragraphs(rest)
    if not paragraphs:
        return Remark(where=str(file), why="has no text below its first line, the title; add the article's text")
    url = urls.file_url(file)
    return Candidate(
        url=url,
        canonical_url=url,
        source=intake.source,
        reference=str(file),
        authority=Authority.OPERATOR,
        title=clean_title(title),
        payload=Text(text=paragraphs, title=clean_title(title)),
    )


def plain_paragraphs(text: str) -> str:
    """Return the paragraphs of a text, clean, one a line, without blank lines."""
    return "\n".join(paragraph for line in text.splitlines() if (paragraph := clean_text(line)))


def decoded(body: bytes) -> str | None:
    """Decode a text file like a page, by its mark or by what it reads as; None where that is a guess at best."""
    marked = any(body.startswith(mark) for mark, _ in MARKS)
    if marked or (is_text(body) and nearly_utf8(body) is not None):
        return as_written(body)
    told = decode(body)
    sure = is_text(body) and told.chosen_by == "detection" and "\ufffd" not in told.text
    return told.text if sure else None


def _bounded(file: Path, intake: Intake) -> bytes | Remark:
    with open_ordinary(file) as opened:
        body = opened.read(intake.max_bytes + 1)
    if len(body) > intake.max_bytes:
        return Remark(
            where=str(file), why=f"is larger than {intake.max_bytes:,} bytes; raise fetch.max_bytes or split it"
        )
    return body if body.strip() else Remark(where=str(file), why="is empty; remove it")
