"""Removed articles leave nothing behind, what depended on them is judged again, and the books balance."""

from __future__ import annotations

from sqlalchemy import select

from tests.contract.storage.factories import MINUTE, NOW, add_seed, candidate, claim_one, judge, settle, take_in
from worker.models import Relation, State
from worker.storage.corpus.index import FINGERPRINTS, INDEX_KEYS
from worker.storage.db.schema import DECISIONS, SEEDS
from worker.storage.maintenance.remove import RemovedArticles, remove_articles
from worker.storage.store import Store

A, B, C, D = (f"https://{letter}.example/1" for letter in "abcd")
LATER = NOW + MINUTE
Placement = tuple[Relation, int, bool]


def remove(store: Store, *ids: int) -> tuple[RemovedArticles, dict[int, Placement]]:
    """Remove articles; return the result, and where each article that was judged again is now."""
    removed = store.seeds.database.write(remove_articles, ids, judge=judge, now=LATER)
    assert store.reader.audit().problems == ()
    return removed, {each.id: (each.new_relation, each.new_cluster, each.new_head) for each in removed.judged_again}


def exported(store: Store) -> list[int]:
    return [head.id for head in store.reader.heads()]


def rows(store: Store, column: object) -> set[object]:
    return set(store.seeds.database.read(lambda connection: connection.execute(select(column)).scalars().all()))  # type: ignore[call-overload]


def test_a_removed_seed_leaves_no_row_and_its_copies_are_exported(store: Store) -> None:
    add_seed(store, "one.txt", "một hai ba bốn")
    take_in(store, A, "một hai")
    take_in(store, B, "ba bốn")
    assert exported(store) == [1]

    removed, moved = remove(store, 1, 99)

    assert removed.ids == (1,)
    assert moved == {2: (Relation.UNIQUE, 2, True), 3: (Relation.UNIQUE, 3, True)}
    assert exported(store) == [2, 3]
    columns = (INDEX_KEYS.c.article_id, FINGERPRINTS.c.article_id, DECISIONS.c.article_id, SEEDS.c.article_id)
    assert all(1 not in rows(store, column) for column in columns)
    record = store.reader.candidate(A)
    assert record is not None
    assert (record.state, record.reason) == (State.STORED, Relation.UNIQUE)


def test_a_removed_founder_head_or_link_is_replaced(store: Store) -> None:
    for url, text in ((A, "một hai"), (B, "hai một"), (C, "một hai ba"), (D, "theo hai bốn")):
        take_in(store, url, text)
    add_seed(store, "one.txt", "theo năm sáu")  # a follow-up of D
    assert exported(store) == [3, 4, 5]
    held = [store.reader.candidate(url) for url in (A, C, D)]

    for record in held:
        assert record is not None
        removed, _ = remove(store, *record.articles)
        assert removed.queued_again == 1  # the candidate is fetched again

    assert exported(store) == [2, 5]
    kept, seed = store.reader.article(2), store.reader.article(5)
    assert kept is not None
    assert seed is not None
    assert (kept.relation, kept.cluster) == (Relation.UNIQUE, 2)
    assert (seed.relation, seed.judged_against) == (Relation.UNIQUE, None)


def test_a_removed_revision_gives_its_page_back_to_the_former_one(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, A, "một hai ba", now=LATER)
    assert exported(store) == [2]

    removed, _ = remove(store, 2)

    assert removed.queued_again == 0
    assert exported(store) == [1]
    record = store.reader.candidate(A)
    assert record is not None
    assert record.articles == (1,)


def test_work_that_relies_on_a_removed_article_is_done_again(store: Store) -> None:
    take_in(store, A, "một hai")
    store.ledger.enqueue([candidate(A)], now=LATER, again=True)
    held = claim_one(store, now=LATER)

    remove(store, 1)

    assert settle(store, held, "một hai", now=LATER) is None
    assert settle(store, claim_one(store, now=LATER + MINUTE), "một hai", now=LATER + MINUTE) is not None
    assert store.reader.audit().problems == ()
