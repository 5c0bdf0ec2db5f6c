"""Removes seeds from a store, step by step: their places, and the articles that have no other place."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from fnmatch import fnmatchcase

from sqlalchemy import Connection, delete, exists, func, or_, select

from worker.models.base import dataclass
from worker.storage.db.database import Repository, reads, writes
from worker.storage.db.schema import SEED_FILES, SEEDS
from worker.storage.db.sql import among
from worker.storage.maintenance.rejudge import JudgeFunction
from worker.storage.maintenance.remove import MAX_AT_ONCE, remove_articles
from worker.storage.seeds.importing import files, forget_empty_files

_HERE = or_(among(SEEDS.c.file_id, "files"), among(SEEDS.c.id, "texts"))
_OTHER = SEEDS.alias("other")
_ELSEWHERE = exists().where(
    _OTHER.c.article_id == SEEDS.c.article_id,
    ~or_(func.coalesce(among(_OTHER.c.file_id, "files"), False), among(_OTHER.c.id, "texts")),
)
_SOME = select(SEEDS.c.id, SEEDS.c.article_id, _ELSEWHERE.label("elsewhere")).where(_HERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPlaces:
    """Places of seeds: whole files, by id, and single text files of others, by the id of their place."""

    files: tuple[int, ...] = ()
    texts: tuple[int, ...] = ()


def find_places(connection: Connection, wanted: str) -> SeedPlaces:
    """Return the places that a name means: a file or folder as `seeds list` shows it, a text file, or a pattern."""
    wanted = wanted.rstrip("/")
    whole = {file.id: file.name for file in files(connection) if _is_meant(wanted, file.name)}
    texts = (
        select(SEEDS.c.id, SEEDS.c.file_id, SEEDS.c.name, SEED_FILES.c.name.label("folder"))
        .join(SEED_FILES, SEED_FILES.c.id == SEEDS.c.file_id)
        .where(SEEDS.c.name != "")
    )
    single = (row for row in connection.execute(texts) if row.file_id not in whole)
    return SeedPlaces(
        files=tuple(whole),
        texts=tuple(row.id for row in single if _is_meant(wanted, f"{row.folder}/{row.name}")),
    )


def _is_meant(wanted: str, name: str) -> bool:
    """Return whether a name is the wanted one, below a folder of that name, or matches it as a pattern."""
    last = name.rpartition("/")[2]
    return name.startswith(f"{wanted}/") or fnmatchcase(name, wanted) or fnmatchcase(last, wanted) or wanted == name


def places_by_digest(connection: Connection, shas: Collection[str]) -> SeedPlaces:
    """Return the places of seeds of older versions by the hashes of their files."""
    of_older = (
        select(SEEDS.c.id)
        .outerjoin(SEED_FILES, SEED_FILES.c.id == SEEDS.c.file_id)
        .where(SEEDS.c.sha256.in_(sorted(shas)), func.coalesce(SEED_FILES.c.stamp, "") == "")
    )
    return SeedPlaces(texts=tuple(connection.execute(of_older).scalars()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedSeeds:
    """How many `places` of seeds were removed, and `articles` with them; `judged` others were judged again."""

    places: int = 0
    articles: int = 0
    judged: int = 0

    def __add__(self, other: RemovedSeeds) -> RemovedSeeds:
        """Return the sums of two steps."""
        return RemovedSeeds(
            places=self.places + other.places,
            articles=self.articles + other.articles,
            judged=self.judged + other.judged,
        )


def count_removable(connection: Connection, places: SeedPlaces) -> RemovedSeeds:
    """Return what `remove_steps` would remove."""
    of = _bound(places)
    found = connection.execute(select(func.count()).select_from(SEEDS).where(_HERE), of).scalar_one()
    articles = select(func.count(SEEDS.c.article_id.distinct())).where(_HERE, ~_ELSEWHERE)
    return RemovedSeeds(places=found, articles=connection.execute(articles, of).scalar_one())


def _remove_some(connection: Connection, places: SeedPlaces, judge: JudgeFunction, *, now: datetime) -> RemovedSeeds:
    rows = connection.execute(_SOME.order_by(SEEDS.c.id).limit(MAX_AT_ONCE), _bound(places)).all()
    ids = [row.id for row in rows]
    connection.execute(delete(SEEDS).where(among(SEEDS.c.id, "ids")), {"ids": ids})
    removed = remove_articles(connection, {row.article_id for row in rows if not row.elsewhere}, judge=judge, now=now)
    return RemovedSeeds(places=len(rows), articles=len(removed.ids), judged=len(removed.judged_again))


def _bound(places: SeedPlaces) -> dict[str, object]:
    return {"files": list(places.files), "texts": list(places.texts)}


class SeedRemoval(Repository):
    """Finds and removes seeds. Blocking."""

    find = reads(find_places)
    find_former = reads(places_by_digest)
    count = reads(count_removable)
    forget_empty_files = writes(forget_empty_files)

    def steps(self, places: SeedPlaces, judge: JudgeFunction, *, now: datetime) -> Iterator[RemovedSeeds]:
        """Remove seeds in short transactions, one for each item that the caller takes."""
        while (step := self.database.write(_remove_some, places, judge, now=now)).places:
            yield step
        self.forget_empty_files()
