"""Opens the store for those who only look: nothing of fetching, extracting or judging is loaded for that."""

from __future__ import annotations

from worker.settings import Settings
from worker.storage import Store, open_store


def open_reading(settings: Settings) -> Store:
    """Open the store of the settings, which must exist; raises StoreError."""
    return open_store(settings.store.url, parameters=None, create=False)
