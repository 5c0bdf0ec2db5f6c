"""Lets go of old raw pages and histories, a little at a time, beside the work."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import structlog

from worker.errors import StoreError
from worker.ports import Clock, Offload
from worker.storage import Store
from worker.storage.pruning import Pruned

log = structlog.get_logger()


async def let_go(store: Store, *, offload: Offload, clock: Clock, keep: timedelta) -> None:
    """Prune what is older than `keep`; between two steps whatever else wants the store has its turn."""
    steps = store.pruning(older_than=clock.now() - keep)
    gone = Pruned()
    try:
        while (step := await offload(next, steps, None)) is not None:
            gone += step
    except StoreError as exc:
        log.error("run.prune_failed", error=str(exc), note="tried again tomorrow")
        return
    log.info("run.pruned", **asdict(gone))
