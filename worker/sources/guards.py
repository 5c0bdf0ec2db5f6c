"""Refuses markup that the XML parser would choke on: it takes time quadratic in the size of some nonsense."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from worker.errors import SourceError

# libxml2 compares each attribute with every other one of its tag.
_ENDLESS_TAG = re.compile(rb"<[a-zA-Z?][^<>]{20000}")
# Its recovery costs more with every tag that begins inside another.
_BROKEN_TAG = re.compile(rb"<[a-zA-Z][^<>]*(?=<)")
_MAX_BROKEN = 2000
_CODE = re.compile(rb"<(?:(script|style)\b|!--)", re.IGNORECASE)
_CODE_ENDS = {
    b"script": re.compile(rb"</script[^<>]*>?", re.IGNORECASE),
    b"style": re.compile(rb"</style[^<>]*>?", re.IGNORECASE),
    b"": re.compile(rb"-->"),
}
_LONG_TAG = re.compile(rb"<[a-zA-Z][^<>]{20000,}")
_ATTRIBUTE = re.compile(rb"\s[\w:.@-]+\s*=")
_MAX_ATTRIBUTES = 2000


def refuse_hostile_markup(markup: bytes) -> None:
    """Raise SourceError for a tag that does not end, and for thousands of broken ones; linear in the size."""
    if _ENDLESS_TAG.search(markup):
        raise SourceError("it has a tag of more than 20,000 characters and was not read")
    if sum(1 for _ in islice(_BROKEN_TAG.finditer(markup), _MAX_BROKEN)) == _MAX_BROKEN:
        raise SourceError(f"it has {_MAX_BROKEN:,} broken tags and was not read")


def without_code(page: bytes) -> bytes:
    """Return an HTML page without scripts, styles and comments; raises SourceError for tags with endless attributes.

    Long attributes are common in pages (pictures, state of scripts); it is their number that costs.
    """
    plain = b"".join(_outside_code(page))
    for tag in _LONG_TAG.finditer(plain):
        if sum(1 for _ in islice(_ATTRIBUTE.finditer(tag[0]), _MAX_ATTRIBUTES)) == _MAX_ATTRIBUTES:
            raise SourceError(f"it has a tag with {_MAX_ATTRIBUTES:,} attributes and was not read")
    return plain


def _outside_code(page: bytes) -> Iterator[bytes]:
    """Yield what stands between scripts, styles and comments; one without an end takes the rest with it."""
    at = 0
    while code := _CODE.search(page, at):
        yield page[at : code.start()]
        end = _CODE_ENDS[(code[1] or b"").lower()].search(page, code.end())
        if end is None:
            return
        at = end.end()
    yield page[at:]
