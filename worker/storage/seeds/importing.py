"""The seeds of a store and their files: imported in batches, and listed by file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, bindparam, case, delete, exists, func, insert, or_, select, update

from worker.charset.characters import clean_line, sha256_of
from worker.models import PreparedSeed, Seed
from worker.models.base import dataclass
from worker.storage.corpus.settling import lock_articles
from worker.storage.db.codec import storable
from worker.storage.db.database import Repository, reads, writes
from worker.storage.db.schema import ARTICLES, SEED_FILES, SEEDS, STANDINGS
from worker.storage.db.sql import batched
from worker.storage.queue.hosts import FORGOTTEN, tombstone_of
from worker.storage.seeds.bulk import COPIES, VALUES_AT_ONCE, BulkInsert, SeedJudge

_SHAS: Final[Any] = bindparam("shas", expanding=True)
_IDS: Final[Any] = bindparam("ids", expanding=True)
_STORED = (
    select(
        *(SEEDS.c.id, SEEDS.c.sha256, SEEDS.c.file_id, SEEDS.c.article_id, SEED_FILES.c.stamp),
        *(ARTICLES.c.url, ARTICLES.c.title, ARTICLES.c.sha256.label("text_sha256")),
    )
    .join(ARTICLES, ARTICLES.c.id == SEEDS.c.article_id)
    .outerjoin(SEED_FILES, SEED_FILES.c.id == SEEDS.c.file_id)
    .order_by(SEEDS.c.id)
)
_GIVEN = SEEDS.alias("given")
_KNOWN = _STORED.where(SEEDS.c.article_id.in_(select(_GIVEN.c.article_id).where(_GIVEN.c.sha256.in_(_SHAS))))
_NEAR = _STORED.where(SEEDS.c.sha256.in_(select(_GIVEN.c.sha256).where(_GIVEN.c.article_id.in_(_IDS))))
_PLACES_OF_KEYS = (
    select(ARTICLES.c.canonical_url, SEEDS.c.file_id, SEED_FILES.c.stamp)
    .join(SEEDS, SEEDS.c.article_id == ARTICLES.c.id)
    .outerjoin(SEED_FILES, SEED_FILES.c.id == SEEDS.c.file_id)
    .where(ARTICLES.c.canonical_url.in_(bindparam("urls", expanding=True)))
)
_ROWS_ON_SQLITE: Final = 2048
"""Measured (docs/store.md, "Seeds"): the more rows, the fewer times each page of the index is written. It takes about a
second, in which other writers wait."""
_ROWS_ON_SERVER: Final = 50
"""Each row takes about forty advisory locks of the 6,400 that a server has room for by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedBatch:
    """Rows of a seed file to be stored in one transaction, and how far the file is read after them.

    `known` are seeds whose text was found in the store, `new` the others, both in the order of the file. `rows` counts
    all rows of the file up to here, of which `refused` gave no seed; `finished` is true for the last batch.
    """

    file_id: int
    known: Sequence[Seed] = ()
    new: Sequence[PreparedSeed] = ()
    rows: int = 0
    refused: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCounts:
    """What became of the rows: `imported` as new, of these `copies` of other texts, `known` ones stored before.

    `forgotten` says for each of the others why it was refused: a person had its text or address forgotten.
    """

    imported: int = 0
    copies: int = 0
    known: int = 0
    forgotten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFileRecord:
    """A seed file of the store, with its counts; `copies` are the rows that are a copy of another text of the store."""

    id: int
    name: str
    stamp: str
    rows: int
    refused: int
    finished_at: datetime | None
    imported: int = 0
    copies: int = 0

    @property
    def finished(self) -> bool:
        """Whether the file was read to its end, or belongs to the seeds of an older version."""
        return self.finished_at is not None or not self.stamp


# Files.


def open_file(connection: Connection, name: str, *, stamp: str) -> SeedFileRecord:
    """Return the record of a seed file; one with another stamp is to be read again from its first row."""
    row = connection.execute(select(SEED_FILES).where(SEED_FILES.c.name == name)).one_or_none()
    if row is None:
        values = {"name": name, "stamp": stamp, "rows": 0, "refused": 0}
        connection.execute(insert(SEED_FILES).values(values))
    elif row.stamp != stamp:
        again = {"stamp": stamp, "rows": 0, "refused": 0, "finished_at": None}
        connection.execute(update(SEED_FILES).where(SEED_FILES.c.id == row.id).values(again))
    return SeedFileRecord(**connection.execute(select(SEED_FILES).where(SEED_FILES.c.name == name)).one()._mapping)  # noqa: SLF001


