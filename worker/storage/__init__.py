"""The store: candidate ledger, corpus, index and seeds in one SQL database (SQLite or PostgreSQL).

`open_store` is the entry point. Every call of the store is one transaction that needs a bounded amount of memory.
"""

from __future__ import annotations

from worker.storage.corpus.audit import misplaced_articles
from worker.storage.db.migrate import upgrade_store
from worker.storage.db.sqlite_files import is_store_file
from worker.storage.maintenance.copy_store import CopiedTable, move_store
from worker.storage.maintenance.reindex import needs_reindexing, reindex
from worker.storage.store import PATIENCE, Store, open_store

__all__ = [
    "PATIENCE",
    "CopiedTable",
    "Store",
    "is_store_file",
    "misplaced_articles",
    "move_store",
    "needs_reindexing",
    "open_store",
    "reindex",
    "upgrade_store",
]
