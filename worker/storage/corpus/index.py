"""Keeps the near-duplicate index as rows beside the articles: which texts share LSH bands or sampled shingles.

Every function works inside the caller's transaction. The list of articles behind one key is bounded: a key that
MOST_POSTINGS articles already have is boilerplate or a template, tells little, and takes no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
)

from worker.errors import StoreError
from worker.models import Fingerprint, IndexParameters
from worker.storage.db.schema import ARTICLES, METADATA
from worker.storage.db.sql import among, each_of

MAX_POSTINGS = 64

INDEX_KEYS = Table(
    "index_keys",
    METADATA,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("article_id", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""One row for each key of each article: LSH bands and anchors share one key space of 64 bits."""

FINGERPRINTS = Table(
    "fingerprints",
    METADATA,
    Column("article_id", BigInteger, primary_key=True, autoincrement=False),
    Column("signature", LargeBinary, nullable=False),
    Column("bands", LargeBinary, nullable=False),
    Column("anchors", LargeBinary, nullable=False),
    Column("shingles", Integer, nullable=False),
)
"""One row for each article, with its keys as little-endian signed 64-bit integers."""

INDEX_PARAMETERS = Table(
    "index_parameters",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("parameters", JSON, nullable=False),
)
"""A single row (id 1): how the fingerprints of this store are made."""

_POSTINGS = select(INDEX_KEYS.c.key, INDEX_KEYS.c.article_id).where(among(INDEX_KEYS.c.key, "keys"))
_WANTED = each_of("keys")
_SAME_KEY = INDEX_KEYS.alias("same_key")
_TAKEN = select(func.count()).where(_SAME_KEY.c.key == _WANTED.c.value).scalar_subquery()
_ADD_KEYS = insert(INDEX_KEYS).from_select(
    ["key", "article_id"],
    select(_WANTED.c.value, bindparam("article", type_=BigInteger)).where(literal_column(str(MAX_POSTINGS)) > _TAKEN),
)
_ADD_FINGERPRINT = insert(FINGERPRINTS)
_REMOVE_KEYS = delete(INDEX_KEYS).where(
    among(INDEX_KEYS.c.key, "keys"), INDEX_KEYS.c.article_id == bindparam("article")
)
_LENGTHS = select(FINGERPRINTS.c.article_id, FINGERPRINTS.c.shingles).where(among(FINGERPRINTS.c.article_id, "ids"))
_LIKE_LONG = 4
_MAX_RANKED = 512
_LATIN_UNCHANGED_SINCE = 1
"""The normalisation whose successor changed digits, letters and signs of other scripts than these languages' alone."""
_UNCHANGED = (
    *("vi", "en", "de", "fr", "es", "pt", "it", "nl", "da", "sv", "no", "fi", "is", "fo", "et", "lv", "lt", "pl", "cs"),
    *("sk", "sl", "hr", "bs", "hu", "ro", "sq", "ca", "gl", "eu", "oc", "br", "cy", "ga", "lb", "mt", "af", "id", "ms"),
    *("jv", "tl", "sw", "xh", "zu", "rw", "mg", "ht", "qu", "eo", "la", "vo", "tr", "ru", "uk", "be", "bg", "mk", "sr"),
    *("el", "he", "hy", "ka"),
)
_ANY_OTHER_SCRIPT = select(ARTICLES.c.id).where(ARTICLES.c.language.not_in(_UNCHANGED)).limit(1)
_MIN_WEIGHT = 0.04
"""What one or two stock phrases weigh that MOST_POSTINGS articles have: no copy shares as little, but one of a text
that has hardly any keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A stored article that shares keys with a text; `weight` counts each shared key less the more articles have it."""

    article_id: int
    shared_bands: int
    shared_anchors: int
    weight: float


def add(connection: Connection, article_id: int, fingerprint: Fingerprint) -> None:
    """Write the index rows of an article that has none yet."""
    connection.execute(_ADD_FINGERPRINT, _fingerprint_row(article_id, fingerprint))
    connection.execute(_ADD_KEYS, {"keys": _keys(fingerprint), "article": article_id})


def find_near(connection: Connection, fingerprint: Fingerprint, *, limit: int) -> list[Match]:
    """Return the articles that share the most and the rarest keys with a text, best first, at most `limit`.

    Those that share no more than a stock phrase or two are left out. A quarter of the places goes to texts of about the
    same length: many long texts that quote an article whole do not crowd out its copies.
    """
    bands = frozenset(fingerprint.bands)
    postings: defaultdict[int, list[int]] = defaultdict(list)
    for key, article_id in connection.execute(_POSTINGS, {"keys": _keys(fingerprint)}):
        postings[key].append(article_id)
    shared_bands: defaultdict[int, int] = defaultdict(int)
    shared: defaultdict[int, int] = defaultdict(int)
    weights: defaultdict[int, float] = defaultdict(float)
    for key, articles in postings.items():
        for article_id in articles:
            shared[article_id] += 1
            shared_bands[article_id] += key in bands
            weights[article_id] += 1 / len(articles)
    least = min(_MIN_WEIGHT, len(_keys(fingerprint)) / (2 * MAX_POSTINGS))
    hits = (
        Match(
            article_id=article_id,
            shared_bands=shared_bands[article_id],
            shared_anchors=count - shared_bands[article_id],
            weight=weights[article_id],
        )
        for article_id, count in shared.items()
        if weights[article_id] >= least
    )
    ranked = sorted(hits, key=lambda hit: (-hit.weight, hit.article_id))
    return ranked if len(ranked) <= limit else _with_alike_long(connection, ranked, fingerprint, limit=limit)