def files(connection: Connection) -> tuple[SeedFileRecord, ...]:
    """Return every seed file, without counting its seeds."""
    rows = connection.execute(select(SEED_FILES).order_by(SEED_FILES.c.name))
    return tuple(SeedFileRecord(**row._mapping) for row in rows)  # noqa: SLF001


def count_files(connection: Connection) -> tuple[SeedFileRecord, ...]:
    """Return every seed file with the number of its seeds and copies; reads all seeds."""
    earlier = SEEDS.alias("earlier")
    shared = exists().where(earlier.c.article_id == SEEDS.c.article_id, earlier.c.id < SEEDS.c.id)
    copy = case((or_(STANDINGS.c.relation.in_(COPIES), shared), 1), else_=0)
    counted = (
        select(SEEDS.c.file_id, func.count().label("imported"), func.sum(copy).label("copies"))
        .join(STANDINGS, STANDINGS.c.article_id == SEEDS.c.article_id)
        .group_by(SEEDS.c.file_id)
    )
    by_file = {row.file_id: row for row in connection.execute(counted)}
    return tuple(_counted(file, by_file.get(file.id)) for file in files(connection))


def _counted(file: SeedFileRecord, found: Any) -> SeedFileRecord:
    """Return a file with its counts; a row that is neither refused nor a seed of its own repeats one of this file."""
    imported, copies = (found.imported, found.copies) if found else (0, 0)
    repeated = max(0, file.rows - file.refused - imported)
    return replace(file, imported=imported, copies=copies + repeated)


def forget_empty_files(connection: Connection, *, present: Collection[str] = ()) -> None:
    """Delete the files without seeds, but for those that are `present`."""
    unused = ~exists().where(SEEDS.c.file_id == SEED_FILES.c.id)
    rows = connection.execute(select(SEED_FILES.c.id, SEED_FILES.c.name).where(unused)).all()
    for row in rows:
        if row.name not in present:
            connection.execute(delete(SEED_FILES).where(SEED_FILES.c.id == row.id))


# Importing.


def known_seeds(connection: Connection, seeds: Sequence[Seed]) -> list[bool]:
    """Return for each seed whether its text is in the store; see `_same_seed`."""
    known = _known(connection, {seed.sha256 for seed in seeds})
    return [_same_seed(seed, known.get(seed.sha256, ())) is not None for seed in seeds]


