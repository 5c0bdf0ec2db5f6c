"""Opens the store for those who only look: nothing of fetching, extracting or judging is loaded for that."""

from __future__ import annotations

from datetime import timedelta

from worker.settings import Settings
from worker.storage import PATIENCE, Store, open_store


def open_reading(settings: Settings, *, patience: timedelta = PATIENCE) -> Store:
    """Open the store of the settings, which must exist; raises StoreError. `patience` as in `open_store`."""
    return open_store(settings.store.url, parameters=None, create=False, patience=patience)
