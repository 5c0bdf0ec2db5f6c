"""Cuts from a page, before it is decoded and parsed, what holds no text and costs time: scripts, absurd repetition.

Every step takes time linear in the page's length: this is what stands between a hostile page and the parser.
"""

from __future__ import annotations

import re

# The opening tag of what is cut out whole, with the end of the tag; or a comment that holds tags: others are left to
# the parser, who drops them.
_CUT = (b"script", b"style", b"svg", b"noscript", b"nav", b"button", b"picture", b"select", b"template")
_OPENING = re.compile(rb"<(?:(" + b"|".join(_CUT) + rb")(?=[\s/>])[^<>]*>|!--(?![^<>]*-->))", re.IGNORECASE)
_CLOSING = {name: re.compile(rb"</" + name + rb"[^<>]{0,200}>", re.IGNORECASE) for name in _CUT}


def _any_of(*names: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"<(?:" + b"|".join(names) + rb")(?=[\s/>])", re.IGNORECASE)


_PAGE = (b"h1", b"article", b"main", b"body", b"html")
# What keeps a box from being cut: one of its own kind in it (the end that was found is not the outer one's then), or
# what it never holds where it is closed.
_KEPT_WITH = {
    b"svg": _any_of(b"svg"),
    b"nav": _any_of(b"nav", b"p", *_PAGE),
    b"template": _any_of(b"template", b"p", *_PAGE),
    **{name: _any_of(name, b"p", b"div", *_PAGE) for name in (b"button", b"picture", b"select")},
}
_COMMENT_END = re.compile(rb"--!?>")
_JSON_LD = re.compile(rb"(?:ld\+json|json\+ld)", re.IGNORECASE)
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


def cut_scripts(body: bytes) -> bytes:
    """Cut scripts, styles, drawings, pictures, buttons and menus out of a page, two thirds of its bytes; JSON-LD stays.

    Works on bytes that nobody has decoded yet: no encoding in which a page can be written uses the byte of `<` for
    anything else, UTF-16 and UTF-32 excepted, in which nothing is found to be cut.
    """
    pieces: list[bytes] = []
    unclosed: set[bytes] = set()
    position = 0
    while opening := _OPENING.search(body, position):
        name = (opening.group(1) or b"").lower()
        end = None if name in unclosed else _end_of(opening, name)
        if end is None:
            # An opening without its end swallows nothing, and is not looked for again: that would be quadratic.
            unclosed.add(name)
            end = opening.end()
        elif _is_cut(opening, name, end):
            pieces.append(body[position : opening.start()])
            position = end
            continue
        pieces.append(body[position:end])
        position = end
    pieces.append(body[position:])
    return b"".join(pieces)


def _end_of(opening: re.Match[bytes], name: bytes) -> int | None:
    body = opening.string
    if name and body.endswith(b"/>", opening.start(), opening.end()):
        return opening.end()
    # `<!-->` is a whole comment (HTML, 13.2.5.43).
    closing = _CLOSING[name].search(body, opening.end()) if name else _COMMENT_END.search(body, opening.start() + 2)
    return None if closing is None else closing.end()


def _is_cut(opening: re.Match[bytes], name: bytes, end: int) -> bool:
    if name == b"script":
        return _JSON_LD.search(opening.group()) is None
    kept = _KEPT_WITH.get(name)
    return kept is None or kept.search(opening.string, opening.end(), end) is None


def trim(markup: str) -> str:
    """Cut what holds no text from a page that is larger or odder than pages are; the text stays as it is.

    An ordinary page is returned as it came: parsing it whole costs less than looking for what could be cut.
    """
    if _has_long_piece(markup) and _HUGE_TAG.search(markup) is not None:
        markup = _LONG_TAG.sub(r"<\1>", _LONG_VALUE.sub('=""', markup))
    if len(markup) < 3 * _MANY_TAGS or (len(markup) < _LARGE and markup.count("<") <= _MANY_TAGS):
        return markup
    kept = _NESTING.sub("<div>", _BREAKS.sub("<br><br>", _LONG_VALUE.sub('=""', markup)))
    kept = _AMPERSANDS.sub("&amp;", _LONG_BLANKS.sub(" ", kept))
    return _LONG_RUN.sub(" ", kept)


def _has_long_piece(markup: str) -> bool:
    """Tell whether two brackets stand far apart, in steps as long as that."""
    position = 0
    while len(markup) - position > _LONG_PIECE:
        position = markup.rfind("<", position + 1, position + _LONG_PIECE)
        if position < 0:
            return True
    return False
