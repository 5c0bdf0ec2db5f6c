"""Seeds in bulk: the same verdicts as one by one, places that move and are counted, and removal."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from sqlalchemy import select

from tests.contract.storage.factories import (
    NOW,
    add_seed,
    add_seeds,
    article,
    fingerprint,
    judge,
    seed,
    take_in,
)
from worker.extract.seed_article import seed_key
from worker.models import Kind, PreparedSeed, Relation, Seed, State
from worker.storage.db.schema import SEEDS, STANDINGS
from worker.storage.seeds.importing import SeedBatch, SeedCounts
from worker.storage.seeds.removal import RemovedSeeds, SeedPlaces
from worker.storage.store import Store

TEXTS = ("một hai", "ba bốn", "hai một", "năm sáu", "ba bốn năm", "bảy tám", "tám bảy", "chín mười", "chín")


def row(text: str, number: int = 1, *, url: str = "", file: str = "vn.parquet") -> PreparedSeed:
    """Return a prepared row of a file."""
    of_row = replace(seed(f"{file}#{number}", text), row=number, url=url)
    made = article(seed_key(of_row), text, kind=Kind.SEED)
    made = replace(made, url=url or f"seed:{file}#{number}")
    return PreparedSeed(seed=of_row, article=made, fingerprint=fingerprint(text))


def standings(store: Store) -> list[tuple[int, int, bool, str, int | None]]:
    of = STANDINGS.c
    query = select(of.article_id, of.cluster, of.head, of.relation, of.judged_against).order_by(of.article_id)
    return [tuple(each) for each in store.seeds.database.read(lambda connection: connection.execute(query).all())]


@pytest.mark.parametrize("size", [1, 2, 4, len(TEXTS)])
def test_a_batch_gives_the_verdicts_of_seeds_stored_one_by_one(store: Store, size: int) -> None:
    take_in(store, "https://a.example/1", "năm sáu")
    rows = [row(text, number) for number, text in enumerate(TEXTS, 1)]

    for start in range(0, len(rows), size):
        add_seeds(store, *rows[start : start + size])

    assert standings(store) == [
        (1, 1, True, "unique", None),
        (2, 2, True, "unique", None),
        (3, 3, True, "unique", None),
        (4, 4, True, "seed-copy", 2),
        (5, 1, False, "copy", 1),
        (6, 6, True, "seed-copy", 3),
        (7, 7, True, "unique", None),
        (8, 8, True, "seed-copy", 7),
        (9, 9, True, "unique", None),
        (10, 10, True, "seed-copy", 9),
    ]
    assert store.reader.audit().problems == ()
    assert store.reader.article(2).article.text == TEXTS[0]  # type: ignore[union-attr]


def test_the_same_batch_again_stores_nothing(store: Store) -> None:
    rows = [row(text, number) for number, text in enumerate(TEXTS, 1)]
    first = add_seeds(store, *rows)

    held = store.seeds.open_file("seeds", stamp="as it is")
    batch = SeedBatch(file_id=held.id, new=rows, rows=len(rows), refused=0, finished=True)
    again = store.seeds.add_seeds(batch, judge=judge, now=NOW)

    assert (first, again) == (SeedCounts(imported=9, copies=4), SeedCounts(known=9))
    (file,) = store.seeds.count_files()
    assert (file.rows, file.imported, file.refused, file.finished) == (9, 9, 0, True)
    assert store.seeds.known_seeds([each.seed for each in rows]) == [True] * 9


def test_a_text_under_two_addresses_is_two_seeds_and_under_one_it_is_one(store: Store) -> None:
    add_seeds(
        store,
        row("một hai", 1),
        row("một hai", 2, url="https://a.example/1"),
        row("ba bốn", 3, url="https://a.example/2"),
        row("ba bốn", 4, url="https://b.example/2"),
        row("ba bốn", 5),
    )

    assert store.reader.audit().seeds == 3
    (file,) = store.seeds.count_files()
    assert (file.rows, file.imported, file.copies) == (5, 3, 3)


def test_a_seed_gets_another_place_or_moves_with_its_file(store: Store) -> None:
    add_seeds(store, row("một hai", 3), row("ba bốn", 4), file="old.parquet")
    (old,) = store.seeds.files()

    add_seeds(store, row("một hai", 7), file="copy.parquet")
    add_seeds(store, row("ba bốn", 9), file="new.parquet", gone=[old.id])
    store.seeds.forget_empty_files(present=["new.parquet"])

    assert [store.reader.seed_places(each) for each in (1, 2)] == [
        ("old.parquet, row 3", "copy.parquet, row 7"),
        ("new.parquet, row 9",),
    ]
    assert [(each.name, each.imported, each.copies) for each in store.seeds.count_files()] == [
        ("copy.parquet", 1, 1),
        ("new.parquet", 1, 0),
        ("old.parquet", 1, 0),
    ]
    assert store.reader.audit().seeds == 2


def test_a_new_version_of_a_text_file_is_a_revision(store: Store) -> None:
    first = add_seed(store, "1.txt", "một hai ba")
    second = add_seed(store, "1.txt", "một hai bốn")

    assert [(each[3], each[2]) for each in standings(store)] == [("unique", False), ("revision", True)]
    assert store.reader.seed_places(second) == ("seeds/1.txt",)
    assert (first, second) == (1, 2)


def test_text_files_of_one_name_in_two_folders_are_no_versions_of_one_another(store: Store) -> None:
    def text_file(text: str, folder: str, *, gone: Collection[int] = ()) -> None:
        made = article("seed:1.txt", text, kind=Kind.SEED)
        prepared = PreparedSeed(seed=seed("1.txt", text), article=made, fingerprint=fingerprint(text))
        add_seeds(store, prepared, file=folder, gone=gone)

    for text, folder in (("một hai", "a"), ("ba bốn", "b"), ("năm sáu", "a"), ("bảy tám", "b")):
        text_file(text, folder)

    assert [(each[1], each[2], each[3]) for each in standings(store)] == [
        (1, False, "unique"), (2, False, "unique"), (1, True, "revision"), (2, True, "revision"),
    ]  # fmt: skip
    text_file("chín mười", "moved", gone=[store.seeds.open_file("a", stamp="as it is").id])
    assert standings(store)[-1][1:4] == (1, True, "revision")
    assert store.reader.audit().balanced


def test_removed_seeds_leave_what_has_another_place(store: Store) -> None:
    add_seed(store, "1.txt", "một hai")
    add_seeds(store, row("ba bốn", 1), row("năm sáu", 2), file="data/vn.parquet")
    add_seeds(store, row("năm sáu", 1), file="data/x.csv")
    take_in(store, "https://a.example/1", "bốn ba")
    removal = store.seed_removal

    assert removal.find("1.txt") == removal.find("seeds/1.txt") == removal.find("seeds/1.*")
    whole = removal.find("data")
    assert (len(whole.files), whole.texts) == (2, ())
    assert removal.find("data/") == removal.find("*/*.[pc]*") == whole
    assert removal.find("nothing") == SeedPlaces()
    assert removal.count(removal.find("vn.parquet")) == RemovedSeeds(places=2, articles=1)

    for name in ("vn.parquet", "1.txt"):
        sum(removal.steps(removal.find(name), judge, now=NOW), RemovedSeeds())

    report = store.reader.audit()
    assert (report.problems, report.seeds, report.clusters) == ((), 1, 2)
    assert [each.name for each in store.seeds.files()] == ["data/x.csv"]
    held = store.reader.candidate("https://a.example/1")
    assert held is not None
    assert (held.state, held.reason) == (State.STORED, Relation.UNIQUE)
    assert list(removal.steps(removal.find("data/vn.parquet"), judge, now=NOW)) == []


def test_raw_text_is_kept_only_where_it_differs(store: Store) -> None:
    cleaned = row("một hai")
    scraped = Seed(name="x#2", row=2, raw="Tin liên quan\nba bốn", sha256="b")
    add_seeds(
        store, cleaned, PreparedSeed(seed=scraped, article=row("ba bốn").article, fingerprint=fingerprint("ba bốn"))
    )

    query = select(SEEDS.c.raw).order_by(SEEDS.c.id)
    assert store.seeds.database.read(lambda connection: connection.execute(query).scalars().all()) == [
        None,
        scraped.raw,
    ]
