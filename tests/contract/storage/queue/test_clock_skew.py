"""A store written while the clock ran ahead: times in the future are moved back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.storage import factories
from tests.contract.storage.factories import MINUTE, candidate, claim_one, take_in
from worker.models import Poll
from worker.ports import HostHealth
from worker.storage.store import Store

HOUR = timedelta(hours=1)

NOW = factories.NOW + timedelta(days=36_500)
"""Beyond any server's own clock, which nobody's is asked to be behind."""


def poll(store: Store) -> bool:
    return store.ledger.claim_poll("bao", now=NOW, lease=MINUTE, worker="w2", only_if_due=True)


def test_nothing_changes_if_the_clock_is_right(store: Store) -> None:
    store.ledger.record_poll(Poll(source="bao", polled_at=NOW, due_at=NOW + HOUR), [candidate()])
    store.hosts.save_health(HostHealth(host="bao.example", failures=1, closed_until=NOW + HOUR))

    moved = store.correct_times(now=NOW)

    assert moved == timedelta(0)
    assert store.hosts.health_of("bao.example").closed_until == NOW + HOUR
    assert store.ledger.source_state("bao").due_at == NOW + HOUR


def test_waits_become_no_longer_than_they_would_have_been(store: Store) -> None:
    ahead = NOW + HOUR
    store.ledger.record_poll(Poll(source="bao", polled_at=ahead, due_at=ahead + 5 * MINUTE), [candidate()])
    store.hosts.reserve("bao.example", now=ahead, delay=MINUTE)
    store.hosts.save_health(HostHealth(host="closed.example", failures=3, closed_until=ahead + 2 * MINUTE))

    moved = store.correct_times(now=NOW)

    assert moved == HOUR
    assert store.ledger.source_state("bao").due_at == NOW + 5 * MINUTE
    assert store.hosts.reserve("bao.example", now=NOW, delay=MINUTE) == NOW + MINUTE
    assert store.hosts.health_of("closed.example").closed_until == NOW + 2 * MINUTE
    assert store.ledger.pending(now=NOW) == (1, 1)


def test_what_was_discovered_in_the_future_can_be_claimed_now(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW + HOUR)
    before = store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="w1")

    store.correct_times(now=NOW)

    assert before == []
    assert claim_one(store, now=NOW).canonical_url == candidate().canonical_url


def test_a_lease_from_the_future_ends_when_it_would_have(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW + HOUR)
    claim_one(store, now=NOW + HOUR)
    store.correct_times(now=NOW)

    at_once = store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="w2")
    later = store.ledger.claim(now=NOW + MINUTE, lease=MINUTE, limit=1, worker="w2")

    assert at_once == []
    assert len(later) == 1


def test_a_second_correction_changes_nothing(store: Store) -> None:
    store.ledger.record_poll(Poll(source="bao", polled_at=NOW + HOUR, due_at=NOW + 2 * HOUR), [candidate()])
    store.correct_times(now=NOW)

    again = store.correct_times(now=NOW)

    assert again == timedelta(0)
    assert store.ledger.source_state("bao").due_at == NOW + HOUR


def test_the_books_balance_afterwards(store: Store) -> None:
    take_in(store, "https://bao.example/1", "một hai ba", now=NOW + HOUR)
    store.ledger.enqueue([candidate("https://bao.example/2")], now=NOW + HOUR)

    store.correct_times(now=NOW)

    assert store.reader.audit().problems == ()


def test_a_source_polled_in_the_future_is_due(store: Store) -> None:
    store.ledger.record_poll(Poll(source="bao", polled_at=NOW + MINUTE, due_at=NOW + HOUR), [])

    assert poll(store) is True


def test_a_source_polled_in_the_past_is_due_when_it_said(store: Store) -> None:
    store.ledger.record_poll(Poll(source="bao", polled_at=NOW - MINUTE, due_at=NOW + HOUR), [])

    assert poll(store) is False


def test_a_machine_whose_clock_is_behind_the_servers_corrects_nothing(store: Store, store_url: str) -> None:
    if store_url.startswith("sqlite"):
        pytest.skip("only a server has a clock of its own")
    store.ledger.record_poll(Poll(source="bao", polled_at=datetime.now(UTC), due_at=datetime.now(UTC)), [candidate()])

    assert store.correct_times(now=datetime.now(UTC) - HOUR) == timedelta(0)
