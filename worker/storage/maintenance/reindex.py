"""Rebuilds the index after a change of the fingerprint's parameters (`reprocess --dedupe`).

The rebuild is resumable. No other command opens the store until it is finished, since the index is a mix of both.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final

from sqlalchemy import Connection, select

from worker.models import Article, Fingerprint, IndexParameters
from worker.storage.corpus import index
from worker.storage.corpus.views import article_from
from worker.storage.db.database import Database
from worker.storage.db.engine import connect
from worker.storage.db.locks import without_daemon
from worker.storage.db.migrate import (
    REINDEXED,
    bring_up_to_date,
    delete_meta,
    read_meta,
    require_complete,
    write_meta,
)
from worker.storage.db.schema import ARTICLES, META

BATCH: Final = 50
"""Articles indexed in one transaction. Chosen, not measured: no other command works on the store meanwhile."""


FingerprintOf = Callable[[Article], Fingerprint]
"""Returns the fingerprint of an article under the new parameters, as `Deduper.fingerprint`."""


def reindex(
    url: str,
    *,
    parameters: IndexParameters,
    fingerprint: FingerprintOf,
    progress: Callable[[int], None] = lambda _done: None,
) -> int:
    """Replace the index rows of every article by new ones; return how many articles this run indexed.

    An interrupted run is resumed by the next one; every other command refuses the store until one has finished.
    `progress` is called with the number of articles so far. Raises StoreBusy if a daemon works on a SQLite store.
    """
    with closing(connect(url, create=False)) as database, without_daemon(database.path, why="making the index again"):
        bring_up_to_date(database, create=False)
        database.read(require_complete)
        return _reindex_all(database, parameters, fingerprint, progress)


def needs_reindexing(url: str, *, parameters: IndexParameters) -> bool:
    """Whether `reindex` has to run before the store can be opened with these parameters."""
    database = connect(url, create=False)
    try:
        bring_up_to_date(database, create=False)
        database.read(require_complete)
        return database.read(_is_stale, parameters)
    finally:
        database.close()


def _is_stale(connection: Connection, parameters: IndexParameters) -> bool:
    """Whether a rebuild was interrupted, or the index was made with other parameters."""
    begun = read_meta(connection, REINDEXED)
    stored = index.stored_parameters(connection)
    return begun is not None or (stored is not None and not index.is_compatible(connection, stored, parameters))


def _reindex_all(
    database: Database, parameters: IndexParameters, fingerprint: FingerprintOf, progress: Callable[[int], None]
) -> int:
    database.write(_begin, parameters)
    done = 0
    while step := database.write(_reindex_some, fingerprint):
        done += step
        progress(done)
    database.write(_end)
    return done


def _begin(connection: Connection, parameters: IndexParameters) -> None:
    """Save the new parameters and start from the first article, unless an interrupted run used the same ones."""
    begun = read_meta(connection, REINDEXED)
    if begun is None or index.stored_parameters(connection) != parameters:
        index.save_parameters(connection, parameters)
        write_meta(connection, REINDEXED, "0")


def _reindex_some(connection: Connection, fingerprint: FingerprintOf) -> int:
    """Replace the index rows of the next batch of articles; return its size, 0 when none is left."""
    last = int(connection.execute(select(META.c.value).where(META.c.key == REINDEXED)).scalar_one())
    next_articles = select(ARTICLES).where(ARTICLES.c.id > last).order_by(ARTICLES.c.id).limit(BATCH)
    rows = connection.execute(next_articles).all()
    for row in rows:
        index.remove(connection, row.id)
        index.add(connection, row.id, fingerprint(article_from(row)))
    if rows:
        write_meta(connection, REINDEXED, str(rows[-1].id))
    return len(rows)


def _end(connection: Connection) -> None:
    delete_meta(connection, REINDEXED)
