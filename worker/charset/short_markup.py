"""Reads a title that may hold markup: tags that format go, a tag that is written about (`the <head> element`) stays."""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from typing import Final

_TAG: Final = re.compile(r"<(/?)([a-zA-Z][\w:-]{0,30})((?:[\s/][^<>]{0,1000})?)>|<[!?][^<>]{0,1000}>")
_UNREAD: Final = frozenset({"script", "style", "head"})
# Those that stand alone or whose end may be left out.
_ALONE: Final = frozenset(
    {"br", "img", "hr", "wbr", "input", "p", "li", "dt", "dd", "td", "th", "tr", "embed", "source", "col", "area"}
)


def without_markup(written: str) -> str:
    """Return what a short piece of HTML says, once escaped or twice; linear in its length.

    A tag is taken for markup where it has its other half or attributes, where it needs no other half, and where it is
    an element of somebody's own (`<o:p>`). What is left (`<head>`, `Vector<int>`, half of a pair) is text.
    """
    return _stripped(unescape(_stripped(written)))


def _stripped(text: str) -> str:
    if "<" not in text:
        return text
    tags = list(_TAG.finditer(text))
    halves = Counter((tag[2].lower(), tag[1]) for tag in tags if tag[2])
    pieces: list[str] = []
    at = 0
    unread = ""
    for tag in tags:
        name, closing = (tag[2] or "").lower(), bool(tag[1])
        paired = halves[name, ""] > 0 and halves[name, "/"] > 0
        if not unread:
            instead = (" " if name in _ALONE else "") if _is_markup(tag, name, paired=paired) else tag[0]
            pieces.append(text[at : tag.start()] + instead)
            unread = name if name in _UNREAD and paired and not closing else ""
        elif closing and name == unread:
            unread = ""
        at = tag.end()
    return "".join(pieces) + ("" if unread else text[at:])


def _is_markup(tag: re.Match[str], name: str, *, paired: bool) -> bool:
    return not name or paired or name in _ALONE or ":" in name or "-" in name or "=" in tag[3]
