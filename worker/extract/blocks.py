"""The unit between finding the main text and cleaning it: a block with its kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of text: `kind` is `paragraph`, `heading`, `item`, `quote` or `row`."""

    kind: str
    text: str
