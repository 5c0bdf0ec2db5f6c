"""Read the article in an `.html` or `.txt` file, and open files of lines.

Each reader takes a file and an `InputContext` and yields candidates that bring their content along, and an
`InputProblem` for whatever cannot be read. They raise OSError if the file cannot be opened.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import zstandard
from lxml import etree, html

from worker import urls
from worker.charset import BYTE_ORDER_MARKS, clean_markup, decode, decode_plain, is_text, nearly_utf8
from worker.errors import SourceError
from worker.files.reading import open_regular
from worker.models import Authority, Candidate, Page, Text
from worker.models.base import dataclass
from worker.sources.content import ContentKind, sniff_content
from worker.sources.entries import clean_title, one_line
from worker.sources.files.url_list import count_url_lines, is_url_list

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_HEAD = 500_000  # bytes searched for `<link rel="canonical">`; it belongs into the head
_LINK_BYTES = 4_000  # bytes read beyond its first mention: more than the longest such element has. Chosen, not measured


@dataclass(frozen=True, slots=True, kw_only=True)
class InputProblem:
    """A problem with an input file: where it is (file and line or record), what is wrong and what to do.

    `lost`: how many articles could not be read because of it.
    """

    where: str
    why: str
    lost: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InputContext:
    """What the readers of input files need besides the file.

    `source`: the name of the source. `max_bytes`: the size limit of one article. `sites`: the sites whose pages are
    taken from archives (empty: all). `zone`: the time zone of dates without one.
    """

    source: str
    now: datetime
    max_bytes: int
    sites: frozenset[str] = frozenset()
    zone: tzinfo = UTC


def read_html(file: Path, context: InputContext) -> Iterator[Candidate | InputProblem]:
    """Yield the page in an HTML file.

    Its URL is the declared canonical URL if that is absolute and no front page. Its canonical URL is that of the file:
    the declaration is unproven, so it must not make two files one candidate, or a file a page of the web.
    """
    body = _read_bounded(file, context)
    if isinstance(body, InputProblem):
        yield body
        return
    kind = sniff_content(body)
    if kind not in {ContentKind.HTML, ContentKind.XML}:
        yield InputProblem(
            where=str(file), why=f"is {kind.value}, not an HTML page; remove it or give it its own ending"
        )
        return
    key = urls.file_url(file)
    yield page_candidate(declared_canonical(body) or key, body, key=key, context=context, reference=str(file))


def page_candidate(
    url: str, body: bytes, *, key: str, context: InputContext, reference: str, content_type: str | None = None
) -> Candidate:
    """Return a candidate with its page as content."""
    page = Page(
        url=url,
        final_url=url,
        status=200,
        body=body,
        fetched_at=context.now,
        content_type=content_type,
    )
    return Candidate(
        url=url,
        canonical_url=key,
        source=context.source,
        reference=reference,
        authority=Authority.OPERATOR,
        payload=page,
    )


def declared_canonical(body: bytes) -> str | None:
    """Return the URL in a page's `<link rel="canonical">` if it is absolute and no front page, or None."""
    if b"\0" in (head := body[:_HEAD]):  # UTF-16 or UTF-32
        head = decode_plain(head).encode()
    mentioned = head.lower().find(b"canonical")
    # Mostly the first mention is the link. The page up to it is a tenth of the page.
    link = None if mentioned < 0 else _canonical_link(head[: mentioned + _LINK_BYTES]) or _canonical_link(head)
    return None if link is None else _page_url(link)


def _canonical_link(head: bytes) -> str | None:
    try:
        markup = clean_markup(decode_plain(head)).encode()
        root = html.document_fromstring(markup, parser=html.HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, ValueError):
        return None
    links = (link for link in root.iter("link") if "canonical" in (link.get("rel") or "").lower().split())
    return next((link.get("href") or "" for link in links), None)


def _page_url(href: str) -> str | None:
    try:
        url = urls.resolve(href)
    except SourceError:
        return None
    return url if url.startswith("http") and not urls.is_home(url) else None


def read_text(file: Path, context: InputContext) -> Iterator[Candidate | InputProblem]:
    """Yield the article in a plain text file: the first line is the title, the others are the paragraphs."""
    body = _read_bounded(file, context)
    text = decode_text_file(body) if isinstance(body, bytes) else None
    if isinstance(body, InputProblem):
        yield body
    elif text is None:
        yield InputProblem(
            where=str(file), why="is not text in UTF-8 or another recognisable encoding; save it as UTF-8"
        )
    elif is_url_list(text):
        yield InputProblem(
            where=str(file), why='is a list of URLs, not an article; give the file by itself, or set kind = "urls"'
        )
    else:
        yield _article(file, text, context)
        if count := count_url_lines(text):
            why = f"read as one article: {count} lines that are only an address are not fetched; list them in a file"
            yield InputProblem(where=str(file), why=why, lost=0)


def _article(file: Path, text: str, context: InputContext) -> Candidate | InputProblem:
    title, _, rest = text.strip().partition("\n")
    paragraphs = plain_paragraphs(rest)
    if not paragraphs:
        return InputProblem(where=str(file), why="has no text below its first line, the title; add the article's text")
    url = urls.file_url(file)
    return Candidate(
        url=url,
        canonical_url=url,
        source=context.source,
        reference=str(file),
        authority=Authority.OPERATOR,
        title=clean_title(title),
        payload=Text(text=paragraphs, title=clean_title(title)),
    )


