"""The unit between finding the main text and cleaning it: a block with its kind."""

from __future__ import annotations

from dataclasses import dataclass

from worker.extract.text import fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of text: `kind` is `paragraph`, `heading`, `item`, `quote` or `row`; `folded` is for comparing."""

    kind: str
    text: str
    folded: str


def block_of(kind: str, text: str) -> Block:
    """Return a block with its folded text, which several steps compare."""
    return Block(kind=kind, text=text, folded=fold(text))
