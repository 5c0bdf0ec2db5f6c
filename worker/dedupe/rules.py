"""What people may turn, and the few figures that are no part of the model."""

from __future__ import annotations

from dataclasses import dataclass

from worker.dedupe.heads import Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as a copy, and which text of a cluster is exported. Defaults are measured: docs/dedupe.md.

    - `merge_at`: the probability of being one item from which two texts are merged;
    - `common`, `rare_share`: of the words two texts share, at least `rare_share` must not stand in `common` other
      clusters too;
    - `rewritten`: share of a newcomer's words in the publisher's own earlier story, under which it is a rewrite of it;
    - `same_item`: share of words under which a page with a new text has become another item.
    """

    merge_at: float = 0.5
    keep: Keep = "earliest"
    common: int = 3
    rare_share: float = 0.15
    rewritten: float = 0.97
    same_item: float = 0.3
