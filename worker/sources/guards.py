"""Refuses markup that the XML parser would choke on: it takes time quadratic in the size of some nonsense."""

from __future__ import annotations

import re
from itertools import islice

from worker.errors import SourceError

# libxml2 compares each attribute with every other one of its tag.
_ENDLESS_TAG = re.compile(rb"<[a-zA-Z!?][^<>]{20000}")
# Its recovery costs more with every tag that begins inside another.
_BROKEN_TAG = re.compile(rb"<[a-zA-Z][^<>]*(?=<)")
_MAX_BROKEN = 2000


def refuse_hostile_markup(markup: bytes) -> None:
    """Raise SourceError for a tag that does not end, and for thousands of broken ones; linear in the size."""
    if _ENDLESS_TAG.search(markup):
        raise SourceError("it has a tag of more than 20,000 characters and was not read")
    if sum(1 for _ in islice(_BROKEN_TAG.finditer(markup), _MAX_BROKEN)) == _MAX_BROKEN:
        raise SourceError(f"it has {_MAX_BROKEN:,} broken tags and was not read")