def _known(connection: Connection, shas: Collection[str]) -> defaultdict[str, list[Any]]:
    """Return every place of the seeds with these hashes of their text, by the hash, oldest first."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for some in batched(shas, VALUES_AT_ONCE):
        for row in connection.execute(_KNOWN, {"shas": some}):
            found[row.sha256].append(row)
    return found


def _same_seed(seed: Seed, known: Sequence[Any]) -> Any | None:
    """Return the place of a stored seed that is this one: the same text, unless both have addresses that differ.

    A text under two addresses is two seeds. A row that had no address before is the same seed when it gets one.
    """
    return next((each for each in known if not seed.url or each.url == seed.url or each.url.startswith("seed:")), None)


class _KnownTexts:
    """The seeds whose article has the text of a new one, although the bytes they were made of differ.

    The text is what `export` writes: without blank ends, in one form of characters and line ends, perhaps cleaned.
    The hashes of texts have no index, so only seeds that share index keys with a new one are compared; and, as a key
    leads to a bounded number of articles, those with the same bytes as one of these.
    """

    def __init__(self, connection: Connection, near: Iterable[int]) -> None:
        self.places: defaultdict[str, list[Any]] = defaultdict(list)
        for some in batched(near, VALUES_AT_ONCE):
            for row in connection.execute(_NEAR, {"ids": some}):
                self.add(row)

    def add(self, place: Any) -> None:
        """Add the place of a seed that was stored."""
        self.places[place.text_sha256].append(place)

    def find(self, new: PreparedSeed) -> Any | None:
        """Return the place of a seed with the text of this one, if possible with its title; see `_same_seed`."""
        same = [
            place
            for text, title in _titles_by_text(new).items()
            for place in self.places.get(text, ())
            if title is None or clean_line(place.title) == title
        ]
        return _same_seed(new.seed, sorted(same, key=lambda place: place.title != new.article.title))


def _titles_by_text(new: PreparedSeed) -> dict[str, str | None]:
    """Return the hashes of the texts by which a seed is known, each with the title that must agree, None if any may.

    The first line of a text file is its title, and of a row's text it may be. A text that was exported is known by its
    bytes as well, even if it would be cleaned now.
    """
    article, is_file = new.article, new.seed.row is None
    whole = f"{article.title}\n{article.text}" if is_file else article.text
    first, _, below = whole.partition("\n")
    return {sha256_of(below): clean_line(first), sha256_of(whole): None, new.seed.sha256: None}


def add_seeds(
    connection: Connection, batch: SeedBatch, *, judge: SeedJudge, gone: Collection[int] = (), now: datetime
) -> SeedCounts:
    """Store a batch with its index rows and verdicts, and save how far its file is read.

    Seeds that are stored already get this place as well, or in the place of one in a file that is `gone`. Calling it
    again with the same batch stores no seed twice.
    """
    batch = replace(batch, new=_with_keys_of_their_own(connection, batch, gone))
    lock_articles(
        connection, (each.article.canonical_url for each in batch.new), (each.fingerprint for each in batch.new)
    )
    seeds = [*batch.known, *(each.seed for each in batch.new)]
    known = _known(connection, {seed.sha256 for seed in seeds})
    added = BulkInsert(connection, batch.new, judge=judge, now=now)
    unknown = (each for each in batch.new if _same_seed(each.seed, known[each.seed.sha256]) is None)
    texts = _KnownTexts(connection, added.near(unknown))
    places = _Places(connection, batch.file_id, frozenset(gone), now)
    places.note(chain(*known.values(), *texts.places.values()))
    for seed in batch.known:
        same = _same_seed(seed, known[seed.sha256])
        if same is not None:
            places.add_to(same, seed)
    forgotten = _forgotten(connection, batch.new)
    for each in batch.new:
        same = _same_seed(each.seed, known[each.seed.sha256]) or texts.find(each)
        if same is not None:
            places.add_to(same, each.seed)
        elif each.seed.name not in forgotten:
            place = places.add_new(each, added.add(each))
            known[each.seed.sha256].append(place)
            texts.add(place)
    added.flush()
    places.flush()
    _save_progress(connection, batch, refused=batch.refused + len(forgotten), now=now)
    refused = tuple(f"{name}: {why}" for name, why in forgotten.items())
    return SeedCounts(
        imported=places.added,
        copies=added.copies,
        known=len(seeds) - places.added - len(refused),
        forgotten=refused,
    )


def _with_keys_of_their_own(connection: Connection, batch: SeedBatch, gone: Collection[int]) -> list[PreparedSeed]:
    """Return the new seeds; a text file whose name a file elsewhere has as well gets a key of its own folder.

    With one key, two texts would be versions of one another, as the states of a text file that was changed are.
    """
    urls = {storable(each.article.canonical_url) for each in batch.new if each.seed.row is None}
    if not urls:
        return list(batch.new)
    name = connection.execute(select(SEED_FILES.c.name).where(SEED_FILES.c.id == batch.file_id)).scalar_one()
    own = f"#{sha256_of(name)[:16]}"
    places: defaultdict[str, set[int | None]] = defaultdict(set)
    for some in batched([*urls, *(f"{url}{own}" for url in urls)], VALUES_AT_ONCE):
        for row in connection.execute(_PLACES_OF_KEYS, {"urls": some}):
            # An older version has not recorded where its seeds were: a place without a stamp may be this one.
            places[row.canonical_url].add(row.file_id if row.stamp else None)
    here = {batch.file_id, None, *gone}
    elsewhere = {url for url in urls if f"{url}{own}" in places or (places[url] and not places[url] & here)}
    return [_with_key(each, own) if storable(each.article.canonical_url) in elsewhere else each for each in batch.new]


def _with_key(prepared: PreparedSeed, own: str) -> PreparedSeed:
    key = f"{storable(prepared.article.canonical_url)}{own}"
    return replace(prepared, article=replace(prepared.article, canonical_url=key))


def _forgotten(connection: Connection, new: Sequence[PreparedSeed]) -> dict[str, str]:
    """Return the seeds whose text or address a person had forgotten, by name, with the reason."""
    if connection.execute(select(FORGOTTEN.c.key).limit(1)).first() is None:
        return {}
    found: dict[str, str] = {}
    for each in new:
        urls = {each.article.url, each.article.canonical_url}
        stones = (tombstone_of(connection, urls, text_sha256=sha) for sha in (each.article.sha256, each.seed.sha256))
        if stone := next(filter(None, stones), None):
            why = f"forgotten on {stone.at:%Y-%m-%d} ({stone.reason}), so it is not imported: delete it"
            found[each.seed.name] = why
    return found


def _save_progress(connection: Connection, batch: SeedBatch, *, refused: int, now: datetime) -> None:
    reached = {"rows": batch.rows, "refused": refused, "finished_at": now if batch.finished else None}
    connection.execute(update(SEED_FILES).where(SEED_FILES.c.id == batch.file_id).values(reached))


@dataclass(frozen=True, slots=True, kw_only=True)
class _NewPlace:
    """The place of a seed that this batch stores; it has the columns of a stored one that matter."""

    file_id: int
    article_id: int
    url: str
    title: str
    text_sha256: str
    stamp: str = "new"


class _Places:
    """Collects the rows of `seeds` that a batch adds or moves."""

    def __init__(self, connection: Connection, file_id: int, gone: frozenset[int], now: datetime) -> None:
        self.added = 0
        self._connection, self._file_id, self._gone, self._now = connection, file_id, gone, now
        self._rows: list[dict[str, Any]] = []
        self._here: set[int] = set()

    def note(self, stored: Iterable[Any]) -> None:
        """Note which articles have a stored place in this file."""
        self._here.update(each.article_id for each in stored if each.file_id == self._file_id)

    def add_new(self, prepared: PreparedSeed, article_id: int) -> _NewPlace:
        """Add the place of a new article."""
        seed, article = prepared.seed, prepared.article
        self.added += 1
        self._add(seed, article_id, raw=None if article.text == seed.raw or seed.page else seed.raw)
        return _NewPlace(
            file_id=self._file_id,
            article_id=article_id,
            url=article.url,
            title=article.title,
            text_sha256=article.sha256,
        )

    def add_to(self, same: Any, seed: Seed) -> None:
        """Add a place to a stored seed, or move it here if its file is gone; nothing changes if it has this place."""
        if same.article_id in self._here:
            return
        if same.file_id is None or same.file_id in self._gone or not same.stamp:
            self._here.add(same.article_id)
            moved = {"file_id": self._file_id, "row": seed.row, "name": _name_of(seed)}
            self._connection.execute(update(SEEDS).where(SEEDS.c.id == same.id).values(moved))
            fewer = update(SEED_FILES).where(SEED_FILES.c.id == same.file_id, SEED_FILES.c.rows > 0)
            self._connection.execute(fewer.values(rows=SEED_FILES.c.rows - 1))
        else:
            self._add(seed, same.article_id, raw=None)

    def _add(self, seed: Seed, article_id: int, *, raw: str | None) -> None:
        self._here.add(article_id)
        values = {"name": _name_of(seed), "sha256": seed.sha256, "raw": raw, "article_id": article_id}
        self._rows.append({**values, "imported_at": self._now, "file_id": self._file_id, "row": seed.row})

    def flush(self) -> None:
        """Write the rows."""
        if self._rows:
            self._connection.execute(insert(SEEDS), self._rows)


def _name_of(seed: Seed) -> str:
    """Return the name of a text file; a row of a table is named by its file and number."""
    return storable(seed.name.rpartition("/")[2]) if seed.row is None else ""


class SeedStore(Repository):
    """The seeds of a store. Blocking."""

    files = reads(files)
    count_files = reads(count_files)
    known_seeds = reads(known_seeds)
    open_file = writes(open_file)
    add_seeds = writes(add_seeds)
    forget_empty_files = writes(forget_empty_files)

    @property
    def batch_rows(self) -> int:
        """How many new seeds to store at once."""
        return _ROWS_ON_SQLITE if self.database.is_sqlite else _ROWS_ON_SERVER
