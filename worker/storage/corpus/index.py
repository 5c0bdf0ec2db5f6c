"""The near-duplicate index, as rows beside the articles: which articles share LSH bands or sampled shingles.

A fingerprint has two kinds of keys: LSH bands of its MinHash signature (Leskovec, Rajaraman and Ullman, *Mining of
Massive Datasets*, chapter 3), and anchors, a sample of its shingle hashes (a sketch in Broder, *On the resemblance and
containment of documents*, 1997). `find_near` ranks the articles that share keys with a text.

The list of articles of one key is bounded: a key that MAX_POSTINGS articles have is boilerplate or a template, and gets
no more. Every function runs in the caller's transaction.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain

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
from worker.models.base import dataclass
from worker.storage.db.schema import ARTICLES, METADATA
from worker.storage.db.sql import among, each_of

MAX_POSTINGS = 64
"""How many articles one key leads to; bounds the work of a look-up however large the store grows.

Chosen, not measured. Keys shared by so many are boilerplate, and count little (docs/dedupe.md); settles at a million
articles were measured with it (docs/store.md, Decisions).
"""

INDEX_KEYS = Table(
    "index_keys",
    METADATA,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("article_id", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""One row for each key of each article; bands and anchors share one key space of 64 bits."""

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
"""A single row (id 1): the parameters of the fingerprints in this store."""

_POSTINGS = select(INDEX_KEYS.c.key, INDEX_KEYS.c.article_id).where(among(INDEX_KEYS.c.key, "keys"))
_WANTED = each_of("keys")
_SAME_KEY = INDEX_KEYS.alias("same_key")
_POSTINGS_NOW = select(func.count()).where(_SAME_KEY.c.key == _WANTED.c.value).scalar_subquery()
_ADD_KEYS = insert(INDEX_KEYS).from_select(
    ["key", "article_id"],
    select(_WANTED.c.value, bindparam("article", type_=BigInteger)).where(
        literal_column(str(MAX_POSTINGS)) > _POSTINGS_NOW
    ),
)
_ADD_FINGERPRINT = insert(FINGERPRINTS)
_REMOVE_KEYS = delete(INDEX_KEYS).where(
    among(INDEX_KEYS.c.key, "keys"), INDEX_KEYS.c.article_id == bindparam("article")
)
_LENGTHS = select(FINGERPRINTS.c.article_id, FINGERPRINTS.c.shingles).where(among(FINGERPRINTS.c.article_id, "ids"))
_SIMILAR_LENGTH_PART = 4
"""One in so many hits is chosen by similar length; chosen, not measured: the shared keys decide most hits."""
_MAX_RANKED = 512
"""How many of the best hits are compared by length; chosen, not measured: it bounds the look-up of lengths."""
_LATIN_UNCHANGED_SINCE = 1
"""The version of the normalisation after which only scripts of languages outside _UNCHANGED_LANGUAGES changed."""
_UNCHANGED_LANGUAGES = (
    *("vi", "en", "de", "fr", "es", "pt", "it", "nl", "da", "sv", "no", "fi", "is", "fo", "et", "lv", "lt", "pl", "cs"),
    *("sk", "sl", "hr", "bs", "hu", "ro", "sq", "ca", "gl", "eu", "oc", "br", "cy", "ga", "lb", "mt", "af", "id", "ms"),
    *("jv", "tl", "sw", "xh", "zu", "rw", "mg", "ht", "qu", "eo", "la", "vo", "tr", "ru", "uk", "be", "bg", "mk", "sr"),
    *("el", "he", "hy", "ka"),
)
_ANY_OTHER_SCRIPT = select(ARTICLES.c.id).where(ARTICLES.c.language.not_in(_UNCHANGED_LANGUAGES)).limit(1)
_MIN_WEIGHT = 0.04
"""Hits below this weight share only one or two stock phrases that MAX_POSTINGS articles have (1/64 a key).

A copy shares more, unless its text has hardly any keys; `find_near` lowers the limit for such texts.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A stored article that shares keys with a text.

    `weight` is the sum over the shared keys of one divided by the number of articles that have the key.
    """

    article_id: int
    shared_bands: int
    shared_anchors: int
    weight: float


def add(connection: Connection, article_id: int, fingerprint: Fingerprint) -> None:
    """Insert the index rows of an article that has none yet."""
    connection.execute(_ADD_FINGERPRINT, fingerprint_row(article_id, fingerprint))
    connection.execute(_ADD_KEYS, {"keys": keys_of(fingerprint), "article": article_id})


def find_near(connection: Connection, fingerprint: Fingerprint, *, limit: int) -> list[Match]:
    """Return at most `limit` articles that share the most and the rarest keys with a text, best first.

    Articles that share only a stock phrase or two are left out. A quarter of the hits is chosen by similar length, so
    that many long texts that quote an article whole do not crowd out its copies.
    """
    ranked = rank(postings(connection, keys_of(fingerprint)), fingerprint)
    if len(ranked) <= limit:
        return ranked
    others = [hit.article_id for hit in ranked[:_MAX_RANKED]]
    lengths = {row.article_id: row.shingles for row in connection.execute(_LENGTHS, {"ids": others})}
    return best(ranked, fingerprint, lengths, limit=limit)


