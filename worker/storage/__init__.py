"""The store: candidate ledger, corpus, index and seeds in one SQL database (SQLite or PostgreSQL).

`open_store` is the way in. Every call of the store is one transaction; none of them needs more than bounded memory.
"""

from __future__ import annotations

from worker.storage.belongings import is_store_file
from worker.storage.borrowed import borrowed_keys
from worker.storage.migrate import upgrade_store
from worker.storage.moving import Moved, move_store
from worker.storage.reindexing import needs_reindexing, reindex
from worker.storage.store import PATIENCE, Store, open_store

__all__ = [
    "PATIENCE",
    "Moved",
    "Store",
    "borrowed_keys",
    "is_store_file",
    "move_store",
    "needs_reindexing",
    "open_store",
    "reindex",
    "upgrade_store",
]
