"""Leases: a worker that dies loses its lease, not the article."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import delete

from tests.contract.storage.factories import MINUTE, NOW, candidate, claim_one, page, settle
from worker.models import Outcome, State, Text
from worker.storage.db.schema import PAGES
from worker.storage.store import Store

REJECTED = Outcome(state=State.REJECTED, reason="short", detail="12 words")


def test_an_expired_lease_is_claimed_by_the_next_worker(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    claim_one(store, worker="w1")

    too_early = store.ledger.claim(now=NOW + MINUTE - timedelta(microseconds=1), lease=MINUTE, limit=1, worker="w2")
    again = claim_one(store, now=NOW + MINUTE, worker="w2")

    assert too_early == []
    assert again.attempts == 2
    record = store.reader.candidate(again.url)
    assert record is not None
    assert [event.what for event in record.events] == ["discovered", "expired"]
    assert "w1" in record.events[-1].detail


def test_a_worker_that_lost_its_lease_cannot_write(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    lost = claim_one(store, worker="w1")
    claim_one(store, now=NOW + MINUTE, worker="w2")

    assert store.ledger.finish(lost, REJECTED, now=NOW + MINUTE) is None
    assert settle(store, lost, "một hai") is None
    assert store.ledger.pending(now=NOW)[0] == 1
    assert store.reader.audit().articles == 0


def test_an_expired_lease_that_nobody_claimed_still_counts(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    claim = claim_one(store)

    assert store.ledger.finish(claim, REJECTED, now=NOW + 5 * MINUTE)


def test_an_extended_lease_keeps_others_away(store: Store) -> None:
    store.ledger.enqueue([candidate("https://bao.example/1"), candidate("https://bao.example/2")], now=NOW)
    claim = claim_one(store)

    store.ledger.extend([claim], until=NOW + 3 * MINUTE)

    assert store.ledger.claim(now=NOW + 2 * MINUTE, lease=MINUTE, limit=5, worker="w2") == []
    assert claim_one(store, now=NOW + 3 * MINUTE, worker="w2").url == claim.url


def test_extending_a_lost_lease_changes_nothing(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    lost = claim_one(store)
    claim_one(store, now=NOW + MINUTE, worker="w2")

    store.ledger.extend([lost], until=NOW + 9 * MINUTE)

    assert claim_one(store, now=NOW + 2 * MINUTE, worker="w3").attempts


def test_a_released_claim_is_due_at_once_as_if_never_claimed(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    claim = claim_one(store)

    store.ledger.release([claim])

    assert claim_one(store).attempts == 1
    assert store.ledger.finish(claim, REJECTED, now=NOW) is None


def test_a_postponed_candidate_waits_for_its_time(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    later = NOW + timedelta(hours=1)

    store.ledger.finish(claim_one(store), Outcome(state=State.PENDING, reason="timeout", retry_at=later), now=NOW)

    assert store.ledger.pending(now=NOW) == (1, 0)
    assert store.ledger.next_due(now=NOW) == later
    assert store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="w1") == []
    assert claim_one(store, now=later).attempts == 2


def test_a_postponed_candidate_lets_the_rest_of_its_host_pass(store: Store) -> None:
    store.ledger.enqueue([candidate("https://bao.example/1"), candidate("https://bao.example/2")], now=NOW)
    later = NOW + timedelta(hours=1)

    store.ledger.finish(claim_one(store), Outcome(state=State.PENDING, retry_at=later), now=NOW)

    assert claim_one(store).url == "https://bao.example/2"


def test_an_outcome_repeated_after_a_lost_answer_is_written_once(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    claim = claim_one(store)

    first = settle(store, claim, "một hai", content=page())
    again = settle(store, claim, "một hai", content=page())

    assert first is not None
    assert first == again
    assert store.reader.audit().articles == 1


def test_a_finish_repeated_after_a_lost_answer_succeeds_and_adds_nothing(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    claim = claim_one(store)

    answers = [store.ledger.finish(claim, REJECTED, now=NOW, page=page()) for _ in range(2)]

    record = store.reader.candidate(claim.url)
    assert answers == [REJECTED, REJECTED]
    assert record is not None
    assert [event.what for event in record.events] == ["discovered", "fetched", "rejected"]
    assert (record.state, record.reason, record.detail) == (State.REJECTED, "short", "12 words")


def test_leases_of_dead_workers_are_reclaimed_at_once(store: Store) -> None:
    store.ledger.enqueue([candidate("https://a.example/1"), candidate("https://b.example/1")], now=NOW)
    claim_one(store, worker="dead")
    claim_one(store, worker="alive")
    store.ledger.claim_poll("bao", now=NOW, lease=MINUTE, worker="dead")

    freed = store.ledger.reclaim(store.ledger.lease_owners() - {"alive"})

    assert freed == 1
    assert store.ledger.lease_owners() == {"alive"}
    assert claim_one(store, worker="next").attempts == 2
    assert store.ledger.claim_poll("bao", now=NOW, lease=MINUTE, worker="next")


def test_workers_that_claim_together_never_get_the_same_candidate_or_host(store: Store) -> None:
    store.ledger.enqueue([candidate(f"https://h{number % 30}.example/{number}") for number in range(90)], now=NOW)
    store.ledger.enqueue([candidate(f"https://x.example/{number}", payload=page()) for number in range(30)], now=NOW)

    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(store.ledger.claim, now=NOW, lease=MINUTE, limit=5, worker=f"w{number}") for number in range(16)
        ]
        claims = [claim for each in asked for claim in each.result()]

    assert len({claim.id for claim in claims}) == len(claims)
    fetched = [claim.host for claim in claims if claim.payload is None]
    assert len(set(fetched)) == len(fetched) == 30
    assert len(claims) == 60


def test_a_host_without_a_claimable_candidate_does_not_block_the_queue(store: Store) -> None:
    store.ledger.enqueue([candidate("https://a.example/1")], now=NOW)
    store.ledger.enqueue([candidate("https://a.example/1", payload=Text(text="từ tệp"))], now=NOW)
    assert store.ledger.finish(claim_one(store), REJECTED, now=NOW)
    store.ledger.enqueue([candidate("https://b.example/1")], now=NOW + MINUTE)

    tries = [store.ledger.claim(now=NOW + 2 * MINUTE, lease=MINUTE, limit=1, worker="w") for _ in range(2)]

    assert [claim.url for claims in tries for claim in claims] == ["https://b.example/1"]


def test_an_input_whose_content_was_pruned_is_claimed_without_it(store: Store) -> None:
    store.ledger.enqueue([candidate(payload=Text(text="một hai ba"))], now=NOW)
    store._database.write(lambda connection: connection.execute(delete(PAGES)).rowcount)

    claim = claim_one(store)

    assert claim.payload is None
