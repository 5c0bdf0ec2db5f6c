"""Tells apart the kinds of lines that stand around and inside an article in plain text: teasers, prompts, credits.

The shapes (a headline has no full stop, a teaser is cut short) hold anywhere; the words stand in `markers`.
"""

from __future__ import annotations

import re
from enum import StrEnum

from worker.extract.markers import is_credit, is_cross_link, is_marker, is_prompt
from worker.extract.text import fold


class Kind(StrEnum):
    """What a line looks like, taken alone."""

    BLANK = "blank"
    NOISE = "noise"
    MARKER = "marker"
    CREDIT = "credit"
    SIGNATURE = "signature"
    HEADLINE = "headline"
    SENTENCE = "sentence"


_IMAGE = re.compile(r"!\[[^\]\n]{0,300}\](?:\]|\([^)\s]{0,2000}\)| ?)*|\[\]\([^)\s]{0,2000}\)")
_PLAYER = re.compile(r"\d{1,2}:\d{2}(?:\s*/\s*\d{1,2}:\d{2})?")
_MOMENT = re.compile(
    r"(?:(?:thứ \w{1,9}|chủ nhật),?\s{0,5})?(?:ngày\s{0,5})?"
    r"\d{1,2}(?:[/.-]\d{1,2}[/.-]\d{2,4}|\s{1,5}\w{3,9}\.?,?(?:\s{1,5}\d{4})?)"
    r"[\s,|–-]{0,9}(?:\d{1,2}[:h]\d{2}\s{0,5}(?:am|pm)?)?(?:\s{0,5}\(?gmt\s{0,5}[+-]?\d{0,2}\)?)?",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"\(?(?:theo|nguồn|source)\s{0,5}:?\s{1,5}[\w.,/&’'\- ]{2,50}\)?\.?", re.IGNORECASE)
_END = re.compile(r"(?:[.!…]|\.\.\.|\./\.|[.!?…]\s?[\"”’»)\]]|[\"”’»)\]][.!…]|[.!?…]\s?[\"”’»)\]]{2,9}|[:;])$")
_TRUNCATED = re.compile(r"(?:\s\.\.\.|…|\.\.\.)$")
_DATELINE = re.compile(r"(\(?[\w.]+(?: [\w.]+){0,4}\)?)\s{1,9}[-–—]\s{1,9}")
_LONG = 35
_SHORT = 5


def kind_of(line: str) -> Kind:
    """Return what a stripped line looks like."""
    if not line:
        return Kind.BLANK
    bare = without_images(line)
    if is_marker(bare):
        return Kind.MARKER
    if not fold(bare) or _PLAYER.fullmatch(bare) or _MOMENT.fullmatch(bare) or is_prompt(bare) or is_cross_link(bare):
        return Kind.NOISE
    if _SIGNATURE.fullmatch(bare):
        return Kind.SIGNATURE
    words = len(bare.split())
    if words <= 45 and is_credit(bare):
        return Kind.CREDIT
    if words >= _LONG or (words >= _SHORT and _END.search(bare)):
        return Kind.SENTENCE
    return Kind.HEADLINE


def is_truncated(line: str) -> bool:
    """Tell whether a line breaks off, as teasers do."""
    return _TRUNCATED.search(line) is not None


def dateline(line: str) -> str:
    """Return the mark a site puts before its leads (`(Báo X) - …`), folded; an empty string if there is none."""
    match = _DATELINE.match(line)
    return fold(match[1]) if match and len(match[1]) <= 40 else ""


def without_images(line: str) -> str:
    """Return a line without Markdown images and the bars of flattened table cells."""
    return _IMAGE.sub(" ", line).strip(" |\t•*·")