def postings(connection: Connection, keys: Sequence[int]) -> defaultdict[int, list[int]]:
    """Return the articles that have each of the keys, by key."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for key, article_id in connection.execute(_POSTINGS, {"keys": keys}):
        found[key].append(article_id)
    return found


def rank(postings: Mapping[int, Sequence[int]], fingerprint: Fingerprint) -> list[Match]:
    """Return the articles that share keys with a text, those with the most and the rarest keys first.

    `postings` has the articles of each key of the text, or of more keys. Articles that share only a stock phrase or two
    are left out.
    """
    bands, keys = frozenset(fingerprint.bands), keys_of(fingerprint)
    found = [(key, postings[key]) for key in keys if key in postings]
    shared = Counter(chain.from_iterable(articles for _, articles in found))
    shared_bands = Counter(chain.from_iterable(articles for key, articles in found if key in bands))
    min_weight = min(_MIN_WEIGHT, len(keys) / (2 * MAX_POSTINGS))
    weights: defaultdict[int, float] = defaultdict(float)
    for _, articles in found:
        weight = 1 / max(1, len(articles))
        # An article that shares no other key than this one weighs too little if too many have it.
        for article_id in articles if weight >= min_weight else [each for each in articles if shared[each] > 1]:
            weights[article_id] += weight
    ranked = sorted((-weight, article_id) for article_id, weight in weights.items() if weight >= min_weight)
    return [
        Match(
            article_id=article_id,
            shared_bands=shared_bands[article_id],
            shared_anchors=shared[article_id] - shared_bands[article_id],
            weight=-weight,
        )
        for weight, article_id in ranked
    ]


def best(ranked: Sequence[Match], fingerprint: Fingerprint, lengths: Mapping[int, int], *, limit: int) -> list[Match]:
    """Return the best hits by weight, and after them those of the rest whose length is most like the text's.

    `lengths` has the number of shingles of each article.
    """
    if len(ranked) <= limit:
        return list(ranked)
    first = limit - limit // _SIMILAR_LENGTH_PART
    chosen, others = list(ranked[:first]), ranked[first:_MAX_RANKED]

    def likeness(hit: Match) -> float:
        length = lengths.get(hit.article_id, 0)
        return hit.weight * min(length, fingerprint.shingles) / max(1, length, fingerprint.shingles)

    return [*chosen, *sorted(others, key=lambda hit: (-likeness(hit), hit.article_id))[: limit - first]]


def remove(connection: Connection, article_id: int) -> None:
    """Delete the index rows of an article; nothing happens if it has none."""
    stored = fingerprint_of(connection, article_id)
    if stored is None:
        return
    connection.execute(_REMOVE_KEYS, {"keys": keys_of(stored), "article": article_id})
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
    """Return the parameters of this store's fingerprints, None in a new store; raises StoreError if unreadable."""
    held = connection.scalar(select(INDEX_PARAMETERS.c.parameters).where(INDEX_PARAMETERS.c.id == 1))
    if held is None:
        return None
    try:
        return IndexParameters(**held)
    except TypeError as exc:
        raise StoreError(f"the store's index parameters cannot be read ({exc}): upgrade corpus-worker") from exc


def save_parameters(connection: Connection, parameters: IndexParameters) -> None:
    """Replace the parameters of this store's fingerprints."""
    connection.execute(delete(INDEX_PARAMETERS))
    connection.execute(insert(INDEX_PARAMETERS), {"id": 1, "parameters": asdict(parameters)})


def require_parameters(connection: Connection, parameters: IndexParameters) -> None:
    """Save the parameters in a new store; raise StoreError if the index was made with incompatible ones."""
    held = stored_parameters(connection)
    if held is None or is_compatible(connection, held, parameters):
        save_parameters(connection, parameters)
    else:
        raise StoreError(
            f"the store's index was made with {_differences(held, parameters)}: "
            "make it again with `corpus-worker reprocess --dedupe`"
        )


def is_compatible(connection: Connection, held: IndexParameters, wanted: IndexParameters) -> bool:
    """Return whether an index made with `held` parameters is the same as one made with the `wanted` ones.

    That is so as well if only the normalisation is newer, and the store has no text in a script that it changed.
    """
    if held == wanted:
        return True
    is_newer = held.normalisation == _LATIN_UNCHANGED_SINCE and wanted.normalisation == _LATIN_UNCHANGED_SINCE + 1
    if not is_newer or replace(held, normalisation=wanted.normalisation) != wanted:
        return False
    return connection.execute(_ANY_OTHER_SCRIPT).first() is None


def _differences(held: IndexParameters, wanted: IndexParameters) -> str:
    """Return the parameters that differ, with their values, for an error message."""
    ours, theirs = asdict(wanted), asdict(held)
    return ", ".join(f"{name} {theirs[name]} (now {ours[name]})" for name in ours if theirs[name] != ours[name])


def keys_of(fingerprint: Fingerprint) -> list[int]:
    """Return the keys of a fingerprint, each once, in ascending order."""
    # Sorted: transactions that write many keys then take their locks in one order, which prevents deadlocks.
    return sorted({*fingerprint.bands, *fingerprint.anchors})


def fingerprint_row(article_id: int, fingerprint: Fingerprint) -> dict[str, object]:
    """Return the row of FINGERPRINTS for an article."""
    return {
        "article_id": article_id,
        "signature": fingerprint.signature,
        "bands": _packed(fingerprint.bands),
        "anchors": _packed(fingerprint.anchors),
        "shingles": fingerprint.shingles,
    }


def _packed(keys: Sequence[int]) -> bytes:
    """Return 64-bit keys as little-endian bytes, the form in which fingerprints are stored."""
    return struct.pack(f"<{len(keys)}q", *keys)


def _unpacked(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 8}q", packed)