def _with_alike_long(
    connection: Connection, ranked: Sequence[Match], fingerprint: Fingerprint, *, limit: int
) -> list[Match]:
    first = limit - limit // _LIKE_LONG
    chosen, others = list(ranked[:first]), ranked[first:_MAX_RANKED]
    lengths: dict[int, int] = {
        row.article_id: row.shingles
        for row in connection.execute(_LENGTHS, {"ids": [hit.article_id for hit in others]})
    }

    def likeness(hit: Match) -> float:
        length = lengths.get(hit.article_id, 0)
        return hit.weight * min(length, fingerprint.shingles) / max(1, length, fingerprint.shingles)

    return [*chosen, *sorted(others, key=lambda hit: (-likeness(hit), hit.article_id))[: limit - first]]


def remove(connection: Connection, article_id: int) -> None:
    """Take an article out of the index; one that is not in it is no error."""
    stored = fingerprint_of(connection, article_id)
    if stored is None:
        return
    connection.execute(_REMOVE_KEYS, {"keys": _keys(stored), "article": article_id})
    connection.execute(delete(FINGERPRINTS).where(FINGERPRINTS.c.article_id == article_id))


def fingerprint_of(connection: Connection, article_id: int) -> Fingerprint | None:
    """Return the stored fingerprint of an article, None if it has no index rows."""
    row = connection.execute(select(FINGERPRINTS).where(FINGERPRINTS.c.article_id == article_id)).one_or_none()
    if row is None:
        return None
    return Fingerprint(
        signature=row.signature,
        bands=_unpacked(row.bands),
        anchors=_unpacked(row.anchors),
        shingles=row.shingles,
    )


def stored_parameters(connection: Connection) -> IndexParameters | None:
    """Return how the fingerprints of this store are made, None where nothing was said yet."""
    held = connection.scalar(select(INDEX_PARAMETERS.c.parameters).where(INDEX_PARAMETERS.c.id == 1))
    if held is None:
        return None
    try:
        return IndexParameters(**held)
    except TypeError as exc:
        raise StoreError(f"the store's index parameters cannot be read ({exc}): upgrade corpus-worker") from exc


def keep_parameters(connection: Connection, parameters: IndexParameters) -> None:
    """Remember how the fingerprints of this store are made, in place of what was said before."""
    connection.execute(delete(INDEX_PARAMETERS))
    connection.execute(insert(INDEX_PARAMETERS), {"id": 1, "parameters": asdict(parameters)})


def require_parameters(connection: Connection, parameters: IndexParameters) -> None:
    """Remember the parameters in a new store; raise StoreError in one whose index was made with others."""
    held = stored_parameters(connection)
    if held is None or is_made_with(connection, held, parameters):
        keep_parameters(connection, parameters)
    else:
        raise StoreError(
            f"the store's index was made with {_differences(held, parameters)}: "
            "make it again with `corpus-worker reprocess --dedupe`"
        )


def is_made_with(connection: Connection, held: IndexParameters, wanted: IndexParameters) -> bool:
    """Tell whether an index is as it would be made now: also where only the normalisation of other scripts is newer.

    A store that holds no text in these scripts has the same fingerprints under both.
    """
    if held == wanted:
        return True
    is_newer = held.normalisation == _LATIN_UNCHANGED_SINCE and wanted.normalisation == _LATIN_UNCHANGED_SINCE + 1
    if not is_newer or replace(held, normalisation=wanted.normalisation) != wanted:
        return False
    return connection.execute(_ANY_OTHER_SCRIPT).first() is None


def _differences(held: IndexParameters, wanted: IndexParameters) -> str:
    ours, theirs = asdict(wanted), asdict(held)
    return ", ".join(f"{name} {theirs[name]} (now {ours[name]})" for name in ours if theirs[name] != ours[name])


def _keys(fingerprint: Fingerprint) -> list[int]:
    # Sorted, so that transactions that write many keys take their locks in one order.
    return sorted({*fingerprint.bands, *fingerprint.anchors})


def _fingerprint_row(article_id: int, fingerprint: Fingerprint) -> dict[str, object]:
    return {
        "article_id": article_id,
        "signature": fingerprint.signature,
        "bands": _packed(fingerprint.bands),
        "anchors": _packed(fingerprint.anchors),
        "shingles": fingerprint.shingles,
    }


def _packed(keys: Sequence[int]) -> bytes:
    return b"".join(key.to_bytes(8, "little", signed=True) for key in keys)


def _unpacked(packed: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(packed[start : start + 8], "little", signed=True) for start in range(0, len(packed), 8))
