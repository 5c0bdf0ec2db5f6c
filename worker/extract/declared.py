"""The text that a page declares in its JSON-LD (`articleBody`): what there is of a page that a script draws."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml.etree import ParserError, XMLSyntaxError
from lxml.html import fromstring

from worker.extract.blocks import Block, block_of
from worker.extract.structured import Structured
from worker.extract.text import clean_line

_LEAST = 300
_SHARE = 0.5
_TAG = re.compile(r"</?(?:p|br|div|h[1-6]|li|ul|ol|a|b|i|em|strong|span|blockquote|figure|img)\b[^<>]{0,500}>", re.I)
_BOUND = re.compile(r"</?(?:p|br|div|h[1-6]|li|ul|ol|blockquote|figure|figcaption|table|tr)\b[^<>]{0,500}>", re.I)
_LINES = re.compile(r"[\r\n\u2028\u2029]+")


def declared_text(structured: Structured, shown: Sequence[Block]) -> list[Block]:
    """Return the blocks of the declared text where the page shows less than half of it, and asks no money for it."""
    if structured.accessible_for_free is False or len(structured.body) < _LEAST:
        return []
    lines = _paragraphs(structured.body)
    if sum(len(block.text) for block in shown) >= _SHARE * sum(map(len, lines)):
        return []
    return [block_of("paragraph", line) for line in lines]


def _paragraphs(body: str) -> list[str]:
    if not _TAG.search(body):
        return [line for line in map(clean_line, _LINES.split(body)) if line]
    pieces = (_plain(piece) for piece in _BOUND.split(body))
    return [line for line in map(clean_line, pieces) if line]


def _plain(markup: str) -> str:
    if "<" not in markup and "&" not in markup:
        return markup
    try:
        return "".join(map(str, fromstring(f"<div>{markup}</div>").itertext()))
    except (ParserError, XMLSyntaxError):
        return markup