def plain_paragraphs(text: str) -> str:
    """Return the paragraphs of a text, cleaned, one a line, without blank lines."""
    return "\n".join(paragraph for line in text.splitlines() if (paragraph := one_line(line)))


def decode_text_file(body: bytes) -> str | None:
    """Decode a text file by its byte order mark, as UTF-8, or by detection; None if the encoding is uncertain."""
    marked = any(body.startswith(mark) for mark, _ in BYTE_ORDER_MARKS)
    if marked or (is_text(body) and nearly_utf8(body) is not None):
        return decode_plain(body)
    decoded = decode(body)
    is_certain = is_text(body) and decoded.chosen_by == "detection" and "\ufffd" not in decoded.text
    return decoded.text if is_certain else None


def _read_bounded(file: Path, context: InputContext) -> bytes | InputProblem:
    """Return the content of a file, or a problem if it is empty or larger than allowed."""
    with open_regular(file) as opened:
        body = opened.read(context.max_bytes + 1)
    if len(body) > context.max_bytes:
        return InputProblem(
            where=str(file), why=f"is larger than {context.max_bytes:,} bytes; raise fetch.max_bytes or split it"
        )
    return body if body.strip() else InputProblem(where=str(file), why="is empty; remove it")


# Files of lines, also compressed ones.

_START: Final = 64_000  # bytes that show the encoding; also how much is converted at a time. Chosen, not measured
_ZSTD_WINDOW: Final = 2**27  # memory for one frame: what `zstd --long` needs, and no more
_ZSTD_SLICE: Final = 1_000  # bytes decompressed at a time, as the library does not bound what comes out
_MANY_NULS: Final = 0.25
"""The share of NULs in one half of the bytes of UTF-16. Chosen, not measured: Latin scripts have more, UTF-8 none."""


_DAMAGED: Final = (EOFError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile)
UNREADABLE: Final = (SourceError, OSError, *_DAMAGED)
"""What ends the reading of a file; `why_unread` says it in words."""


def why_unread(error: BaseException) -> str:
    """Return in words why a file could not be read to its end."""
    if isinstance(error, SourceError):
        return str(error)
    if isinstance(error, _DAMAGED):
        return f"damaged or cut off ({error}); the rows before were read"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


@contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading, decompressed if its name says so; one that is cut off raises EOFError."""
    with open_regular(path) as raw:
        yield decompressed(raw, path.name)


def decompressed(raw: BinaryIO, name: str) -> BinaryIO:
    """Return the content of a file, decompressed if its name says so; where it is cut off, reading raises EOFError."""
    if name.lower().endswith(".gz"):
        return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=raw), _START))
    return _buffered(_unpacked(raw)) if name.lower().endswith(".zst") else raw


@contextmanager
def opened_lines(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file of lines for reading as `opened_file` does; from UTF-16 and UTF-32 they are converted to UTF-8."""
    with opened_file(path) as opened:
        yield as_lines(opened)


def as_lines(opened: BinaryIO) -> io.BufferedReader:
    """Return an open file of lines in UTF-8; from UTF-16 and UTF-32 they are converted."""
    buffered = cast("io.BufferedReader", opened)
    codec = _wide_codec(buffered.peek(_START))
    return _buffered(_converted(opened, codec)) if codec else buffered


def _wide_codec(start: bytes) -> str:
    """Return the codec of UTF-16 or UTF-32, by its mark or by the NULs of a Latin script; else an empty string."""
    marked = next((codec for mark, codec in BYTE_ORDER_MARKS if start.startswith(mark)), None)
    if marked:
        return "" if marked == "utf-8" else marked
    halves = {"utf-16-be": start[::2], "utf-16-le": start[1::2]}
    return next((codec for codec, half in halves.items() if half.count(0) > _MANY_NULS * len(half) > 1), "")


def _converted(opened: BinaryIO, codec: str) -> Iterator[bytes]:
    """Yield a stream in UTF-8."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    while piece := opened.read(_START):
        yield decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _unpacked(raw: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a file of Zstandard frames; raises EOFError if the last one is not complete."""
    factory = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = factory.decompressobj()
    begun = False
    while piece := raw.read(_ZSTD_SLICE):
        while piece:
            frame = factory.decompressobj() if frame.eof else frame
            begun = True
            yield frame.decompress(piece)
            piece = frame.unused_data if frame.eof else b""
    if begun and not frame.eof:
        raise EOFError("the last frame is not complete")


def _buffered(pieces: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_Pieces(pieces), _START)


class _Pieces(io.RawIOBase):
    """A stream of the bytes that an iterator yields."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        """Return that the stream can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer with the next bytes, and return how many."""
        while not self._rest and (piece := next(self._pieces, None)) is not None:
            self._rest = memoryview(piece)
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._rest))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def numbered_lines(opened: BinaryIO, longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines; of a line longer than `longest` bytes only the first `longest + 1` bytes."""
    number = 0
    while line := opened.readline(longest + 1):
        number += 1
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        while line and not line.endswith(b"\n"):
            line = opened.readline(longest + 1)
