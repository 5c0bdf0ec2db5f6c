"""The figures and guards by which texts are called copies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from worker.dedupe.heads import Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as a copy; shares lie between 0 and 1, lengths are in words. Defaults are measured: docs/dedupe.md.

    `threshold` is Jaccard over word shingles, `containment` the share of the shorter text's words that the longer
    has; either makes two texts alike, and alike texts are one item unless a guard says otherwise:

    - `whole`: that share of `containment` of the shingles must be shared too; or at most the share `own` of the
      shorter text stands in passages of its own, and at least `told` of the longer in the shorter: then `edited` times
      `containment` of its words are enough, if most of them (`in_order`) come in the same order; or single words are
      exchanged all over: then `retouched` times `containment` of either text are enough;
    - `linked`: share of words from which two items that are not one are still linked;
    - `clash`: share of the places where the texts say different things at which they give different numbers; a single
      such place is an edit where it is under `lone_clash` of them, and a slip far from the top of a text with
      `many_numbers`; numbers under `partial` times as likely to be others as words are edits, too;
    - `apart`, `brief`: texts shorter than `brief`, published longer than `apart` from each other, are two items;
    - `tiny`: texts shorter than this are one item only under one title;
    - `same_title`: share of the shorter title's words that the longer has, from which two titles are one;
      `other_title`: under which they are wholly different; `title_told`: share of a title's words that a story tells
      in its first `lead` words, from which it begins there;
    - `opening`: the part of a text in which news stands; `news`: the shortest passages there that count as news;
      `lead`: the longest that may be no more than a lead which one of the texts lost; `first`: words by which a text
      begins anew; `as_long`: length of the shorter over that of the longer, from which they are about as long;
    - `common`, `rare_share`: of the words two texts share, at least `rare_share` must not stand in `common` other
      clusters too;
    - `part`, `on_one_matter`: a text shorter than `part` of one whose words are, but for less than `on_one_matter`,
      on something else, is an item in a digest;
    - `rewritten`: share of a newcomer's words in the publisher's own earlier story, under which it is a rewrite of it;
    - `same_item`: share of words under which a page with a new text has become another item.
    """

    threshold: float = 0.8
    containment: float = 0.8
    keep: Keep = "earliest"
    whole: float = 0.75
    own: float = 0.1
    edited: float = 0.875
    in_order: float = 0.6
    told: float = 0.45
    retouched: float = 0.75
    linked: float = 0.5
    clash: float = 0.1
    lone_clash: float = 0.3
    partial: float = 2.5
    many_numbers: int = 14
    apart: timedelta = timedelta(hours=72)
    brief: int = 120
    tiny: int = 40
    same_title: float = 0.85
    other_title: float = 0.3
    title_told: float = 0.6
    opening: float = 0.3
    news: int = 15
    lead: int = 60
    first: int = 40
    as_long: float = 0.7
    common: int = 3
    rare_share: float = 0.15
    part: float = 0.125
    on_one_matter: float = 0.5
    rewritten: float = 0.97
    same_item: float = 0.3
