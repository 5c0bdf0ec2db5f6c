"""The seed corpus inside the store: raw files, and the article made of each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select

from worker.models import Article, Fingerprint, Seed
from worker.ports import Judge
from worker.storage.codec import clean
from worker.storage.database import Database
from worker.storage.neighbours import versions
from worker.storage.settling import Arrival, admit, lock_arrival
from worker.storage.tables import SEEDS


class StoredSeedShelf:
    """The seeds of the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has_seed(self, seed: Seed) -> bool:
        """Return whether this file, with these bytes, was imported before."""
        return self._database.read(_article_of, seed) is not None

    def add_seed(self, seed: Seed, article: Article, *, fingerprint: Fingerprint, judge: Judge, now: datetime) -> int:
        """Store a seed, its raw file and its index rows in one transaction; return its article id."""
        arrival = Arrival(article=article, fingerprint=fingerprint, judge=judge, now=now)
        return self._database.write(_add, seed, arrival)


def _article_of(connection: Connection, seed: Seed) -> int | None:
    same = select(SEEDS.c.article_id).where(SEEDS.c.name == clean(seed.name), SEEDS.c.sha256 == seed.sha256)
    return connection.execute(same).scalar()


def _add(connection: Connection, seed: Seed, arrival: Arrival) -> int:
    lock_arrival(connection, arrival)
    there = _article_of(connection, seed)
    if there is not None:
        return there
    before = versions(connection, arrival.article.canonical_url)
    article_id = admit(connection, arrival, before=before).article_id
    values = {"name": clean(seed.name), "sha256": seed.sha256, "raw": seed.raw}
    connection.execute(insert(SEEDS).values(**values, article_id=article_id, imported_at=arrival.now))
    return article_id
