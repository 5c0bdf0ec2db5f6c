"""Audit: a sound store has no problems, and every kind of damage is reported."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, text

from tests.contract.storage.factories import MINUTE, NOW, add_seed, candidate, claim_one, page, take_in
from worker.models import Outcome, State, Text
from worker.storage.store import Store


@pytest.fixture
def full(store: Store) -> Store:
    """A store with a seed, a story and its copy, a rejected and a pending page, and a waiting input file."""
    add_seed(store, "001", "sáu bảy")
    take_in(store, "https://a.example/1", "một hai")
    take_in(store, "https://b.example/1", "hai một")
    store.ledger.enqueue([candidate("https://c.example/1")], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW, page=page())
    store.ledger.enqueue([candidate("https://d.example/1")], now=NOW)
    claim_one(store)
    store.ledger.enqueue([candidate("https://e.example/1", payload=Text(text="a"))], now=NOW + MINUTE)
    return store


def test_a_sound_store_balances(full: Store) -> None:
    books = full.reader.audit()

    assert books.problems == ()
    assert books.balanced
    assert (books.discovered, books.articles, books.seeds, books.clusters) == (5, 2, 1, 2)
    counts = {state.value: count for state, count in books.counts.items() if count}
    assert counts == {"stored": 1, "duplicate": 1, "rejected": 1, "pending": 2}
    assert full.reader.counts() == books


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE candidates SET state = 'lost' WHERE state = 'rejected'", "1 candidates in a state that does not"),
        ("UPDATE candidates SET article_id = NULL WHERE state = 'stored'", "1 candidates that ended with an article"),
        ("UPDATE candidates SET lease_token = 'x' WHERE state = 'stored'", "1 finished candidates that still have"),
        ("DELETE FROM pages WHERE form = 'text'", "1 pending input candidates without their content"),
        ("UPDATE hosts SET due_at = NULL", "1 pending candidates that their host has no due time for"),
        ("DELETE FROM standings WHERE NOT head", "1 articles that are in no cluster"),
        ("DELETE FROM decisions", "3 articles without a verdict"),
        ("UPDATE articles SET candidate_id = NULL", "2 articles without the candidate they came from"),
        ("UPDATE standings SET head = FALSE", "2 clusters without a head"),
        ("UPDATE standings SET cluster = 999 WHERE relation = 'copy'", "1 clusters without their founding"),
        ("DELETE FROM fingerprints", "3 articles without index rows"),
        ("INSERT INTO fingerprints (article_id, signature, bands, anchors, shingles) VALUES (999, '', '', '', 1)",
         "1 fingerprints without their article"),
        ("INSERT INTO index_keys (key, article_id) VALUES (7, 999)", "1 articles with index keys but no fingerprint"),
    ],
)  # fmt: skip
def test_damage_is_reported(full: Store, execute: Callable[[str], None], damage: str, named: str) -> None:
    execute(damage)

    books = full.reader.audit()

    assert not books.balanced
    assert any(problem.startswith(named) for problem in books.problems), books.problems


@pytest.fixture
def execute(store_url: str) -> Callable[[str], None]:
    """Runs a statement behind the store's back."""

    def run(statement: str) -> None:
        engine = create_engine(store_url)
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET session_replication_role = replica"))  # foreign keys look away
            connection.execute(text(statement))
        engine.dispose()

    return run
