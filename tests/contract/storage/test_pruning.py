"""Retention: old pages and histories go, texts, outcomes and what is still needed stay."""

from __future__ import annotations

from tests.contract.storage.made import MINUTE, NOW, candidate, claim_one, page, take_in
from worker.models import Outcome, State, Text
from worker.storage import Store
from worker.storage.pruning import Pruned

LATER = NOW + 5 * MINUTE


def fill(store: Store) -> None:
    take_in(store, "https://a.example/1", "một hai")
    store.ledger.enqueue([candidate("https://b.example/1")], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW, page=page("https://b.example/1"))
    store.ledger.enqueue([candidate("https://c.example/1", payload=Text(text="chữ"))], now=NOW)


def test_old_pages_and_events_go_and_texts_stay(store: Store) -> None:
    fill(store)
    before = store.reader.audit()

    pruned = store.prune(older_than=LATER)

    assert pruned == Pruned(pages=2, events=4, robots=0)
    assert store.reader.audit() == before
    assert [head.article.text for head in store.reader.heads()] == ["một hai"]
    assert claim_one(store).payload == Text(text="chữ")


def test_what_is_younger_stays(store: Store) -> None:
    fill(store)

    assert store.prune(older_than=NOW) == Pruned(pages=0, events=0, robots=0)


def test_a_dry_run_counts_and_deletes_nothing(store: Store) -> None:
    fill(store)

    counted = store.prune(older_than=LATER, dry_run=True)

    assert counted == store.prune(older_than=LATER)
