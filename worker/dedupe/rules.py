"""The figures and guards by which texts are called copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as a copy, as shares between 0 and 1; the defaults are measured, see docs/dedupe.md.

    `threshold` is Jaccard over word shingles, `containment` the share of the shorter text found in the longer. `facts`
    is the share of the shorter text's numbers and names that the longer must have. `same_item` is the containment
    below which a page with a new text under an old address has become another item.
    """

    threshold: float = 0.8
    containment: float = 0.8
    keep: Literal["first", "longest"] = "first"
    facts: float = 0.85
    same_item: float = 0.2
