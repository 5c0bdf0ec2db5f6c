"""Says whether two texts have no more in common than what stands in many texts: a form, a notice, a sign-off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.dedupe.compare import Figures

# A text of which the form is most is another item in that form. One that is much longer than what it has of the
# newcomer holds it among other matter, as a digest does or a follow-up that quotes it whole: that makes nothing common.
_MOSTLY = 0.8


def only_common(figures: Figures, others: Sequence[Figures], *, least: int, rare_share: float) -> bool:
    """Say whether under `rare_share` of what a newcomer and a text share is not in `least` other clusters as well.

    `others` are the figures of the newcomer with one text of each other cluster.
    """
    in_forms = [each.ours.matched for each in others if not _quotes(each)]
    if len(in_forms) < least or figures.jaccard == 1.0:
        return False
    spread = np.sum(np.stack(in_forms), axis=0)
    matched = figures.ours.matched
    rare = int((matched & (spread < least)).sum())
    return rare < rare_share * int(matched.sum())


def _quotes(figures: Figures) -> bool:
    return figures.theirs.raw_share < _MOSTLY * figures.ours.raw_share
