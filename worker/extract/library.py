"""Decides between our reading of a page and the library's of the untouched page, by the running text in each."""

from __future__ import annotations

from collections.abc import Sequence

from worker.charset import decode
from worker.extract.blocks import Block
from worker.extract.body import read_untouched
from worker.extract.outline import Passage
from worker.extract.text import fold
from worker.extract.trim import trim
from worker.models import Page

_KEY = 50
_LARGEST = 1_500_000
_MOST_TAGS = 20_000
# By how much running text the library's reading must be ahead, as a share of all and in characters.
_AHEAD = 0.2
_LEAST = 200


def read_as_it_comes(page: Page) -> list[Block]:
    """Return the library's reading of a page as it was fetched; none of a page so large that it would take seconds."""
    markup = trim(decode(page.body, page.content_type).text)
    if len(markup) > _LARGEST or markup.count("<") > _MOST_TAGS:
        return []
    return read_untouched(markup)


def is_ahead(theirs: Sequence[Block], ours: Sequence[Block], running: Sequence[Passage]) -> bool:
    """Tell whether one reading holds clearly more of a page's running text than the other."""
    if not ours:
        return bool(theirs)
    keys = [(fold(passage.text())[:_KEY], passage.chars) for passage in running]
    gain = _covered(theirs, keys) - _covered(ours, keys)
    return gain > max(_LEAST, _AHEAD * sum(chars for _, chars in keys))


def _covered(blocks: Sequence[Block], keys: Sequence[tuple[str, int]]) -> int:
    text = " ".join(block.folded for block in blocks)
    return sum(chars for key, chars in keys if key in text)
