"""The host store: request slots are reserved once; health, robots.txt and redirects are saved."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.contract.storage.factories import MINUTE, NOW
from worker.ports import HostHealth, RobotsRecord
from worker.storage.store import Store

DELAY = timedelta(seconds=2)


def test_slots_of_one_host_are_a_delay_apart(store: Store) -> None:
    turns = [store.hosts.reserve("a.example", now=NOW, delay=DELAY) for _ in range(3)]

    assert turns == [NOW, NOW + DELAY, NOW + 2 * DELAY]


def test_unused_slots_are_not_made_up_for(store: Store) -> None:
    store.hosts.reserve("a.example", now=NOW, delay=DELAY)

    assert store.hosts.reserve("a.example", now=NOW + MINUTE, delay=DELAY) == NOW + MINUTE
    assert store.hosts.reserve("a.example", now=NOW + MINUTE, delay=DELAY) == NOW + MINUTE + DELAY


def test_a_missed_slot_moves_if_the_next_one_is_free(store: Store) -> None:
    missed = store.hosts.reserve("a.example", now=NOW, delay=DELAY)
    late = NOW + DELAY / 2

    assert store.hosts.reserve("a.example", now=late, delay=DELAY, instead_of=missed) == late
    assert store.hosts.reserve("a.example", now=late, delay=DELAY) == late + DELAY


def test_a_missed_slot_is_lost_if_the_next_one_is_reserved(store: Store) -> None:
    missed, other = (store.hosts.reserve("a.example", now=NOW, delay=DELAY) for _ in range(2))
    late = NOW + DELAY / 2

    assert store.hosts.reserve("a.example", now=late, delay=DELAY, instead_of=missed) == other + DELAY


def test_hosts_do_not_wait_for_each_other(store: Store) -> None:
    store.hosts.reserve("a.example", now=NOW, delay=DELAY)

    assert store.hosts.reserve("b.example", now=NOW, delay=DELAY) == NOW


def test_concurrent_workers_never_get_the_same_slot(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(store.hosts.reserve, "a.example", now=NOW, delay=DELAY) for _ in range(40)]
        turns = sorted(each.result() for each in asked)

    assert turns == [NOW + number * DELAY for number in range(40)]


def test_health_is_saved_and_loaded(store: Store) -> None:
    closed = HostHealth(host="a.example", failures=4, closed_until=NOW + MINUTE)

    store.hosts.save_health(closed)

    assert store.hosts.health_of("a.example") == closed
    assert store.hosts.health_of("b.example") == HostHealth(host="b.example")


def test_health_can_be_reset(store: Store) -> None:
    store.hosts.save_health(HostHealth(host="a.example", failures=4, closed_until=NOW + MINUTE))

    store.hosts.save_health(HostHealth(host="a.example"))

    assert store.hosts.health_of("a.example") == HostHealth(host="a.example")


def test_robots_are_saved_and_loaded(store: Store) -> None:
    record = RobotsRecord(
        origin="https://a.example", checked_at=NOW, status=200, body=b"User-agent: *\xff\x00", good_at=NOW
    )
    store.hosts.save_robots(RobotsRecord(origin=record.origin, checked_at=NOW - MINUTE, status=None, error="no answer"))

    store.hosts.save_robots(record)

    assert store.hosts.robots(record.origin) == record
    assert store.hosts.robots("https://b.example") is None


def test_a_redirect_is_saved_replaced_and_deleted(store: Store) -> None:
    store.hosts.save_redirect("https://a.example/1", "https://a.example/2")
    store.hosts.save_redirect("https://a.example/1", "https://a.example/3")

    before = store.hosts.redirect_of("https://a.example/1")
    store.hosts.save_redirect("https://a.example/1", None)

    assert before == "https://a.example/3"
    assert store.hosts.redirect_of("https://a.example/1") is None
