"""The figures and guards by which texts are called copies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as a copy; shares lie between 0 and 1, lengths are in words. Defaults are measured: docs/dedupe.md.

    `threshold` is Jaccard over word shingles, `containment` the share of the shorter text's words that the longer
    has; either makes two texts alike, and alike texts are one item unless a guard says otherwise:

    - `linked`: share of words from which two items that are not one are still linked;
    - `clash`: share of the places where the texts say different things at which they give different numbers;
    - `apart`, `brief`: texts shorter than `brief`, published longer than `apart` from each other, are two items;
    - `tiny`: texts shorter than this are one item only under one title;
    - `same_title`: share of the shorter title's words that the longer has, from which two titles are one;
    - `opening`: the part of a text in which news stands; `news` and `lead`: the shortest passage there that counts as
      news, and the longest that may be no more than a lead which one of the texts lost; `as_long`: length of the
      shorter over that of the longer, from which they are about as long;
    - `common`, `rare_share`: words found in at least `common` other clusters are no evidence; of the other words at
      least `rare_share` must be shared;
    - `part`: a text shorter than this share of the longer is a part of it, not a version;
    - `same_item`: share of words under which a page with a new text has become another item.
    """

    threshold: float = 0.8
    containment: float = 0.8
    keep: Literal["first", "longest"] = "first"
    linked: float = 0.5
    clash: float = 0.1
    apart: timedelta = timedelta(hours=72)
    brief: int = 120
    tiny: int = 40
    same_title: float = 0.85
    opening: float = 0.3
    news: int = 15
    lead: int = 60
    as_long: float = 0.7
    common: int = 3
    rare_share: float = 0.5
    part: float = 0.125
    same_item: float = 0.3
