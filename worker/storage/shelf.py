"""The seed corpus inside the store: raw files, and the article made of each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select

from worker.models import Article, Fingerprint, Seed
from worker.ports import Judge
from worker.storage.codec import clean
from worker.storage.database import Repository, reads, writes
from worker.storage.neighbours import versions
from worker.storage.settling import Arrival, admit, lock_arrival
from worker.storage.tables import SEEDS


def has_seed(connection: Connection, seed: Seed) -> bool:
    """Return whether this file, with these bytes, was imported before."""
    return _article_of(connection, seed) is not None


def add_seed(
    connection: Connection, seed: Seed, article: Article, *, fingerprint: Fingerprint, judge: Judge, now: datetime
) -> int:
    """Store a seed, its raw file and its index rows; return its article id."""
    arrival = Arrival(article=article, fingerprint=fingerprint, judge=judge, now=now)
    lock_arrival(connection, arrival)
    there = _article_of(connection, seed)
    if there is not None:
        return there
    before = versions(connection, article.canonical_url)
    article_id = admit(connection, arrival, before=before).article_id
    values = {"name": clean(seed.name), "sha256": seed.sha256, "raw": seed.raw}
    connection.execute(insert(SEEDS).values(**values, article_id=article_id, imported_at=now))
    return article_id


def _article_of(connection: Connection, seed: Seed) -> int | None:
    same = select(SEEDS.c.article_id).where(SEEDS.c.name == clean(seed.name), SEEDS.c.sha256 == seed.sha256)
    return connection.execute(same).scalar()


class StoredSeedShelf(Repository):
    """The seeds of the store."""

    has_seed = reads(has_seed)
    add_seed = writes(add_seed)
