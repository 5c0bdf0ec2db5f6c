"""The index rows: written, found, bounded, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection, create_engine, func, select, text

from worker.errors import StoreError
from worker.models import Fingerprint, IndexParameters
from worker.storage.corpus import index
from worker.storage.db.schema import METADATA

PARAMETERS = IndexParameters(
    scheme="affine32",
    seed=1,
    permutations=128,
    bands=16,
    rows=4,
    shingle=5,
    anchor_one_in=16,
    fewest_anchors=24,
    most_anchors=256,
    normalisation=1,
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    METADATA.create_all(engine, tables=[index.INDEX_KEYS, index.FINGERPRINTS, index.INDEX_PARAMETERS])
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def made(*, bands: tuple[int, ...] = (), anchors: tuple[int, ...] = (), shingles: int = 7) -> Fingerprint:
    return Fingerprint(signature=b"signature", bands=bands, anchors=anchors, shingles=shingles)


def test_an_article_is_found_by_the_keys_it_shares(connection: Connection) -> None:
    index.add(connection, 1, made(bands=(1, 2, 3), anchors=(-9, 8)))
    index.add(connection, 2, made(bands=(4, 5), anchors=(6,)))

    hits = index.find_near(connection, made(bands=(1, 3, 77), anchors=(-9, 99)), limit=10)

    assert [(hit.article_id, hit.shared_bands, hit.shared_anchors) for hit in hits] == [(1, 2, 1)]


def test_rare_keys_weigh_more_than_common_ones(connection: Connection) -> None:
    for article_id in range(1, 21):
        index.add(connection, article_id, made(anchors=(1, 2, 3)))
    index.add(connection, 21, made(anchors=(500,)))

    hits = index.find_near(connection, made(anchors=(1, 2, 3, 500)), limit=3)

    assert hits[0].article_id == 21
    assert len(hits) == 3


@pytest.mark.parametrize("digests", [15, 40])
def test_long_texts_that_quote_an_article_do_not_crowd_out_its_copies(connection: Connection, digests: int) -> None:
    keys = tuple(range(20))
    for article_id in range(1, digests + 1):
        index.add(
            connection,
            article_id,
            made(anchors=(*keys, *range(article_id * 1000, article_id * 1000 + 9)), shingles=4000),
        )
    index.add(connection, 99, made(anchors=keys[:18], shingles=400))

    hits = index.find_near(connection, made(anchors=keys, shingles=410), limit=16)

    assert len(hits) == min(digests + 1, 16)
    assert 99 in [hit.article_id for hit in hits]


def test_a_stock_phrase_gives_no_hits_unless_a_text_is_little_else(connection: Connection) -> None:
    for article_id in range(1, 61):
        index.add(connection, article_id, made(anchors=(1, 2)))

    assert index.find_near(connection, made(anchors=(1, *range(100, 120))), limit=10) == []
    assert len(index.find_near(connection, made(anchors=(1, 2)), limit=10)) == 10


def test_the_list_of_articles_behind_one_key_is_bounded(connection: Connection) -> None:
    for article_id in range(index.MAX_POSTINGS + 20):
        index.add(connection, article_id, made(anchors=(1, 1000 + article_id)))

    rows = connection.scalar(select(func.count()).where(index.INDEX_KEYS.c.key == 1))

    assert rows == index.MAX_POSTINGS
    last = index.MAX_POSTINGS + 19
    assert index.find_near(connection, made(anchors=(1, 1000 + last)), limit=1)[0].article_id == last


def test_a_text_without_keys_has_no_hits(connection: Connection) -> None:
    index.add(connection, 1, made())
    index.add(connection, 2, made(bands=(1,)))

    assert index.find_near(connection, made(), limit=10) == []


def test_a_removed_article_leaves_no_rows(connection: Connection) -> None:
    index.add(connection, 1, made(bands=(1, 2), anchors=(3,)))
    index.add(connection, 2, made(bands=(1,), anchors=()))

    index.remove(connection, 1)
    index.remove(connection, 1)

    assert index.fingerprint_of(connection, 1) is None
    assert connection.execute(select(index.INDEX_KEYS)).all() == [(1, 2)]


def test_a_fingerprint_is_read_as_it_was_written(connection: Connection) -> None:
    written = made(bands=(-(2**63), 2**63 - 1), anchors=(0, -1))
    index.add(connection, 1, written)

    assert index.fingerprint_of(connection, 1) == written


def test_thousands_of_keys_are_written_and_found(connection: Connection) -> None:
    many = made(anchors=tuple(range(40_000)))
    index.add(connection, 1, many)

    assert index.find_near(connection, many, limit=1)[0].shared_anchors == 40_000


def test_a_store_with_other_parameters_is_refused_with_a_remedy(connection: Connection) -> None:
    index.require_parameters(connection, PARAMETERS)
    index.require_parameters(connection, PARAMETERS)

    with pytest.raises(StoreError, match=r"bands 16 \(now 20\).*reprocess --dedupe"):
        index.require_parameters(connection, replace(PARAMETERS, bands=20))


def held_by(connection: Connection, *languages: str) -> None:
    """Make a store of normalisation 1 with a text in each of these languages."""
    connection.execute(text("CREATE TABLE articles (id INTEGER PRIMARY KEY, language TEXT NOT NULL)"))
    index.save_parameters(connection, PARAMETERS)
    for language in languages:
        connection.execute(text("INSERT INTO articles (language) VALUES (:language)"), {"language": language})


@pytest.mark.parametrize("languages", [(), ("vi",), ("vi", "en", "ru", "el")])
def test_a_store_without_texts_in_other_scripts_needs_no_new_index(
    connection: Connection, languages: tuple[str, ...]
) -> None:
    held_by(connection, *languages)

    index.require_parameters(connection, replace(PARAMETERS, normalisation=2))

    assert index.stored_parameters(connection) == replace(PARAMETERS, normalisation=2)


@pytest.mark.parametrize(
    ("languages", "wanted"),
    [
        (("vi", "fa"), replace(PARAMETERS, normalisation=2)),
        (("zh",), replace(PARAMETERS, normalisation=2)),
        (("und",), replace(PARAMETERS, normalisation=2)),
        (("vi",), replace(PARAMETERS, normalisation=2, bands=20)),
        (("vi",), replace(PARAMETERS, normalisation=3)),
    ],
)
def test_other_stores_are_indexed_again(
    connection: Connection, languages: tuple[str, ...], wanted: IndexParameters
) -> None:
    held_by(connection, *languages)

    with pytest.raises(StoreError, match="reprocess --dedupe"):
        index.require_parameters(connection, wanted)


def test_parameters_of_a_newer_version_are_refused(connection: Connection) -> None:
    index.save_parameters(connection, PARAMETERS)
    connection.execute(index.INDEX_PARAMETERS.update().values(parameters={"novel": 1}))

    with pytest.raises(StoreError, match="upgrade"):
        index.stored_parameters(connection)
