"""Cuts from a page, before it is parsed, what holds no text and costs time: scripts, styles, absurd repetition.

Every step takes time linear in the page's length: this is what stands between a hostile page and the parser.
"""

from __future__ import annotations

import re

# Opening tag of what is cut out whole, or a comment.
_OPENING = re.compile(
    r"<(?:(script|style|svg|template|math|canvas|object|noembed)(?=[\s/>])[^<>]*>|!--)", re.IGNORECASE
)
_CLOSING = {
    name: re.compile(rf"</{name}[^<>]{{0,200}}>", re.IGNORECASE)
    for name in ("script", "style", "svg", "template", "math", "canvas", "object", "noembed")
}
_COMMENT_END = re.compile(r"--!?>")
_JSON_LD = re.compile(r"application/(?:ld\+json|json\+ld)", re.IGNORECASE)
_LONG_VALUE = re.compile(r"""=\s*(?:"[^"<]{4000,}"|'[^'<]{4000,}')""")
_LONG_TAG = re.compile(r"<([a-zA-Z][a-zA-Z0-9]{0,20})[^<>]{60000,}>")
_HUGE_TAG = re.compile(r"<[a-zA-Z][^<>]{60000}")
_LONG_PIECE = 60_000
_LONG_BLANKS = re.compile(r"\s{200,}")
_AMPERSANDS = re.compile(r"&{20,}")
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=_%-]{5000,}")
_BREAKS = re.compile(r"(?:<br\b[^<>]{0,200}>\s{0,100}){4,}", re.IGNORECASE)
_NESTING = re.compile(
    r"(?:<(div|span|b|i|u|em|strong|font|section|center|blockquote|ul|li|table|tr|td)\b[^<>]{0,200}>\s*){30,}"
)
# Real news pages reach 1.6 million characters and 20,000 tags.
_LARGE = 2_000_000
_MANY_TAGS = 40_000


def trim(markup: str) -> str:
    """Cut what holds no text from a page that is larger or odder than pages are; the text stays as it is.

    An ordinary page is returned as it came: parsing it whole costs less than looking for what could be cut.
    """
    markup = markup.replace("\0", "\ufffd")
    if not _is_odd(markup):
        return markup
    kept = _without_scripts(markup)
    kept = _LONG_VALUE.sub('=""', kept)
    kept = _LONG_TAG.sub(r"<\1>", kept)
    kept = _BREAKS.sub("<br><br>", kept)
    kept = _NESTING.sub("<div>", kept)
    kept = _AMPERSANDS.sub("&amp;", _LONG_BLANKS.sub(" ", kept))
    return _LONG_RUN.sub(" ", kept)


def _is_odd(markup: str) -> bool:
    pieces = markup.split("<")
    if len(markup) >= _LARGE or len(pieces) > _MANY_TAGS:
        return True
    return any(len(piece) > _LONG_PIECE for piece in pieces) and _HUGE_TAG.search(markup) is not None


def _without_scripts(markup: str) -> str:
    pieces: list[str] = []
    unclosed: set[str] = set()
    position = 0
    while opening := _OPENING.search(markup, position):
        name = (opening.group(1) or "").lower()
        closing = None if name in unclosed else _closing(name).search(markup, opening.end())
        pieces.append(markup[position : opening.start()])
        position = opening.end()
        if closing is None:
            # An opening without its end swallows nothing, and is not looked for again: that would be quadratic.
            unclosed.add(name)
            continue
        if name == "script" and _JSON_LD.search(opening.group()):
            pieces.append(markup[opening.start() : closing.end()])
        position = closing.end()
    pieces.append(markup[position:])
    return "".join(pieces)


def _closing(name: str) -> re.Pattern[str]:
    return _CLOSING[name] if name else _COMMENT_END
