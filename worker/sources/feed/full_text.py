"""Extract the full text of an article from a feed entry.

Some feeds contain whole articles. The pipeline uses that text if the article's page cannot be fetched. Teasers and
texts that end in "read more" are not full texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree, html

from worker.charset import clean_markup
from worker.errors import SourceError
from worker.models.base import dataclass
from worker.sources.entries import one_line
from worker.sources.markup import strip_code

# Sizes in characters, far above what articles need; chosen, not measured.
MAX_MARKUP = 200_000
_MAX_TEXT = 100_000
_MIN_WORDS = 60  # a shorter text is a teaser or a notice; chosen, not measured
_BLOCKS = frozenset(
    ["p", "div", "br", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "tr", "section",
     "article", "header", "footer", "pre", "hr", "dl", "dt", "dd", "figure", "figcaption"]
)  # fmt: skip
_NO_TEXT = frozenset(["script", "style", "iframe", "figure", "form", "noscript", "template", "svg", "video", "audio"])
_TEASER = re.compile(r"(?:\[\s*(?:…|\.{3}|&hellip;)\s*\]|…|\.{3})\s*\Z")
_READ_MORE = re.compile(
    r"(?:the post .{1,300} appeared first on .{1,100}|(?:đọc|xem) (?:tiếp|thêm|chi tiết)\b.{0,60}"
    r"|(?:read|continue reading|learn) more\b.{0,60}|continue reading\b.{0,200})[.…→»\s]*\Z",
    re.IGNORECASE,
)


def full_text(markup: str | None, *, marked_up: bool = True) -> str | None:
    """Return the paragraphs of an article, one a line, or None if the text is a teaser, shortened or too short.

    `marked_up`: the input is HTML; otherwise it is plain text.
    """
    if not markup or len(markup) > MAX_MARKUP:
        return None
    lines = _lines(markup) if marked_up else iter(markup.splitlines())
    paragraphs = [paragraph for line in lines if (paragraph := one_line(line))]
    if paragraphs and _READ_MORE.fullmatch(paragraphs[-1]):
        paragraphs.pop()
    text = "\n".join(paragraphs)
    if len(text.split()) < _MIN_WORDS or len(text) > _MAX_TEXT or _TEASER.search(text):
        return None
    return text


def _lines(markup: str) -> Iterator[str]:
    """Yield the text of each block element; captions, scripts and embedded objects are skipped."""
    try:
        plain = strip_code(clean_markup(markup).encode())
        root = html.fromstring(b"<div>" + plain + b"</div>", parser=html.HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, SourceError, ValueError):
        return
    line: list[str] = []
    inside_no_text = 0
    for event, element in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in _NO_TEXT:
            inside_no_text += 1 if event == "start" else -1
        if tag in _BLOCKS:
            yield "".join(line)
            line.clear()
        text = element.text if event == "start" else element.tail
        if text and not inside_no_text:
            line.append(text)
    yield "".join(line)


# Characters of full texts kept of one feed: 600 articles of 5,000 characters. Chosen to bound memory, not measured.
MAX_TEXT_OF_FEED = 3_000_000


@dataclass(slots=True)
class TextBudget:
    """The number of characters of full text that may still be kept of a feed."""

    remaining: int = MAX_TEXT_OF_FEED

    def reserve(self, size: int) -> bool:
        """Return whether a text of `size` characters may be kept, and deduct it if so."""
        fits = size <= min(MAX_MARKUP, self.remaining)
        self.remaining -= size if fits else 0
        return fits
