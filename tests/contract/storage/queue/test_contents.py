"""Several contents of one URL are processed one after the other, each once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.storage.factories import NOW, candidate, claim_one, settle
from worker.models import Candidate, Outcome, State, Text
from worker.storage.store import Store

REJECTED = Outcome(state=State.REJECTED, reason="short", detail="12 words")


def line(number: int, words: str) -> Candidate:
    """Return the candidate of one line of a file; all lines have the same URL."""
    return replace(candidate(payload=Text(text=words, title=f"Dòng {number}")), reference=f"a.jsonl:{number}")


def worked_off(store: Store) -> list[str]:
    """Settle everything that is pending, and return the texts in order."""
    done = []
    while claims := store.ledger.claim(now=NOW, lease=NOW - NOW.replace(year=2025), limit=1, worker="w1"):
        assert isinstance(claims[0].payload, Text)
        done.append(claims[0].payload.text)
        settle(store, claims[0], claims[0].payload.text)
        assert store.reader.audit().problems == ()
    return done


@pytest.mark.parametrize("at_once", [True, False])
def test_each_content_is_processed_once(store: Store, *, at_once: bool) -> None:
    lines = [line(1, "một"), line(2, "hai"), line(3, "ba"), line(4, "hai")]
    for some in [lines] if at_once else [[each] for each in lines]:
        store.ledger.enqueue(some, now=NOW)

    assert worked_off(store) == ["một", "hai", "ba"]
    assert store.ledger.enqueue(lines, now=NOW) == 0
    assert worked_off(store) == []


def test_a_new_content_of_the_same_reference_is_processed(store: Store) -> None:
    store.ledger.enqueue([line(1, "một"), line(2, "hai")], now=NOW)
    worked_off(store)

    store.ledger.enqueue([line(1, "một bốn"), line(2, "hai")], now=NOW)

    assert worked_off(store) == ["một bốn"]


def test_a_rejected_content_leaves_the_articles_of_others(store: Store) -> None:
    store.ledger.enqueue([line(1, "một"), line(2, "hai")], now=NOW)
    settle(store, claim_one(store), "một")

    claim = claim_one(store)

    assert claim.previous_outcome is not None
    assert (claim.previous_outcome.state, claim.title) == (State.STORED, None)
    assert store.ledger.finish(claim, REJECTED, now=NOW) == REJECTED
    assert store.reader.audit().balanced


def test_a_content_that_comes_while_another_is_leased_is_not_lost(store: Store) -> None:
    store.ledger.enqueue([line(1, "một")], now=NOW)
    claim = claim_one(store)

    store.ledger.enqueue([line(2, "hai")], now=NOW)
    settle(store, claim, "một")

    assert worked_off(store) == ["hai"]
